# SPDX-License-Identifier: GPL-2.0-or-later
"""Database keys: what 1.37 stores a triplet and a client under, byte for byte, and how a key comes apart again.

Keys are made by `policy` for every request, and taken apart by the commands that show records or look them up.

What stands for the client in the key of a triplet, before `/SENDER/RECIPIENT`:

    192.0.2.0       its network, as 1.37 writes it by subnet; or, from early versions, an address
    192.0.2.7/32    its address, as 1.37 writes it by host
    192.0.2.0/24    its network, as Debian's 1.36-5 writes it by subnet

With --privacy a key is the SHA-1 of such a key in hex, which nobody can take apart.
"""

from __future__ import annotations

import enum
import re
from hashlib import sha1
from typing import NamedTuple

from postgrey_py.greylist.address import Address, parse_address
from postgrey_py.greylist.settings import Settings

# How a key begins whose client is a domain.
DOMAIN = "domain:"

_BATV_TAG = re.compile(r"[0-9a-z]{10}")
_NUMBER = re.compile(r"\b\d+\b", re.ASCII)
_HASH = re.compile(rb"[0-9a-f]{40}")
# What may be a mask. Sender and recipient must still follow.
_MASK = re.compile(r"(\d{1,3})/(?=.*/)", re.ASCII | re.DOTALL)


def rewrite_sender(sender: str) -> str:
    """The sender without what changes from mail to mail: BATV tags, extensions and numbers."""
    user, at, domain = sender.partition("@")
    if not at:
        return sender
    if user.startswith("prvs="):
        user = _strip_batv(user)
    user = user.partition("+")[0]
    return f"{_NUMBER.sub('#', user)}@{domain}"


def _strip_batv(user: str) -> str:
    """The user of `prvs=TAG=USER` or `prvs=USER=TAG` (both orders are seen); anything else unchanged."""
    # 1.37: empty parts at the end do not count, as Perl's split has it.
    parts = user.rstrip("=").split("=")
    if len(parts) != 3:
        return user
    _, second, third = parts
    if _BATV_TAG.match(third) and not _BATV_TAG.match(second):
        return second
    return third


def client_network(address: Address, settings: Settings) -> str:
    """The part of the triplet key that stands for the client: its network, or itself with mask by host."""
    if settings.lookup_by_host:
        # 1.37: with the mask, which by subnet has not.
        return f"{address.text()}/{address.bits}"
    return address.network(settings.network_bits(address.bits))


def triplet_key(address: Address, sender: str, recipient: str, settings: Settings) -> bytes:
    """The key of a triplet in postgrey.db; `sender` as it came."""
    key = f"{client_network(address, settings)}/{rewrite_sender(sender)}/{recipient}"
    # bytes.lower() changes ASCII letters only, as Perl does to bytes; str.lower() would change others too.
    octets = key.encode("latin-1").lower()
    return _hash_of(octets) if settings.privacy else octets


def client_key(address: Address, settings: Settings) -> bytes:
    """The key of a client in postgrey_clients.db."""
    # 1.37: not lower-cased, so that IPv6 clients have capital letters here and small ones in triplets.
    key = address.text().encode("ascii")
    return _hash_of(key) if settings.privacy else key


def domain_triplet_key(domain: str, sender: str, recipient: str, settings: Settings) -> bytes:
    """The key of a triplet whose client is any machine of this domain, where --lookup-by-domain knows those as one."""
    octets = f"{DOMAIN}{domain}/{rewrite_sender(sender)}/{recipient}".encode("latin-1").lower()
    return _hash_of(octets) if settings.privacy else octets


def domain_client_key(domain: str, settings: Settings) -> bytes:
    """The key of all machines of a domain in postgrey_clients.db."""
    key = f"{DOMAIN}{domain}".encode("latin-1")
    return _hash_of(key) if settings.privacy else key


def _hash_of(key: bytes) -> bytes:
    return sha1(key, usedforsecurity=False).hexdigest().encode("ascii")


class KeyForm(enum.Enum):
    """The form in which a triplet's key names the client."""

    BARE = "an address without mask: that of a network, as a rule"
    HOST = "an address with the mask of a single one"
    NETWORK = "the address of a network with its mask"
    OTHER = "something that is no address"


class TripletKey(NamedTuple):
    """The key of a triplet in its parts, Latin-1 text as the key has it.

    `network` is what stands for the client, without mask; `address` is None where it is no address; `bits` is the mask.
    """

    form: KeyForm
    network: str
    address: Address | None
    bits: int | None
    sender: str
    recipient: str


def is_hash(key: bytes) -> bool:
    """Whether the key is what --privacy makes of one."""
    return _HASH.fullmatch(key) is not None


def split_key(key: bytes) -> TripletKey | None:
    """Take the key of a triplet apart; None where it is no such key, or a hash.

    A sender may have slashes in it, and a recipient too; what is before an `@` belongs to it, and no domain has one.
    """
    client, correspondents = divide_key(key.decode("latin-1"))[-1]
    network, _, mask = client.partition("/")
    slash = _end_of_sender(correspondents)
    if slash < 0:
        return None
    address, bits = parse_address(network), int(mask) if mask else None
    if address is None:
        form = KeyForm.OTHER
    elif bits is None:
        form = KeyForm.BARE
    else:
        form = KeyForm.HOST if bits == address.bits else KeyForm.NETWORK
    return TripletKey(form, network, address, bits, correspondents[:slash], correspondents[slash + 1 :])


def _end_of_sender(correspondents: str) -> int:
    """Return where the slash behind the sender is, or -1 where there is none."""
    at = correspondents.find("@")
    slash = correspondents.find("/", at) if at >= 0 else -1
    if slash >= 0:
        return slash
    # One of both at most has a domain, and it is the recipient who has, as a rule; without a sender it comes first.
    return 0 if correspondents.startswith("/") else correspondents.rfind("/")


def divide_key(key: str) -> tuple[tuple[str, str], ...]:
    """Return what the key has for the client, with `SENDER/RECIPIENT` behind it; the likely reading comes last.

    There are two readings where a mask follows the client, since a sender may begin like one.
    """
    network, _, correspondents = key.partition("/")
    bare = (network, correspondents)
    mask = _MASK.match(correspondents)
    if mask is None:
        return (bare,)
    address = parse_address(network)
    if address is None or int(mask[1]) > address.bits:
        return (bare,)
    return bare, (f"{network}/{mask[1]}", correspondents[mask.end() :])


def possible_networks(address: Address, settings: Settings, is_lookup_known: bool) -> tuple[str, ...]:
    """Return all that may stand for this client in keys: as these settings have it and as other versions wrote it.

    Unless the look-up is known to be by host or by subnet as `settings` say, it may be either.
    """
    length = settings.network_bits(address.bits)
    # Earlier versions wrote no mask, and --ipv4cidr=32 does not either.
    by_host = [address.text(), f"{address.text()}/{address.bits}"]
    by_subnet = [address.network(length), f"{address.network(length)}/{length}"]
    if is_lookup_known:
        found = by_host if settings.lookup_by_host else by_subnet
    else:
        found = [by_host[0], by_subnet[0], by_host[1], by_subnet[1]]
    return tuple(dict.fromkeys(name.lower() for name in found))


def parse_client_key(key: bytes) -> Address | None:
    """Return the address that a client is stored under; None where that is a hash, or something else.

    Debian's 1.36-5 writes the mask of a single address behind it.
    """
    text, slash, mask = key.decode("latin-1").partition("/")
    address = parse_address(text)
    return address if address is None or not slash or mask == str(address.bits) else None
