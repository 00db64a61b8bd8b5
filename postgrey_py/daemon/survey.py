# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts records beside mail: how many there are, and which networks have mail that waits now."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from postgrey_py.daemon.upkeep import Upkeep
from postgrey_py.database.maintenance import walk
from postgrey_py.database.store import Store
from postgrey_py.errors import DatabaseError
from postgrey_py.greylist.keys import divide_key, is_hash
from postgrey_py.greylist.records import is_pending, is_trusted, parse_record
from postgrey_py.greylist.settings import Settings

# Counting takes no more than one part in so many of the time, and a million records a few seconds.
SHARE = 100
SHORTEST_PAUSE_SECONDS = 20.0

MOST_NETWORKS = 10


class PendingNetwork(NamedTuple):
    """A network with triplets that are pending, and when the first of them was seen, in seconds since 1970."""

    triplets: int
    oldest: int
    network: str


@dataclass(frozen=True, slots=True)
class Census:
    """The records at `counted_at`, in seconds since 1970.

    `pending` triplets have not passed, and may still; `hidden` ones of these have no network, because --privacy stores
    hashes. `networks` are those with most of the others, the most first, out of `all_networks`. `trusted` clients are
    on the auto-whitelist.
    """

    counted_at: int
    triplets: int = 0
    clients: int = 0
    trusted: int = 0
    pending: int = 0
    hidden: int = 0
    all_networks: int = 0
    networks: tuple[PendingNetwork, ...] = ()


class Survey:
    """The latest count of a server's records; None in `census` before there is one, and while the database is down."""

    def __init__(self, store: Store, settings: Settings, upkeep: Upkeep, clock: Callable[[], float]) -> None:
        self.census: Census | None = None
        self._store = store
        self._settings = settings
        self._upkeep = upkeep
        self._clock = clock

    async def repeat(self) -> None:
        """Count now and then; returns only by cancellation."""
        while True:
            started = time.monotonic()
            await self.take()
            await asyncio.sleep(max(SHORTEST_PAUSE_SECONDS, SHARE * (time.monotonic() - started)))

    async def take(self) -> None:
        """Count all records once, beside mail."""
        pending = _PendingCount()
        clients = _ClientCount()
        now = int(self._clock())
        try:
            await self._upkeep.in_slices(self._see_triplets(now, pending))
            if self._settings.auto_whitelist_clients:
                await self._upkeep.in_slices(self._see_clients(clients))
        except DatabaseError:
            # The outage has been told of.
            self.census = None
            return
        pending.end_network()
        self.census = Census(
            int(self._clock()),
            pending.triplets,
            clients.clients,
            clients.trusted,
            pending.pending,
            pending.hidden,
            pending.all_networks,
            tuple(sorted(pending.networks, reverse=True)),
        )

    def _see_triplets(self, now: int, count: _PendingCount) -> Iterator[None]:
        for records in walk(self._store.triplets):
            count.triplets += len(records)
            for key, value in records:
                triplet = parse_record(value)
                if is_pending(triplet, now, self._settings):
                    count.add(key, triplet[0])
            yield

    def _see_clients(self, count: _ClientCount) -> Iterator[None]:
        for records in walk(self._store.clients):
            count.clients += len(records)
            count.trusted += sum(is_trusted(parse_record(value), self._settings) for _, value in records)
            yield


@dataclass(slots=True)
class _ClientCount:
    clients: int = 0
    trusted: int = 0


class _PendingCount:
    """Counts pending triplets by network. They come in the order of their keys, so those of a network come together."""

    def __init__(self) -> None:
        self.triplets = self.pending = self.hidden = self.all_networks = 0
        # A heap, the least first.
        self.networks: list[PendingNetwork] = []
        self._network: str | None = None
        self._mails = self._oldest = 0

    def add(self, key: bytes, first_seen: int) -> None:
        """Count a triplet."""
        self.pending += 1
        if is_hash(key):
            self.hidden += 1
            return
        network = divide_key(key.decode("latin-1"))[-1][0]
        if network != self._network:
            self.end_network()
            self._network, self._oldest = network, first_seen
        self._mails += 1
        self._oldest = min(self._oldest, first_seen)

    def end_network(self) -> None:
        """Take the network whose triplets came last for complete."""
        if self._network is not None:
            self.all_networks += 1
            heapq.heappush(self.networks, PendingNetwork(self._mails, self._oldest, self._network))
            if len(self.networks) > MOST_NETWORKS:
                heapq.heappop(self.networks)
        self._network, self._mails = None, 0
