# SPDX-License-Identifier: GPL-2.0-or-later
"""Servers of ours as child processes, in the foreground and in the background, ended with the test."""

from __future__ import annotations

import ctypes
import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from bench import machine
from tests.daemon.processes import Daemon, children, reap, wait_until
from tests.support.faults import Faults, build_library
from tests.support.servers import POSTGREY, PolicyServer

PR_SET_CHILD_SUBREAPER = 36

DISK_BYTES = 128 << 20

StartServer = Callable[..., PolicyServer]
StartDaemon = Callable[..., Daemon]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[StartServer]:
    """A function that starts our server in the foreground with these options."""
    with ExitStack() as running:

        def start(
            *options: str,
            command: Sequence[str] = POSTGREY,
            env: dict[str, str] | None = None,
            dbdir: Path | None = None,
        ) -> PolicyServer:
            server = PolicyServer(command, dbdir or tmp_path / "db", options, env=env)
            server.log_path = tmp_path / f"{server.dbdir.name}.log"
            running.callback(server.kill)
            # pytest shows it with a failure.
            running.callback(lambda: print("\n".join(server.log().splitlines()[-50:])))
            return server.start()

        yield start


@pytest.fixture
def daemonize(tmp_path: Path) -> Iterator[StartDaemon]:
    """A function that starts our server in the background with these options.

    What it leaves behind is adopted by this process instead of process 1, so that it can be waited for, and so that
    nothing is left behind after a test.
    """
    process_control = ctypes.CDLL(None, use_errno=True).prctl
    assert process_control(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0
    before = children()

    def daemonize(*options: str, command: Sequence[str] = POSTGREY, cwd: Path | None = None) -> Daemon:
        server = PolicyServer(command, tmp_path / "db", ("-d", f"--pidfile={tmp_path / 'pid'}", *options))
        # With pipes: whoever reads them sees their end only when the server has let go of them.
        starter = subprocess.run(server.argv, capture_output=True, text=True, timeout=60, cwd=cwd, env=server.env)
        # What depends on the machine. Those who log to syslog are not told so here, but by test_background.
        starter.stderr = re.sub("^postgrey: nothing will be logged: .*\n", "", starter.stderr, flags=re.MULTILINE)
        return Daemon(starter, server.port, tmp_path / "pid")

    try:
        yield daemonize
    finally:
        for pid in children() - before:
            os.kill(pid, signal.SIGKILL)
            reap(pid)
        process_control(PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)
        wait_until(lambda: children() <= before)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can reach, unlike those of pytest; owned by nobody."""
    if os.geteuid() != 0:
        pytest.fail("these tests become another user, which only root can do: run them as root")
    nobody = pwd.getpwnam("nobody")
    path = Path(tempfile.mkdtemp(prefix="postgrey-test-"))
    try:
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
        path.chmod(0o755)
        yield path
    finally:
        shutil.rmtree(path)


@pytest.fixture
def notify_socket(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd gives to a service of type notify."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "n"))
        notified.settimeout(20)
        yield notified


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of DISK_BYTES."""
    if os.geteuid() != 0:
        pytest.fail("these tests mount a small file system, which only root can do: run them as root")
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        # Lazily, so that it goes even where a test has failed and left something open.
        subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.fixture(scope="session")
def faults_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_library(tmp_path_factory.mktemp("faults"))


@pytest.fixture
def faults(faults_library: Path, tmp_path: Path) -> Iterator[Faults]:
    """The switch for faults of the disk of servers that are started with its `env`."""
    faults = Faults(faults_library, tmp_path / "faults")
    yield faults
    faults.end()


@pytest.fixture
def slow_disk(tmp_path: Path) -> dict[str, str]:
    """The environment of a program that waits for half a second each time that it wants something on the disk."""
    return machine.slow_disk(tmp_path, 500)
