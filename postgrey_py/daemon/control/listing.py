# SPDX-License-Identifier: GPL-2.0-or-later
"""pending, trusted: the records, listed while mail goes on. All are walked in slices, as the clean-up does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from postgrey_py.daemon.control.choice import Choice, client_filter, triplet_filter
from postgrey_py.daemon.control.connections import Send
from postgrey_py.daemon.engine import Engine
from postgrey_py.database.maintenance import walk
from postgrey_py.database.store import Table
from postgrey_py.errors import ControlError
from postgrey_py.greylist.keys import split_key
from postgrey_py.greylist.records import Record, is_pending, is_trusted, parse_record
from postgrey_py.protocol.control import to_wire

# Items of one answer.
MOST_ITEMS = 100_000
USUAL_ITEMS = 100


@dataclass(frozen=True, slots=True)
class ListArguments(Choice):
    """A choice of records, and how many of them are sent."""

    limit: int = USUAL_ITEMS


@dataclass(slots=True)
class Found:
    """The records that a walk has found: how many, and the first ones, described."""

    count: int = 0
    items: list[dict[str, Any]] = field(default_factory=list)

    def add(self, describe: Callable[[], dict[str, Any]], limit: int) -> None:
        self.count += 1
        if len(self.items) < limit:
            self.items.append(describe())


async def pending(engine: Engine, _user: str, arguments: ListArguments, send: Send) -> object:
    """Send triplets that wait, in the order of their keys; returns how many there are."""
    now = int(engine.clock())
    keep = triplet_filter(engine, arguments, now)
    found, limit = Found(), min(arguments.limit, MOST_ITEMS)

    def see(records: list[tuple[bytes, bytes]]) -> None:
        for key, value in records:
            triplet = parse_record(value)
            if is_pending(triplet, now, engine.settings) and keep(key, triplet):
                found.add(lambda key=key, triplet=triplet: describe_triplet(engine, key, triplet), limit)  # type: ignore[misc]

    await engine.upkeep.in_slices(walk_and_show(engine.store.triplets, see))
    return await _send(found, send)


async def trusted(engine: Engine, _user: str, arguments: ListArguments, send: Send) -> object:
    """Send clients on the auto-whitelist, in the order of their keys; returns how many there are."""
    need_auto_whitelist(engine)
    if arguments.sender or arguments.recipient:
        raise ControlError("a client is trusted whatever its mail: name --client alone", code="bad-argument")
    now = int(engine.clock())
    keep = client_filter(engine, arguments, now)
    found, limit = Found(), min(arguments.limit, MOST_ITEMS)

    def see(records: list[tuple[bytes, bytes]]) -> None:
        for key, value in records:
            client = parse_record(value)
            if is_trusted(client, engine.settings) and keep(key, client):
                found.add(lambda key=key, client=client: describe_client(key, client), limit)  # type: ignore[misc]

    await engine.upkeep.in_slices(walk_and_show(engine.store.clients, see))
    return await _send(found, send)


def walk_and_show(table: Table, see: Callable[[list[tuple[bytes, bytes]]], None]) -> Iterator[None]:
    """Show all records of a table to `see`, in slices with no transaction open in between."""
    for records in walk(table):
        see(records)
        yield


async def _send(found: Found, send: Send) -> object:
    for item in found.items:
        await send(item)
    return {"count": found.count, "sent": len(found.items)}


def describe_triplet(engine: Engine, key: bytes, triplet: Record) -> dict[str, Any]:
    parts = split_key(key)
    wait = max(0, triplet[0] + engine.settings.delay - int(engine.clock()))
    return {
        "key": to_wire(key.decode("latin-1")),
        "client": None if parts is None else to_wire(parts.network),
        "sender": None if parts is None else to_wire(parts.sender),
        "recipient": None if parts is None else to_wire(parts.recipient),
        "first_seen": triplet[0],
        "last_seen": triplet[1],
        "wait": wait,
    }


def describe_client(key: bytes, client: Record) -> dict[str, Any]:
    return {"client": to_wire(key.decode("latin-1")), "passes": client[0], "last_seen": client[1]}


def need_auto_whitelist(engine: Engine) -> None:
    if not engine.settings.auto_whitelist_clients:
        raise ControlError("there is no auto-whitelist (--auto-whitelist-clients=0)", code="refused")
