# SPDX-License-Identifier: GPL-2.0-or-later
"""What a repair takes away: kept when it has helped, put back when not, wherever the process was killed meanwhile."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from postgrey_py.database import environment
from postgrey_py.database.aside import Aside
from postgrey_py.database.binding import db
from postgrey_py.database.environment import CLIENTS, TRIPLETS
from postgrey_py.database.regions import open_environment
from postgrey_py.errors import DatabaseError
from tests.database.dbdirs import OpenStore, copy_as_crashed, garble, make_records, open_store, put_all, read_dbdir

ORIGINALS = {
    name: name.encode() for name in (TRIPLETS, "log.0000000001", "log.0000000002", "__db.001", "__db.002", "other")
}


class Killed(BaseException):
    """The process is gone."""


def contents(dbdir: Path) -> dict[str, bytes]:
    return {str(path.relative_to(dbdir)): path.read_bytes() for path in dbdir.rglob("*") if path.is_file()}


def make_originals(dbdir: Path) -> None:
    dbdir.mkdir()
    for name, octets in ORIGINALS.items():
        (dbdir / name).write_bytes(octets)


def repair(dbdir: Path) -> Aside:
    """What a repair does that needs everything: other logs, another database."""
    aside = Aside(dbdir)
    aside.take_logs()
    for name in ("log.0000000001", "__db.001", "__db.003"):
        (dbdir / name).write_bytes(b"new")
    aside.take(dbdir / TRIPLETS, "damaged")
    (dbdir / f"{TRIPLETS}.salvaged").write_bytes(b"salvaged")
    (dbdir / f"{TRIPLETS}.salvaged").rename(dbdir / TRIPLETS)
    return aside


def kill_at(step: int, monkeypatch: pytest.MonkeyPatch, work: Callable[[], object]) -> bool:
    """Do this work up to the step-th change of a name; whether it was killed there."""
    steps = itertools.count(1)

    def counted(method: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            if next(steps) == step:
                raise Killed
            return method(*arguments, **options)

        return call

    with monkeypatch.context() as patch:
        for name in ("rename", "unlink", "mkdir", "rmdir", "touch"):
            patch.setattr(Path, name, counted(getattr(Path, name)))
        try:
            work()
        except Killed:
            return True
    return False


def test_repair_that_is_of_no_use_leaves_no_trace(tmp_path: Path) -> None:
    make_originals(tmp_path / "db")
    repair(tmp_path / "db").put_back()
    assert contents(tmp_path / "db") == ORIGINALS
    assert not list((tmp_path / "db").glob("repair*"))


def test_repair_that_was_killed_at_any_step_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in itertools.count(1):
        dbdir = tmp_path / str(step)
        make_originals(dbdir)
        was_killed = kill_at(step, monkeypatch, partial(repair, dbdir))
        (dbdir / f"{TRIPLETS}.salvaged").unlink(missing_ok=True)
        Aside(dbdir).put_back()
        assert contents(dbdir) == ORIGINALS, step
        if not was_killed:
            break
    assert step > 5


def test_undoing_that_was_killed_at_any_step_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in itertools.count(1):
        dbdir = tmp_path / str(step)
        make_originals(dbdir)
        was_killed = kill_at(step, monkeypatch, repair(dbdir).put_back)
        Aside(dbdir).put_back()
        assert contents(dbdir) == ORIGINALS, step
        assert not list(dbdir.glob("repair*"))
        if not was_killed:
            break
    assert step > 5


def test_keeping_that_was_killed_at_any_step_is_done_or_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for step in itertools.count(1):
        dbdir = tmp_path / str(step)
        make_originals(dbdir)
        was_killed = kill_at(step, monkeypatch, repair(dbdir).keep)
        Aside(dbdir).put_back()
        assert not list(dbdir.glob("repair*"))
        found = contents(dbdir)
        if found != ORIGINALS:
            assert found[TRIPLETS] == b"salvaged"
            assert [found[name] for name in found if name.startswith(f"{TRIPLETS}.damaged-")] == [TRIPLETS.encode()]
            assert sorted(octets for name, octets in found.items() if name.startswith("logs.aside-")) == [
                octets for name, octets in sorted(ORIGINALS.items()) if name.startswith(("log.", "__db."))
            ]
        if not was_killed:
            break
    assert step > 3


RECORDS = make_records(3000)


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """A directory with records that are in its log only."""
    with open_store(tmp_path / "db") as store:
        put_all(store.triplets, RECORDS)
        store.commit()
        return copy_as_crashed(tmp_path / "db", tmp_path / "crashed")


def test_logs_go_back_when_the_database_does_not_open_without_them_either(
    crashed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    garble(crashed / "log.0000000001", 0, b"\xff" * 4096)
    before = contents(crashed)

    def fail(*_: object) -> None:
        raise DatabaseError("and now this")

    with monkeypatch.context() as patch:
        patch.setattr(environment, "forget_logs", fail)
        patch.setattr(environment, "salvage", fail)
        with pytest.raises(DatabaseError, match="and now this"):
            OpenStore(crashed)
    after = contents(crashed)
    assert {name for name in after if "/" in name} == set()
    for name in (TRIPLETS, CLIENTS, "log.0000000001"):
        assert after[name] == before[name]


def test_damage_that_is_gone_at_the_second_look_costs_nothing(crashed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = open_environment
    calls = itertools.count(1)

    def fail_once(*arguments: Any) -> object:
        if next(calls) == 1:
            raise db.DBRunRecoveryError(-30973, "BDB0087 DB_RUNRECOVERY: Fatal error -- says nothing")
        return real(*arguments)

    monkeypatch.setattr(environment, "open_environment", fail_once)
    assert read_dbdir(crashed)[0] == RECORDS
    assert [path.name for path in crashed.iterdir() if "aside" in path.name or path.name.startswith("repair")] == []
