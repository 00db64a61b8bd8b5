# SPDX-License-Identifier: GPL-2.0-or-later
"""When checkpoints are made. What the other jobs do is seen in the tests of the server and of its failures."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postgrey_py.daemon import upkeep as upkeep_module
from postgrey_py.daemon.logs import Log, StderrSink
from postgrey_py.daemon.outage import Outage
from postgrey_py.daemon.upkeep import Upkeep
from postgrey_py.daemon.worker import Worker
from postgrey_py.greylist.settings import Settings
from tests.database.dbdirs import OpenStore, open_store

NEVER = 3600.0
PATIENCE = 20.0


class WatchedStore(OpenStore):
    """A store that counts the looks whether a checkpoint is due, and the checkpoints that are made whatever the log."""

    def __init__(self, dbdir: Path) -> None:
        super().__init__(dbdir)
        self.looks = self.checkpoints = 0
        self.during: Callable[[], None] = lambda: None
        checkpoint = self.environment.checkpoint

        def count(now: bool = False) -> None:
            self.looks += 1
            if now:
                self.checkpoints += 1
                self.during()
            checkpoint(now)

        self.environment.checkpoint = count  # type: ignore[method-assign]

    def write(self, number: int) -> None:
        self.triplets[b"192.0.2.0/%d" % number] = b"1,1"
        self.commit()


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[WatchedStore]:
    monkeypatch.setattr(upkeep_module, "CHECKPOINT_LOOK_SECONDS", 0.001)
    monkeypatch.setattr(upkeep_module, "CHECKPOINT_SECONDS", 0.0)
    with open_store(tmp_path):
        pass
    store = WatchedStore(tmp_path)
    yield store
    store.environment.close()


async def never() -> None:
    """Nothing fails here that would have to be opened again."""
    raise AssertionError


def keep_up(store: WatchedStore, is_enough: Callable[[], bool]) -> None:
    """Do the background jobs until this is so."""

    async def wait() -> None:
        while not is_enough():
            await asyncio.sleep(0.001)

    async def run() -> None:
        log, worker = Log(StderrSink()), Worker()
        outage = Outage(never, log, time.monotonic)
        upkeep = Upkeep(store, Settings(), log, outage, worker, lambda: None)
        jobs = asyncio.gather(upkeep.checkpoint_often(), upkeep.clean_up_daily())
        try:
            await asyncio.wait_for(wait(), PATIENCE)
        finally:
            jobs.cancel()
            worker.close()

    asyncio.run(run())


def test_what_was_written_before_the_start_gets_a_checkpoint(store: WatchedStore) -> None:
    store.write(1)
    keep_up(store, lambda: store.checkpoints > 0)


def test_without_changes_there_is_no_checkpoint(store: WatchedStore) -> None:
    keep_up(store, lambda: store.looks >= 10)
    assert store.checkpoints == 0
    store.write(1)
    keep_up(store, lambda: store.looks >= 30)
    # Each start begins with what there may be from before.
    assert store.checkpoints == 1


def test_what_is_written_beside_a_checkpoint_gets_another(store: WatchedStore) -> None:
    store.write(1)
    rest = [2, 3]
    # Berkeley DB would take it for done.
    store.during = lambda: store.write(rest.pop()) if rest else None
    keep_up(store, lambda: store.checkpoints >= 3 and store.looks >= 20)
    assert store.checkpoints == 3


def test_checkpoints_keep_their_distance(store: WatchedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep_module, "CHECKPOINT_SECONDS", NEVER)
    store.write(1)
    keep_up(store, lambda: store.looks >= 10)
    assert store.checkpoints == 0
