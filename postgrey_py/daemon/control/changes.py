# SPDX-License-Identifier: GPL-2.0-or-later
"""release, forget, trust, distrust: records changed while mail goes on.

All records are walked in slices, as the clean-up does it. A change is on the disk before it is answered. What would
change several records is only counted unless `apply` says so.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from postgrey_py.daemon.control.arguments import text_of
from postgrey_py.daemon.control.choice import Choice, Keep, client_filter, triplet_filter
from postgrey_py.daemon.control.connections import Send
from postgrey_py.daemon.control.listing import (
    Found,
    describe_client,
    describe_triplet,
    need_auto_whitelist,
    walk_and_show,
)
from postgrey_py.daemon.engine import Engine
from postgrey_py.database.store import Table
from postgrey_py.errors import ControlError, DatabaseError
from postgrey_py.greylist.address import Address, parse_address
from postgrey_py.greylist.keys import DOMAIN, client_key, domain_client_key
from postgrey_py.greylist.loglines import Level
from postgrey_py.greylist.lowercase import ascii_lower
from postgrey_py.greylist.plural import counted
from postgrey_py.greylist.records import Record, format_record, is_pending, parse_record
from postgrey_py.greylist.records import release as release_record

_DOMAIN = re.compile(r"[\w-]+(?:\.[\w-]+)+")


@dataclass(frozen=True, slots=True)
class ChangeArguments(Choice):
    """A choice of records; without `apply` they are only counted."""

    apply: bool = False


@dataclass(frozen=True, slots=True)
class ClientArguments:
    """The address of a client, or `domain:` and the domain of many."""

    client: str


async def release(engine: Engine, user: str, arguments: ChangeArguments, _: Send) -> object:
    """Let triplets that wait pass at their next try; returns how many, and the first."""
    _need_choice(arguments)
    now = int(engine.clock())
    keep = triplet_filter(engine, arguments, now)
    found = Found()

    def see(records: list[tuple[bytes, bytes]]) -> None:
        for key, value in records:
            triplet = parse_record(value)
            if not is_pending(triplet, now, engine.settings) or not keep(key, triplet):
                continue
            found.add(lambda key=key, triplet=triplet: describe_triplet(engine, key, triplet), 1)  # type: ignore[misc]
            if arguments.apply:
                engine.store.triplets[key] = format_record(*_whole(release_record(triplet, now, engine.settings)))
        engine.store.commit_unflushed()

    await engine.upkeep.in_slices(walk_and_show(engine.store.triplets, see))
    return await _end(engine, user, "released", arguments, {"triplets": found})


async def forget(engine: Engine, user: str, arguments: ChangeArguments, _: Send) -> object:
    """Remove triplets, whether they wait or have passed, and the records of the clients where only those are named.

    Returns how many, and the first.
    """
    _need_choice(arguments)
    now = int(engine.clock())
    triplets, clients = Found(), Found()

    def remove(
        table: Table, keep: Keep, found: Found, describe: Callable[[bytes, Record], dict[str, Any]]
    ) -> Iterator[None]:
        def see(records: list[tuple[bytes, bytes]]) -> None:
            chosen = [(key, parse_record(value)) for key, value in records]
            chosen = [(key, record) for key, record in chosen if keep(key, record)]
            for key, record in chosen:
                found.add(lambda key=key, record=record: describe(key, record), 1)  # type: ignore[misc]
            if arguments.apply and chosen:
                table.delete([key for key, _ in chosen])

        return walk_and_show(table, see)

    def describe(key: bytes, triplet: Record) -> dict[str, Any]:
        return describe_triplet(engine, key, triplet)

    keep = triplet_filter(engine, arguments, now)
    await engine.upkeep.in_slices(remove(engine.store.triplets, keep, triplets, describe))
    if not arguments.sender and not arguments.recipient and engine.settings.auto_whitelist_clients:
        keep = client_filter(engine, arguments, now)
        await engine.upkeep.in_slices(remove(engine.store.clients, keep, clients, describe_client))
    return await _end(engine, user, "forgot", arguments, {"triplets": triplets, "clients": clients})


async def trust(engine: Engine, user: str, arguments: ClientArguments, _: Send) -> object:
    """Put a client on the auto-whitelist; returns its record."""
    need_auto_whitelist(engine)
    key = _key(engine, arguments)

    def change() -> Iterator[None]:
        value = engine.store.clients.get(key)
        passes = max(engine.settings.auto_whitelist_clients, 0 if value is None else parse_record(value)[0])
        engine.store.clients[key] = format_record(passes, int(engine.clock()))
        engine.store.commit_unflushed()
        yield

    await engine.upkeep.in_slices(change())
    await make_durable(engine)
    engine.log.line(Level.NOTICE, f"client {arguments.client} trusted by {user}")
    value = engine.store.clients.get(key)
    return describe_client(key, parse_record(value or b""))


async def distrust(engine: Engine, user: str, arguments: ClientArguments, _: Send) -> object:
    """Take a client off the auto-whitelist, so that it has to earn that again; returns the record that it had."""
    need_auto_whitelist(engine)
    key = _key(engine, arguments)
    before: list[Record] = []

    def change() -> Iterator[None]:
        value = engine.store.clients.get(key)
        if value is not None:
            before.append(parse_record(value))
            engine.store.clients.delete([key])
        yield

    await engine.upkeep.in_slices(change())
    if not before:
        raise ControlError(f"nothing is known of client {arguments.client}", code="refused")
    await make_durable(engine)
    engine.log.line(Level.NOTICE, f"client {arguments.client} distrusted by {user}")
    return describe_client(key, before[0])


async def make_durable(engine: Engine) -> None:
    """Wait until what was changed is on the disk. Raises DatabaseError, after which the database is down."""
    try:
        await engine.worker.do(engine.store.flush)
    except DatabaseError as error:
        engine.outage.failed(error)
        raise


async def _end(
    engine: Engine, user: str, done: str, arguments: ChangeArguments, found: dict[str, Found]
) -> dict[str, Any]:
    """Return what was found; when it was changed, wait for the disk and tell the log."""
    counts = {name: one.count for name, one in found.items()}
    if arguments.apply and any(counts.values()):
        await make_durable(engine)
        whom = ", ".join(f"{name}={text}" for name, text in arguments.texts().items())
        numbers = " and ".join(counted(count, name) for name, count in counts.items() if count)
        engine.log.line(Level.NOTICE, f"{user} {done} {numbers}: {whom}")
    first = next((one.items[0] for one in found.values() if one.items), None)
    return {**counts, "first": first, "applied": arguments.apply}


def _key(engine: Engine, arguments: ClientArguments) -> bytes:
    """Return the key of a client, an address or `domain:example.com`. Raises ControlError."""
    text = ascii_lower(text_of("client", arguments.client))
    if text.startswith(DOMAIN):
        domain = text.removeprefix(DOMAIN)
        if not _DOMAIN.fullmatch(domain):
            raise ControlError(f"the client {arguments.client[:80]!r} is no domain", code="bad-argument")
        return domain_client_key(domain, engine.settings)
    return client_key(_address(arguments), engine.settings)


def _address(arguments: ClientArguments) -> Address:
    address = parse_address(text_of("client", arguments.client).removeprefix("[").removesuffix("]"))
    if address is None:
        raise ControlError(
            f"the client {arguments.client[:80]!r} is no address, such as 192.0.2.7, and no domain:NAME",
            code="bad-argument",
        )
    return address


def _need_choice(arguments: ChangeArguments) -> None:
    if not (arguments.client or arguments.sender or arguments.recipient):
        raise ControlError("which? Name a client, a sender or a recipient", code="bad-argument")


def _whole(record: Record) -> tuple[int, int]:
    return record[0], record[1] or 0
