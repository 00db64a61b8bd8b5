# SPDX-License-Identifier: GPL-2.0-or-later
"""The tables inside the open group transaction: what a turn sees, what a commit keeps, what an abort forgets."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from postgrey_py.database.binding import db
from postgrey_py.database.store import Store, Table
from postgrey_py.errors import DatabaseError
from tests.database.dbdirs import (
    copy_as_crashed,
    fill,
    make_records,
    open_store,
    put_all,
    read_all,
    read_dbdir,
)
from tests.parity.databases import verify

KEY = b"192.0.2.0/alice@example.com/bob@example.org"


def test_missing_record_is_none(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        assert store.triplets.get(KEY) is None


def test_turn_sees_its_own_writes(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.triplets[KEY] = b"1,1"
        assert store.triplets.get(KEY) == b"1,1"
        store.triplets[KEY] = b"1,301"
        assert store.triplets.get(KEY) == b"1,301"
        assert store.clients.get(KEY) is None


def test_commit_keeps_the_records_of_both_tables(tmp_path: Path) -> None:
    with open_store(tmp_path / "db") as store:
        store.triplets[KEY] = b"1,301"
        store.clients[b"192.0.2.1"] = b"1,301"
        store.commit()
        assert store.transaction is None
        crashed = copy_as_crashed(tmp_path / "db", tmp_path / "crashed")
    assert read_dbdir(crashed) == ({KEY: b"1,301"}, {b"192.0.2.1": b"1,301"})


def test_nothing_is_kept_without_a_commit(tmp_path: Path) -> None:
    with open_store(tmp_path / "db") as store:
        store.triplets[KEY] = b"1,1"
        store.commit()
        # Enough that pages with these records are written to the file.
        put_all(store.triplets, {key: value * 100 for key, value in make_records(20_000).items()})
        store.triplets[KEY] = b"1,301"
        store.clients[b"192.0.2.1"] = b"1,301"
        store.environment.checkpoint(now=True)
        crashed = copy_as_crashed(tmp_path / "db", tmp_path / "crashed")
        store.abort()
    assert read_dbdir(crashed) == ({KEY: b"1,1"}, {})
    verify(crashed)


def test_abort_forgets_the_turn_and_nothing_else(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.triplets[KEY] = b"1,1"
        store.commit()
        store.triplets[KEY] = b"1,301"
        put_all(store.triplets, make_records(1000))
        store.clients[b"192.0.2.1"] = b"1,301"
        store.abort()
        assert store.transaction is None
        assert store.triplets.get(KEY) == b"1,1"
        assert read_all(store.triplets) == {KEY: b"1,1"}
        assert read_all(store.clients) == {}
        # The next turn is a turn like any other.
        store.triplets[KEY] = b"1,400"
        store.commit()
    assert read_dbdir(tmp_path) == ({KEY: b"1,400"}, {})


def test_turn_that_wrote_nothing_opens_no_transaction(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.triplets.get(KEY)
        assert store.transaction is None
        store.commit()
        store.abort()


def test_turn_is_one_transaction(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.triplets[KEY] = b"1,1"
        transaction = store.transaction
        store.clients[b"192.0.2.1"] = b"1,1"
        store.triplets[b"other"] = b"1,1"
        assert store.transaction is transaction
        store.commit()


def test_any_bytes_may_be_key_and_value(tmp_path: Path) -> None:
    records = {bytes([n]) * (n + 1): bytes([255 - n]) * n * 40 for n in range(256)}
    records[b"long" * 1000] = b"1,1"
    with open_store(tmp_path) as store:
        put_all(store.triplets, records)
        store.commit()
    assert read_dbdir(tmp_path)[0] == records


def test_records_come_in_order_from_a_key_on(tmp_path: Path) -> None:
    keys = [b"a", b"b", b"b\0", b"c", b"\xff"]
    with open_store(tmp_path) as store:
        put_all(store.triplets, dict.fromkeys(reversed(keys), b"1,1"))
        store.commit()
        assert [key for key, _ in store.triplets.records(b"", 10)] == keys
        assert [key for key, _ in store.triplets.records(b"", 2)] == [b"a", b"b"]
        assert [key for key, _ in store.triplets.records(b"b\0", 2)] == [b"b\0", b"c"]
        assert [key for key, _ in store.triplets.records(b"bb", 10)] == [b"c", b"\xff"]
        assert store.triplets.records(b"\xff\0", 10) == []


def test_next_key_is_so_many_records_on(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put_all(store.triplets, dict.fromkeys([b"a", b"b", b"c", b"d"], b"1,1"))
        store.commit()
        assert store.triplets.next_key(b"", 2) == b"c"
        assert store.triplets.next_key(b"b", 2) == b"d"
        assert store.triplets.next_key(b"b", 3) is None


def test_deleted_records_are_gone_also_after_a_stop(tmp_path: Path) -> None:
    records = make_records(100)
    gone = list(records)[::2]
    fill(tmp_path, records)
    with open_store(tmp_path) as store:
        store.triplets.delete(gone)
        assert store.transaction is None
        assert store.triplets.get(gone[0]) is None
    assert read_dbdir(tmp_path)[0] == {key: value for key, value in records.items() if key not in gone}


def test_deletion_that_fails_deletes_nothing(tmp_path: Path) -> None:
    records = make_records(10)
    fill(tmp_path, records)
    with open_store(tmp_path) as store:
        with pytest.raises(DatabaseError, match=r"^can't delete: "):
            store.triplets.delete([*records, b"not there"])
        assert read_all(store.triplets) == records


def write(table: Table) -> None:
    table[KEY] = b"1,1"


@pytest.mark.parametrize(
    "use",
    [
        write,
        lambda table: table.get(KEY),
        lambda table: table.records(b"", 1),
        lambda table: table.delete([KEY]),
        lambda table: table.merge_pages(b"", None),
        lambda table: table.move_pages_down(b"", None),
    ],
    ids=["write", "get", "records", "delete", "merge_pages", "move_pages_down"],
)
def test_broken_database_is_a_database_error(use: Callable[[Table], object], tmp_path: Path) -> None:
    fill(tmp_path, {KEY: b"1,1"})
    with open_store(tmp_path) as store:
        break_environment(store)
        with pytest.raises(DatabaseError) as raised:
            use(store.triplets)
        assert str(raised.value).startswith("can't ")
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize("end", [Store.commit, Store.abort])
def test_broken_transaction_is_a_database_error_once(end: Callable[[Store], None], tmp_path: Path) -> None:
    fill(tmp_path, {KEY: b"1,1"})
    with open_store(tmp_path) as store:
        store.triplets[KEY] = b"1,301"
        break_environment(store)
        with pytest.raises(DatabaseError):
            end(store)
        assert store.transaction is None
        end(store)
    assert read_dbdir(tmp_path)[0] == {KEY: b"1,1"}


def test_store_goes_on_with_a_database_that_was_opened_again(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.triplets[KEY] = b"1,1"
        store.commit()
        store.triplets[KEY] = b"1,301"
        break_environment(store)
        store.environment.close_databases()
        store.environment.open(verify=True)
        store.attach()
        assert store.triplets.get(KEY) == b"1,1"
        store.triplets[KEY] = b"1,400"
        store.commit()
    assert read_dbdir(tmp_path)[0] == {KEY: b"1,400"}


def break_environment(store: Store) -> None:
    """As Berkeley DB does itself when it has met something it can't bear: nothing works any more."""
    store.environment._env.set_flags(db.DB_PANIC_ENVIRONMENT, 1)
