# SPDX-License-Identifier: GPL-2.0-or-later
"""The ways in which people write addresses and networks."""

from __future__ import annotations

import pytest

from postgrey_py.greylist.networks import Network, NetworkError, read_networks


def read(entry: str) -> list[Network]:
    found = read_networks(entry)
    assert found is not None
    return found.networks


@pytest.mark.parametrize(
    ("entry", "value", "bits", "length"),
    [
        ("0.0.0.0", 0, 32, 32),
        ("255.255.255.255", 0xFFFFFFFF, 32, 32),
        ("192.0", 0xC000, 32, 16),
        ("192.0.2", 0xC00002, 32, 24),
        ("192.0.2.0/24", 0xC00002, 32, 24),
        ("0.0.0.0/0", 0, 32, 0),
        ("192.0.2.7/32", 0xC0000207, 32, 32),
        ("192.0.2.0/255.255.255.0", 0xC00002, 32, 24),
        ("192.0.2.*", 0xC00002, 32, 24),
        ("192.*.*.*", 0xC0, 32, 8),
        ("192.*", 0xC0, 32, 8),
        ("[192.0.2.7]", 0xC0000207, 32, 32),
        ("[192.0.2.0]/24", 0xC00002, 32, 24),
        ("ip4:192.0.2.0/24", 0xC00002, 32, 24),
        ("+ip4:192.0.2.7", 0xC0000207, 32, 32),
        ("::", 0, 128, 128),
        ("::/0", 0, 128, 0),
        ("2001:DB8::/32", 0x20010DB8, 128, 32),
        ("[IPv6:2001:db8::]/32", 0x20010DB8, 128, 32),
        ("::ffff:192.0.2.7", 0xC0000207, 32, 32),
        ("::ffff:192.0.2.0/120", 0xC00002, 32, 24),
        ("::ffff:0:0/96", 0, 32, 0),
        # One bit less, and it is more than the mapped addresses.
        ("::fffe:0:0/95", 0xFFFE >> 1, 128, 95),
    ],
)
def test_an_entry_is_one_network(entry: str, value: int, bits: int, length: int) -> None:
    assert read(entry) == [Network(value, bits, length)]


def test_a_range_is_several_networks() -> None:
    assert read("192.0.2.1-192.0.2.4") == [
        Network(0xC0000201, 32, 32),
        Network(0xC0000202 >> 1, 32, 31),
        Network(0xC0000204, 32, 32),
    ]
    assert read("192.0.2.0-255") == [Network(0xC00002, 32, 24)]
    assert read("192.0.2.7-192.0.2.7") == [Network(0xC0000207, 32, 32)]


@pytest.mark.parametrize(
    ("entry", "taken_as"),
    [
        ("192.0.2.0/24", None),
        ("192.0.2.1/24", "192.0.2.0/24"),
        ("2a01:111:f400:7c00::/48", "2a01:111:f400::/48"),
        ("192.0.2.7", None),
    ],
)
def test_bits_of_a_host_are_told(entry: str, taken_as: str | None) -> None:
    found = read_networks(entry)
    assert found is not None
    assert found.taken_as == taken_as


@pytest.mark.parametrize(
    "entry", ["", "example.com", "192.0.2.7.example", "a:b", "http://a:b:c", "*", "host-1", "192.0.2.0.*"]
)
def test_what_is_no_network_is_none(entry: str) -> None:
    assert read_networks(entry) is None


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("192", "write two to four numbers"),
        ("192.0.2/24", "write all four numbers before the mask"),
        ("192.0.2.256", "not a valid address"),
        ("192.0.2.0/33", "not a valid address"),
        ("192.0.*.*.*", "not a valid address"),
        ("2001:db8::/129", "not a valid address"),
        ("2001:db8::/x", "not a valid address"),
        ("192.0.2.0/0.0.0.255", "0.0.0.255 is no mask: write 192.0.2.0/24"),
        ("192.0.2.0/255.0.255.0", "write the number of bits, from 0 to 32"),
        ("192.0.2.8-192.0.2.7", "write the smaller one first"),
        ("192.0.2.8-2001:db8::", "write the smaller one first"),
        ("192.0.2.8-256", "not a valid range"),
    ],
)
def test_a_network_that_is_none_is_told(entry: str, reason: str) -> None:
    with pytest.raises(NetworkError, match=reason):
        read_networks(entry)
