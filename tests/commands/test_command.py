# SPDX-License-Identifier: GPL-2.0-or-later
"""What all tools have in common: help, manual, version, exit status, errors in one line, and closed pipes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from postgrey_py import __version__
from postgrey_py.commandline import Parser
from postgrey_py.commands.command import add_common_options, run_command
from postgrey_py.database.snapshot import DIRECTORY_PREFIX
from postgrey_py.errors import PostgreyError, UsageError
from tests.commands import running
from tests.commands.databases import make_database
from tests.commands.running import Outcome, environment, run
from tests.support.servers import ROOT

MANY = 20_000


class Tool(NamedTuple):
    """A tool: its name, and arguments with which it prints every record, but for the dbdir."""

    name: str
    arguments: tuple[str, ...]

    @property
    def command(self) -> tuple[str, ...]:
        return (sys.executable, str(ROOT / "scripts" / self.name))


CLIENTS_DUMP = Tool("postgrey_clients_dump", ("--no-resolve", "--all"))
SEARCH = Tool("postgrey-search", ("--no-resolve", "."))
REPORT, POLICY_TEST = Tool("postgreyreport", running.REPORT[2:]), Tool("policy-test", ())
EVERY_TOOL = (CLIENTS_DUMP, SEARCH, REPORT, POLICY_TEST)

every_tool = pytest.mark.parametrize("tool", EVERY_TOOL, ids=lambda tool: tool.name)
database_tool = pytest.mark.parametrize("tool", [CLIENTS_DUMP, SEARCH], ids=lambda tool: tool.name)


@pytest.fixture(scope="module")
def dbdir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database that makes more output than fits into a pipe."""
    numbers = range(MANY)
    return make_database(
        tmp_path_factory.mktemp("tools") / "db",
        {f"192.0.2.0/alice{'x' * (number % 9)}@example.com/bob{number}@example.org": "1,1" for number in numbers},
        {f"10.0.{number >> 8}.{number & 255}": "7,1" for number in numbers},
    )


@every_tool
def test_version(tool: Tool) -> None:
    assert run(tool.command, "--version") == (f"{tool.name} {__version__}\n", "", 0)


@every_tool
@pytest.mark.parametrize("option", ["--help", "-h", "-help"])
def test_help_names_every_option(tool: Tool, option: str) -> None:
    outcome = run(tool.command, option)
    assert (outcome.stderr, outcome.status) == ("", 0)
    assert outcome.stdout.startswith(f"usage: {tool.name} ")
    assert "--man " in outcome.stdout


@every_tool
def test_manual_is_shown(tool: Tool) -> None:
    outcome = run(tool.command, "--man")
    assert (outcome.stderr, outcome.status) == ("", 0)
    # man may stretch lines.
    assert f"{tool.name} — " in " ".join(outcome.stdout.encode("latin-1").decode("utf-8").split())


@every_tool
def test_unknown_option_is_refused(tool: Tool) -> None:
    outcome = run(tool.command, "--nothing")
    assert outcome == ("", f"{tool.name}: --nothing: no such option; see {tool.name} --help\n", 2)


@database_tool
@pytest.mark.parametrize("dbdir_name", ["missing", "empty", "file"])
def test_directory_without_database_is_an_error(tool: Tool, dbdir_name: str, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    outcome = run(tool.command, *tool.arguments, f"--dbdir={tmp_path / dbdir_name}")
    assert (outcome.stdout, outcome.status) == ("", 1)
    assert outcome.stderr.startswith(f"{tool.name}: there is no ")
    assert outcome.stderr.endswith(" with --dbdir\n")
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize("tool", [CLIENTS_DUMP, SEARCH, REPORT], ids=lambda tool: tool.name)
def test_damaged_database_is_an_error_in_one_line(tool: Tool, tmp_path: Path) -> None:
    for name in ("postgrey.db", "postgrey_clients.db"):
        (tmp_path / name).write_bytes(b"damaged " * 1024)
    outcome = run(tool.command, *tool.arguments, f"--dbdir={tmp_path}")
    assert outcome.stderr.startswith(f"{tool.name}: the database in {tmp_path} can't be read, it is damaged ")
    assert DIRECTORY_PREFIX not in outcome.stderr, "the copy is gone, and nobody's business"
    assert (outcome.stdout, outcome.stderr.count("\n"), outcome.status) == ("", 1, 1)


def start(tool: Tool, dbdir: Path, stdout: int, ignored: Sequence[signal.Signals] = ()) -> subprocess.Popen[bytes]:
    """Start a tool; signals are as in an interactive shell but for the `ignored`."""
    command = [*tool.command, *tool.arguments, f"--dbdir={dbdir}"]
    if ignored:
        traps = "; ".join(f"trap '' {number.name.removeprefix('SIG')}" for number in ignored)
        command = ["sh", "-c", f'{traps}; exec "$@"', "sh", *command]
    return subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, env=environment())


@database_tool
def test_closed_pipe_ends_it_without_a_word(tool: Tool, dbdir: Path) -> None:
    """As it ends other programs: `| head` is no error that anybody wants to read of."""
    with start(tool, dbdir, subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == -signal.SIGPIPE


@database_tool
def test_pipe_that_was_closed_before_is_no_trouble_either(tool: Tool, dbdir: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with start(tool, dbdir, writing) as process:
        os.close(writing)
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert process.returncode == -signal.SIGPIPE


def run_closed(descriptor: str, tool: Tool, *arguments: str | Path) -> Outcome:
    """Run a tool without one of its standard streams, as `>&-` does."""
    return run(("sh", "-c", f'exec "$@" {descriptor}&-', "sh", *tool.command), *arguments)


@every_tool
def test_closed_output_is_an_error_in_one_line(tool: Tool) -> None:
    assert run_closed(">", tool, "--help") == ("", f"{tool.name}: can't write the output: it is closed\n", 1)


@every_tool
def test_without_standard_error_complaints_go_nowhere(tool: Tool) -> None:
    assert run_closed("2>", tool, "--nothing") == ("", "", 2)


@pytest.mark.parametrize("tool", [REPORT, POLICY_TEST], ids=lambda tool: tool.name)
def test_closed_input_is_an_error_in_one_line(tool: Tool) -> None:
    # Whatever servers this machine has.
    arguments = ("unix:nowhere",) if tool is POLICY_TEST else ("--server-options=none",)
    assert run_closed("<", tool, *arguments) == ("", f"{tool.name}: can't open standard input: it is closed\n", 1)


@pytest.mark.parametrize("tool", [REPORT, POLICY_TEST], ids=lambda tool: tool.name)
def test_what_is_no_log_is_an_error_in_one_line(tool: Tool, dbdir: Path, tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\n" * 3)
    arguments = [f"unix:{tmp_path / 'socket'}"] if tool is POLICY_TEST else [f"--dbdir={dbdir}"]
    outcome = run(tool.command, *tool.arguments, *arguments, tmp_path / "picture")
    assert outcome.stderr == (
        f"{tool.name}: no line could be read, the first is {tmp_path / 'picture'} line 1: '\\x89PNG\\x0d':"
        " is that a mail log?\n"
    )
    assert outcome.status == 1


@database_tool
def test_full_disk_is_an_error_in_one_line(tool: Tool, dbdir: Path) -> None:
    with Path("/dev/full").open("wb") as full, start(tool, dbdir, full.fileno()) as process:
        assert process.stderr is not None
        errors = process.stderr.read().decode()
    assert errors == f"{tool.name}: can't write the output: No space left on device\n"
    assert process.returncode == 1


@database_tool
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_ends_it_without_a_word(tool: Tool, number: signal.Signals, dbdir: Path) -> None:
    with start(tool, dbdir, subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        # From here on it waits for a reader.
        process.stdout.readline()
        process.send_signal(number)
        assert process.stderr.read() == b""
    assert process.returncode == -number


@database_tool
def test_nohup_is_respected(tool: Tool, dbdir: Path) -> None:
    with start(tool, dbdir, subprocess.PIPE, ignored=[signal.SIGHUP]) as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        assert process.stdout.read().count(b"\n") >= MANY - 1
    assert process.returncode == 0


@database_tool
@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8"])
def test_output_is_utf8_in_every_locale(tool: Tool, locale: str, tmp_path: Path) -> None:
    records = {"192.0.2.0/jos\xc3\xa9@example.com/bob@example.org": "1,1"}, {"jos\xc3\xa9": "7,1"}
    dbdir = make_database(tmp_path / "db", *records)
    outcome = run(tool.command, *tool.arguments, f"--dbdir={dbdir}", env={"LC_ALL": locale, "PYTHONUTF8": "0"})
    assert "jos\xc3\xa9" in outcome.stdout
    assert (outcome.stderr, outcome.status) == ("", 0)


@pytest.mark.parametrize(
    ("error", "status", "said"),
    [
        (None, 0, ""),
        (PostgreyError("can't"), 1, "tool: can't\n"),
        (UsageError("don't"), 2, "tool: don't; see tool --help\n"),
        (OSError(28, "No space left on device"), 1, "tool: can't write the output: No space left on device\n"),
    ],
)
def test_errors_are_one_line_and_an_exit_status(
    error: Exception | None, status: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(_: dict[str, object]) -> None:
        print("output")
        if error is not None:
            raise error

    parser = Parser("tool", "does something")
    add_common_options(parser)
    assert run_command("tool.1", parser, dict, run, []) == status
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("output\n", said)


def test_the_version_is_told_instead_of_running(capsys: pytest.CaptureFixture[str]) -> None:
    def run(_: dict[str, object]) -> None:
        raise AssertionError

    parser = Parser("tool", "does something")
    add_common_options(parser)
    assert run_command("tool.1", parser, dict, run, ["--version"]) == 0
    assert capsys.readouterr().out == f"tool {__version__}\n"
