# SPDX-License-Identifier: GPL-2.0-or-later
"""The completions are what the parsers say, and real shells complete with them."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgrey_py.commands.registry import COMMANDS
from tests.commands.running import environment
from tests.support.servers import ROOT

COMPLETIONS = ROOT / "completions"

TIMEOUT = 60.0
TAB = "\t"


def test_they_are_up_to_date(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "build-aux" / "completions", tmp_path], check=True)
    written = {path.relative_to(tmp_path): path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    checked_in = {path.relative_to(COMPLETIONS): path.read_text() for path in COMPLETIONS.rglob("*") if path.is_file()}
    assert written == checked_in, "run .venv/bin/python build-aux/completions"


def test_every_command_has_them() -> None:
    names = {command.name for command in COMMANDS}
    assert {path.name for path in (COMPLETIONS / "bash").iterdir()} == names
    assert {path.name for path in (COMPLETIONS / "zsh").iterdir()} == {f"_{name}" for name in names}


class Shell:
    """An interactive shell on a terminal of its own, in which the commands print their arguments."""

    def __init__(self, command: list[str], directory: Path) -> None:
        self._master, slave = pty.openpty()
        self._screen = ""
        home = {"HOME": os.fspath(directory), "ZDOTDIR": os.fspath(directory), "TERM": "dumb", "HISTFILE": ""}
        self._process = subprocess.Popen(
            command,
            cwd=directory,
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={**environment(), **home, "PS1": "", "PROMPT": ""},
        )
        os.close(slave)

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def read_until(self, pattern: str) -> re.Match[str]:
        """The first match of what the screen shows from now on; AssertionError after TIMEOUT."""
        deadline = time.monotonic() + TIMEOUT
        while (match := re.search(pattern, self._screen)) is None:
            readable, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert readable, f"{pattern!r} is not on the screen: {self._screen!r}"
            self._screen += os.read(self._master, 65536).decode(errors="replace")
        self._screen = self._screen[match.end() :]
        return match

    def run(self, line: str) -> None:
        """Run a command and wait until it is done."""
        self.type(f"{line}; echo DO''NE\n")
        self.read_until("DONE")

    def complete(self, line: str) -> list[str]:
        """The arguments of the command whose line is typed with these keys."""
        self.type(f"{line}\n")
        return self.read_until(r"ARGUMENTS((?: <[^>]*>)*)\r?\n")[1].removeprefix(" <").removesuffix(">").split("> <")

    def close(self) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the shells are: a file and a directory whose names begin alike."""
    directory = tmp_path_factory.mktemp("shell")
    (directory / "unmistakable file.log").touch()
    (directory / "unmistakable_directory").mkdir()
    return directory


@pytest.fixture(scope="module", params=["bash", "zsh"])
def shell(request: pytest.FixtureRequest, directory: Path) -> Iterator[Shell]:
    """Each shell with the completions of all commands."""
    if request.param == "bash":
        shell_command = ["bash", "--noprofile", "--norc", "-i"]
        setup = [f"source {COMPLETIONS / 'bash' / command.name}" for command in COMMANDS]
    else:
        shell_command = ["zsh", "-f", "-i"]
        setup = [f"fpath=({COMPLETIONS / 'zsh'} $fpath)", "autoload -Uz compinit", "compinit -u -D"]
    setup += [f"{command.name}() {{ printf ARGUMENTS; printf ' <%s>' \"$@\"; echo; }}" for command in COMMANDS]
    (directory / "setup").write_text("\n".join(setup))
    shell = Shell(shell_command, directory)
    try:
        shell.run("source ./setup")
        yield shell
    finally:
        shell.close()


@pytest.mark.parametrize(
    ("line", "arguments"),
    [
        # Options, with and without a value.
        (f"postgrey_clients_dump --no-{TAB}", ["--no-resolve"]),
        (f"postgrey_clients_dump --min{TAB}7", ["--min-count=7"]),
        (f"postgrey --auto{TAB}", ["--auto-whitelist-clients"]),
        (f"postgrey --syslogf{TAB}local1 --dae{TAB}", ["--syslogfacility=local1", "--daemonize"]),
        (f"postgreyreport --separate-by-i{TAB}x", ["--separate-by-ip=x"]),
        (f"policy-test --conn{TAB}3 --lat{TAB}", ["--connections=3", "--latency"]),
        # Words.
        (f"postgrey-search --state=pe{TAB}", ["--state=pending"]),
        (f"postgrey-search --format js{TAB}", ["--format", "json"]),
        (f"postgrey-search --fo{TAB}lo{TAB}", ["--format=long"]),
        (f"postgreyreport --format=j{TAB}", ["--format=json"]),
        # Some words of many.
        (f"postgrey --syslogfacility=new{TAB}", ["--syslogfacility=news"]),
        (f"postgrey --syslogfacility au{TAB}p{TAB}", ["--syslogfacility", "authpriv"]),
        (f"postgrey --greylist-action=DEFER_IF_P{TAB}", ["--greylist-action=DEFER_IF_PERMIT"]),
        (f"postgreyreport --check-sender=m{TAB}", ["--check-sender=mx"]),
        (f"policy-test in{TAB}127.0.0.1:10023", ["inet:127.0.0.1:10023"]),
        (
            f"policy-test --lat{TAB}un{TAB}/run/postgrey unmistakable\\ {TAB}",
            [
                "--latency",
                "unix:/run/postgrey",
                "unmistakable file.log",
            ],
        ),
        # Directories, and files.
        (f"postgrey_clients_dump --dbdir=unm{TAB}", ["--dbdir=unmistakable_directory"]),
        (f"postgrey_clients_dump --dbdir unm{TAB}", ["--dbdir", "unmistakable_directory"]),
        (f"postgreyreport --skip-clients=unmistakable\\ {TAB}", ["--skip-clients=unmistakable file.log"]),
        (f"postgreyreport unmistakable\\ {TAB}", ["unmistakable file.log"]),
        (f"postgrey --whitelist-clients=unmistakable\\ {TAB}", ["--whitelist-clients=unmistakable file.log"]),
        # Users.
        (f"postgrey --user=daemo{TAB}", ["--user=daemon"]),
        # Nothing where there is nothing to offer.
        (f"postgrey-search bo{TAB}", ["bo"]),
        (f"postgrey-search --sender=unm{TAB}", ["--sender=unm"]),
        (f"postgrey-search --nothing{TAB}", ["--nothing"]),
    ],
)
def test_shells_complete(line: str, arguments: list[str], shell: Shell) -> None:
    # zsh takes the slash back that it has added to a directory.
    assert [argument.removesuffix("/") for argument in shell.complete(line)] == arguments
