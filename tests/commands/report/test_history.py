# SPDX-License-Identifier: GPL-2.0-or-later
"""What events add up to."""

from __future__ import annotations

from datetime import date, datetime, timezone

import pytest

from postgrey_py.commands.events import Event, Kind
from postgrey_py.commands.logtime import LogClock
from postgrey_py.commands.report.history import Deferral, History, make_network_namer
from postgrey_py.greylist.address import Address, parse_address
from postgrey_py.greylist.settings import Settings

CLOCK = LogClock(datetime(2026, 3, 3, tzinfo=timezone.utc).timestamp())


def event(kind: Kind = Kind.REJECTED, second: int = 0, delay: int | None = None, times: int = 1, **more: str) -> Event:
    mail = {
        "client_name": "mail.example.com",
        "client_address": "192.0.2.7",
        "sender": "alice@example.com",
        "recipient": "bob@example.org",
        **more,
    }
    return Event(kind, f"2026-03-02T09:{second // 60:02}:{second % 60:02}Z", delay=delay, times=times, **mail)


def history(*events: Event, least_delay: int = 0, by_host: bool = False) -> History:
    made = History(Settings(lookup_by_host=by_host), CLOCK, counts_passes=True, least_delay=least_delay)
    for one in events:
        made.add(one)
    return made


def the_deferral(*events: Event, least_delay: int = 0, is_of_postfix: bool = True) -> Deferral:
    (deferral,) = history(*events, least_delay=least_delay).deferrals(is_of_postfix)
    return deferral


def test_tries_of_a_mail_are_one_deferral() -> None:
    deferral = the_deferral(event(), event(second=5, times=3, client_name="mx.example.com"))
    assert (deferral.tries, deferral.client_name, deferral.stamp) == (4, "mx.example.com", event(second=5).stamp)
    assert deferral.mail.stamp == event().stamp
    assert (deferral.sender, deferral.recipient) == ("alice@example.com", "bob@example.org")


def test_small_and_capital_letters_are_the_same_mail() -> None:
    assert the_deferral(event(), event(sender="ALICE@Example.com")).tries == 2


def test_senders_are_those_of_the_keys() -> None:
    assert the_deferral(event(sender="alice+1@example.com")).sender == "alice@example.com"
    assert the_deferral(event(sender="list-77@example.com")).sender == "list-#@example.com"


def test_neighbours_have_a_mail_in_common_unless_hosts_are_looked_up() -> None:
    events = (event(), event(client_address="192.0.2.8"))
    one, other = history(*events).deferrals(is_of_postfix=True)
    assert one.mail is other.mail
    one, other = history(*events, by_host=True).deferrals(is_of_postfix=True)
    assert one.mail is not other.mail


def test_what_postfix_tells_counts_before_what_the_server_tells() -> None:
    events = (event(Kind.GREYLISTED), event(Kind.GREYLISTED, second=9))
    assert history(*events).deferrals(is_of_postfix=True) == []
    assert the_deferral(*events, is_of_postfix=False).tries == 2
    assert the_deferral(*events, event(second=3)).tries == 1


def test_a_client_without_address_is_never_deferred() -> None:
    assert history(event(client_address="unknown")).deferrals(is_of_postfix=True) == []


def test_clients_that_are_not_wanted_do_not_count() -> None:
    only_others = History(Settings(), CLOCK, is_wanted=lambda name, _: name != "mail.example.com")
    only_others.add(event())
    only_others.add(event(client_name="mx.example.com"))
    assert [deferral.client_name for deferral in only_others.deferrals(is_of_postfix=True)] == ["mx.example.com"]


@pytest.mark.parametrize(
    ("kind", "delay", "least_delay", "came_back"),
    [
        (Kind.RETURNED, 10, 0, True),
        (Kind.RETURNED, 10, 10, True),
        (Kind.RETURNED, 10, 11, False),
        # The time between the lines.
        (Kind.KNOWN, None, 60, True),
        (Kind.KNOWN, None, 61, False),
        # Whoever is on a list does not wait.
        (Kind.WHITELISTED, None, 61, True),
        (Kind.AUTO_WHITELISTED, None, 61, True),
    ],
)
def test_mail_came_back_when_it_passed_late_enough(
    kind: Kind, delay: int | None, least_delay: int, came_back: bool
) -> None:
    mail = the_deferral(event(), event(kind, second=60, delay=delay), least_delay=least_delay).mail
    assert mail.came_back is came_back
    assert mail.delay == (None if not came_back else 60 if delay is None else delay)


def test_another_mail_that_passed_is_no_proof() -> None:
    passed = event(Kind.KNOWN, recipient="robert@example.org")
    assert not the_deferral(event(), passed).mail.came_back


def test_passes_are_counted_by_kind_day_and_client_but_not_that_of_a_mail_that_came_back() -> None:
    address = parse_address("192.0.2.7")
    assert address is not None
    counted = history(event(), event(Kind.KNOWN, second=1, times=3), event(Kind.WHITELISTED, sender="x@example.com"))
    day = date(2026, 3, 2)
    assert counted.passes == {(Kind.KNOWN, day, address): 2, (Kind.WHITELISTED, day, address): 1}
    assert counted.has_pass_lines


def test_the_shortest_delay_is_known() -> None:
    assert history(event(Kind.KNOWN)).shortest_delay is None
    assert history(*(event(Kind.RETURNED, delay=delay) for delay in (301, 300, 302))).shortest_delay == 300


def test_mail_that_postfix_took_with_a_warning_would_have_been_deferred_once() -> None:
    warned = history(event(), event(Kind.WARNED, second=1), event(Kind.WARNED, second=2))
    assert len(warned.would_be_deferred()) == 1
    assert warned.deferrals(is_of_postfix=True)[0].mail.came_back


@pytest.mark.parametrize(
    ("client", "network"),
    [
        (Address(0xC0000207, 32), "192.0.2.0/24"),
        (Address(0xC00003FF, 32), "192.0.3.0/24"),
        (Address((0x20010DB8 << 96) + 1, 128), "2001:db8::/64"),
    ],
)
def test_networks_are_written_as_people_do(client: Address, network: str) -> None:
    assert make_network_namer(Settings())(client) == network
