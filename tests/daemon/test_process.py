# SPDX-License-Identifier: GPL-2.0-or-later
"""The process: its standard streams, and the user and group whose rights it has."""

from __future__ import annotations

import gc
import grp
import os
import pwd
import signal
import subprocess
from pathlib import Path

import pytest

from postgrey_py.daemon.process import spare_garbage_collector
from tests.daemon.conftest import StartDaemon, StartServer
from tests.daemon.processes import GREYLISTED, refusal, status, stop_once
from tests.support.policy import ask
from tests.support.servers import POSTGREY, ROOT, PolicyServer


def test_standard_streams_may_be_closed(daemonize: StartDaemon) -> None:
    """As some service managers do; no socket may get their numbers."""
    daemon = daemonize(command=("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *POSTGREY))
    assert daemon.starter.returncode == 0
    assert daemon.ask() == GREYLISTED
    assert [os.readlink(f"/proc/{daemon.pid}/fd/{number}") for number in (0, 1, 2)] == ["/dev/null"] * 3
    assert daemon.stop() == 0


@pytest.mark.parametrize("option", ["user", "group"])
# The last one is a digit, but no number.
@pytest.mark.parametrize("name", ["nobody-of-this-name", "99999999999999999999", "\xb2"])
def test_unknown_account_is_told(option: str, name: str, daemonize: StartDaemon) -> None:
    line = refusal(daemonize(f"--{option}={name}"))
    assert line == f"postgrey: there is no {option} {name}: create it, or name another with --user and --group"


def test_garbage_is_not_looked_for_among_what_stays() -> None:
    thresholds = gc.get_threshold()
    try:
        spare_garbage_collector()
        assert gc.get_freeze_count() > 0
        assert gc.get_threshold()[0] > thresholds[0]
    finally:
        gc.unfreeze()
        gc.set_threshold(*thresholds)


# Privileges


def check_it_is_nobody(pid: int) -> None:
    """The process has the rights of nobody, and no others."""
    uid, gid = str(pwd.getpwnam("nobody").pw_uid), str(grp.getgrnam("nogroup").gr_gid)
    fields = status(pid)
    assert fields["Uid"] == [uid] * 4
    assert fields["Gid"] == [gid] * 4
    assert fields["Groups"] == [gid]
    # Nor can it gain any, by whatever it might execute.
    assert {int(fields[name][0], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb", "CapBnd")} == {0}
    assert fields["NoNewPrivs"] == ["1"]


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
    # Who may write it could have any process killed.
    assert daemon.pidfile.owner() == "root"
    assert daemon.ask() == GREYLISTED
    assert {path.owner() for path in dbdir.iterdir()} == {"nobody"}
    assert daemon.stop() == 0


@pytest.mark.root
def test_dbdir_that_the_user_may_not_write_is_told(daemonize: StartDaemon, open_directory: Path) -> None:
    dbdir = open_directory / "db"
    dbdir.mkdir(mode=0o755)
    line = refusal(daemonize(f"--dbdir={dbdir}", "--user=nobody", "--group=nogroup"))
    assert line.startswith(f"postgrey: dbdir {dbdir} is not usable by nobody: Permission denied")
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
    assert status(pid)["NoNewPrivs"] == ["1"]
    assert status(pid)["Uid"] == ["65534"] * 4
    assert status(pid)["Gid"] == ["65534"] * 4


@pytest.mark.root
@pytest.mark.parametrize(
    "limits",
    [
        # As the bounding set that a container's runtime or a unit may leave: without the right to drop from it.
        ("--bounding-set=-setpcap",),
        ("--inh-caps=+net_bind_service,+chown", "--bounding-set=-setpcap"),
        ("--inh-caps=+net_raw", "--ambient-caps=+net_raw"),
        ("--no-new-privs",),
    ],
)
def test_what_can_not_be_given_up_does_not_keep_it_from_starting(
    limits: tuple[str, ...], start: StartServer, open_directory: Path
) -> None:
    dbdir = open_directory / "db"
    dbdir.mkdir()
    os.chown(dbdir, pwd.getpwnam("nobody").pw_uid, -1)
    command = ("setpriv", *limits, *POSTGREY)
    server = start("--user=nobody", "--group=nogroup", dbdir=dbdir, command=command)
    fields = status(server.pid)
    assert {int(fields[name][0], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapAmb")} == {0}
    assert fields["NoNewPrivs"] == ["1"]
    assert ask(server.port) == GREYLISTED


@pytest.mark.root
@pytest.mark.parametrize("step", ["setgid", "setuid", "initgroups"])
def test_half_a_change_of_user_is_none(step: str) -> None:
    """Whatever step does nothing, it is noticed."""
    code = (
        "import os, pwd\n"
        "from postgrey_py.accounts import Account, become\n"
        f"os.{step} = lambda *_: None\n"
        "os.setgroups([0, 4])\n"
        "become(Account(65534, 65534, 'nobody'))"
    )
    ended = subprocess.run([POSTGREY[0], "-c", code], capture_output=True, text=True, env={"PYTHONPATH": str(ROOT)})
    assert "AccountError" in ended.stderr.splitlines()[-1]


def test_output_of_a_background_job_is_no_reason_to_stop_it(start: StartServer) -> None:
    """As a terminal with `stty tostop` would, by SIGTTOU."""
    server = start()
    assert int(status(server.pid)["SigIgn"][0], 16) >> (signal.SIGTTOU - 1) & 1
