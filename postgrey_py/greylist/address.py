# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses of clients: read as Postfix sends them, written as 1.37 has them in its keys."""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple

IPV4_BITS = 32
IPV6_BITS = 128

_MAPPED_PREFIX = bytes(10) + b"\xff\xff"


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
