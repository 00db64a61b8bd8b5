# SPDX-License-Identifier: GPL-2.0-or-later
"""Database keys: what 1.37 stores a triplet and a client under, byte for byte.

Called by `policy` for every request and by the commands that look records up.
"""

from __future__ import annotations

import re
from hashlib import sha1
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple

from postgrey_py.greylist.settings import Settings

IPV4_BITS = 32
IPV6_BITS = 128

_MAPPED_PREFIX = bytes(10) + b"\xff\xff"
_BATV_TAG = re.compile(r"[0-9a-z]{10}")
_NUMBER = re.compile(r"\b\d+\b", re.ASCII)


class Address(NamedTuple):
    """An IPv4 or IPv6 address: `value` as a number of `bits` bits (32 or 128)."""

    value: int
    bits: int

    def text(self) -> str:
        """The address as 1.37 writes it: IPv6 in full, without compression or leading zeros, in capitals."""
        return format_address(self.value, self.bits)

    def network(self, prefix_length: int) -> str:
        """The address of the network of `prefix_length` bits that this address is in, written like `text()`."""
        host_bits = self.bits - prefix_length
        return format_address(self.value >> host_bits << host_bits, self.bits)


def format_address(value: int, bits: int) -> str:
    """The address with this value of `bits` bits, as 1.37 writes it."""
    if bits == IPV4_BITS:
        return inet_ntop(AF_INET, value.to_bytes(4, "big"))
    return ":".join(f"{value >> shift & 0xFFFF:X}" for shift in range(112, -1, -16))


def parse_address(text: str) -> Address | None:
    """The address written as `text`, or None where it is none (Postfix sends `unknown` at times).

    Unlike 1.37 names are never looked up, and an IPv4-mapped IPv6 address is the IPv4 address it carries.
    """
    try:
        if ":" not in text:
            return Address(int.from_bytes(inet_pton(AF_INET, text), "big"), IPV4_BITS)
        packed = inet_pton(AF_INET6, text)
    except (OSError, ValueError):
        return None
    if packed.startswith(_MAPPED_PREFIX):
        return Address(int.from_bytes(packed[12:], "big"), IPV4_BITS)
    return Address(int.from_bytes(packed, "big"), IPV6_BITS)


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
    return address.network(settings.ipv4cidr if address.bits == IPV4_BITS else settings.ipv6cidr)


def triplet_key(address: Address, sender: str, recipient: str, settings: Settings) -> bytes:
    """The key of a triplet in postgrey.db; `sender` as it came."""
    key = f"{client_network(address, settings)}/{rewrite_sender(sender)}/{recipient}"
    # bytes.lower() changes ASCII letters only, as Perl does to bytes; str.lower() would change others too.
    return _hashed(key.encode("latin-1").lower(), settings)


def client_key(address: Address, settings: Settings) -> bytes:
    """The key of a client in postgrey_clients.db."""
    # 1.37: not lower-cased, so that IPv6 clients have capital letters here and small ones in triplets.
    return _hashed(address.text().encode("ascii"), settings)


def _hashed(key: bytes, settings: Settings) -> bytes:
    return sha1(key, usedforsecurity=False).hexdigest().encode("ascii") if settings.privacy else key
