# SPDX-License-Identifier: GPL-2.0-or-later
"""The pidfile: it names the server while that runs, and one that names another server keeps a second from starting."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from tests.daemon.conftest import StartDaemon
from tests.daemon.processes import GREYLISTED, Daemon, reap, refusal, status, wait_until
from tests.support.servers import PERL_POSTGREY, PolicyServer


def test_pidfile_names_the_server_while_it_runs(daemonize: StartDaemon, tmp_path: Path) -> None:
    daemon = daemonize(f"--unix={tmp_path / 's'}")
    assert daemon.pidfile.read_text() == f"{daemon.pid}\n"
    assert status(daemon.pid)["Name"] == ["postgrey"]
    assert stat.S_IMODE(daemon.pidfile.stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o666
    assert daemon.stop() == 0
    assert not daemon.pidfile.exists()
    assert not (tmp_path / "s").exists()


def test_pidfile_in_a_missing_directory_is_told(daemonize: StartDaemon, tmp_path: Path) -> None:
    path = tmp_path / "missing" / "pid"
    assert refusal(daemonize(f"--pidfile={path}")) == f"postgrey: --pidfile={path}: No such file or directory"


def test_pidfile_of_a_running_server_is_left_alone(daemonize: StartDaemon, tmp_path: Path) -> None:
    running = daemonize()
    pid = running.pid
    (tmp_path / "db2").mkdir()
    second = daemonize(f"--dbdir={tmp_path / 'db2'}")
    assert refusal(second) == f"postgrey: --pidfile={running.pidfile}: postgrey already runs as process {pid}"
    assert running.pid == pid
    assert running.ask() == GREYLISTED
    assert running.stop() == 0


def test_pidfile_of_a_running_perl_postgrey_is_left_alone(daemonize: StartDaemon, tmp_path: Path) -> None:
    """It runs on the same dbdir, too, as when somebody forgets to stop it before changing over."""
    perl = PolicyServer(PERL_POSTGREY, tmp_path / "db", ("-d", f"--pidfile={tmp_path / 'pid'}"))
    subprocess.run(perl.argv, env=perl.env, timeout=60, check=True)
    running = Daemon(subprocess.CompletedProcess([], 0), perl.port, tmp_path / "pid")
    wait_until(running.pidfile.exists)
    pid = running.pid
    line = refusal(daemonize())
    assert line == f"postgrey: --pidfile={running.pidfile}: postgrey already runs as process {pid}"
    assert running.pid == pid
    os.kill(pid, signal.SIGKILL)
    reap(pid)


@pytest.mark.parametrize("content", ["", "nonsense\n", "999999999\n", "own"])
def test_stale_pidfile_is_replaced(content: str, daemonize: StartDaemon, tmp_path: Path) -> None:
    """The number of a process that is gone, or that somebody else has after a reboot."""
    (tmp_path / "pid").write_text(f"{os.getpid()}\n" if content == "own" else content)
    daemon = daemonize()
    assert daemon.starter.returncode == 0
    assert status(daemon.pid)["Name"] == ["postgrey"]
    assert daemon.stop() == 0
    assert not daemon.pidfile.exists()


def test_killed_server_is_started_again_over_what_it_left(daemonize: StartDaemon, tmp_path: Path) -> None:
    daemon = daemonize(f"--unix={tmp_path / 's'}")
    assert daemon.ask() == GREYLISTED
    pid = daemon.pid
    os.kill(pid, signal.SIGKILL)
    reap(pid)
    assert daemon.pidfile.exists()
    daemon = daemonize(f"--unix={tmp_path / 's'}")
    assert daemon.starter.returncode == 0
    assert daemon.ask() == GREYLISTED
    assert daemon.stop() == 0
