# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgrey-check` as a monitoring system runs it: one line, and the exit status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from postgrey_py.commands.check.main import NAME
from tests.daemon.processes import wait_until
from tests.support.policy import ask
from tests.support.servers import PERL_POSTGREY, POSTGREY, ROOT, PolicyServer, free_port

CHECK = (sys.executable, str(ROOT / "scripts" / NAME))


def check(*arguments: str, status: int) -> str:
    """The line that it prints; it ends with this status."""
    done = subprocess.run([*CHECK, *arguments], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (status, ""), done
    (line,) = done.stdout.splitlines()
    return line


def control_of(server: PolicyServer) -> str:
    return f"--control={server.dbdir}/postgrey.control"


def test_healthy_server(tmp_path: Path) -> None:
    with PolicyServer(POSTGREY, tmp_path / "db") as server:
        for _ in range(20):
            ask(server.port)
        line = check(f"--inet={server.port}", control_of(server), status=0)
    text, _, data = line.partition(" | ")
    assert text.startswith("POSTGREY OK - answers within ")
    assert text.endswith(" ms; its database is up; 100 % of 20 decisions in the last hour deferred")
    latency, *others = data.split(" ")
    assert latency.startswith("latency=0.")
    assert latency.endswith("s;1;5;0")
    assert others == ["outage=0s;;0;0", "deferred=100%;;;0;100", "warnings=0;;;0"]


def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with PolicyServer(POSTGREY, tmp_path / "db", [f"--unix={path}"]):
        assert check(f"--unix={path}", "--control=none", status=0).startswith("POSTGREY OK - ")


def test_control_socket_is_found_by_the_options_of_the_server(tmp_path: Path) -> None:
    with PolicyServer(POSTGREY, tmp_path / "db") as server:
        assert " warnings=0" in check(f"--inet=127.0.0.1:{server.port}", f"--dbdir={server.dbdir}", status=0)


def test_thresholds(tmp_path: Path) -> None:
    with PolicyServer(POSTGREY, tmp_path / "db", ["--training"]) as server:
        arguments = [f"--inet={server.port}", control_of(server)]
        assert "greylisting is in training" in check(*arguments, status=0)
        assert check(*arguments, "--warning=warnings=0", status=1).startswith("POSTGREY WARNING - greylisting is in")
        assert check(*arguments, "-w", "0", status=1).startswith("POSTGREY WARNING - answers within ")
        assert check(*arguments, "--critical=latency=0", status=2).startswith("POSTGREY CRITICAL - answers within ")
        assert check(*arguments, "--warning=latency=~:", "--critical=5", status=0)


def test_control_socket_that_tells_nothing_matters_to_who_asks_for_it(tmp_path: Path) -> None:
    with PolicyServer(POSTGREY, tmp_path / "db", ["--control=none"]) as server:
        inet = f"--inet={server.port}"
        assert check(inet, f"--dbdir={server.dbdir}", status=0).count(";") > 0
        line = check(inet, f"--dbdir={server.dbdir}", "--warning=deferred=20:90", status=3)
        assert line.startswith("POSTGREY UNKNOWN - the server has no control socket (--control=none); answers within ")
        line = check(inet, f"--control={tmp_path}/nothing", status=3)
        assert line.startswith(f"POSTGREY UNKNOWN - no server runs there: {tmp_path}/nothing: ")


def test_server_that_is_not_running() -> None:
    port = free_port()
    line = check(f"--inet=127.0.0.1:{port}", status=2)
    assert line == f"POSTGREY CRITICAL - not running: nobody listens at 127.0.0.1:{port} (Connection refused)"


def test_server_that_runs_but_does_not_answer(tmp_path: Path) -> None:
    with PolicyServer(POSTGREY, tmp_path / "db") as server:
        server.signal(signal.SIGSTOP)
        line = check(f"--inet=127.0.0.1:{server.port}", "--timeout=1", status=2)
        server.signal(signal.SIGCONT)
    assert line == f"POSTGREY CRITICAL - runs at 127.0.0.1:{server.port}, but does not answer"


def test_server_whose_control_socket_is_stuck(tmp_path: Path) -> None:
    with PolicyServer(POSTGREY, tmp_path / "db") as server, PolicyServer(POSTGREY, tmp_path / "other") as other:
        other.signal(signal.SIGSTOP)
        line = check(f"--inet={server.port}", control_of(other), "--timeout=1", status=2)
        other.signal(signal.SIGCONT)
    assert line.startswith("POSTGREY CRITICAL - no answer within 1 s; answers within ")


def test_server_whose_database_is_down(tmp_path: Path) -> None:
    with PolicyServer(POSTGREY, tmp_path / "db") as server:
        dbdir = server.dbdir
        away = dbdir.with_name("away")
        dbdir.rename(away)
        ask(server.port)
        server.wait_for_log("the database failed")
        line = check(f"--inet={server.port}", "--control=none", status=2)
        assert line.startswith("POSTGREY CRITICAL - its database has been down for ")
        assert "mail passes without greylisting; answers within " in line
        assert check(f"--inet={server.port}", "--control=none", "--critical=outage=3600", status=0)
        assert check(f"--inet={server.port}", "--control=none", "-c", "outage=3600", "-w", "outage=0", status=1)
        away.rename(dbdir)
        server.wait_for_log("the database works again")
        wait_until(lambda: check(f"--inet={server.port}", "--control=none", status=0) != "")


def test_perl_postgrey(tmp_path: Path) -> None:
    with PolicyServer(PERL_POSTGREY, tmp_path / "db") as server:
        line = check(f"--inet={server.port}", "--control=none", status=0)
    assert line.startswith("POSTGREY OK - answers within ")
    assert "database" not in line


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "one of --inet and --unix must be given"),
        (["--inet=10023", "--unix=/s"], "one of --inet and --unix must be given"),
        (["--inet=host:"], "'host:' is no [HOST:]PORT"),
        (["--inet=70000"], "'70000' is no [HOST:]PORT"),
        (["--unix="], "the path is empty"),
        (["--inet=1", "--warning=fast"], "'fast' is no range"),
        (["--inet=1", "--timeout=0"], "'0' is not a whole number from 1 to 600"),
        (["--inet=1", "10023"], "unrecognized arguments"),
    ],
)
def test_wrong_command_line_is_unknown(arguments: list[str], message: str) -> None:
    assert message in check(*arguments, status=3)


def test_nobody_reads_the_output() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [*CHECK, f"--inet=127.0.0.1:{free_port()}"], stdout=writer, stderr=subprocess.PIPE, text=True, timeout=60
    )
    os.close(writer)
    assert "Traceback" not in done.stderr
    assert done.returncode == -signal.SIGPIPE
