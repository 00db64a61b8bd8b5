# SPDX-License-Identifier: GPL-2.0-or-later
"""The records on the leaves of a damaged B-tree file, read without Berkeley DB.

Every page tells by its head what it is, so neither the metadata nor the inner tree is needed, and what is unsound is
passed over: nothing that a page holds can raise an error, or make reading take longer than its size deserves. Records
that were deleted are on no leaf any more; pages on the free list are none. Called by `salvage`.
"""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from typing import NamedTuple

from postgrey_py.database.layout import (
    HEAD,
    HEAD_BYTES,
    INTERNAL,
    ITEM_HEAD_BYTES,
    KEY_OR_DATA,
    LARGEST_PAGE,
    LEAF,
    LEAF_LEVEL,
    OVERFLOW,
    OVERFLOW_ITEM,
    OVERFLOW_ITEM_BYTES,
    SMALLEST_PAGE,
    Head,
    is_page_size,
)

# A record longer than this is none of Postgrey's, whose attributes are cut at 512 bytes.
LONGEST_ITEM = 4096

# Pages that are looked at for each size that they may have.
SAMPLE = 4096

CHUNK_BYTES = 16 * LARGEST_PAGE

_ORDERS = ("<", ">") if sys.byteorder == "little" else (">", "<")


class Leaf(NamedTuple):
    """A leaf page: the records on it have keys from `first` to `last`.

    Pages compare by `version`: the log sequence number of their last change, and whether the page is in its place,
    which is `position` otherwise.
    """

    first: bytes
    last: bytes
    version: tuple[int, int, bool]
    position: int


class PageFile:
    """The pages of a database file behind an open descriptor, as many as there are, whole or not."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._bytes = os.fstat(descriptor).st_size
        self.order, self.page_bytes = _find_page_size(descriptor, self._bytes)
        self._head = struct.Struct(self.order + HEAD)
        self._number = struct.Struct(self.order + "I")
        self._length = struct.Struct(self.order + "H")
        # Where overflow pages are that are not in their place, by number.
        self._misplaced: dict[int, int] = {}

    def leaves(self) -> list[Leaf]:
        """All leaf pages that have a record, in the order of their first keys.

        Of pages that claim one and the same number only the newest counts.
        """
        found: dict[int, tuple[tuple[int, int, bool], int]] = {}
        for index, head in self._heads():
            is_in_place = head.number == index
            if head.type == LEAF and head.level == LEAF_LEVEL:
                version = head.log_file, head.log_offset, is_in_place
                if head.number not in found or found[head.number][0] < version:
                    found[head.number] = version, index
            elif head.type == OVERFLOW and not is_in_place:
                self._misplaced[head.number] = index
        leaves = []
        for version, index in found.values():
            keys = [key for key, _ in self.records(index)]
            if keys:
                leaves.append(Leaf(min(keys), max(keys), version, index))
        leaves.sort()
        return leaves

    def records(self, index: int) -> Iterator[tuple[bytes, bytes]]:
        """The pairs of key and value on a leaf page, in its order, but for what is unsound of them."""
        page = self._read(index)
        entries = self._head.unpack_from(page)[5]
        offsets = struct.unpack_from(f"{self.order}{min(entries, (len(page) - HEAD_BYTES) // 2)}H", page, HEAD_BYTES)
        # Keys together take no more room than there is, unless they lie upon each other.
        room = self.page_bytes
        for key_at, value_at in zip(offsets[::2], offsets[1::2], strict=False):
            value = self._item(page, value_at)
            key = self._item(page, key_at) if value is not None else None
            if key is not None and value is not None:
                room -= len(key) if page[key_at + 2] == KEY_OR_DATA else OVERFLOW_ITEM_BYTES
                if room < 0:
                    return
                yield key, value

    def _heads(self) -> Iterator[tuple[int, Head]]:
        """The head of each page, with the page's position in the file; a last page that is cut off counts."""
        index = 0
        for start in range(0, self._bytes, CHUNK_BYTES):
            chunk = os.pread(self._descriptor, CHUNK_BYTES, start)
            for offset in range(0, len(chunk), self.page_bytes):
                if offset + HEAD_BYTES <= len(chunk):
                    yield index, Head._make(self._head.unpack_from(chunk, offset))
                index += 1

    def _read(self, index: int) -> bytes:
        page = os.pread(self._descriptor, self.page_bytes, index * self.page_bytes)
        # The file may have been cut meanwhile.
        return page if len(page) >= HEAD_BYTES else bytes(HEAD_BYTES)

    def _item(self, page: bytes, offset: int) -> bytes | None:
        """The item that begins here; None where none does, or one that is deleted."""
        start = offset + ITEM_HEAD_BYTES
        if offset < HEAD_BYTES or start > len(page):
            return None
        kind = page[offset + 2]
        if kind == KEY_OR_DATA:
            length = self._length.unpack_from(page, offset)[0]
            return page[start : start + length] if length <= min(LONGEST_ITEM, len(page) - start) else None
        if kind == OVERFLOW_ITEM and offset + OVERFLOW_ITEM_BYTES <= len(page):
            return self._overflow(*struct.unpack_from(f"{self.order}II", page, offset + 4))
        return None

    def _overflow(self, number: int, length: int) -> bytes | None:
        """The item of this length that begins on page `number`; None where the pages are not what they should be."""
        if not 0 < length <= LONGEST_ITEM:
            return None
        parts, rest = [], length
        while rest:
            # All pages but the last are full, so that there is an end to it whatever they say.
            size = min(rest, self.page_bytes - HEAD_BYTES)
            page = self._overflow_page(number, HEAD_BYTES + size)
            if page is None:
                return None
            parts.append(page[HEAD_BYTES:])
            number = self._head.unpack_from(page)[4]
            rest -= size
        return b"".join(parts)

    def _overflow_page(self, number: int, size: int) -> bytes | None:
        """The first `size` bytes of an overflow page that has no more than these in use; None where there is none."""
        for index in (number, self._misplaced.get(number)):
            if index is not None and index < self._bytes:
                page = os.pread(self._descriptor, size, index * self.page_bytes)
                if len(page) == size:
                    head = Head._make(self._head.unpack_from(page))
                    if head.type == OVERFLOW and head.number == number and head.free_offset == size - HEAD_BYTES:
                        return page
        return None


def _find_page_size(descriptor: int, size: int) -> tuple[str, int]:
    """Byte order and page size of a file of `size` bytes: those with which most pages have the number of their place.

    With another size hardly one has. The metadata is not asked: it may be lost, or lie.
    """
    best = -1, _ORDERS[0], SMALLEST_PAGE
    page_bytes = SMALLEST_PAGE
    while is_page_size(page_bytes):
        pages = -(-size // page_bytes)
        step = max(1, pages // SAMPLE)
        counts = dict.fromkeys(_ORDERS, 0)
        for index in range(1, pages, step):
            octets = os.pread(descriptor, HEAD_BYTES, index * page_bytes)
            for order in _ORDERS:
                counts[order] += _is_in_place(octets, order, index)
        for order, count in counts.items():
            best = max(best, (count * step, order, page_bytes), key=lambda found: found[0])
        page_bytes *= 2
    return best[1], best[2]


def _is_in_place(octets: bytes, order: str, index: int) -> bool:
    """Whether this is the head of a page of a tree with the number `index`."""
    if len(octets) < HEAD_BYTES:
        return False
    head = Head._make(struct.unpack_from(order + HEAD, octets))
    return head.number == index and head.type in (0, INTERNAL, LEAF, OVERFLOW)
