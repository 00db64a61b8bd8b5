# SPDX-License-Identifier: GPL-2.0-or-later
"""pending, trusted, release, forget, trust, distrust: the records, asked for and changed while mail goes on.

All records are walked in slices, as the clean-up does it. A change is on the disk before it is answered. What would
change several records is only counted unless `apply` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from postgrey_py.daemon.control.arguments import text_of
from postgrey_py.daemon.control.connections import Send
from postgrey_py.daemon.control.engine import Engine
from postgrey_py.database.maintenance import walk
from postgrey_py.database.store import Table
from postgrey_py.errors import ControlError
from postgrey_py.greylist.address import Address, parse_address
from postgrey_py.greylist.filters import MailFilter, make_filter
from postgrey_py.greylist.keys import client_key, parse_client_key, split_key
from postgrey_py.greylist.loglines import Level
from postgrey_py.greylist.records import Record, format_record, is_pending, is_trusted, parse_record
from postgrey_py.greylist.records import release as release_record
from postgrey_py.protocol.control import to_wire

# Items of one answer.
MOST_ITEMS = 100_000
USUAL_ITEMS = 100

Keep = Callable[[bytes, Record], bool]


@dataclass(frozen=True, slots=True)
class ListArguments:
    """A choice of records, those older and newer than so many seconds, and how many are sent; empty for any."""

    client: str = ""
    sender: str = ""
    recipient: str = ""
    older: int | None = None
    newer: int | None = None
    limit: int = USUAL_ITEMS


@dataclass(frozen=True, slots=True)
class ChangeArguments:
    """A choice of records; without `apply` they are only counted."""

    client: str = ""
    sender: str = ""
    recipient: str = ""
    older: int | None = None
    newer: int | None = None
    apply: bool = False


@dataclass(frozen=True, slots=True)
class ClientArguments:
    """The address of a client."""

    client: str


@dataclass(slots=True)
class _Found:
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
    keep = _triplet_filter(engine, arguments, now)
    found, limit = _Found(), min(arguments.limit, MOST_ITEMS)

    def see(records: list[tuple[bytes, bytes]]) -> None:
        for key, value in records:
            triplet = parse_record(value)
            if is_pending(triplet, now, engine.settings) and keep(key, triplet):
                found.add(lambda key=key, triplet=triplet: _describe_triplet(engine, key, triplet), limit)  # type: ignore[misc]

    await engine.upkeep.in_slices(_walk(engine.store.triplets, see))
    return await _send(found, send)


async def trusted(engine: Engine, _user: str, arguments: ListArguments, send: Send) -> object:
    """Send clients on the auto-whitelist, in the order of their keys; returns how many there are."""
    _need_auto_whitelist(engine)
    if arguments.sender or arguments.recipient:
        raise ControlError("a client is trusted whatever its mail: name --client alone", code="bad-argument")
    now = int(engine.clock())
    keep = _client_filter(engine, arguments, now)
    found, limit = _Found(), min(arguments.limit, MOST_ITEMS)

    def see(records: list[tuple[bytes, bytes]]) -> None:
        for key, value in records:
            client = parse_record(value)
            if is_trusted(client, engine.settings) and keep(key, client):
                found.add(lambda key=key, client=client: _describe_client(key, client), limit)  # type: ignore[misc]

    await engine.upkeep.in_slices(_walk(engine.store.clients, see))
    return await _send(found, send)


async def release(engine: Engine, user: str, arguments: ChangeArguments, _: Send) -> object:
    """Let triplets that wait pass at their next try; returns how many, and the first."""
    _need_choice(arguments)
    now = int(engine.clock())
    keep = _triplet_filter(engine, arguments, now)
    found = _Found()

    def see(records: list[tuple[bytes, bytes]]) -> None:
        for key, value in records:
            triplet = parse_record(value)
            if not is_pending(triplet, now, engine.settings) or not keep(key, triplet):
                continue
            found.add(lambda key=key, triplet=triplet: _describe_triplet(engine, key, triplet), 1)  # type: ignore[misc]
            if arguments.apply:
                engine.store.triplets[key] = format_record(*_whole(release_record(triplet, now, engine.settings)))
        engine.store.commit_unflushed()

    await engine.upkeep.in_slices(_walk(engine.store.triplets, see))
    return await _end(engine, user, "released", arguments, {"triplets": found})


async def forget(engine: Engine, user: str, arguments: ChangeArguments, _: Send) -> object:
    """Remove triplets, whether they wait or have passed, and the records of the clients where only those are named.

    Returns how many, and the first.
    """
    _need_choice(arguments)
    now = int(engine.clock())
    triplets, clients = _Found(), _Found()

    def remove(
        table: Table, keep: Keep, found: _Found, describe: Callable[[bytes, Record], dict[str, Any]]
    ) -> Iterator[None]:
        def see(records: list[tuple[bytes, bytes]]) -> None:
            chosen = [(key, parse_record(value)) for key, value in records]
            chosen = [(key, record) for key, record in chosen if keep(key, record)]
            for key, record in chosen:
                found.add(lambda key=key, record=record: describe(key, record), 1)  # type: ignore[misc]
            if arguments.apply and chosen:
                table.delete([key for key, _ in chosen])

        return _walk(table, see)

    def describe_triplet(key: bytes, triplet: Record) -> dict[str, Any]:
        return _describe_triplet(engine, key, triplet)

    keep = _triplet_filter(engine, arguments, now)
    await engine.upkeep.in_slices(remove(engine.store.triplets, keep, triplets, describe_triplet))
    if not arguments.sender and not arguments.recipient and engine.settings.auto_whitelist_clients:
        keep = _client_filter(engine, arguments, now)
        await engine.upkeep.in_slices(remove(engine.store.clients, keep, clients, _describe_client))
    return await _end(engine, user, "forgot", arguments, {"triplets": triplets, "clients": clients})


async def trust(engine: Engine, user: str, arguments: ClientArguments, _: Send) -> object:
    """Put a client on the auto-whitelist; returns its record."""
    _need_auto_whitelist(engine)
    key = client_key(_address(arguments), engine.settings)

    def change() -> Iterator[None]:
        value = engine.store.clients.get(key)
        passes = max(engine.settings.auto_whitelist_clients, 0 if value is None else parse_record(value)[0])
        engine.store.clients[key] = format_record(passes, int(engine.clock()))
        engine.store.commit_unflushed()
        yield

    await engine.upkeep.in_slices(change())
    await engine.worker.do(engine.store.flush)
    engine.log.line(Level.NOTICE, f"client {arguments.client} trusted by {user}")
    value = engine.store.clients.get(key)
    return _describe_client(key, parse_record(value or b""))


async def distrust(engine: Engine, user: str, arguments: ClientArguments, _: Send) -> object:
    """Take a client off the auto-whitelist, so that it has to earn that again; returns the record that it had."""
    _need_auto_whitelist(engine)
    key = client_key(_address(arguments), engine.settings)
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
    await engine.worker.do(engine.store.flush)
    engine.log.line(Level.NOTICE, f"client {arguments.client} distrusted by {user}")
    return _describe_client(key, before[0])


def _walk(table: Table, see: Callable[[list[tuple[bytes, bytes]]], None]) -> Iterator[None]:
    """Show all records of a table to `see`, in slices with no transaction open in between."""
    for records in walk(table):
        see(records)
        yield


async def _send(found: _Found, send: Send) -> object:
    for item in found.items:
        await send(item)
    return {"count": found.count, "sent": len(found.items)}


async def _end(
    engine: Engine, user: str, done: str, arguments: ChangeArguments, found: dict[str, _Found]
) -> dict[str, Any]:
    """Return what was found; when it was changed, wait for the disk and tell the log."""
    counts = {name: one.count for name, one in found.items()}
    if arguments.apply and any(counts.values()):
        await engine.worker.do(engine.store.flush)
        whom = ", ".join(
            f"{name}={text_of(name, getattr(arguments, name))}"
            for name in ("client", "sender", "recipient")
            if getattr(arguments, name)
        )
        numbers = " and ".join(f"{count} {name}" for name, count in counts.items() if count)
        engine.log.line(Level.NOTICE, f"{user} {done} {numbers}: {whom}")
    first = next((one.items[0] for one in found.values() if one.items), None)
    return {**counts, "first": first, "applied": arguments.apply}


def _triplet_filter(engine: Engine, arguments: ListArguments | ChangeArguments, now: int) -> Keep:
    """Return what tells whether a triplet is chosen. Raises ControlError, OrderError."""
    chosen = _mail_filter(engine, arguments)
    settings = engine.settings

    def keep(key: bytes, triplet: Record) -> bool:
        if not _is_of_age(triplet[0], arguments, now):
            return False
        if chosen is None:
            return True
        parts = split_key(key)
        if parts is None:
            return False
        length = None if parts.address is None else settings.network_bits(parts.address.bits)
        return chosen.matches_key(parts, length)

    return keep


def _client_filter(engine: Engine, arguments: ListArguments | ChangeArguments, now: int) -> Keep:
    """Return what tells whether a client is chosen. Raises ControlError, OrderError."""
    chosen = _mail_filter(engine, arguments)
    network = None if chosen is None else chosen.network

    def keep(key: bytes, client: Record) -> bool:
        if not _is_of_age(client[1] or 0, arguments, now):
            return False
        if network is None:
            return True
        address = parse_client_key(key)
        return address is not None and network.has(address)

    return keep


def _mail_filter(engine: Engine, arguments: ListArguments | ChangeArguments) -> MailFilter | None:
    """Return the choice of mail, None for all. Raises ControlError, OrderError."""
    names = ("client", "sender", "recipient")
    texts = [text_of(name, getattr(arguments, name)) for name in names]
    if not any(texts):
        return None
    if engine.settings.privacy:
        raise ControlError(
            "the records are hashes (--privacy): they can't be chosen by what they are of", code="refused"
        )
    return make_filter(*texts)


def _is_of_age(seen: int, arguments: ListArguments | ChangeArguments, now: int) -> bool:
    age = now - seen
    return (arguments.older is None or age >= arguments.older) and (arguments.newer is None or age <= arguments.newer)


def _describe_triplet(engine: Engine, key: bytes, triplet: Record) -> dict[str, Any]:
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


def _describe_client(key: bytes, client: Record) -> dict[str, Any]:
    return {"client": to_wire(key.decode("latin-1")), "passes": client[0], "last_seen": client[1]}


def _address(arguments: ClientArguments) -> Address:
    address = parse_address(text_of("client", arguments.client).removeprefix("[").removesuffix("]"))
    if address is None:
        raise ControlError(
            f"the client {arguments.client[:80]!r} is no address, such as 192.0.2.7", code="bad-argument"
        )
    return address


def _need_auto_whitelist(engine: Engine) -> None:
    if not engine.settings.auto_whitelist_clients:
        raise ControlError("there is no auto-whitelist (--auto-whitelist-clients=0)", code="refused")


def _need_choice(arguments: ChangeArguments) -> None:
    if not (arguments.client or arguments.sender or arguments.recipient):
        raise ControlError("which? Name a client, a sender or a recipient", code="bad-argument")


def _whole(record: Record) -> tuple[int, int]:
    return record[0], record[1] or 0
