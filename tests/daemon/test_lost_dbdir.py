# SPDX-License-Identifier: GPL-2.0-or-later
"""The lock or all of dbdir is taken away: the server says so, mail passes, and no two servers share a database."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postgrey_py.database.lock import LOCK
from tests.daemon.conftest import StartServer
from tests.daemon.processes import stop_once, wait_until
from tests.daemon.test_failures import FAILED, WORKS, Load, check_promises, set_aside, start_at_journal
from tests.parity.databases import TRIPLETS, dump_recovered
from tests.support.policy import PolicyClient
from tests.support.servers import PERL_POSTGREY, POSTGREY, PolicyServer

GONE = "is gone, or another directory is in its place: put it back"
MADE_ANEW = "was removed or replaced, and is made anew: leave it alone"


@pytest.fixture
def server(start: StartServer, tmp_path: Path) -> PolicyServer:
    return start_at_journal(start, tmp_path, tmp_path / "db")


def check_refused(dbdir: Path) -> None:
    """A second server of ours does not start on this directory."""
    second = PolicyServer(POSTGREY, dbdir)
    result = subprocess.run(second.argv, env=second.env, capture_output=True, text=True, timeout=60)
    assert result.returncode == 1
    assert "is locked: another postgrey runs on this dbdir; stop it first" in result.stderr


def remove(path: Path) -> None:
    path.unlink()


def replace(path: Path) -> None:
    path.with_name("new").write_text("")
    path.with_name("new").rename(path)


@pytest.mark.parametrize("lose", [remove, replace])
def test_lost_lock_is_taken_anew(lose: Callable[[Path], None], server: PolicyServer) -> None:
    with Load(server) as load:
        load.wait_for(deferred=500)
        lose(server.dbdir / LOCK)
        # Before it has noticed, too.
        check_refused(server.dbdir)
        server.wait_for_log(f"<2>{LOCK} in {server.dbdir} {MADE_ANEW}")
        check_refused(server.dbdir)
        load.wait_for(deferred=500)
    assert load.passed == 0
    assert FAILED not in server.log()
    assert server.log().count(MADE_ANEW) == 1
    # Perl Postgrey listens before it finds the lock taken.
    perl = PolicyServer(PERL_POSTGREY, server.dbdir)
    assert subprocess.run(perl.argv, env=perl.env, capture_output=True, timeout=60).returncode != 0
    assert stop_once(server.process) == 0
    check_promises(server, load)


def test_perl_postgrey_that_was_quicker_has_the_database(server: PolicyServer) -> None:
    """Its start removes the lock's name first, as an administrator does who believes that it is left over."""
    with PolicyClient(server.port) as client:
        assert client.ask().startswith("DEFER_IF_PERMIT ")
        server.wait_for_log("action=greylist")
        (server.dbdir / LOCK).unlink()
        with PolicyServer(PERL_POSTGREY, server.dbdir) as perl, PolicyClient(perl.port) as other:
            assert other.ask(recipient="perl@example.org").startswith("DEFER_IF_PERMIT ")
            server.wait_for_log(f"<2>{FAILED}")
            assert "is locked: another postgrey runs on this dbdir; stop it first" in server.log()
            assert client.ask() == "DUNNO"
            assert other.ask(recipient="perl2@example.org").startswith("DEFER_IF_PERMIT ")
        server.wait_for_log(WORKS, 60)
        assert client.ask(recipient="ours@example.org").startswith("DEFER_IF_PERMIT ")
    assert set_aside(server.dbdir) == []
    assert stop_once(server.process) == 0
    stored = dump_recovered(server.dbdir)[TRIPLETS].records
    assert {key.rpartition("/")[2] for key in stored} == {
        f"{user}@example.org" for user in ("bob", "perl", "perl2", "ours")
    }


def test_dbdir_renamed_away_and_back_has_lost_nothing(server: PolicyServer) -> None:
    away = server.dbdir.with_name("away")
    with Load(server) as load:
        load.wait_for(deferred=500)
        server.dbdir.rename(away)
        server.wait_for_log(f"<2>{FAILED}dbdir {server.dbdir} {GONE}")
        load.wait_for(passed=500)
        assert not server.dbdir.exists()
        away.rename(server.dbdir)
        server.wait_for_log(WORKS, 60)
        check_refused(server.dbdir)
        load.wait_for(deferred=500)
    assert set_aside(server.dbdir) == []
    assert stop_once(server.process) == 0
    check_promises(server, load)


def make_anew(dbdir: Path) -> None:
    shutil.rmtree(dbdir)
    dbdir.mkdir(mode=0o700)


def put_another_in_place(dbdir: Path) -> None:
    dbdir.rename(dbdir.with_name("old"))
    dbdir.mkdir(mode=0o700)


def link_to_another(dbdir: Path) -> None:
    dbdir.rename(dbdir.with_name("old"))
    dbdir.with_name("another").mkdir(mode=0o700)
    dbdir.symlink_to("another")


@pytest.mark.parametrize("change", [make_anew, put_another_in_place, link_to_another])
def test_another_dbdir_is_used_under_its_own_lock(change: Callable[[Path], None], server: PolicyServer) -> None:
    with Load(server) as load:
        load.wait_for(deferred=500)
        change(server.dbdir)
        # It meets an error of Berkeley DB, or looks at the directory first.
        server.wait_for_log(f"<2>{FAILED}")
        server.wait_for_log(WORKS, 60)
        assert "is another directory than before: the database in it is used from now on" in server.log()
        check_refused(server.dbdir)
    old = server.dbdir.with_name("old")
    if old.exists():
        # All that was answered is stored in one of the two.
        stored = dump_recovered(old)[TRIPLETS].records.keys() | dump_recovered(server.dbdir)[TRIPLETS].records.keys()
        assert [key for key in load.deferred if key not in stored] == []
    with Load(server) as more:
        more.wait_for(deferred=100)
    assert stop_once(server.process) == 0


def test_second_server_may_have_the_new_dbdir(server: PolicyServer, start: StartServer) -> None:
    """The first leaves it alone for as long as the other runs."""
    with PolicyClient(server.port) as client:
        client.ask()
        put_another_in_place(server.dbdir)
        second = PolicyServer(POSTGREY, server.dbdir)
        second.log_path = server.dbdir.with_name("second.log")
        with second, Load(second) as load:
            server.wait_for_log(f"<2>{FAILED}dbdir ")
            load.wait_for(deferred=500)
            assert client.ask() == "DUNNO"
        check_promises(second, load)
        server.wait_for_log(WORKS, 60)
        assert client.ask().startswith("DEFER_IF_PERMIT ")
    assert stop_once(server.process) == 0
    check_promises(server, load)


def test_stopping_without_a_dbdir_writes_nowhere(server: PolicyServer) -> None:
    with PolicyClient(server.port) as client:
        client.ask()
    put_another_in_place(server.dbdir)
    assert stop_once(server.process) == 0
    assert list(server.dbdir.iterdir()) == []
    assert len(dump_recovered(server.dbdir.with_name("old"))[TRIPLETS].records) == 1


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, mounted on the path that is returned, and to stay on another."""
    if os.geteuid() != 0:
        pytest.fail("this test mounts a file system, which only root can do: run it as root")
    path, spare = tmp_path / "disk", tmp_path / "spare"
    path.mkdir()
    spare.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(spare)], check=True)
    subprocess.run(["mount", "--bind", str(spare), str(path)], check=True)
    try:
        yield path
    finally:
        for mounted in (path, spare):
            subprocess.run(["umount", "-l", str(mounted)], check=False)


@pytest.mark.root
def test_file_system_that_vanishes_and_comes_back(disk: Path, start: StartServer, tmp_path: Path) -> None:
    server = start_at_journal(start, tmp_path, disk / "db")
    with Load(server) as load:
        load.wait_for(deferred=500)
        subprocess.run(["umount", "-l", str(disk)], check=True)
        server.signal(signal.SIGUSR1)
        server.wait_for_log(f"<2>{FAILED}dbdir {server.dbdir} {GONE}")
        load.wait_for(passed=500)
        assert list(disk.iterdir()) == []
        subprocess.run(["mount", "--bind", str(disk.with_name("spare")), str(disk)], check=True)
        server.wait_for_log(WORKS, 60)
        load.wait_for(deferred=500)
    wait_until(lambda: load.errors == [])
    assert stop_once(server.process) == 0
    check_promises(server, load)
