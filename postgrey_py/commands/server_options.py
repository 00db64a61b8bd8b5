# SPDX-License-Identifier: GPL-2.0-or-later
"""The options that the server was given, so that a command need not be told them again.

They are looked for in the command line of a running server and in the files that start-up scripts read. Where a command
has the same option, that comes first. Nothing is executed: what a shell would have to work out is told as not
understood. The commands call `add_server_options` and `settings_of`.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from postgrey_py.commandline import Parser
from postgrey_py.commands.formats import printable
from postgrey_py.commands.server_arguments import OPTION_START, ServerFields, read_options
from postgrey_py.commands.shell_assignments import read_assignments, split_words
from postgrey_py.errors import PostgreyError
from postgrey_py.greylist.settings import (
    DEBIAN_PATHS,
    NO_CONTROL,
    PATHS,
    UPSTREAM_PATHS,
    Settings,
)

NOTHING = "none"

_MAX_FILE_BYTES = 64 << 10
_INTERPRETER = re.compile(r"(?:python|perl)[\d.]*")
_SERVER = "postgrey"


class Places(NamedTuple):
    """Places to look at: the directory of processes, and files in which variables of the shell are set."""

    processes: Path | None = Path("/proc")
    # Debian's; EPEL's.
    files: tuple[Path, ...] = (Path("/etc/default/postgrey"), Path("/etc/sysconfig/postgrey"))


PLACES = Places()


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The known options of the server: fields of Settings, by name, that were given.

    `source` says where, for people; it is None where nothing was found. `remarks` are what the user must know:
    what was not understood, and which of several servers was taken.
    """

    values: Mapping[str, Any]
    source: str | None = None
    remarks: tuple[str, ...] = ()

    def settings(self) -> Settings:
        """Return the settings of a server that was given these options."""
        return replace(Settings(), **self.values)


class _Process(NamedTuple):
    number: int
    values: Mapping[str, Any]
    dbdirs: frozenset[str]


def add_server_options(parser: Parser) -> None:
    """Add --server-options."""
    parser.option(
        "server-options",
        metavar="FILE",
        help="read the server's options from FILE instead of looking for them; 'none': take no notice of them",
    )


def settings_of(tool: str, wanted: ServerFields, server_options: str | None, is_verbose: bool = False) -> Settings:
    """Return the settings of the server whose database a command reads. Raises PostgreyError.

    `wanted` has the fields that the command uses; a value, which its command line gave, comes first. `server_options`
    is the value of the option. On standard error, `tool` says what was not understood and, if verbose, what it took.
    """
    given: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in wanted.items() if value is not None
    }
    places = PLACES
    if server_options is not None:
        is_nothing = server_options == NOTHING
        places = Places(None, () if is_nothing else (Path(server_options),))
        if not is_nothing and not places.files[0].is_file():
            raise PostgreyError(f"--server-options: there is no file {server_options}")
    found = find_server_options(given.get("dbdir"), places)
    taken = {name: found.values[name] for name in found.values if name in wanted and name not in given}
    for remark in found.remarks:
        print(f"{tool}: {remark}", file=sys.stderr)
    if is_verbose:
        shown = ", ".join(_show(name, value) for name, value in sorted(taken.items()))
        print(f"{tool}: options of the server from {found.source or 'nowhere'}: {shown or 'none'}", file=sys.stderr)
    return replace(Settings(), **{**taken, **given})


def _show(field: str, value: Any) -> str:
    text = " ".join(value) if isinstance(value, tuple) else str(value)
    # Texts for the mail server have a character for each byte.
    octets = text.encode("latin-1") if field.startswith("greylist_") else os.fsencode(text)
    return f"{field.replace('_', '-')}={printable(octets)}"


def find_server_options(dbdir: str | None, places: Places) -> ServerOptions:
    """Return the options of the server of this `dbdir`; of whichever there is where it is None.

    A running server knows best, unless it uses another directory. Of files, the first that sets an option counts.
    """
    running = list(_running_servers(places.processes)) if places.processes is not None else []
    if dbdir is not None:
        running = [process for process in running if os.path.realpath(dbdir) in process.dbdirs]
    if running:
        taken, *others = running
        remarks: tuple[str, ...] = ()
        if others:
            numbers = ", ".join(str(process.number) for process in others)
            remarks = (
                (
                    f"more than one server is running: the options are those of process {taken.number},"
                    f" not of {numbers} (choose with --dbdir)"
                ),
            )
        return ServerOptions(taken.values, f"process {taken.number}", remarks)
    found = ServerOptions({})
    for path in places.files:
        found = _read_file(path)
        if found.source is not None:
            break
    return found


def _read_file(path: Path) -> ServerOptions:
    try:
        with path.open("rb") as file:
            text = file.read(_MAX_FILE_BYTES).decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    except (FileNotFoundError, NotADirectoryError):
        return ServerOptions({})
    except OSError as error:
        return ServerOptions({}, None, (f"can't read {path}, which has options of the server: {error.strerror}",))
    # What start-up scripts set these to before they read the file is nothing that commands have a use for.
    assignments = read_assignments(text, dict.fromkeys(_VARIABLES, ""))
    words = list(_command_line(assignments.values))
    if not words:
        return ServerOptions({})
    values, problems = read_options(words)
    problems += [f"the value of {name} has an open quote" for name in assignments.broken if name in _VARIABLES]
    remarks = (f"{path}: {problem}; if it matters, say it with this command's own options" for problem in problems)
    return ServerOptions(values, os.fspath(path), tuple(remarks))


# In the order in which start-up scripts put them on the command line. POSTGREY_TEXT is the text alone.
_VARIABLES = (
    *("POSTGREY_TEXT", "OPTIONS", "POSTGREY_TYPE", "POSTGREY_PID", "POSTGREY_GROUP", "POSTGREY_USER"),
    *("POSTGREY_DELAY", "POSTGREY_OPTS"),
)


def _command_line(variables: Mapping[str, str]) -> Iterator[str]:
    """The arguments that a start-up script makes of these variables."""
    for name in _VARIABLES:
        value = variables[name].strip()
        if not value:
            continue
        if name == "POSTGREY_TEXT":
            yield f"--greylist-text={value}"
        elif name == "POSTGREY_DELAY" and value.isdigit():
            yield f"--delay={value}"
        else:
            yield from split_words(value)


def _running_servers(processes: Path) -> Iterator[_Process]:
    """Postgrey servers, ours and Perl's, by their numbers, the lowest first."""
    try:
        numbers = sorted(int(name) for name in os.listdir(processes) if name.isdigit())
    except OSError:
        return
    for number in numbers:
        words = _server_words(processes / str(number))
        if words is None:
            continue
        values, _ = read_options(words)
        _make_absolute(values, processes / str(number))
        known = [values["dbdir"]] if "dbdir" in values else [UPSTREAM_PATHS.dbdir, DEBIAN_PATHS.dbdir, PATHS.dbdir]
        dbdirs = frozenset(os.path.realpath(name) for name in known)
        if _is_trustworthy(processes / str(number), dbdirs):
            yield _Process(number, values, dbdirs)


def _server_words(process: Path) -> list[str] | None:
    """The arguments of a process, None where it is no Postgrey server."""
    try:
        octets = (process / "cmdline").read_bytes()
    except OSError:
        # It has ended meanwhile, or nobody may look at it.
        return None
    words = [os.fsdecode(word) for word in octets.rstrip(b"\0").split(b"\0")]
    if len(words) == 1:
        return _title_words(words[0])
    # An interpreter, options of its own, and the program.
    while words and (_INTERPRETER.fullmatch(os.path.basename(words[0])) or words[0].startswith("-")):
        words.pop(0)
    return words[1:] if words and os.path.basename(words[0]) == _SERVER else None


def _title_words(title: str) -> list[str] | None:
    """The arguments that a server has in its title, where a space between two may as well be part of one."""
    program, *rest = title.split(" ")
    if os.path.basename(program) != _SERVER:
        return None
    words: list[str] = []
    for word in rest:
        if words and not OPTION_START.match(word):
            words[-1] += f" {word}"
        else:
            words.append(word)
    return [re.sub(r"^(--?[a-z][\w-]*) ", r"\1=", word) for word in words]


def _make_absolute(values: dict[str, Any], process: Path) -> None:
    """Complete paths that count from the directory that the process was started in."""
    try:
        start = os.readlink(process / "cwd")
    except OSError:
        start = os.curdir
    for name, value in values.items():
        if name == "dbdir" or (name == "control" and value != NO_CONTROL):
            values[name] = os.path.abspath(os.path.join(start, value))
        elif isinstance(value, tuple):
            values[name] = tuple(os.path.abspath(os.path.join(start, path)) for path in value)


def _is_trustworthy(process: Path, dbdirs: Collection[str]) -> bool:
    """Whether the process is root's, ours, or of who owns its database: anybody else can call himself postgrey."""
    try:
        owner = process.stat().st_uid
        owners = {os.stat(dbdir).st_uid for dbdir in dbdirs if os.path.isdir(dbdir)}
    except OSError:
        return False
    return owner in {0, os.geteuid(), *owners}
