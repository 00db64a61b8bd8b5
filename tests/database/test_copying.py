# SPDX-License-Identifier: GPL-2.0-or-later
"""Copies of files that change between two reads, at the very moments that matter."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from postgrey_py.database import copying
from postgrey_py.database.copying import SpoiledCopyError, copy_database, copy_growing_log, copy_whole
from postgrey_py.database.layout import SMALLEST_PAGE

PAGE = 4096
PAGES = 8


class File:
    """A file that somebody else writes to: `after_reads[n]` is done when it has been read from n times."""

    def __init__(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        self.path = path
        self.descriptor = os.open(path, os.O_RDWR)
        self.reads = 0
        self.after_reads: dict[int, Callable[[], object]] = {}

    def write(self, content: bytes, offset: int) -> None:
        os.pwrite(self.descriptor, content, offset)

    def truncate(self, size: int) -> None:
        os.ftruncate(self.descriptor, size)

    def content(self) -> bytes:
        return self.path.read_bytes()


@pytest.fixture
def source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[File]:
    """A database file; its reads are counted, but for that of the page size."""
    file = File(tmp_path / "source", database([b"a"] * PAGES))
    pread = os.pread

    def counted_pread(descriptor: int, length: int, offset: int) -> bytes:
        octets = pread(descriptor, length, offset)
        if descriptor == file.descriptor and length != SMALLEST_PAGE:
            file.reads += 1
            file.after_reads.pop(file.reads, lambda: None)()
        return octets

    with monkeypatch.context() as patch:
        patch.setattr(os, "pread", counted_pread)
        yield file
    os.close(file.descriptor)


@pytest.fixture
def target(tmp_path: Path) -> Iterator[File]:
    file = File(tmp_path / "target", b"")
    yield file
    os.close(file.descriptor)


def page(letter: bytes) -> bytes:
    return letter * PAGE


def database(letters: list[bytes], page_size: int = PAGE) -> bytes:
    """A file of pages that are filled with one letter each, but for the page size in the first."""
    content = bytearray(b"".join(letter * page_size for letter in letters))
    content[20:24] = page_size.to_bytes(4, sys.byteorder)
    return bytes(content)


def test_database_is_copied(source: File, target: File) -> None:
    copy_database(source.descriptor, target.descriptor)
    assert target.content() == database([b"a"] * PAGES)


def test_half_written_page_is_read_again(source: File, target: File) -> None:
    """The head of the page is new already when it is copied, its tail is not."""
    source.write(page(b"b")[: PAGE // 2], 3 * PAGE)
    source.after_reads[1] = lambda: source.write(page(b"b"), 3 * PAGE)
    copy_database(source.descriptor, target.descriptor)
    assert target.content() == source.content()


def test_page_that_is_half_written_at_the_second_reading_is_read_again(source: File, target: File) -> None:
    source.after_reads[1] = lambda: source.write(page(b"b")[: PAGE // 2], 3 * PAGE)
    source.after_reads[3] = lambda: source.write(page(b"b"), 3 * PAGE)
    copy_database(source.descriptor, target.descriptor)
    assert target.content() == source.content()


def test_page_that_changes_at_every_reading_spoils_the_copy(
    source: File, target: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "ROUNDS", 10)
    for number in range(1, 30):
        source.after_reads[number] = partial(source.write, page(bytes([number])), 5 * PAGE)
    with pytest.raises(SpoiledCopyError):
        copy_database(source.descriptor, target.descriptor)


def test_pages_that_are_cut_off_meanwhile_may_stay_in_the_copy(source: File, target: File) -> None:
    """The log tells of the cut."""
    source.after_reads[2] = lambda: source.truncate(5 * PAGE)
    copy_database(source.descriptor, target.descriptor)
    assert target.content()[: 5 * PAGE] == source.content()


def test_pages_that_are_added_meanwhile_may_be_missing(source: File, target: File) -> None:
    """The log has them."""
    source.after_reads[2] = lambda: source.write(page(b"z"), PAGES * PAGE)
    copy_database(source.descriptor, target.descriptor)
    assert target.content() == source.content()[: PAGES * PAGE]


def test_page_that_is_being_added_is_left_out(source: File, target: File) -> None:
    source.write(page(b"z")[:1000], PAGES * PAGE)
    copy_database(source.descriptor, target.descriptor)
    assert target.content() == source.content()[: PAGES * PAGE]


def test_large_pages_are_whole(source: File, target: File) -> None:
    source.write(database([b"a", b"b"], page_size=4 * PAGE), 0)
    source.write(b"c" * PAGE, 7 * PAGE)
    source.after_reads[1] = lambda: source.write(b"c" * 4 * PAGE, 4 * PAGE)
    copy_database(source.descriptor, target.descriptor)
    assert target.content() == database([b"a", b"c"], page_size=4 * PAGE)


def test_file_that_is_no_database_yet_is_copied(source: File, target: File) -> None:
    source.truncate(0)
    copy_database(source.descriptor, target.descriptor)
    assert target.content() == b""


def test_log_is_copied_up_to_the_first_gap(source: File, target: File, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer comes from behind and overtakes the reader between its first and its second read."""
    monkeypatch.setattr(copying, "CHUNK_BYTES", PAGE)
    written = b"".join(bytes([n % 255 + 1]) for n in range(3 * PAGE))
    source.truncate(0)
    source.write(written[: PAGE - 100], 0)
    source.truncate(len(written))
    source.after_reads[1] = lambda: source.write(written, 0)
    copy_growing_log(source.descriptor, target.descriptor)
    assert target.content() == written[: PAGE - 100]


def test_log_that_grows_in_length_is_copied(source: File, target: File) -> None:
    source.after_reads[1] = lambda: source.write(b"more", PAGES * PAGE)
    copy_growing_log(source.descriptor, target.descriptor)
    assert target.content() == database([b"a"] * PAGES) + b"more"


def test_quiet_log_is_copied_to_its_end(source: File, target: File) -> None:
    source.write(b"\0" * PAGE, PAGES * PAGE)
    copy_growing_log(source.descriptor, target.descriptor)
    assert target.content() == source.content()


def test_whole_file_is_copied(source: File, target: File) -> None:
    assert copy_whole(source.descriptor, target.descriptor) == PAGES * PAGE
    assert target.content() == source.content()
