# SPDX-License-Identifier: GPL-2.0-or-later
"""The clean-up of old records, in slices so small that requests are answered in between.

Each generator here does one slice for every step that its caller takes, with no transaction open in between; the
caller serves requests between the steps for as long as it likes. What was written meanwhile is seen: a slice reads
the records that it deletes at once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from postgrey_py.database.store import Table

# Records that are looked at in one slice, and whose pages are moved in one: a few milliseconds each.
SLICE_RECORDS = 500
MOVED_RECORDS = 2500

# How long the free list may grow before the file is cut: each slice of the cutting reads the list twice. Without this
# bound (one DB.compact with DB_FREE_SPACE from end to end) a call took two seconds after 300,000 of 1,000,000 records
# had gone; with it 6 ms.
FREE_PAGES = 500

# What the records of a page take at least, unless most of them have gone.
LEAST_PAGE_BYTES = 2000

# Fewer deleted records than one in so many leave gaps that new mail fills before long; the file stays as it is.
WORTH_COMPACTING = 20


@dataclass(slots=True)
class Count:
    """The number of records that the clean-up of a table has met, and left."""

    before: int = 0
    after: int = 0

    def is_worth_compacting(self) -> bool:
        """Whether so much has gone that the file should shrink."""
        return (self.before - self.after) * WORTH_COMPACTING >= self.before > self.after


def walk(table: Table) -> Iterator[list[tuple[bytes, bytes]]]:
    """Yield all records, in the order of their keys, as many at a time as a slice has. Raises DatabaseError.

    Those that a slice has seen may be deleted before the next.
    """
    start = b""
    while records := table.records(start, SLICE_RECORDS):
        yield records
        start = records[-1][0] + b"\0"


def expire(table: Table, is_old: Callable[[bytes], bool], count: Count) -> Iterator[None]:
    """Walk the table once and delete the records whose value `is_old`; `count` goes along. Raises DatabaseError."""
    # Pages that hold nothing but old records go to the free list as these do: all where old records stand together.
    emptied, run = 0, 0
    for records in walk(table):
        old = []
        for key, value in records:
            if is_old(value):
                old.append(key)
                run += len(key) + len(value)
            else:
                emptied += run // LEAST_PAGE_BYTES
                run = 0
        if old:
            table.delete(old)
        count.before += len(records)
        count.after += len(records) - len(old)
        yield
        if emptied + run // LEAST_PAGE_BYTES >= FREE_PAGES:
            yield from _cut(table)
            emptied = run = 0


def survey(table: Table, see: Callable[[bytes], bool]) -> Iterator[None]:
    """Walk the table, and show each value to `see` until that has seen enough. Raises DatabaseError."""
    for records in walk(table):
        if any(see(value) for _, value in records):
            return
        yield


def compact(table: Table) -> Iterator[None]:
    """Give the space of deleted records back to the file system. Raises DatabaseError."""
    start: bytes | None = b""
    while start is not None:
        free = 0
        while start is not None and free < FREE_PAGES:
            stop = table.next_key(start, SLICE_RECORDS)
            free += table.merge_pages(start, stop)
            start = stop
            yield
        yield from _cut(table)


def _cut(table: Table) -> Iterator[None]:
    """Move what stands at the end of the file into its free pages, all over the tree, and cut the file off."""
    start: bytes | None = b""
    while start is not None:
        stop = table.next_key(start, MOVED_RECORDS)
        table.move_pages_down(start, stop)
        start = stop
        yield
