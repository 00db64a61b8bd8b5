# SPDX-License-Identifier: GPL-2.0-or-later
"""postgrey.lock: who holds it, and what removes it, replaces it, or takes its directory away."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postgrey_py.database.lock import LOCK, Lock
from postgrey_py.errors import DatabaseError

GONE = "is gone, or another directory is in its place: put it back"
LOCKED = "is locked: another postgrey runs on this dbdir; stop it first"


@pytest.fixture
def dbdir(tmp_path: Path) -> Path:
    path = tmp_path / "db"
    path.mkdir()
    return path


@pytest.fixture
def lock(dbdir: Path) -> Iterator[Lock]:
    lock = Lock(dbdir)
    yield lock
    lock.release()


def take_file(path: Path) -> int:
    """Lock this file as Perl Postgrey does, which knows nothing of the directory, or raise BlockingIOError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def remove(path: Path) -> None:
    path.unlink()


def replace_by_a_file(path: Path) -> None:
    new = path.with_name("new")
    new.write_text("")
    new.rename(path)


def replace_by_a_link(path: Path) -> None:
    path.with_name("other").write_text("")
    path.unlink()
    path.symlink_to("other")


def rename(path: Path) -> None:
    path.rename(path.with_name("renamed"))


LOSSES = [remove, replace_by_a_file, replace_by_a_link, rename]


def test_what_is_held_stays_held(lock: Lock, dbdir: Path) -> None:
    assert lock.is_held()
    assert not lock.keep()
    assert not lock.renew()
    with pytest.raises(DatabaseError, match=LOCKED):
        Lock(dbdir)
    with pytest.raises(BlockingIOError):
        take_file(dbdir / LOCK)


def test_what_was_released_is_free(lock: Lock, dbdir: Path) -> None:
    lock.release()
    assert not lock.is_held()
    assert (dbdir / LOCK).exists()
    Lock(dbdir).release()


@pytest.mark.parametrize("lose", LOSSES)
def test_a_lost_lock_is_taken_anew(lose: Callable[[Path], None], lock: Lock, dbdir: Path) -> None:
    lose(dbdir / LOCK)
    assert not lock.is_held()
    assert lock.keep()
    assert lock.is_held()
    assert not lock.keep()
    with pytest.raises(BlockingIOError):
        take_file(dbdir / LOCK)


@pytest.mark.parametrize("lose", LOSSES)
def test_a_second_one_stays_away_though_the_file_is_lost(lose: Callable[[Path], None], lock: Lock, dbdir: Path) -> None:
    lose(dbdir / LOCK)
    before = sorted(dbdir.iterdir())
    with pytest.raises(DatabaseError, match=LOCKED):
        Lock(dbdir)
    assert sorted(dbdir.iterdir()) == before
    assert lock.keep()


@pytest.mark.parametrize("lose", LOSSES)
def test_a_lock_that_another_program_was_quicker_to_take_is_not_used(
    lose: Callable[[Path], None], lock: Lock, dbdir: Path
) -> None:
    lose(dbdir / LOCK)
    theirs = take_file(dbdir / LOCK)
    with pytest.raises(DatabaseError, match=LOCKED):
        lock.keep()
    with pytest.raises(DatabaseError, match=LOCKED):
        lock.renew()
    assert not lock.is_held()
    os.close(theirs)
    # The directory is the same.
    assert not lock.renew()
    assert lock.is_held()


def make_anew(dbdir: Path) -> None:
    shutil.rmtree(dbdir)
    dbdir.mkdir()


def put_another_in_place(dbdir: Path) -> None:
    dbdir.rename(dbdir.with_name("old"))
    dbdir.mkdir()


def link_to_another(dbdir: Path) -> None:
    dbdir.rename(dbdir.with_name("old"))
    dbdir.with_name("another").mkdir()
    dbdir.symlink_to("another")


@pytest.mark.parametrize("change", [make_anew, put_another_in_place, link_to_another])
def test_another_directory_is_not_used_before_it_is_locked(
    change: Callable[[Path], None], lock: Lock, dbdir: Path
) -> None:
    change(dbdir)
    with pytest.raises(DatabaseError, match=GONE):
        lock.keep()
    assert not (dbdir / LOCK).exists()
    assert lock.renew()
    assert lock.is_held()
    with pytest.raises(DatabaseError, match=LOCKED):
        Lock(dbdir)


@pytest.mark.parametrize("change", [make_anew, put_another_in_place, link_to_another])
def test_another_directory_that_somebody_uses_is_left_to_him(
    change: Callable[[Path], None], lock: Lock, dbdir: Path
) -> None:
    change(dbdir)
    theirs = Lock(dbdir)
    with pytest.raises(DatabaseError, match=LOCKED):
        lock.renew()
    with pytest.raises(DatabaseError, match=GONE):
        lock.keep()
    theirs.release()
    assert not lock.is_held()
    lock.renew()
    assert lock.is_held()


def test_the_home_is_the_directory_wherever_it_goes(lock: Lock, dbdir: Path) -> None:
    (dbdir / "mark").write_text("")
    put_another_in_place(dbdir)
    assert (lock.home() / "mark").exists()
    lock.renew()
    assert not (lock.home() / "mark").exists()


def test_a_link_to_the_directory_itself_changes_nothing(lock: Lock, dbdir: Path) -> None:
    dbdir.rename(dbdir.with_name("elsewhere"))
    dbdir.symlink_to("elsewhere")
    assert not lock.keep()
    assert lock.is_held()


def test_a_directory_that_comes_back_is_used_again(lock: Lock, dbdir: Path) -> None:
    away = dbdir.with_name("away")
    dbdir.rename(away)
    with pytest.raises(DatabaseError, match=GONE):
        lock.keep()
    with pytest.raises(DatabaseError, match="No such file or directory"):
        lock.renew()
    # Nobody is kept off it meanwhile.
    Lock(away).release()
    away.rename(dbdir)
    lock.renew()
    assert lock.is_held()


def test_a_file_in_the_place_of_the_directory_is_no_directory(lock: Lock, dbdir: Path) -> None:
    dbdir.rename(dbdir.with_name("away"))
    dbdir.write_text("")
    with pytest.raises(DatabaseError, match=GONE):
        lock.keep()
    with pytest.raises(DatabaseError, match="Not a directory"):
        lock.renew()
