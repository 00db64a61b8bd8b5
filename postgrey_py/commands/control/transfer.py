# SPDX-License-Identifier: GPL-2.0-or-later
"""export and import: the records of a server as lines of JSON, and back into one.

What is imported is read to its end before anything is sent, so that a file with a fault in it changes nothing.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import IO, Any, NamedTuple

from postgrey_py.commands.control.client import Client
from postgrey_py.database.snapshot import open_snapshot
from postgrey_py.errors import InterchangeError, PostgreyError
from postgrey_py.greylist.plural import counted
from postgrey_py.greylist.settings import Settings
from postgrey_py.protocol.interchange import (
    CLIENTS,
    TRIPLETS,
    End,
    Entry,
    describe_end,
    describe_entry,
    describe_header,
    parse_line,
)

STANDARD_INPUT = "-"

# Of lines in one message, which may have four times as many bytes when all of them are escaped.
_MESSAGE_CHARACTERS = 12_000
# More than a record's line can have.
_MOST_LINE_BYTES = 64 << 10


class Contents(NamedTuple):
    """An export that was read to its end: how many records it has, and its first lines."""

    triplets: int
    clients: int
    header: str
    first: str

    def text(self) -> str:
        """Return what is in it, for people."""
        return f"{counted(self.triplets, 'triplets')} and {counted(self.clients, 'clients')}"


def export_from_server(client: Client, write: Callable[[str], object]) -> None:
    """Write all lines that the server sends. Raises PostgreyError."""
    for item in client.items("export", {}, on_result=lambda end: write(f"{json.dumps(end)}\n")):
        for line in item["lines"]:
            write(f"{json.dumps(line)}\n")


def export_from_files(settings: Settings, write: Callable[[str], object]) -> None:
    """Write all lines of the databases of a server that is stopped. Raises PostgreyError."""
    write(f"{json.dumps(describe_header(settings, int(time.time())))}\n")
    counts = {TRIPLETS: 0, CLIENTS: 0}
    with open_snapshot(settings.dbdir) as snapshot:
        for name, records in ((TRIPLETS, snapshot.triplets), (CLIENTS, snapshot.clients)):
            for key, value in records:
                write(f"{json.dumps(describe_entry(Entry(name, key, value)))}\n")
                counts[name] += 1
    write(f"{json.dumps(describe_end(End(counts[TRIPLETS], counts[CLIENTS])))}\n")


@contextlib.contextmanager
def open_export(path: str) -> Iterator[IO[bytes]]:
    """Open a file that can be read twice; `-` is standard input. Raises PostgreyError."""
    try:
        if path != STANDARD_INPUT:
            with open(path, "rb") as file:
                yield file
            return
        with tempfile.TemporaryFile() as copy:
            shutil.copyfileobj(sys.stdin.buffer, copy)
            copy.seek(0)
            yield copy
    except OSError as error:
        raise PostgreyError(f"can't read {path}: {error.strerror}") from error


def read_contents(file: IO[bytes], name: str) -> Contents:
    """Read an export to its end, and return what it has. Raises PostgreyError, which names the line that is wrong."""
    counts: Counter[str] = Counter()
    header = first = ""
    end: End | None = None
    now = int(time.time())
    for number, line in enumerate(_lines(file, name), 1):
        if number == 1:
            header = line
            continue
        try:
            if end is not None:
                raise InterchangeError("there is more behind the end")
            found = parse_line(line, now)
        except InterchangeError as error:
            raise PostgreyError(f"{name} line {number}: {error}; nothing was imported") from None
        if isinstance(found, End):
            end = found
        else:
            first = first or line
            counts[found.table] += 1
    if end is None or end != (counts[TRIPLETS], counts[CLIENTS]):
        raise PostgreyError(f"{name} is not complete: was the export broken off? Nothing was imported")
    return Contents(counts[TRIPLETS], counts[CLIENTS], header, first)


def import_into_server(client: Client, file: IO[bytes], name: str, header: str) -> dict[str, Any]:
    """Send the lines behind the header of a file that was read to its end; returns what became of them, counted.

    Raises PostgreyError.
    """
    total: Counter[str] = Counter(added=0, changed=0, same=0, old=0)
    file.seek(0)
    lines = _lines(file, name)
    next(lines)
    for message in _messages(lines):
        total.update(client.ask("import", {"header": header, "lines": message}))
    return dict(total)


def _lines(file: IO[bytes], name: str) -> Iterator[str]:
    """Yield the lines of a file, without line ends and empty ones at its end. Raises PostgreyError."""
    number = 0
    while octets := file.readline(_MOST_LINE_BYTES):
        number += 1
        try:
            yield octets.decode("utf-8").rstrip("\r\n")
        except UnicodeDecodeError:
            raise PostgreyError(f"{name} line {number} is no UTF-8; nothing was imported") from None


def _messages(lines: Iterable[str]) -> Iterator[str]:
    """Yield these lines, as many together as a message has room for."""
    waiting: list[str] = []
    size = 0
    for line in lines:
        if waiting and size + len(line) > _MESSAGE_CHARACTERS:
            yield "\n".join(waiting)
            waiting, size = [], 0
        waiting.append(line)
        size += len(line) + 1
    if waiting:
        yield "\n".join(waiting)
