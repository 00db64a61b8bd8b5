# SPDX-License-Identifier: GPL-2.0-or-later
"""Recovery of a copy of a damaged database file from the logs, past what is unsound.

Recovery stops at the first page that it can't use, and passes over a file without metadata; what was answered since the
last checkpoint is then in the logs alone. In the copy, metadata is made anew, and unsound pages look too new to be
touched. Called by `salvage`.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from postgrey_py.database.binding import db
from postgrey_py.database.layout import (
    BTREE_MAGIC,
    FILE_ID_BYTES,
    FILE_ID_OFFSET,
    HEAD,
    HEAD_BYTES,
    LAST_PAGE_OFFSET,
    LOG_NUMBER,
    MAGIC_OFFSET,
    Head,
    page_size_from,
)
from postgrey_py.database.pages import CHUNK_BYTES, PageFile

# A process of its own, because some damage makes Berkeley DB abort, or wait for ever.
_PROGRAM = f"""
import sys
from {db.__name__.rpartition(".")[0]} import db
flags = db.DB_CREATE | db.DB_PRIVATE | db.DB_RECOVER_FATAL | db.DB_INIT_TXN | db.DB_INIT_MPOOL | db.DB_INIT_LOG
environment = db.DBEnv()
environment.set_cachesize(0, {32 << 20})
environment.open(sys.argv[1], flags, 0o600)
environment.close()
"""
_PATIENCE_SECONDS = 600.0

_NATIVE = "<" if sys.byteorder == "little" else ">"
_LENGTH = struct.Struct("I")
_LSN = struct.Struct("II")
_HEAD = struct.Struct(_NATIVE + HEAD)


def redo(path: Path, logs: Sequence[Path], directory: Path) -> Path:
    """The path of a copy of a damaged file in `directory`, with what `logs` have besides; `path` where that fails.

    Raises OSError where the disk is full, or can't be read.
    """
    logs = sorted(logs, key=lambda log: log.name)
    file_id = _find_file_id(path.name, logs)
    if file_id is None:
        return path
    for passes_zeros_over in (False, True):
        attempt = directory / f"redo-{passes_zeros_over:d}"
        attempt.mkdir(mode=0o700)
        for log in logs:
            shutil.copy(log, attempt)
        copy = attempt / path.name
        shutil.copy(path, copy)
        unsound = _make_passable(copy, file_id, _end_of_log(logs[-1]), passes_zeros_over)
        if unsound is None:
            return path
        if _recover(attempt):
            _put_back(copy, unsound)
            return copy
        shutil.rmtree(attempt)
    return path


def _find_file_id(name: str, logs: Sequence[Path]) -> bytes | None:
    """The id that the newest log which knows the file has for it."""
    # Name and id stand behind each other in the record that tells of an opened file, each with its length before it.
    octets = os.fsencode(name) + b"\0"
    record = re.compile(
        re.escape(_LENGTH.pack(len(octets)) + octets + _LENGTH.pack(FILE_ID_BYTES)) + b"(.{%d})" % FILE_ID_BYTES,
        re.DOTALL,
    )
    for log in reversed(logs):
        with log.open("rb") as file, _mapped(file.fileno()) as contents:
            found = record.findall(contents)
        if found:
            return bytes(found[-1])
    return None


def _end_of_log(log: Path) -> tuple[int, int]:
    """A log sequence number that is no older than any record's, and lies within the log, whose last file this is."""
    with log.open("rb") as file, _mapped(file.fileno()) as contents:
        end = len(contents)
        # The file has its full size from the start.
        while end and not any(contents[max(0, end - CHUNK_BYTES) : end]):
            end = max(0, end - CHUNK_BYTES)
        chunk = bytes(contents[max(0, end - CHUNK_BYTES) : end])
        return int(log.name[LOG_NUMBER]), end - len(chunk) + len(chunk.rstrip(b"\0"))


@contextlib.contextmanager
def _mapped(descriptor: int) -> Iterator[mmap.mmap | bytes]:
    """The contents of a file, which may be too large to be read at once."""
    if os.fstat(descriptor).st_size == 0:
        yield b""
        return
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as contents:
        yield contents


def _make_passable(
    copy: Path, file_id: bytes, end: tuple[int, int], passes_zeros_over: bool
) -> dict[int, bytes] | None:
    """Patch what recovery would stop at; returns the heads of pages as they were, by offset, or None if it can't."""
    unsound: dict[int, bytes] = {}
    with copy.open("r+b", buffering=0) as file:
        pages = PageFile(file.fileno())
        if pages.order != _NATIVE:
            return None
        # Recovery would stop at a part of a page.
        size = os.fstat(file.fileno()).st_size // pages.page_bytes * pages.page_bytes
        os.truncate(file.fileno(), size)
        first = os.pread(file.fileno(), pages.page_bytes, 0)
        last_page = _LENGTH.unpack_from(first.ljust(pages.page_bytes, b"\0"), LAST_PAGE_OFFSET)[0]
        if not _is_metadata(first, pages.page_bytes):
            metadata = bytearray(_make_metadata(copy.with_name("template"), pages.page_bytes))
            # Newer than all changes in the logs, none of which is made to it then.
            _LSN.pack_into(metadata, 0, *end)
            _LENGTH.pack_into(metadata, LAST_PAGE_OFFSET, max(0, size // pages.page_bytes - 1))
            metadata[FILE_ID_OFFSET : FILE_ID_OFFSET + FILE_ID_BYTES] = file_id
            os.pwrite(file.fileno(), metadata, 0)
            last_page = size // pages.page_bytes
        for index in range(1, size // pages.page_bytes):
            offset = index * pages.page_bytes
            octets = os.pread(file.fileno(), HEAD_BYTES, offset)
            head = Head._make(_HEAD.unpack(octets))
            # A page that was never written has its contents in the logs; one that was overwritten has not.
            is_zero = not any(octets)
            is_sound = head.number == index and (head.log_file, head.log_offset) <= end
            if not is_sound and index > last_page:
                # Something that was put behind the end, where the next new page goes.
                os.pwrite(file.fileno(), bytes(pages.page_bytes), offset)
            elif not is_sound and (passes_zeros_over or not is_zero):
                unsound[offset] = octets
                os.pwrite(file.fileno(), _HEAD.pack(*end, index, *head[3:]), offset)
    return unsound


def _is_metadata(first: bytes, page_bytes: int) -> bool:
    magic = int.from_bytes(first[MAGIC_OFFSET : MAGIC_OFFSET + 4], sys.byteorder)
    return magic == BTREE_MAGIC and page_size_from(first) == page_bytes


def _make_metadata(template: Path, page_bytes: int) -> bytes:
    """The first page of an empty database with pages of this size."""
    handle = db.DB()
    try:
        handle.set_pagesize(page_bytes)
        handle.open(os.fspath(template), dbtype=db.DB_BTREE, flags=db.DB_CREATE, mode=0o600)
    finally:
        handle.close()
    octets = template.read_bytes()[:page_bytes]
    template.unlink()
    return octets


def _recover(directory: Path) -> bool:
    argv = [sys.executable, "-c", _PROGRAM, os.fspath(directory)]
    try:
        return subprocess.run(argv, capture_output=True, check=False, timeout=_PATIENCE_SECONDS).returncode == 0
    except subprocess.TimeoutExpired:
        return False


def _put_back(copy: Path, unsound: dict[int, bytes]) -> None:
    with copy.open("r+b", buffering=0) as file:
        for offset, octets in unsound.items():
            os.pwrite(file.fileno(), octets, offset)
