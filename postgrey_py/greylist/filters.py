# SPDX-License-Identifier: GPL-2.0-or-later
"""Filters of mail by client, sender and recipient, for requests and for the keys of triplets.

A client is an address or a network (`192.0.2.7`, `2001:db8::/32`); among requests it may also be a name, with `*` and
`?`, and among keys a domain, `domain:example.com`. A correspondent is an address or a domain, which stands for those
below it too, with `*` and `?`; `<>` is nobody.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import translate

from postgrey_py.errors import OrderError
from postgrey_py.greylist.address import Address, parse_address
from postgrey_py.greylist.keys import DOMAIN, TripletKey, rewrite_sender
from postgrey_py.greylist.list_lines import quote
from postgrey_py.greylist.lowercase import ascii_lower
from postgrey_py.greylist.request import Request

NOBODY = "<>"
ADDRESS_FORM = "an address or a network, such as 192.0.2.7, 192.0.2.0/24 or 2001:db8::/32"

_ADDRESS = re.compile(r"\[?[0-9a-f:.]*[:.][0-9a-f:.]*\]?", re.IGNORECASE)

Accepts = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Network:
    """All addresses whose first `length` bits are those of this one."""

    address: Address
    length: int

    def has(self, address: Address, length: int | None = None) -> bool:
        """Whether this address is in the network; of a network of that length, whether the two overlap."""
        if address.bits != self.address.bits:
            return False
        shift = address.bits - min(self.length, address.bits if length is None else length)
        return address.value >> shift == self.address.value >> shift


@dataclass(frozen=True, slots=True)
class MailFilter:
    """A choice of mail; None stands for any. Made by `make_filter`."""

    network: Network | None = None
    name: Accepts | None = None
    sender: Accepts | None = None
    recipient: Accepts | None = None
    # As keys have it: `domain:example.com`.
    domain: str | None = None

    def matches_request(self, request: Request) -> bool:
        """Whether this mail is meant."""
        if self.network is not None:
            address = parse_address(request.client_address)
            if address is None or not self.network.has(address):
                return False
        return (
            (self.name is None or self.name(request.client_name))
            and (self.sender is None or self.sender(rewrite_sender(request.sender)))
            and (self.recipient is None or self.recipient(request.recipient))
        )

    def matches_key(self, key: TripletKey, length: int | None) -> bool:
        """Whether the triplet of this key is meant. Keys without a mask are of networks of this length."""
        if self.domain is not None and key.network != self.domain:
            return False
        if self.network is not None and (
            key.address is None or not self.network.has(key.address, length if key.bits is None else key.bits)
        ):
            return False
        return (self.sender is None or self.sender(key.sender)) and (
            self.recipient is None or self.recipient(key.recipient)
        )


def make_filter(client: str = "", sender: str = "", recipient: str = "", *, may_name: bool = False) -> MailFilter:
    """Return the filter of these texts, of which an empty one stands for any; `may_name`: the client may be a name.

    Raises OrderError, which says what is wrong and what the right form is.
    """
    network, name, domain = None, None, None
    if client and not may_name and ascii_lower(client).startswith(DOMAIN):
        domain = ascii_lower(client)
    elif client:
        is_address = bool(_ADDRESS.fullmatch(client.partition("/")[0]))
        if may_name and not is_address and "/" not in client:
            name = _matcher(client)
        else:
            network = parse_network(client)
    return MailFilter(
        network,
        name,
        _read_correspondent("sender", sender, rewrite_sender) if sender else None,
        _read_correspondent("recipient", recipient, str) if recipient else None,
        domain,
    )


def parse_network(text: str) -> Network:
    """Return the network, or the network of one address, that is written so. Raises OrderError."""
    start, slash, length = text.strip().removeprefix("[").partition("/")
    address = parse_address(start.removesuffix("]"))
    if address is None:
        raise OrderError(f"client {quote(text)}: not {ADDRESS_FORM}")
    if not slash:
        return Network(address, address.bits)
    if not re.fullmatch(r"\d{1,3}", length, re.ASCII) or int(length) > address.bits:
        raise OrderError(f"client {quote(text)}: the length of the network is a number from 0 to {address.bits}")
    return Network(address, int(length))


def _read_correspondent(what: str, text: str, rewrite: Callable[[str], str]) -> Accepts:
    """Return what tells whether an address is meant. Raises OrderError."""
    text = ascii_lower(text.strip())
    if text == NOBODY:
        return lambda address: not address
    user, at, domain = text.rpartition("@")
    if not text or " " in text or "/" in text or (at and not domain) or "@" in user:
        raise OrderError(
            f"{what} {quote(text)}: not an address or a domain, such as bob@example.org, example.org, *@*.example.org,"
            f" or {NOBODY} for nobody"
        )
    if at:
        return _matcher(rewrite(text))
    is_domain, is_below = _matcher(domain), _matcher(f"*.{domain}")

    def accepts(address: str) -> bool:
        found = address.rpartition("@")[2]
        return is_domain(found) or is_below(found)

    return accepts


def _matcher(glob: str) -> Accepts:
    search = re.compile(translate(ascii_lower(glob).replace("[", "[[]"))).match
    return lambda text: search(ascii_lower(text)) is not None
