# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies of files that another process is writing to, between open descriptors.

Recovery can start from the state that they are in. A read can meet a write half-way: ext4 does not keep them apart, for
which reason Berkeley DB's own `db_hotbackup` reads through the environment on Linux. Everything here is read at least
twice, therefore. Called by `snapshot`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator

from postgrey_py.database.layout import SMALLEST_PAGE, page_size_from

# A multiple of the size of every page, so that no read ends within one.
CHUNK_BYTES = 1 << 20

# Pages are written at checkpoints and when the cache is full: none changes for long.
ROUNDS = 1000
PAUSE_SECONDS = 0.001


class SpoiledCopyError(Exception):
    """The files changed in a way that makes a copy useless: start over."""


def copy_database(source: int, target: int) -> None:
    """Copy a database file, each page as it was at some moment between start and end. Raises SpoiledCopyError.

    Recovery brings pages of different moments together, but not a page of which one half is older than the other.
    """
    # Just created, a database has its first page in the log only.
    page_size = page_size_from(os.pread(source, SMALLEST_PAGE, 0)) or SMALLEST_PAGE
    size = copy_whole(source, target)
    size -= size % page_size
    os.truncate(target, size)
    unsettled = _changed_pages(source, target, range(0, size, CHUNK_BYTES), CHUNK_BYTES, page_size)
    for _ in range(ROUNDS):
        if not unsettled:
            return
        # A writer that was stopped in the middle of a page gets the time to finish it.
        time.sleep(PAUSE_SECONDS)
        unsettled = _changed_pages(source, target, unsettled, page_size, page_size)
    raise SpoiledCopyError("the same page changes at every reading")


def copy_growing_log(source: int, target: int) -> None:
    """Copy the log file that is being appended to, up to where it ended at some moment after the start.

    A write that overtakes the reading leaves a gap with newer records behind it. What two readings have in common from
    the start was all there when the first one came past.
    """
    size = copy_whole(source, target)
    for start in range(0, size, CHUNK_BYTES):
        first, second = os.pread(target, CHUNK_BYTES, start), os.pread(source, CHUNK_BYTES, start)
        if first != second:
            os.truncate(target, start + _common_length(first, second))
            return


def copy_whole(source: int, target: int) -> int:
    """Copy a file from start to end, and return how many bytes that were."""
    return sum(_write(target, chunk) for chunk in _chunks(source))


def _changed_pages(source: int, target: int, offsets: Iterable[int], length: int, page_size: int) -> list[int]:
    """Read anew at `offsets`, write what differs to `target`, and return where the pages that differ begin."""
    changed = []
    for start in offsets:
        before, after = os.pread(target, length, start), os.pread(source, length, start)
        if before != after:
            # A file that was cut meanwhile has less; what was cut off is in the log.
            for offset in range(0, min(len(before), len(after)), page_size):
                page = after[offset : offset + page_size]
                if before[offset : offset + page_size] != page:
                    os.pwrite(target, page, start + offset)
                    changed.append(start + offset)
    return changed


def _common_length(one: bytes, other: bytes) -> int:
    """Return the number of bytes that the two have in common from the start."""
    low, high = 0, min(len(one), len(other))
    while low < high:
        middle = (low + high + 1) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _chunks(source: int) -> Iterator[bytes]:
    offset = 0
    while chunk := os.pread(source, CHUNK_BYTES, offset):
        yield chunk
        offset += len(chunk)


def _write(target: int, chunk: bytes) -> int:
    """Append all of `chunk`, and return its length."""
    rest = memoryview(chunk)
    while rest:
        rest = rest[os.write(target, rest) :]
    return len(chunk)
