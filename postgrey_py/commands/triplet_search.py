# SPDX-License-Identifier: GPL-2.0-or-later
"""The records of the database that a search wants, and their order. Called by `search`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from postgrey_py.commands.formats import address_text, printable
from postgrey_py.commands.standing import PENDING, Standing, Standings, shown_network
from postgrey_py.commands.user_patterns import UserPattern
from postgrey_py.greylist.address import Address
from postgrey_py.greylist.keys import TripletKey, is_hash, split_key
from postgrey_py.greylist.records import Record, parse_record
from postgrey_py.greylist.settings import Settings

# Every state is wanted.
ALL = "all"

FIRST, KEY = "first", "key"
ORDERS = (FIRST, "last", KEY)

# So many keys that are none of a triplet are shown.
STRANGE_SHOWN = 3


class Triplet(NamedTuple):
    """A record of postgrey.db. `client` is how the client is shown."""

    key: TripletKey
    record: Record
    client: str

    @property
    def first_seen(self) -> int:
        return self.record[0]

    @property
    def last_seen(self) -> int:
        return self.record[0] if self.record[1] is None else self.record[1]

    @property
    def sender(self) -> str:
        """The sender, safe to print."""
        return printable(self.key.sender.encode("latin-1"))

    @property
    def recipient(self) -> str:
        """The recipient, safe to print."""
        return printable(self.key.recipient.encode("latin-1"))


class ClientRange(NamedTuple):
    """A client, or all clients of a network of `bits` bits. Keys by subnet are of networks of `key_bits`."""

    address: Address
    bits: int
    key_bits: int

    def owns(self, key: TripletKey) -> bool:
        """Whether the key is of this client or network, or may be, as far as it tells."""
        if key.address is None or key.address.bits != self.address.bits:
            return False
        bits = min(self.bits, self.key_bits if key.bits is None else key.bits)
        host_bits = self.address.bits - bits
        return key.address.value >> host_bits == self.address.value >> host_bits


@dataclass(frozen=True, slots=True)
class Query:
    """The wanted triplets, apart from their state; None is any."""

    recipient: UserPattern | None
    sender: UserPattern | None
    client: ClientRange | UserPattern | None

    def accepts(self, key: TripletKey) -> bool:
        """Whether sender, recipient and address of the client are wanted."""
        if self.recipient is not None and not self.recipient.finds(key.recipient):
            return False
        if self.sender is not None and not self.sender.finds(key.sender):
            return False
        return not isinstance(self.client, ClientRange) or self.client.owns(key)

    def accepts_name(self, triplet: Triplet, name: str | None) -> bool:
        """Whether the client is wanted, given its name."""
        if not isinstance(self.client, UserPattern):
            return True
        texts = (triplet.client, address_text(triplet.key.address) if triplet.key.address else "", name or "")
        return any(self.client.finds(text) for text in texts if text)

    def complaints(self) -> list[str]:
        """Return the complaint about patterns that took too long."""
        patterns = (self.recipient, self.sender, self.client)
        found = (pattern.complaint() for pattern in patterns if isinstance(pattern, UserPattern))
        return [complaint for complaint in found if complaint is not None]


class Search:
    """Goes over the database once, and keeps what is wanted in its shortest form, for there may be much of it.

    `addresses` are those of which the names are wanted: of single clients. `others` counts, by state, what the query
    accepts and is in another state than the wanted one.
    """

    def __init__(self, query: Query, state: str, standings: Standings, settings: Settings) -> None:
        self.state = state
        self.addresses: dict[str, None] = {}
        self.others: Counter[str] = Counter()
        self._query = query
        self._standings = standings
        self._settings = settings
        self._found: list[tuple[bytes, bytes]] = []
        self._hashes = 0
        self._strange: list[bytes] = []
        self._strange_count = 0

    def read(self, records: Iterable[tuple[bytes, bytes]], can_change: bool) -> None:
        """Look at these records; with `can_change` a name that is found out later may change the state."""
        for octets, value in records:
            key = split_key(octets)
            if key is None:
                self._count_strange(octets)
            elif self._query.accepts(key):
                triplet = self._triplet(key, value)
                state = self._standings.of(key, triplet.record).state
                is_single = key.address is not None and shown_network(key, self._settings) is None
                if self._is_wanted(state) or (state == PENDING and is_single and can_change):
                    self._found.append((octets, value))
                    if is_single:
                        self.addresses[triplet.client] = None
                else:
                    self.others[state] += 1

    def results(self, names: Mapping[str, str], order: str) -> Iterator[tuple[Triplet, Standing]]:
        """Yield the wanted triplets, chosen by the names of clients, in one of ORDERS."""
        if order != KEY:
            self._found.sort(key=lambda found: _time(found[1], order))
        for octets, value in self._found:
            key = split_key(octets)
            if key is None:
                continue
            triplet = self._triplet(key, value)
            name = names.get(triplet.client)
            standing = self._standings.of(key, triplet.record, name)
            if not self._query.accepts_name(triplet, name):
                continue
            if self._is_wanted(standing.state):
                yield triplet, standing
            else:
                self.others[standing.state] += 1

    def complaints(self) -> Iterator[str]:
        """Return the complaint about records that nothing can be found in."""
        if self._hashes:
            yield f"hashes (--privacy), in which nothing can be found: {self._hashes} records"
        if self._strange_count:
            shown = ", ".join(printable(key) or "an empty key" for key in self._strange)
            yield f"keys that are none of a triplet: {self._strange_count} records, such as {shown}"

    def _is_wanted(self, state: str) -> bool:
        return self.state in (state, ALL)

    def _count_strange(self, key: bytes) -> None:
        if is_hash(key):
            self._hashes += 1
        else:
            self._strange_count += 1
            if len(self._strange) < STRANGE_SHOWN:
                self._strange.append(key)

    def _triplet(self, key: TripletKey, value: bytes) -> Triplet:
        client = address_text(key.address) if key.address else printable(key.network.encode("latin-1"))
        length = shown_network(key, self._settings)
        return Triplet(key, parse_record(value), client if length is None else f"{client}/{length}")


def _time(value: bytes, order: str) -> int:
    first_seen, last_seen = parse_record(value)
    return first_seen if order == FIRST or last_seen is None else last_seen
