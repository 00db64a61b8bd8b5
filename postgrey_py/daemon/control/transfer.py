# SPDX-License-Identifier: GPL-2.0-or-later
"""export, import: all records as objects and back, while mail goes on.

Exported records are walked in slices: what is written meanwhile may be among them or not. Each import is of as many
lines as a message holds, in one transaction, and on the disk before it is answered.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from postgrey_py.daemon.control.arguments import NoArguments
from postgrey_py.daemon.control.changes import make_durable
from postgrey_py.daemon.control.connections import Send
from postgrey_py.daemon.engine import Engine
from postgrey_py.database.maintenance import walk
from postgrey_py.database.store import Table
from postgrey_py.errors import ControlError, InterchangeError
from postgrey_py.greylist.loglines import Level
from postgrey_py.greylist.merging import merge_clients, merge_triplets
from postgrey_py.greylist.plural import counted
from postgrey_py.greylist.records import Record, format_record, is_old_client, is_old_triplet, parse_record
from postgrey_py.protocol.interchange import (
    CLIENTS,
    TRIPLETS,
    End,
    Entry,
    check_header,
    describe_end,
    describe_entry,
    describe_header,
    parse_line,
)


@dataclass(frozen=True, slots=True)
class ImportArguments:
    """The first line of an export, and some of the lines behind it; without any, only the header is looked at."""

    header: str
    lines: str = ""


async def export_records(engine: Engine, _user: str, _: NoArguments, send: Send) -> object:
    """Send the lines of an export, as many in each item as a slice has; returns the line that ends it."""
    await send({"lines": [describe_header(engine.settings, int(engine.clock()))]})
    counts = {name: await _send_all(engine, name, table, send) for name, table in _tables(engine).items()}
    return describe_end(End(counts[TRIPLETS], counts.get(CLIENTS, 0)))


async def _send_all(engine: Engine, name: str, table: Table, send: Send) -> int:
    """Send all records of a table, a slice at a time and no faster than they are read; returns how many there are."""
    count = 0
    walking = walk(table)
    found: list[tuple[bytes, bytes]] = []

    def read_slice() -> Iterator[None]:
        found[:] = next(walking, [])
        yield

    while True:
        await engine.upkeep.in_slices(read_slice())
        if not found:
            return count
        count += len(found)
        await send({"lines": [describe_entry(Entry(name, key, value)) for key, value in found]})


async def import_records(engine: Engine, user: str, arguments: ImportArguments, _: Send) -> object:
    """Merge records with those that are there; returns how many were added and changed, and passed over as old.

    Those of clients are passed over, too, where there is no auto-whitelist.
    """
    now = int(engine.clock())
    try:
        check_header(arguments.header, engine.settings)
        entries = [parse_line(line, now) for line in arguments.lines.splitlines()]
    except InterchangeError as error:
        raise ControlError(str(error), code="bad-argument") from None
    counts = {"added": 0, "changed": 0, "same": 0, "old": 0}
    tables = _tables(engine)

    def merge() -> Iterator[None]:
        for entry in entries:
            if isinstance(entry, Entry):
                counts[_merge(engine, tables.get(entry.table), entry, now)] += 1
        engine.store.commit_unflushed()
        yield

    await engine.upkeep.in_slices(merge())
    if counts["added"] or counts["changed"]:
        await make_durable(engine)
        text = f"{user} imported {counted(counts['added'], 'records')} and changed {counts['changed']}"
        engine.log.line(Level.INFO, text)
    return counts


def _tables(engine: Engine) -> dict[str, Table]:
    tables = {TRIPLETS: engine.store.triplets}
    if engine.settings.auto_whitelist_clients:
        tables[CLIENTS] = engine.store.clients
    return tables


def _merge(engine: Engine, table: Table | None, entry: Entry, now: int) -> str:
    """Merge one record with what is stored; returns what became of it. Raises DatabaseError."""
    given = parse_record(entry.value)
    if table is None or _is_old(engine, entry.table, given, now):
        return "old"
    value = table.get(entry.key)
    records = [given] if value is None else [parse_record(value), given]
    first, last = merge_clients(records) if entry.table == CLIENTS else merge_triplets(records, engine.settings)
    merged = format_record(first, last or 0)
    if merged == value:
        return "same"
    table[entry.key] = merged
    return "added" if value is None else "changed"


def _is_old(engine: Engine, table: str, record: Record, now: int) -> bool:
    """Return whether the next clean-up would remove it."""
    return (is_old_client if table == CLIENTS else is_old_triplet)(record, now, engine.settings)
