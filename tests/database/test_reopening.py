# SPDX-License-Identifier: GPL-2.0-or-later
"""A database that is opened again is proved to keep what is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from postgrey_py.database.reopening import reopen
from postgrey_py.errors import DatabaseError
from tests.database.dbdirs import make_records, open_store, put_all, read_all

RECORDS = make_records(10)


def test_what_was_stored_is_there_and_nothing_else(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put_all(store.triplets, RECORDS)
        store.commit()
        reopen(store.environment)
        store.attach()
        assert read_all(store.triplets) == RECORDS
        assert store.reports == []


def test_it_can_be_written_again(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        reopen(store.environment)
        store.attach()
        put_all(store.triplets, RECORDS)
        store.commit()
        assert read_all(store.triplets) == RECORDS


def test_one_that_takes_nothing_is_not_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise DatabaseError("the disk does not take the log")

    with open_store(tmp_path) as store:
        monkeypatch.setattr(store.environment, "flush", fail)
        with pytest.raises(DatabaseError, match="the disk does not take the log"):
            reopen(store.environment)
        monkeypatch.undo()
        reopen(store.environment)
        store.attach()
        assert read_all(store.triplets) == {}
