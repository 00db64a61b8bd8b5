# SPDX-License-Identifier: GPL-2.0-or-later
"""What a server logs from start to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.daemon.conftest import StartServer
from tests.daemon.processes import GREYLISTED, stop_once
from tests.support.policy import PolicyClient
from tests.support.servers import POSTGREY, ROOT


def lines_at(start: StartServer, dbdir: Path, *options: str, env: dict[str, str] | None = None) -> list[str]:
    """The log of a start, one line of garbage, one greylisted mail, and a stop."""
    server = start(*options, env=env, dbdir=dbdir)
    with PolicyClient(server.port) as client:
        client.send(b"garbage\n")
        assert client.ask() == GREYLISTED
    assert stop_once(server.process) == 0
    return server.log().splitlines()


def test_quiet_and_verbose_choose_what_is_logged(start: StartServer, tmp_path: Path) -> None:
    normal = lines_at(start, tmp_path / "normal")
    quiet = lines_at(start, tmp_path / "quiet", "--quiet")
    verbose = lines_at(start, tmp_path / "verbose", "--verbose")
    assert quiet == ["ignoring garbage: <garbage>"]
    for lines in (normal, verbose):
        texts = [line.partition(",")[0] for line in lines]
        assert texts[0].startswith("postgrey ")
        assert texts[0].endswith(" starting")
        assert texts[1] == "whitelists: 0 entries for clients and 0 entries for recipients in force"
        assert texts[2].startswith("listening on inet:127.0.0.1:")
        assert texts[3:] == ["ignoring garbage: <garbage>", "action=greylist", "stopped"]


def test_verbose_adds_what_is_only_of_interest(start: StartServer) -> None:
    server = start("--verbose")
    old = {"policy_test_time": 1_000_000_000}
    with PolicyClient(server.port) as client:
        for number in range(100):
            client.ask(client_address=f"10.0.{number}.1", **old)
    server.signal(signal.SIGUSR1)
    server.wait_for_log("compacting main database finished\n")


def test_journal_is_told_the_level_of_each_line(start: StartServer, tmp_path: Path) -> None:
    log = tmp_path / "db.log"
    log.touch()
    stream = f"{log.stat().st_dev}:{log.stat().st_ino}"
    lines = lines_at(start, tmp_path / "db", env={"JOURNAL_STREAM": stream})
    assert [line[:3] for line in lines] == ["<5>", "<5>", "<5>", "<4>", "<5>", "<5>"]
    assert lines[3] == "<4>ignoring garbage: <garbage>"


def test_stream_that_is_not_the_journal_gets_no_levels(start: StartServer, tmp_path: Path) -> None:
    """The variable is inherited by whatever a service starts, with standard error going elsewhere."""
    lines = lines_at(start, tmp_path / "db", env={"JOURNAL_STREAM": "8:12345"})
    assert lines[3] == "ignoring garbage: <garbage>"


def test_the_start_names_what_decides(start: StartServer, tmp_path: Path) -> None:
    server = start("--delay=60", "--ipv4cidr=20", "--whitelist-clients=/a.local", "--whitelist-clients=/b.local")
    assert server.log().splitlines()[0].partition(" starting, ")[2] == (
        f"dbdir={server.dbdir}, delay=60s, lookup by subnet (/20, /64), client lists: /a.local /b.local,"
        f" recipient lists: {tmp_path / 'empty-whitelist'}"
    )


# What is printed instead of serving


@pytest.mark.parametrize("option", ["--help", "--man", "--version"])
@pytest.mark.parametrize("program", ["postgrey", "postgreyreport"])
def test_output_that_nobody_reads_ends_it_silently(option: str, program: str) -> None:
    """`postgrey --man | head`, at any moment."""
    for wanted in (0, 1, 200):
        reader, writer = os.pipe()
        argv = [sys.executable, str(ROOT / "scripts" / program), option]
        with subprocess.Popen(argv, stdout=writer, stderr=subprocess.PIPE) as process:
            os.close(writer)
            if wanted:
                os.read(reader, wanted)
            os.close(reader)
            assert process.stderr is not None
            assert process.stderr.read() == b""


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_output_that_can_not_be_written_is_told(option: str) -> None:
    with open("/dev/full", "wb") as full:
        ended = subprocess.run([*POSTGREY, option], stdout=full, stderr=subprocess.PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (1, "postgrey: can't write the output: No space left on device\n")


@pytest.mark.parametrize("option", ["--help", "--man", "--version"])
def test_closed_standard_streams_are_no_error(option: str) -> None:
    command = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *POSTGREY, option]
    assert subprocess.run(command).returncode == 0
