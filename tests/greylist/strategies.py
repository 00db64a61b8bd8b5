# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses, and text of any bytes, at random."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from postgrey_py.greylist.address import IPV4_BITS, IPV6_BITS, Address, parse_address

untimed = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

latin1 = st.binary(max_size=40).map(lambda octets: octets.decode("latin-1"))
ipv4_values = st.integers(0, 2**32 - 1)
# Written as IPv6, an IPv4-mapped address is read as the IPv4 address that it carries.
ipv6_values = st.integers(0, 2**128 - 1).filter(lambda value: value >> 32 != 0xFFFF)
addresses = ipv4_values.map(lambda value: Address(value, IPV4_BITS)) | ipv6_values.map(
    lambda value: Address(value, IPV6_BITS)
)


def address(text: str) -> Address:
    """The address written like this."""
    parsed = parse_address(text)
    assert parsed is not None, text
    return parsed
