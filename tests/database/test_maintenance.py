# SPDX-License-Identifier: GPL-2.0-or-later
"""The clean-up in slices: it deletes what is old and nothing else, loses no write in between, and gives space back."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postgrey_py.database import maintenance
from postgrey_py.database.environment import TRIPLETS
from postgrey_py.database.maintenance import FREE_PAGES, SLICE_RECORDS, Count, compact, expire
from postgrey_py.database.store import Store, Table
from tests.database.dbdirs import copy_as_crashed, open_store, put_all, read_all, read_dbdir
from tests.parity.databases import verify

OLD, YOUNG = b"1,1", b"1700000000,1700000300"

# Enough pages for several cuts of the file, and records of all lengths.
MANY = 60_000

KEYS = st.binary(min_size=1, max_size=3)
RECORDS = st.dictionaries(KEYS, st.sampled_from([OLD, YOUNG]), max_size=60)


def is_old(value: bytes) -> bool:
    return value == OLD


def many_records(old: float, seed: int = 1) -> dict[bytes, bytes]:
    """MANY records, a share of them old, in random order of their keys."""
    rng = random.Random(seed)
    keys = [b"192.0.2.0/%s%d@example.com/user@example.org" % (b"x" * rng.randrange(60), n) for n in range(MANY)]
    rng.shuffle(keys)
    return {key: OLD if rng.random() < old else YOUNG for key in keys}


def young(records: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    return {key: value for key, value in records.items() if value != OLD}


def free_pages(store: Store) -> int:
    return int(store.environment.triplets.stat()["free"])


def clear(table: Table) -> None:
    table.delete(list(read_all(table)))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One store for all examples of a property."""
    with open_store(tmp_path_factory.mktemp("db")) as store:
        yield store


# Expiry


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=RECORDS, writes=st.lists(RECORDS, max_size=15), slice_records=st.integers(1, 7))
def test_expire_deletes_the_old_and_loses_no_write(
    before: dict[bytes, bytes],
    writes: list[dict[bytes, bytes]],
    slice_records: int,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(maintenance, "SLICE_RECORDS", slice_records)
    clear(store.triplets)
    put_all(store.triplets, before)
    store.commit()

    model = dict(before)
    count = Count()
    for step, _ in enumerate(expire(store.triplets, is_old, count)):
        meanwhile = writes[step] if step < len(writes) else {}
        put_all(store.triplets, meanwhile)
        store.commit()
        model |= meanwhile

    # What was written meanwhile stays, unless it is old and the walk had not yet come by; so does all that is young.
    written = {key for records in writes for key in records}
    found = read_all(store.triplets)
    assert young(found) == young(model)
    assert {key for key in found if key not in young(model)} <= written
    assert found.items() <= model.items()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=RECORDS, slice_records=st.integers(1, 70))
def test_expire_counts_what_was_there_and_what_is_left(
    before: dict[bytes, bytes], slice_records: int, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "SLICE_RECORDS", slice_records)
    clear(store.triplets)
    put_all(store.triplets, before)
    store.commit()
    count = Count()
    for _ in expire(store.triplets, is_old, count):
        pass
    assert count == Count(len(before), len(young(before)))
    assert read_all(store.triplets) == young(before)


def test_expire_goes_in_slices_of_bounded_size(store: Store) -> None:
    clear(store.triplets)
    put_all(store.triplets, {b"%06d" % n: OLD for n in range(4 * SLICE_RECORDS)})
    store.commit()
    left = []
    for _ in expire(store.triplets, is_old, Count()):
        assert store.transaction is None
        left.append(len(read_all(store.triplets)))
    assert left == [3 * SLICE_RECORDS, 2 * SLICE_RECORDS, SLICE_RECORDS, 0]


def test_expire_of_an_empty_table_counts_nothing(store: Store) -> None:
    clear(store.clients)
    count = Count()
    assert list(expire(store.clients, is_old, count)) == []
    assert count == Count(0, 0)
    assert not count.is_worth_compacting()


def test_expire_broken_off_leaves_a_table_that_is_whole(tmp_path: Path) -> None:
    records = many_records(old=0.5)
    with open_store(tmp_path / "db") as store:
        put_all(store.triplets, records)
        store.commit()
        slices = expire(store.triplets, is_old, Count())
        for _ in range(MANY // SLICE_RECORDS // 2):
            next(slices)
        left = read_all(store.triplets)
        assert len(young(records)) < len(left) < len(records)
        crashed = copy_as_crashed(tmp_path / "db", tmp_path / "crashed")
    # Deletions are not waited for: a crash may bring some of them back, and nothing else happens.
    assert left.items() <= read_dbdir(crashed)[0].items() <= records.items()
    verify(crashed)


@pytest.mark.parametrize(
    ("before", "after", "is_worth"),
    [(0, 0, False), (100, 100, False), (100, 96, False), (100, 95, True), (1, 0, True), (100, 0, True)],
)
def test_compacting_is_worth_it_when_a_twentieth_has_gone(before: int, after: int, is_worth: bool) -> None:
    assert Count(before, after).is_worth_compacting() is is_worth


# Compaction


def test_compact_gives_space_back_and_keeps_all_records(tmp_path: Path) -> None:
    dbdir = tmp_path / "db"
    records = many_records(old=0.7)
    with open_store(dbdir) as store:
        put_all(store.triplets, records)
        store.commit()
        store.environment.checkpoint(now=True)
        before = (dbdir / TRIPLETS).stat().st_size
        for _ in expire(store.triplets, is_old, Count()):
            pass

        free = [free_pages(store) for _ in compact(store.triplets)]
        # Merging stops when that many are free, until the file is cut; one slice frees fewer pages than it has records.
        assert FREE_PAGES <= max(free) < FREE_PAGES + SLICE_RECORDS
        assert free[-1] == 0

        assert read_all(store.triplets) == young(records)
        store.environment.checkpoint(now=True)
        assert (dbdir / TRIPLETS).stat().st_size < 0.4 * before
        crashed = copy_as_crashed(dbdir, tmp_path / "crashed")
    assert read_dbdir(dbdir)[0] == read_dbdir(crashed)[0] == young(records)
    verify(dbdir)
    verify(crashed)


@pytest.mark.parametrize("where", ["begin", "middle", "end", "everywhere"])
def test_pages_that_expire_empties_do_not_pile_up(where: str, tmp_path: Path) -> None:
    """Each slice that cuts the file reads the whole list of free pages."""
    keys = sorted(many_records(old=0))
    third = MANY // 3
    first, last = {
        "begin": (0, third),
        "middle": (third, 2 * third),
        "end": (2 * third, MANY),
        "everywhere": (0, MANY),
    }[where]
    records = {key: OLD if first <= number < last else YOUNG for number, key in enumerate(keys)}
    with open_store(tmp_path) as store:
        put_all(store.triplets, records)
        store.commit()
        store.environment.checkpoint(now=True)
        before = (tmp_path / TRIPLETS).stat().st_size
        free = [free_pages(store) for _ in expire(store.triplets, is_old, Count())]
        free += [free_pages(store) for _ in compact(store.triplets)]
        assert FREE_PAGES / 3 < max(free) < 3 * FREE_PAGES
        assert free[-1] == 0
        store.environment.checkpoint(now=True)
        left = (MANY - last + first) / MANY
        assert (tmp_path / TRIPLETS).stat().st_size <= (left + 0.1) * before
    assert read_dbdir(tmp_path)[0] == young(records)
    verify(tmp_path)


def test_compact_keeps_what_is_written_between_slices(tmp_path: Path) -> None:
    """New records, and records that are written over or deleted, all over the tree."""
    rng = random.Random(2)
    model = many_records(old=0.7)
    with open_store(tmp_path / "db") as store:
        put_all(store.triplets, model)
        store.commit()
        for _ in expire(store.triplets, is_old, Count()):
            pass
        model = young(model)
        keys = list(model)
        for step, _ in enumerate(compact(store.triplets)):
            written = {b"192.0.2.0/new%d-%d@example.com/x" % (rng.randrange(MANY), step): YOUNG for _ in range(20)}
            written |= dict.fromkeys(rng.sample(keys, 10), b"%d,%d" % (step, step))
            put_all(store.triplets, written)
            store.commit()
            model |= written
            assert store.triplets.get(next(iter(written))) is not None
        assert read_all(store.triplets) == model
        crashed = copy_as_crashed(tmp_path / "db", tmp_path / "crashed")
    assert read_dbdir(tmp_path / "db")[0] == read_dbdir(crashed)[0] == model
    verify(tmp_path / "db")
    verify(crashed)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=RECORDS, writes=st.lists(RECORDS, max_size=10), slice_records=st.integers(1, 7))
def test_compact_of_a_small_table_changes_no_record(
    before: dict[bytes, bytes],
    writes: list[dict[bytes, bytes]],
    slice_records: int,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(maintenance, "SLICE_RECORDS", slice_records)
    monkeypatch.setattr(maintenance, "MOVED_RECORDS", slice_records)
    clear(store.triplets)
    put_all(store.triplets, before)
    store.commit()
    model = dict(before)
    for step, _ in enumerate(compact(store.triplets)):
        meanwhile = writes[step] if step < len(writes) else {}
        put_all(store.triplets, meanwhile)
        store.commit()
        model |= meanwhile
    assert read_all(store.triplets) == model


def test_compact_of_an_emptied_table_leaves_a_small_file(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put_all(store.triplets, many_records(old=1.0))
        store.commit()
        for _ in expire(store.triplets, is_old, Count()):
            pass
        for _ in compact(store.triplets):
            pass
        store.environment.checkpoint(now=True)
        assert (tmp_path / TRIPLETS).stat().st_size < 100_000
        store.triplets[b"new"] = YOUNG
        store.commit()
    assert read_dbdir(tmp_path)[0] == {b"new": YOUNG}
    verify(tmp_path)
