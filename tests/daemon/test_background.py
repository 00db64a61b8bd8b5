# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers in the background: detached from whoever started them, who hears how the start went."""

from __future__ import annotations

import os
import pwd
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from tests.daemon.conftest import StartDaemon, StartServer
from tests.daemon.processes import GREYLISTED, children, refusal, status, wait_until
from tests.parity.databases import TRIPLETS, dump_recovered
from tests.support.policy import PolicyClient, ask
from tests.support.servers import PERL_POSTGREY, POSTGREY, PolicyServer


def test_caller_returns_when_the_server_serves(daemonize: StartDaemon) -> None:
    daemon = daemonize()
    assert daemon.starter.returncode == 0
    assert daemon.ask() == GREYLISTED
    assert (daemon.starter.stdout, daemon.starter.stderr) == ("", "")
    assert daemon.stop() == 0


def test_warnings_are_told_on_the_terminal(daemonize: StartDaemon, tmp_path: Path) -> None:
    (tmp_path / "clients").write_text("what is this\n")
    daemon = daemonize("--delay=0", f"--whitelist-clients={tmp_path / 'clients'}")
    assert daemon.starter.returncode == 0
    assert daemon.starter.stderr.splitlines() == [
        "postgrey: --delay=0 means the default here",
        f"postgrey: {tmp_path / 'clients'} line 1: doesn't look like a hostname",
    ]


def test_server_is_detached_from_whoever_started_it(daemonize: StartDaemon) -> None:
    daemon = daemonize()
    pid = daemon.pid
    # Adopted, as by process 1.
    assert status(pid)["PPid"] == [str(os.getpid())]
    assert os.getsid(pid) not in (os.getsid(0), pid)
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    terminal = fields[4]
    assert terminal == "0"
    assert os.readlink(f"/proc/{pid}/cwd") == "/"
    assert [os.readlink(f"/proc/{pid}/fd/{number}") for number in (0, 1, 2)] == ["/dev/null"] * 3


def test_files_are_closed_to_others(daemonize: StartDaemon, tmp_path: Path) -> None:
    umask = os.umask(0)
    try:
        daemon = daemonize()
    finally:
        os.umask(umask)
    assert status(daemon.pid)["Umask"] == ["0077"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "db").iterdir()} == {0o600}


def test_relative_paths_mean_the_directory_of_the_caller(daemonize: StartDaemon, tmp_path: Path) -> None:
    (tmp_path / "clients").write_text("old.example\n")
    options = ("--dbdir=db", "--pidfile=pid", "--unix=s", "--whitelist-clients=clients")
    daemon = daemonize(*options, cwd=tmp_path)
    assert daemon.starter.returncode == 0
    with PolicyClient(path=str(tmp_path / "s")) as client:
        assert client.ask(client_name="mx.old.example") == "DUNNO"
        (tmp_path / "clients").write_text("new.example\n")
        os.kill(daemon.pid, signal.SIGHUP)
        wait_until(lambda: client.ask(client_name="mx.new.example") == "DUNNO")
        assert client.ask() == GREYLISTED
    assert daemon.stop() == 0
    assert len(dump_recovered(tmp_path / "db")[TRIPLETS].records) == 1
    assert not (tmp_path / "s").exists()


def test_background_server_has_its_name(daemonize: StartDaemon) -> None:
    daemon = daemonize()
    assert Path(f"/proc/{daemon.pid}/comm").read_text() == "postgrey\n"
    assert (
        Path(f"/proc/{daemon.pid}/cmdline")
        .read_bytes()
        .startswith(f"postgrey --inet=127.0.0.1:{daemon.port} ".encode())
    )
    assert str(daemon.pid) in subprocess.run(["pgrep", "-x", "postgrey"], capture_output=True, text=True).stdout.split()


# Starts that fail


def test_missing_dbdir_is_told(daemonize: StartDaemon, tmp_path: Path) -> None:
    daemon = daemonize(f"--dbdir={tmp_path / 'missing'}", f"--unix={tmp_path / 's'}")
    line = refusal(daemon)
    assert line.startswith(
        f"postgrey: dbdir {tmp_path / 'missing'} is not usable by {pwd.getpwuid(os.geteuid()).pw_name}: No such file"
    )
    assert not daemon.pidfile.exists()
    assert not (tmp_path / "s").exists()
    wait_until(lambda: all(status(pid)["State"][0] == "Z" for pid in children()))


@pytest.mark.parametrize("command", [POSTGREY, PERL_POSTGREY], ids=["ours", "perl"])
def test_dbdir_in_use_is_told(
    command: tuple[str, ...], daemonize: StartDaemon, start: StartServer, tmp_path: Path
) -> None:
    server = start(command=command)
    line = refusal(daemonize())
    assert line == (
        f"postgrey: {tmp_path / 'db' / 'postgrey.lock'} is locked: another postgrey runs on this dbdir; stop it first"
    )
    assert ask(server.port) == GREYLISTED


# Containers


@pytest.mark.root
def test_missing_syslog_is_told(tmp_path: Path) -> None:
    """As in a container, where the log of a server in the background goes nowhere."""
    server = PolicyServer(POSTGREY, tmp_path / "db", ("-d", f"--pidfile={tmp_path / 'pid'}"))
    hidden = tmp_path / "hidden"
    hidden.touch()
    script = f'if test -e /dev/log; then mount --bind {hidden} /dev/log; fi; exec "$@"'
    argv = ["unshare", "--mount", "sh", "-euc", script, "sh", *server.argv]
    started = subprocess.run(argv, capture_output=True, text=True, timeout=60, env=server.env)
    try:
        assert started.returncode == 0
        (line,) = started.stderr.splitlines()
        assert line.startswith("postgrey: nothing will be logged: /dev/log")
        assert line.endswith("; start syslog, or leave --daemonize out")
        assert ask(server.port) == GREYLISTED
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
        wait_until(lambda: not (tmp_path / "pid").exists())


@pytest.mark.root
@pytest.mark.parametrize(
    ("set_up", "options", "said"),
    [
        ("umount -l /proc", (), ""),
        ("mount -t tmpfs -o ro none /run", ("--pidfile=/run/pid",), "--pidfile=/run/pid: Read-only file system"),
        ("unset HOME; export -n PATH", (), ""),
    ],
    ids=["no /proc", "read-only /run", "no HOME"],
)
def test_bare_containers(set_up: str, options: tuple[str, ...], said: str, tmp_path: Path) -> None:
    server = PolicyServer(POSTGREY, tmp_path / "db", ("-d", f"--pidfile={tmp_path / 'pid'}"))
    command = ["unshare", "--mount", "bash", "-euc", f'{set_up}; exec "$@"', "sh", *server.argv, *options]
    started = subprocess.run(command, capture_output=True, text=True, timeout=60, env=server.env)
    lines = [line for line in started.stderr.splitlines() if "nothing will be logged" not in line]
    try:
        assert lines == ([f"postgrey: {said}"] if said else [])
        assert started.returncode == (1 if said else 0)
        if not said:
            assert ask(server.port) == GREYLISTED
    finally:
        if not said:
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGTERM)
            wait_until(lambda: not (tmp_path / "pid").exists())
