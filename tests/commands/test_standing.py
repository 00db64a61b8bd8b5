# SPDX-License-Identifier: GPL-2.0-or-later
"""What became of a triplet, at the borders of each rule."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from postgrey_py.commands.standing import (
    PASSED,
    PENDING,
    TRUSTED,
    WHITELISTED,
    Standing,
    Standings,
    network_of,
    shown_network,
)
from postgrey_py.greylist.keys import TripletKey, split_key
from postgrey_py.greylist.list_lines import Line
from postgrey_py.greylist.records import Record
from postgrey_py.greylist.settings import Settings

SETTINGS = Settings()
WAITING: Record = (1000, 1000)


def key(network: str = "192.0.2.0") -> TripletKey:
    found = split_key(f"{network}/alice@example.com/bob@example.org".encode())
    assert found is not None
    return found


def stand(
    network: str = "192.0.2.0",
    record: Record = WAITING,
    name: str | None = None,
    clients: Mapping[bytes, bytes] | None = None,
    client: str = "",
    recipient: str = "",
) -> Standing:
    standings = Standings(
        SETTINGS,
        (clients or {}).items(),
        [Line("clients", 1, client)] if client else [],
        [Line("recipients", 1, recipient)] if recipient else [],
    )
    return standings.of(key(network), record, name)


@pytest.mark.parametrize(
    ("record", "state"), [((1000, 1299), PENDING), ((1000, 1300), PASSED), ((1000, None), PENDING)]
)
def test_mail_has_passed_when_it_was_seen_after_the_delay(record: Record, state: str) -> None:
    assert stand(record=record).state == state


def test_a_recipient_on_the_list_is_the_reason() -> None:
    assert stand(recipient="example.org") == Standing(WHITELISTED, "recipients line 1")
    assert stand(recipient="example.net").state == PENDING


def test_a_client_is_listed_by_name_only_where_that_is_known() -> None:
    assert stand(client="example.com", name="mail.example.com") == Standing(WHITELISTED, "clients line 1")
    assert stand(client="example.com").state == PENDING


@pytest.mark.parametrize(
    ("client", "state"),
    [("192.0.2.0/24", WHITELISTED), ("192.0.2.7", WHITELISTED), ("192.0.3.7", PENDING), ("192.0.0.0/16", WHITELISTED)],
)
def test_of_a_network_one_address_on_the_list_may_be_the_client(client: str, state: str) -> None:
    assert stand(client=client).state == state


@pytest.mark.parametrize(
    ("count", "state"), [(SETTINGS.auto_whitelist_clients - 1, PENDING), (SETTINGS.auto_whitelist_clients, TRUSTED)]
)
def test_a_client_is_trusted_by_its_count(count: int, state: str) -> None:
    assert stand(clients={b"192.0.2.0": b"%d,1000" % count}).state == state


@pytest.mark.parametrize(("last_seen", "state"), [(999, PENDING), (1000, TRUSTED)])
def test_a_neighbour_that_was_trusted_before_is_not_the_client(last_seen: int, state: str) -> None:
    assert stand(clients={b"192.0.2.7": b"9,%d" % last_seen}).state == state


def test_the_reason_for_trust_is_the_client() -> None:
    assert stand(clients={b"192.0.2.7": b"9,1000"}) == Standing(TRUSTED, "192.0.2.7, count 9")


@pytest.mark.parametrize(
    ("network", "shown"),
    [
        ("192.0.2.0", 24),
        ("192.0.2.7", None),
        ("192.0.2.7/32", None),
        ("192.0.0.0/16", 16),
        ("2001:DB8:0:0:0:0:0:0", 64),
        ("2001:DB8:0:0:0:0:0:1", None),
        ("nonsense", None),
    ],
)
def test_networks_of_keys(network: str, shown: int | None) -> None:
    assert shown_network(key(network), SETTINGS) == shown


def test_a_network_is_its_common_part() -> None:
    assert network_of(key("192.0.2.0"), SETTINGS) == (32, 24, 0xC00002)
    assert network_of(key("192.0.2.7/32"), SETTINGS) == (32, 32, 0xC0000207)
    assert network_of(key("nonsense"), SETTINGS) is None
