# SPDX-License-Identifier: GPL-2.0-or-later
"""Counts -> what the page shows. The view of a whole server is seen by `test_site` in its page."""

from __future__ import annotations

import pytest

from postgrey_py.daemon.survey import Census, PendingNetwork
from postgrey_py.daemon.tally import Span
from postgrey_py.daemon.web.observation import describe_network, make_bucket, make_waiting, make_waits
from postgrey_py.daemon.web.view import Bucket, WaitBin, Waiting, WaitingNetwork, Waits
from postgrey_py.greylist.decision import Reason
from postgrey_py.greylist.settings import Settings


def test_every_decision_is_in_one_group() -> None:
    span = Span(600, unseen=1000, returned=3, waits={300: 2, 4000: 1})
    for reason in Reason:
        span.counts[reason.number] = 10
    bucket = make_bucket(span)
    assert bucket == Bucket(600, first=10, returned=3, early=10, waited=3, known=37, listed=70, unchecked=1040)
    assert bucket.total() == sum(span.counts) + 1000


def test_a_reason_that_is_new_is_in_a_group() -> None:
    """Whoever adds one puts it into `make_bucket`."""
    for reason in Reason:
        span = Span(0)
        span.counts[reason.number] = 1
        assert make_bucket(span).total() == 1, reason


def test_waits_are_in_bins() -> None:
    spans = [Span(0, waits={60: 1, 61: 2}), Span(600, waits={301: 3, 100_000: 1})]
    waits = make_waits(spans)
    bins = {one.up_to: one.mails for one in waits.bins}
    assert {bound: mails for bound, mails in bins.items() if mails} == {60: 1, 120: 2, 600: 3, None: 1}
    assert (waits.median, waits.high) == (301, 100_000)
    assert waits.bins[-1] == WaitBin(None, 1)


def test_no_waits() -> None:
    assert make_waits([Span(0)]) == Waits()


def test_mail_that_waits() -> None:
    census = Census(7, pending=5, hidden=1, all_networks=2, networks=(PendingNetwork(3, 4, "192.0.2.0"),))
    assert make_waiting(census, Settings()) == Waiting(7, 5, 2, 1, (WaitingNetwork("192.0.2.0/24", 3, 4),))
    assert make_waiting(None, Settings()) == Waiting()


@pytest.mark.parametrize(
    ("name", "settings", "text"),
    [
        ("192.0.2.0", Settings(), "192.0.2.0/24"),
        ("192.0.0.0", Settings(ipv4cidr=16), "192.0.0.0/16"),
        ("2001:db8:0:0:0:0:0:0", Settings(), "2001:db8::/64"),
        ("192.0.2.7/32", Settings(lookup_by_host=True), "192.0.2.7"),
        ("192.0.2.7", Settings(lookup_by_host=True), "192.0.2.7"),
        ("nonsense", Settings(), "nonsense"),
    ],
)
def test_network_is_written_as_people_write_it(name: str, settings: Settings, text: str) -> None:
    assert describe_network(name, settings) == text
