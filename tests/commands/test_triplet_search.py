# SPDX-License-Identifier: GPL-2.0-or-later
"""Which records a search wants, and in which order they come."""

from __future__ import annotations

import pytest

from postgrey_py.commands.standing import PASSED, PENDING, Standings
from postgrey_py.commands.triplet_search import ALL, STRANGE_SHOWN, ClientRange, Query, Search
from postgrey_py.commands.user_patterns import UserPattern
from postgrey_py.greylist.address import parse_address
from postgrey_py.greylist.keys import split_key
from postgrey_py.greylist.settings import Settings

SETTINGS = Settings()
ANY = Query(None, None, None)


def search(query: Query = ANY, state: str = ALL) -> Search:
    return Search(query, state, Standings(SETTINGS, [], [], []), SETTINGS)


def record(number: int, value: bytes = b"1000,1000", client: str = "192.0.2.7/32") -> tuple[bytes, bytes]:
    return f"{client}/a{number}@example.com/b{number}@example.org".encode(), value


def senders(found: Search, order: str = "key") -> list[str]:
    return [triplet.sender for triplet, _ in found.results({}, order)]


@pytest.mark.parametrize(
    ("order", "senders_in_order"),
    [
        ("key", ["a1@example.com", "a2@example.com", "a3@example.com"]),
        ("first", ["a3@example.com", "a1@example.com", "a2@example.com"]),
        ("last", ["a2@example.com", "a1@example.com", "a3@example.com"]),
    ],
)
def test_results_come_in_the_order_that_is_asked_for(order: str, senders_in_order: list[str]) -> None:
    found = search()
    # The last one has no second time: it counts as the first.
    found.read([record(1, b"20,40"), record(2, b"30"), record(3, b"10,50")], can_change=False)
    assert senders(found, order) == senders_in_order


def test_only_the_wanted_state_is_kept_and_the_others_are_counted() -> None:
    found = search(state=PASSED)
    found.read([record(1, b"1000,1300"), record(2, b"1000,1299")], can_change=False)
    assert senders(found) == ["a1@example.com"]
    assert found.others == {PENDING: 1}


def test_what_a_name_may_change_is_kept_until_the_names_are_known() -> None:
    found = search(state=PASSED)
    found.read([record(1), record(2, client="192.0.2.0")], can_change=True)
    assert list(found.addresses) == ["192.0.2.7"]
    assert senders(found) == []
    assert found.others == {PENDING: 2}


def test_patterns_are_for_sender_and_recipient() -> None:
    for query in (Query(UserPattern("^B2@"), None, None), Query(None, UserPattern("a2"), None)):
        found = search(query)
        found.read([record(1), record(2)], can_change=False)
        assert senders(found) == ["a2@example.com"]


def test_a_pattern_for_the_client_is_for_address_and_name() -> None:
    found = search(Query(None, None, UserPattern(r"^192\.0\.2\.7$|^mail")))
    found.read([record(1), record(2, client="192.0.2.8/32"), record(3, client="192.0.2.9/32")], can_change=False)
    names = {"192.0.2.8": "mail.example.com", "192.0.2.9": "other.example.com"}
    assert [triplet.client for triplet, _ in found.results(names, "key")] == ["192.0.2.7", "192.0.2.8"]


@pytest.mark.parametrize(
    ("client", "bits", "key", "owns"),
    [
        ("192.0.2.7", 32, "192.0.2.7/32", True),
        ("192.0.2.7", 32, "192.0.2.8/32", False),
        ("192.0.2.7", 32, "192.0.2.0", True),
        ("192.0.2.7", 32, "192.0.3.0", False),
        ("192.0.2.0", 24, "192.0.2.255/32", True),
        ("192.0.2.0", 24, "192.0.3.0/32", False),
        ("192.0.0.0", 16, "192.0.3.0", True),
        ("192.0.2.7", 32, "2001:DB8:0:0:0:0:0:0", False),
        ("192.0.2.7", 32, "nonsense", False),
    ],
)
def test_a_client_owns_the_keys_that_may_be_its(client: str, bits: int, key: str, owns: bool) -> None:
    address, triplet = parse_address(client), split_key(f"{key}/a@b/c@d".encode())
    assert address is not None
    assert triplet is not None
    assert ClientRange(address, bits, key_bits=24).owns(triplet) is owns


def test_records_that_nothing_can_be_found_in_are_told() -> None:
    found = search()
    found.read([(b"%040x" % number, b"1,1") for number in range(2)], can_change=False)
    found.read([(b"strange%d" % number, b"1,1") for number in range(STRANGE_SHOWN + 1)], can_change=False)
    assert list(found.complaints()) == [
        "hashes (--privacy), in which nothing can be found: 2 records",
        "keys that are none of a triplet: 4 records, such as strange0, strange1, strange2",
    ]
