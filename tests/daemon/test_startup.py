# SPDX-License-Identifier: GPL-2.0-or-later
"""The way into service: in the background, under another user, with a pidfile, and what is said when it fails."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgrey_py.daemon.watchdog import take_watchdog_seconds
from tests.daemon.conftest import StartDaemon, StartServer
from tests.daemon.processes import Daemon, children, reap, status, stop_once, wait_until
from tests.parity.databases import TRIPLETS, dump_recovered
from tests.support.policy import PolicyClient, ask
from tests.support.servers import PERL_POSTGREY, POSTGREY, PolicyServer

GREYLISTED = "DEFER_IF_PERMIT 4.2.0 Greylisted, see http://postgrey.schweikert.ch/help/example.org.html"


def refusal(daemon: Daemon) -> str:
    """What a start that failed has said on the terminal; nothing may be left of it."""
    assert daemon.starter.returncode == 1
    assert daemon.starter.stdout == ""
    (line,) = daemon.starter.stderr.splitlines()
    with pytest.raises(ConnectionRefusedError):
        PolicyClient(daemon.port)
    return line


# In the background


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


def test_pidfile_names_the_server_while_it_runs(daemonize: StartDaemon, tmp_path: Path) -> None:
    daemon = daemonize(f"--unix={tmp_path / 's'}")
    assert daemon.pidfile.read_text() == f"{daemon.pid}\n"
    assert status(daemon.pid)["Name"] == ["postgrey"]
    assert stat.S_IMODE(daemon.pidfile.stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "s").stat().st_mode) == 0o666
    assert daemon.stop() == 0
    assert not daemon.pidfile.exists()
    assert not (tmp_path / "s").exists()


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


def test_standard_streams_may_be_closed(daemonize: StartDaemon) -> None:
    """As some service managers do; no socket may get their numbers."""
    daemon = daemonize(command=("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *POSTGREY))
    assert daemon.starter.returncode == 0
    assert daemon.ask() == GREYLISTED
    assert [os.readlink(f"/proc/{daemon.pid}/fd/{number}") for number in (0, 1, 2)] == ["/dev/null"] * 3
    assert daemon.stop() == 0


# Starts that fail


def test_port_in_use_is_told(daemonize: StartDaemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        daemon = daemonize(f"--inet=127.0.0.1:{port}")
        assert refusal(daemon) == (
            f"postgrey: --inet=127.0.0.1:{port}: can't listen on 127.0.0.1, port {port}: Address already in use"
        )
    assert not daemon.pidfile.exists()


def test_missing_dbdir_is_told(daemonize: StartDaemon, tmp_path: Path) -> None:
    daemon = daemonize(f"--dbdir={tmp_path / 'missing'}", f"--unix={tmp_path / 's'}")
    line = refusal(daemon)
    assert line.startswith(f"postgrey: dbdir {tmp_path / 'missing'} is not usable by uid {os.geteuid()}: No such file")
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


@pytest.mark.parametrize("option", ["user", "group"])
# The last one is a digit, but no number.
@pytest.mark.parametrize("name", ["nobody-of-this-name", "99999999999999999999", "\xb2"])
def test_unknown_account_is_told(option: str, name: str, daemonize: StartDaemon) -> None:
    line = refusal(daemonize(f"--{option}={name}"))
    assert line == f"postgrey: there is no {option} {name}: create it, or name another with --user and --group"


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


# Privileges


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


def check_it_is_nobody(pid: int) -> None:
    """The process has the rights of nobody, and no others."""
    uid, gid = str(pwd.getpwnam("nobody").pw_uid), str(grp.getgrnam("nogroup").gr_gid)
    fields = status(pid)
    assert fields["Uid"] == [uid] * 4
    assert fields["Gid"] == [gid] * 4
    assert fields["Groups"] == [gid]
    assert {int(fields[name][0], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}


@pytest.mark.root
def test_root_becomes_another_user_for_good(start: StartServer, open_directory: Path) -> None:
    dbdir = open_directory / "db"
    dbdir.mkdir()
    os.chown(dbdir, pwd.getpwnam("nobody").pw_uid, -1)
    path = open_directory / "s"
    os.setgroups([0, 4, 24])
    try:
        server = start(f"--unix={path}", "--socketmode=0600", "--user=nobody", "--group=nogroup", dbdir=dbdir)
    finally:
        os.setgroups([0])
    check_it_is_nobody(server.pid)
    assert ask(server.port) == GREYLISTED
    assert {path.owner() for path in dbdir.iterdir()} == {"nobody"}
    assert (path.owner(), path.group()) == ("nobody", "nogroup")
    # What it does only after a while works too.
    server.signal(signal.SIGHUP)
    server.signal(signal.SIGUSR1)
    server.wait_for_log("cleaning clients database finished. before: 0, after: 0\n")
    assert ask(server.port) == GREYLISTED
    assert stop_once(server.process) == 0
    assert not path.exists()


@pytest.mark.root
def test_root_becomes_another_user_in_the_background(daemonize: StartDaemon, open_directory: Path) -> None:
    dbdir = open_directory / "db"
    dbdir.mkdir()
    os.chown(dbdir, pwd.getpwnam("nobody").pw_uid, -1)
    account = (str(pwd.getpwnam("nobody").pw_uid), str(grp.getgrnam("nogroup").gr_gid))
    daemon = daemonize(f"--dbdir={dbdir}", f"--user={account[0]}", f"--group={account[1]}")
    assert daemon.starter.returncode == 0
    check_it_is_nobody(daemon.pid)
    assert daemon.pidfile.owner() == "nobody"
    assert daemon.ask() == GREYLISTED
    assert {path.owner() for path in dbdir.iterdir()} == {"nobody"}
    assert daemon.stop() == 0


@pytest.mark.root
def test_dbdir_that_the_user_may_not_write_is_told(daemonize: StartDaemon, open_directory: Path) -> None:
    dbdir = open_directory / "db"
    dbdir.mkdir(mode=0o755)
    line = refusal(daemonize(f"--dbdir={dbdir}", "--user=nobody", "--group=nogroup"))
    uid = pwd.getpwnam("nobody").pw_uid
    assert line.startswith(f"postgrey: dbdir {dbdir} is not usable by uid {uid}: Permission denied")
    assert list(dbdir.iterdir()) == []


@pytest.mark.root
def test_ordinary_user_runs_it_as_himself(open_directory: Path) -> None:
    """Without --user and --group, which 1.37 insists on; and those of others are refused."""
    # Not through the command, because the Python of a developer may be closed to others.
    code = (
        "import os, sys; sys.argv[0] = 'postgrey'\n"
        "from postgrey_py.daemon.main import main\n"
        "import asyncio.base_events, encodings.idna, concurrent.futures.thread\n"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534)\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    server = PolicyServer((POSTGREY[0], "-c", code), open_directory / "db", env={"PYTHONDONTWRITEBYTECODE": "1"})
    os.chown(server.dbdir, 65534, 65534)
    account = [argument for argument in server.argv if argument.startswith(("--user=", "--group="))]
    ended = subprocess.run(server.argv, env=server.env, capture_output=True, text=True, timeout=60)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].startswith("postgrey: only root can run it as --user=root; ")
    server.argv = [argument for argument in server.argv if argument not in account]
    with server:
        check_it_is_nobody_but_for_groups(server.pid)
        assert ask(server.port) == GREYLISTED


def check_it_is_nobody_but_for_groups(pid: int) -> None:
    assert status(pid)["Uid"] == ["65534"] * 4
    assert status(pid)["Gid"] == ["65534"] * 4


# Readiness


@pytest.fixture
def notify_socket(tmp_path: Path) -> Iterator[socket.socket]:
    """What systemd gives to a service of type notify."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind(str(tmp_path / "n"))
        notified.settimeout(20)
        yield notified


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
        ("30000000", str(os.getpid()), 30.0),
        ("500000", str(os.getpid()), 0.5),
        *((limit, str(os.getpid()), None) for limit in ("", "0", "-1", "x", "\xb2", "1.5")),
        *(("30000000", pid, None) for pid in ("", "1", "x")),
    ],
)
def test_watchdog_waits_only_for_the_process_that_is_named(limit: str, pid: str, seconds: float | None) -> None:
    environment = {"WATCHDOG_USEC": limit, "WATCHDOG_PID": pid, "OTHER": "x"}
    assert take_watchdog_seconds(environment) == seconds
    assert environment == {"OTHER": "x"}
    assert take_watchdog_seconds({}) is None


# Name and log


def test_background_server_has_its_name(daemonize: StartDaemon) -> None:
    daemon = daemonize()
    assert Path(f"/proc/{daemon.pid}/comm").read_text() == "postgrey\n"
    assert (
        Path(f"/proc/{daemon.pid}/cmdline")
        .read_bytes()
        .startswith(f"postgrey --inet=127.0.0.1:{daemon.port} ".encode())
    )
    assert str(daemon.pid) in subprocess.run(["pgrep", "-x", "postgrey"], capture_output=True, text=True).stdout.split()


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
        assert texts[1].startswith("listening on inet:127.0.0.1:")
        assert texts[2:] == ["ignoring garbage: <garbage>", "action=greylist", "stopped"]


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
    assert [line[:3] for line in lines] == ["<5>", "<5>", "<4>", "<5>", "<5>"]
    assert lines[2] == "<4>ignoring garbage: <garbage>"


def test_stream_that_is_not_the_journal_gets_no_levels(start: StartServer, tmp_path: Path) -> None:
    """The variable is inherited by whatever a service starts, with standard error going elsewhere."""
    lines = lines_at(start, tmp_path / "db", env={"JOURNAL_STREAM": "8:12345"})
    assert lines[2] == "ignoring garbage: <garbage>"
