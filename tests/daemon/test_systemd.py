# SPDX-License-Identifier: GPL-2.0-or-later
"""Service managers: sockets that are passed stay theirs, and they hear that the server answers and lives."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from postgrey_py.daemon.listeners import bind_listeners, close_listeners
from postgrey_py.daemon.options import parse_command_line
from postgrey_py.daemon.systemd import take_passed_sockets, take_watchdog_seconds
from postgrey_py.greylist.settings import Settings
from tests.daemon.processes import GREYLISTED, stop_once
from tests.support.policy import PolicyClient, ask
from tests.support.servers import POSTGREY, ROOT, PolicyServer, free_port

RESTARTS = 10

# What systemd does: the socket becomes descriptor 3, and the variables name the process that becomes the server.
PASS = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="policy")
os.execv(sys.argv[2], sys.argv[2:])
"""


def passing(descriptor: int, command: Sequence[str]) -> list[str]:
    """The command with this descriptor passed to it."""
    return [sys.executable, "-c", PASS, str(descriptor), *command]


def listen_unix(path: Path) -> socket.socket:
    """A listening Unix socket, as a service manager makes it."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.fspath(path))
    listener.listen(socket.SOMAXCONN)
    return listener


def listen_inet() -> socket.socket:
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(socket.SOMAXCONN)
    return listener


def start(listener: socket.socket, directory: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start the server with this socket as its descriptor 3."""
    dbdir = directory / "db"
    dbdir.mkdir(exist_ok=True)
    lists = [f"--{name}={directory / 'nothing.local'}" for name in ("whitelist-clients", "whitelist-recipients")]
    account = ["--user=root", "--group=root"] if os.geteuid() == 0 else []
    command = passing(listener.fileno(), [*POSTGREY, f"--dbdir={dbdir}", *lists, *account, *options])
    with (directory / "log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[listener.fileno()],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )


def stop(server: subprocess.Popen[bytes]) -> int:
    server.send_signal(signal.SIGTERM)
    return server.wait(timeout=30)


@contextmanager
def serving(listener: socket.socket, directory: Path, *options: str) -> Iterator[subprocess.Popen[bytes]]:
    server = start(listener, directory, *options)
    try:
        yield server
        assert stop(server) == 0, (directory / "log").read_text()
    finally:
        server.kill()
        server.wait()


def ask_unix(path: Path) -> str:
    with PolicyClient(path=os.fspath(path)) as client:
        return client.ask()


def test_a_passed_socket_is_all_that_it_needs(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    with listen_unix(path) as listener, serving(listener, tmp_path):
        assert ask_unix(path).startswith("DEFER_IF_PERMIT")
    assert f"listening on unix:{path}" in (tmp_path / "log").read_text()


def test_the_file_of_a_passed_socket_stays(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    with listen_unix(path) as listener:
        for _ in range(2):
            with serving(listener, tmp_path):
                assert ask_unix(path)
            assert path.is_socket()


def test_options_that_name_a_passed_socket_make_no_second_one(tmp_path: Path) -> None:
    with listen_inet() as listener:
        port = listener.getsockname()[1]
        with serving(listener, tmp_path, f"--inet=127.0.0.1:{port}"), PolicyClient(port) as client:
            assert client.ask()
    path = tmp_path / "policy"
    with listen_unix(path) as listener, serving(listener, tmp_path, f"--unix={path}"):
        assert ask_unix(path)
        assert path.is_socket()


def test_other_options_add_listeners(tmp_path: Path) -> None:
    path, port = tmp_path / "policy", free_port()
    with listen_unix(path) as listener, serving(listener, tmp_path, f"--inet=127.0.0.1:{port}"):
        assert ask_unix(path)
        with PolicyClient(port) as client:
            assert client.ask()


def test_it_works_in_the_background_too(tmp_path: Path) -> None:
    path, pidfile = tmp_path / "policy", tmp_path / "pid"
    with listen_unix(path) as listener:
        parent = start(listener, tmp_path, "--daemonize", f"--pidfile={pidfile}")
        assert parent.wait(timeout=30) == 0, (tmp_path / "log").read_text()
        try:
            assert ask_unix(path).startswith("DEFER_IF_PERMIT")
        finally:
            os.kill(int(pidfile.read_text()), signal.SIGTERM)
            # It is no child of ours: the removal of its pidfile is the last that it does.
            deadline = time.monotonic() + 30
            while pidfile.exists() and time.monotonic() < deadline:
                time.sleep(0.01)
        assert not pidfile.exists()
        assert path.is_socket()


def test_ten_restarts_refuse_no_connection(tmp_path: Path) -> None:
    path = tmp_path / "policy"
    done = threading.Event()
    counts: list[int] = []
    failures: list[str] = []

    def ask_all_the_time() -> None:
        count = 0
        while not done.is_set():
            try:
                ask_unix(path)
                count += 1
            except (OSError, AssertionError) as error:
                failures.append(repr(error))
        counts.append(count)

    with listen_unix(path) as listener:
        askers = [threading.Thread(target=ask_all_the_time) for _ in range(4)]
        server = start(listener, tmp_path)
        try:
            assert ask_unix(path)
            for asker in askers:
                asker.start()
            for _ in range(RESTARTS):
                assert stop(server) == 0
                server = start(listener, tmp_path)
                assert ask_unix(path)
        finally:
            done.set()
            for asker in askers:
                asker.join()
            server.kill()
            server.wait()
    log = (tmp_path / "log").read_text()
    assert failures == []
    assert log.count("postgrey 1.0.0 starting") == RESTARTS + 1
    assert all(count > 0 for count in counts)


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"LISTEN_FDS": "1"},
        {"LISTEN_PID": "1", "LISTEN_FDS": "1"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "0"},
        {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "many"},
    ],
)
def test_variables_for_another_process_are_forgotten(environment: dict[str, str]) -> None:
    environment["PATH"] = "/bin"
    assert take_passed_sockets(environment) == []
    assert environment == {"PATH": "/bin"}


@pytest.mark.parametrize(("kind", "said"), [("datagram", "does not listen"), ("file", "is not a socket")])
def test_a_descriptor_that_is_no_listener_is_an_error(tmp_path: Path, kind: str, said: str) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as datagram, (tmp_path / "file").open("wb") as file:
        descriptor = datagram.fileno() if kind == "datagram" else file.fileno()
        result = subprocess.run(
            passing(descriptor, [*POSTGREY, f"--dbdir={tmp_path}"]),
            capture_output=True,
            text=True,
            pass_fds=[descriptor],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    assert result.returncode == 1
    assert f"descriptor 3 of LISTEN_FDS {said}" in result.stderr


def test_without_passed_sockets_an_option_is_needed(tmp_path: Path) -> None:
    assert parse_command_line([], has_listener=True).settings.inet == ()
    listeners = bind_listeners(Settings(unix=(str(tmp_path / "own"),)), None)
    assert (tmp_path / "own").is_socket()
    close_listeners(listeners)
    assert not (tmp_path / "own").exists()


# Readiness


def test_systemd_is_told_when_it_serves(notify_socket: socket.socket, tmp_path: Path) -> None:
    server = PolicyServer(POSTGREY, tmp_path / "db", env={"NOTIFY_SOCKET": notify_socket.getsockname()})
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(server.argv, env=server.env, stderr=log) as process:
        try:
            assert b"READY=1" in notify_socket.recv(4096).split()
            # No second try: it serves.
            assert ask(server.port) == GREYLISTED
        finally:
            assert stop_once(process) == 0


def test_systemd_is_told_nothing_when_the_start_fails(notify_socket: socket.socket, tmp_path: Path) -> None:
    server = PolicyServer(
        POSTGREY,
        tmp_path / "db",
        (f"--dbdir={tmp_path / 'missing'}",),
        env={"NOTIFY_SOCKET": notify_socket.getsockname()},
    )
    ended = subprocess.run(server.argv, env=server.env, capture_output=True, timeout=60)
    assert ended.returncode == 1
    notify_socket.setblocking(False)
    with pytest.raises(BlockingIOError):
        notify_socket.recv(4096)


# The watchdog


def test_signs_of_life_come_as_long_as_the_loop_turns(notify_socket: socket.socket, tmp_path: Path) -> None:
    server = PolicyServer(POSTGREY, tmp_path / "db", env={"NOTIFY_SOCKET": notify_socket.getsockname()})
    argv = ["sh", "-c", 'WATCHDOG_PID=$$ WATCHDOG_USEC=300000 exec "$@"', "sh", *server.argv]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(argv, env=server.env, stderr=log) as process:
        try:
            assert notify_socket.recv(4096) == b"READY=1"
            assert [notify_socket.recv(4096) for _ in range(4)] == [b"WATCHDOG=1"] * 4
            process.send_signal(signal.SIGSTOP)
            notify_socket.settimeout(1)
            with pytest.raises(TimeoutError):
                # One may have been on its way.
                [notify_socket.recv(4096) for _ in range(3)]
            process.send_signal(signal.SIGCONT)
            assert notify_socket.recv(4096) == b"WATCHDOG=1"
        finally:
            process.send_signal(signal.SIGCONT)
            assert stop_once(process) == 0


@pytest.mark.parametrize(
    ("limit", "pid", "seconds"),
    [
        ("30000000", "{ours}", 30.0),
        ("500000", "{ours}", 0.5),
        *((limit, "{ours}", None) for limit in ("", "0", "-1", "x", "\xb2", "1.5")),
        *(("30000000", pid, None) for pid in ("", "1", "x")),
    ],
)
def test_watchdog_waits_only_for_the_process_that_is_named(limit: str, pid: str, seconds: float | None) -> None:
    # The number is no part of the test's name: those who share the tests among processes compare the names.
    environment = {"WATCHDOG_USEC": limit, "WATCHDOG_PID": pid.format(ours=os.getpid()), "OTHER": "x"}
    assert take_watchdog_seconds(environment) == seconds
    assert environment == {"OTHER": "x"}
    assert take_watchdog_seconds({}) is None
