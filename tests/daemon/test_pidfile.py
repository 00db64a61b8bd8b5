# SPDX-License-Identifier: GPL-2.0-or-later
"""The pidfile: it names the server while that runs, and one that names another server keeps a second from starting."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from postgrey_py.daemon.pidfile import Pidfile, find_running
from postgrey_py.errors import StartupError
from tests.daemon.conftest import StartDaemon
from tests.daemon.processes import GREYLISTED, Daemon, changing, reap, refusal, status, wait_until
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


# What the pidfile may say


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"\n", b"0\n", b"1\n", b"-1\n", b"-5\n", b"+7\n", b"99999999999999999999\n", b"4194305\n", b"1.5\n"),
        *(b"nonsense\n", b"\xb2\n", b"\xff\xfe1\x000\x00", b"\0\0\0\0", b"12 34\n", b"0x10\n", "\u0663\n".encode()),
        *(b"7" * 5_000_000, b"\n" * 5_000_000, bytes(5_000_000)),
    ],
    ids=lambda content: repr(content[:20]),
)
def test_what_is_no_running_server_is_replaced(content: bytes, daemonize: StartDaemon, tmp_path: Path) -> None:
    (tmp_path / "pid").write_bytes(content)
    daemon = daemonize()
    assert (daemon.starter.returncode, daemon.starter.stderr) == (0, "")
    assert daemon.pidfile.read_text() == f"{daemon.pid}\n"
    assert daemon.stop() == 0


def running(pid: int, path: str = "/run/postgrey.pid") -> int | None:
    return find_running(b"%d\n" % pid, path)


@contextmanager
def called_postgrey(*arguments: str, code: str = "input()") -> Iterator[subprocess.Popen[bytes]]:
    """A process that looks like a postgrey with these arguments; it has started when it has written a byte."""
    title = " ".join(["postgrey", *arguments])
    program = (
        f"import setproctitle, sys; setproctitle.setproctitle({title!r}); setproctitle.setthreadtitle('postgrey')\n"
        f"print('x', flush=True)\n{code}"
    )
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.read(1)
        try:
            yield process
        finally:
            process.kill()


def test_server_that_runs_is_found_by_its_name() -> None:
    with called_postgrey("--inet=10023", "--pidfile=/run/postgrey.pid") as process:
        assert running(process.pid) == process.pid
        assert find_running(b" %d" % process.pid, "/run/postgrey.pid") == process.pid
    with called_postgrey("-d") as process:
        assert running(process.pid) == process.pid


def test_process_that_is_something_else_is_none() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        assert running(process.pid) is None
        process.kill()
    assert running(1) is None
    # Of another user, who may not even be signalled.
    assert running(2) is None


def test_zombie_does_not_run() -> None:
    with called_postgrey() as process:
        process.kill()
        # Dead, and not waited for.
        wait_until(lambda: status(process.pid)["State"][0] == "Z")
        assert running(process.pid) is None


def test_thread_is_no_process() -> None:
    code = "import threading; t = threading.Thread(target=input); t.start(); print(t.native_id, flush=True)"
    with called_postgrey(code=code) as process:
        assert process.stdout is not None
        process.stdout.readline()
        thread = int(process.stdout.readline())
        assert Path(f"/proc/{thread}/comm").read_text() == "postgrey\n"
        assert running(process.pid) == process.pid
        assert running(thread) is None


@pytest.mark.parametrize(
    ("option", "is_this"),
    [
        ("--pidfile=/run/other.pid", False),
        ("-pidfile=/run/other.pid", False),
        ("--pidfile /run/other.pid", False),
        ("--pidfile=/run/postgrey.pid", True),
        ("--pidfile=/run/../run/postgrey.pid", True),
        ("--pidfile=postgrey.pid", True),
    ],
)
def test_server_with_another_pidfile_is_another(option: str, is_this: bool) -> None:
    """In a container process ids are few, and a restart gives those of one server to another."""
    with called_postgrey(option, "--inet=10023") as process:
        assert (running(process.pid) is not None) == is_this


def test_killed_server_that_nobody_reaps_does_not_keep_another_from_starting(
    daemonize: StartDaemon, tmp_path: Path
) -> None:
    first = daemonize()
    pid = first.pid
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: status(pid)["State"][0] == "Z")
    second = daemonize()
    assert (second.starter.returncode, second.starter.stderr) == (0, "")
    assert second.pid != pid
    assert second.stop() == 0


# Places that are none


@pytest.mark.parametrize("kind", ["directory", "fifo", "link", "dangling", "hard", "device", "socket"])
def test_what_is_no_file_of_its_own_is_refused(kind: str, daemonize: StartDaemon, tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "place"
    victim.write_text("precious\n")
    victim.chmod(0o600)
    reason = "what is there is a device, a FIFO or a second name of another file; remove it"
    if kind == "directory":
        path.mkdir()
        reason = "Is a directory"
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "device":
        os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 3))
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
        reason = "No such device or address"
    elif kind == "hard":
        path.hardlink_to(victim)
    else:
        path.symlink_to(victim if kind == "link" else tmp_path / "nothing")
        reason = "that is a symbolic link, which is not followed; name the file itself"
    assert refusal(daemonize(f"--pidfile={path}")) == f"postgrey: --pidfile={path}: {reason}"
    assert (victim.read_text(), stat.S_IMODE(victim.stat().st_mode)) == ("precious\n", 0o600)
    assert not (tmp_path / "nothing").exists()


@pytest.mark.root
def test_file_that_the_servers_user_could_write_is_made_anew(daemonize: StartDaemon, open_directory: Path) -> None:
    """Postgrey gave it to that user, who may have kept it open."""
    path = open_directory / "pid"
    path.write_text("nonsense\n")
    nobody = pwd.getpwnam("nobody").pw_uid
    os.chown(path, nobody, -1)
    os.chown(open_directory, nobody, -1)
    dbdir = open_directory / "db"
    dbdir.mkdir()
    os.chown(dbdir, nobody, -1)
    with path.open("r+b", buffering=0) as kept:
        daemon = daemonize(f"--pidfile={path}", "--user=nobody", "--group=nogroup", f"--dbdir={dbdir}")
        assert daemon.starter.returncode == 0
        kept.write(b"1\n")
    pid = int(path.read_text())
    assert (path.owner(), stat.S_IMODE(path.stat().st_mode)) == ("root", 0o644)
    assert status(pid)["Name"] == ["postgrey"]
    os.kill(pid, signal.SIGTERM)
    assert reap(pid) == 0
    # The directory is the user's.
    assert not path.exists()


@pytest.mark.root
def test_root_is_never_led_to_another_file(open_directory: Path) -> None:
    """While somebody else changes, all the time, what the name leads to."""
    victim = open_directory / "victim"
    victim.write_text("precious\n")
    victim.chmod(0o600)
    path = open_directory / "pid"
    outcomes = Counter[str]()
    with changing(path, victim):
        for _ in range(3000):
            try:
                Pidfile(str(path)).close()
                outcomes["written"] += 1
            except StartupError as error:
                outcomes[str(error)] += 1
    assert (victim.read_text(), stat.S_IMODE(victim.stat().st_mode), victim.owner()) == ("precious\n", 0o600, "root")
    assert outcomes["written"] > 0
    assert len(outcomes) > 1


def test_pidfile_of_another_server_stays(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    pidfile = Pidfile(str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    path.unlink()
    path.write_text("4711\n")
    pidfile.remove()
    assert path.read_text() == "4711\n"
