# SPDX-License-Identifier: GPL-2.0-or-later
"""The standing of a triplet's mail: it has passed, would pass at once by now, or is still waiting.

A record tells when its triplet was seen, and nothing of mail that passed later because of the auto-whitelist or a
whitelist: for those, the other database and the lists are asked. Called by `search`.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import NamedTuple

from postgrey_py.greylist.address import Address
from postgrey_py.greylist.keys import TripletKey, parse_client_key
from postgrey_py.greylist.list_lines import Line, without_comment
from postgrey_py.greylist.networks import Network, NetworkError, read_networks
from postgrey_py.greylist.records import Record, has_passed, is_trusted, parse_record
from postgrey_py.greylist.settings import Settings
from postgrey_py.greylist.whitelists import ClientList, RecipientList, Watch

PENDING, PASSED, TRUSTED, WHITELISTED = "pending", "passed", "trusted", "whitelisted"
STATES = (PENDING, WHITELISTED, TRUSTED, PASSED)

_REMEMBERED_ANSWERS = 65536

# A network: addresses of so many bits, the length of the part they have in common, and that part.
_Network = tuple[int, int, int]


class Standing(NamedTuple):
    """A state, and the line of a list or the client that is the reason for it, if there is one."""

    state: str
    reason: str | None = None


class Trusted(NamedTuple):
    """A client on the auto-whitelist."""

    address: Address
    passes: int
    last_seen: int


class Standings:
    """Finds the standing of triplets, by the server's settings, the records of clients, and the lines of its lists."""

    def __init__(
        self,
        settings: Settings,
        clients: Iterable[tuple[bytes, bytes]],
        client_lines: Sequence[Line],
        recipient_lines: Sequence[Line],
    ) -> None:
        self._settings = settings
        self._trusted = list(_trusted_clients(clients, settings))
        self._trusted_in: dict[tuple[int, int], dict[int, Trusted]] = {}
        watch = Watch(time.thread_time)
        self._clients = ClientList(client_lines, watch)
        self._recipients = RecipientList(recipient_lines, watch)
        self._single_clients = [(line, network) for line in client_lines for network in _networks_in(line)]
        self._find_client_line = lru_cache(_REMEMBERED_ANSWERS)(self._client_line)

    def of(self, key: TripletKey, record: Record, name: str | None = None) -> Standing:
        """Return how the mail of this triplet stands; `name` is that of the client, if it is known."""
        if has_passed(record, self._settings.delay):
            return Standing(PASSED)
        line = self._recipients.match(key.recipient)
        network = network_of(key, self._settings)
        if line is None and network is not None:
            line = self._find_client_line(name or "", network)
        if line is not None:
            return Standing(WHITELISTED, f"{line.file} line {line.number}")
        trusted = self._find_trusted(network, record) if network is not None else None
        if trusted is not None:
            return Standing(TRUSTED, f"{trusted.address.text().lower()}, count {trusted.passes}")
        return Standing(PENDING)

    def _find_trusted(self, network: _Network, record: Record) -> Trusted | None:
        bits, length, value = network
        among = self._trusted_in.get((bits, length))
        if among is None:
            # Of several in one network, the one that was seen last counts.
            clients = sorted((c for c in self._trusted if c.address.bits == bits), key=lambda c: c.last_seen)
            among = {client.address.value >> (bits - length): client for client in clients}
            self._trusted_in[bits, length] = among
        found = among.get(value)
        if found is None or length == bits:
            return found
        # One that was trusted before this mail was deferred would not have been deferred: it was a neighbour.
        last_seen = record[0] if record[1] is None else record[1]
        return found if found.last_seen >= last_seen else None

    def _client_line(self, name: str, network: _Network) -> Line | None:
        bits, length, value = network
        listed = self._clients.match(name, Address(value << (bits - length), bits))
        if listed is not None:
            return listed
        # Of a client in a network, an entry may name the address.
        return next((line for line, single in self._single_clients if _is_within(single, network)), None)


def network_of(key: TripletKey, settings: Settings) -> _Network | None:
    """Return the network, or the single address, that a key has for the client; None where it has something else."""
    if key.address is None:
        return None
    bits = key.address.bits
    length = key.bits if key.bits is not None else _bare_length(key.address, settings)
    return bits, length, key.address.value >> (bits - length)


def shown_network(key: TripletKey, settings: Settings) -> int | None:
    """Return the length of the network that a key has for the client, None where that is a single address."""
    network = network_of(key, settings)
    return None if network is None or network[0] == network[1] else network[1]


def _bare_length(address: Address, settings: Settings) -> int:
    """Return the mask of an address without one: all bits where it can't be a network of the usual size."""
    length = settings.network_bits(address.bits)
    return length if address.value & ((1 << (address.bits - length)) - 1) == 0 else address.bits


def _trusted_clients(clients: Iterable[tuple[bytes, bytes]], settings: Settings) -> Iterable[Trusted]:
    for key, value in clients:
        passes, last_seen = record = parse_record(value)
        address = parse_client_key(key) if is_trusted(record, settings) else None
        if address is not None:
            yield Trusted(address, passes, last_seen or 0)


def _networks_in(line: Line) -> list[Network]:
    """The networks and addresses that the entry of a line stands for."""
    try:
        networks = read_networks(without_comment(line))
    except NetworkError:
        return []
    return networks.networks if networks is not None else []


def _is_within(inner: Network, outer: _Network) -> bool:
    bits, length, value = outer
    return inner.bits == bits and inner.length >= length and inner.value >> (inner.length - length) == value
