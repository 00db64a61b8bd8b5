# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads how people write addresses and networks in lists: with a mask, as a range, with stars, in brackets."""

from __future__ import annotations

import re
from typing import NamedTuple

import netaddr

from postgrey_py.errors import PostgreyError
from postgrey_py.greylist.address import IPV4_BITS, IPV6_BITS

_IPV4_ENTRY = re.compile(r"(\d{1,3}(?:\.\d{1,3}){1,3})(/\d{1,2})?", re.ASCII)
_IPV6_ENTRY = re.compile(r".*:.*:.*")
_NUMERIC_ENTRY = re.compile(r"[\d./]+", re.ASCII)
_NETMASK_ENTRY = re.compile(r"(\d+\.\d+\.\d+\.\d+)/(\d+\.\d+\.\d+\.\d+)", re.ASCII)
_STARS_ENTRY = re.compile(r"(\d{1,3}(?:\.\d{1,3}){0,2})((?:\.\*){1,3})", re.ASCII)
_RANGE_ENTRY = re.compile(r"([\d.]{7,}|[\da-fA-F.:]*:[\da-fA-F.:]*)-([\d.]+|[\da-fA-F.:]*:[\da-fA-F.:]*)", re.ASCII)
_IN_BRACKETS = re.compile(r"\[(?:ipv6:)?([\da-f.:/]+)\](/[\d.]+)?", re.ASCII | re.IGNORECASE)
# SPF's mechanisms, and what resembles them.
_PREFIX = re.compile(r"\+?(?:ip|ipv)[46]?:(?=[\[\da-f:])", re.ASCII | re.IGNORECASE)

_MAPPED = 0xFFFF


class NetworkError(PostgreyError):
    """An entry is meant for a network, but is none."""


class Network(NamedTuple):
    """The first `length` bits of addresses of so many `bits`."""

    value: int
    bits: int
    length: int


class Networks(NamedTuple):
    """The networks that an entry stands for; and a network as it is taken, where that is not what was written."""

    networks: list[Network]
    taken_as: str | None = None


def read_networks(entry: str) -> Networks | None:
    """The networks that this entry stands for; None where it is no network. Raises NetworkError with the reason."""
    plain = _PREFIX.sub("", entry, count=1)
    if bracketed := _IN_BRACKETS.fullmatch(plain):
        plain = bracketed[1] + (bracketed[2] or "")
    if ipv4 := _IPV4_ENTRY.fullmatch(plain):
        return _read_ipv4(ipv4[1], ipv4[2], entry)
    if netmask := _NETMASK_ENTRY.fullmatch(plain):
        return _make_networks(f"{netmask[1]}/{_length_of(netmask[2], entry)}", entry)
    if stars := _STARS_ENTRY.fullmatch(plain):
        return _read_stars(stars[1], stars[2], entry)
    if found := _RANGE_ENTRY.fullmatch(plain):
        return _read_range(found[1], found[2], entry)
    if _IPV6_ENTRY.fullmatch(plain) and not re.match(r"\w+://", plain):
        return _make_networks(plain, entry)
    if _NUMERIC_ENTRY.fullmatch(plain):
        # unlike 1.37, which takes these for domain names that no client ever has.
        raise NetworkError(f"{entry} is no network: write two to four numbers, or all four and /mask")
    return None


def _read_ipv4(numbers: str, mask: str | None, entry: str) -> Networks:
    """An IPv4 address or network, of which two or three numbers are a /16 or /24."""
    given = numbers.count(".") + 1
    if given < 4 and mask is not None:
        raise NetworkError(f"{entry} is no network: write all four numbers before the mask")
    # netaddr 0.8 and 1.x read short forms differently, so they are written out here.
    text = numbers + ".0" * (4 - given) + (mask or f"/{8 * given}")
    return _make_networks(text, entry)


def _read_stars(numbers: str, stars: str, entry: str) -> Networks:
    given = numbers.count(".") + 1
    if given + stars.count("*") > 4:
        raise NetworkError(f"{entry} is not a valid address or network")
    return _make_networks(f"{numbers}{'.0' * (4 - given)}/{8 * given}", entry)


def _length_of(mask: str, entry: str) -> int:
    """The length of the prefix that a mask of four numbers stands for."""
    try:
        address = netaddr.IPAddress(mask, flags=netaddr.INET_PTON)
    except (netaddr.AddrFormatError, ValueError):
        raise NetworkError(f"{entry} is not a valid address or network") from None
    if address.is_hostmask() and not address.is_netmask():
        length = IPV4_BITS - int(address).bit_length()
        raise NetworkError(f"{mask} is no mask: write {entry.partition('/')[0]}/{length}")
    if not address.is_netmask():
        raise NetworkError(f"{mask} is no mask: write the number of bits, from 0 to 32")
    return int(address).bit_count()


def _read_range(first: str, last: str, entry: str) -> Networks:
    if last.isdigit():
        last = f"{first.rpartition('.')[0]}.{last}"
    try:
        ends = [netaddr.IPAddress(end, flags=netaddr.INET_PTON) for end in (first, last)]
        cidrs = netaddr.iprange_to_cidrs(*ends)
        if ends[0] > ends[1] or ends[0].version != ends[1].version:
            raise ValueError(entry)
    except (netaddr.AddrFormatError, ValueError, TypeError):
        raise NetworkError(f"{entry} is not a valid range of addresses: write the smaller one first") from None
    return Networks([_make_network(cidr) for cidr in cidrs])


def _make_networks(text: str, entry: str) -> Networks:
    """The network of an address with or without /length."""
    address, slash, length = text.partition("/")
    try:
        # The address on its own first: IPNetwork would read it in ways that differ from netaddr 0.8 to 1.x.
        given = netaddr.IPAddress(address, flags=netaddr.INET_PTON)
        if slash and not (length.isascii() and length.isdigit()):
            raise ValueError(f"/{length} is no prefix length")
        network = netaddr.IPNetwork(text)
    except (netaddr.AddrFormatError, ValueError):
        raise NetworkError(f"{entry} is not a valid address or network") from None
    taken_as = f"{network.network}/{network.prefixlen}" if int(given) != network.first else None
    return Networks([_make_network(network)], taken_as)


def _make_network(network: netaddr.IPNetwork) -> Network:
    value, length = network.first, int(network.prefixlen)
    bits = IPV4_BITS if network.version == 4 else IPV6_BITS
    if bits == IPV6_BITS and length >= IPV6_BITS - IPV4_BITS and value >> IPV4_BITS == _MAPPED:
        bits, length, value = IPV4_BITS, length - (IPV6_BITS - IPV4_BITS), value - (_MAPPED << IPV4_BITS)
    return Network(value >> (bits - length), bits, length)
