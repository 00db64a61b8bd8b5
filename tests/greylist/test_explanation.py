# SPDX-License-Identifier: GPL-2.0-or-later
"""Explanations by tables; that they agree with what a server does is seen in `tests/parity/test_explain.py`."""

from __future__ import annotations

import pytest

from postgrey_py.greylist.decision import Action, Reason
from postgrey_py.greylist.explanation import LAPSED, NEVER_SEEN, PASSED, PENDING, Explanation, explain
from postgrey_py.greylist.list_lines import Line
from postgrey_py.greylist.policy import Policy
from postgrey_py.greylist.request import Request
from postgrey_py.greylist.settings import Settings
from postgrey_py.greylist.tables import Records
from postgrey_py.greylist.whitelists import ClientList, RecipientList, SenderList, Whitelists

NOW = 1_700_000_000
KEY = b"192.0.2.0/alice@example.com/bob@example.org"
SETTINGS = Settings()
LISTS = Whitelists(ClientList([Line("clients", 1, "white.example")]))


def explained(
    triplet: bytes | None = None, client: bytes | None = None, settings: Settings = SETTINGS, **fields: str
) -> Explanation:
    values = {
        "client_address": "192.0.2.7",
        "client_name": "mx.example.net",
        "sender": "alice@example.com",
        "recipient": "bob@example.org",
        **fields,
    }
    request = Request(queue_id="", instance=None, **values)  # type: ignore[arg-type]
    triplets = {} if triplet is None else {KEY: triplet}
    clients = {} if client is None else {b"192.0.2.7": client}
    before = dict(triplets), dict(clients)
    found = explain(Policy(settings, LISTS), LISTS, settings, request, "", Records(triplets, clients), NOW)
    assert (triplets, clients) == before
    return found


@pytest.mark.parametrize(
    ("triplet", "reason", "state", "passes"),
    [
        (None, Reason.NEW, NEVER_SEEN, (NOW + 300, NOW + 172_800)),
        (b"%d,%d" % (NOW - 100, NOW - 100), Reason.EARLY_RETRY, PENDING, (NOW + 200, NOW - 100 + 172_800)),
        (b"%d,%d" % (NOW - 400, NOW - 400), Reason.TRIPLET_FOUND, PENDING, (None, None)),
        (b"%d,%d" % (NOW - 9000, NOW - 400), Reason.TRIPLET_FOUND, PASSED, (None, None)),
        (b"%d,%d" % (NOW - 200_000, NOW - 200_000), Reason.NEW, LAPSED, (NOW + 300, NOW + 172_800)),
    ],
)
def test_triplet(triplet: bytes | None, reason: Reason, state: str, passes: tuple[int | None, int | None]) -> None:
    found = explained(triplet)
    assert (found.decision.reason, found.state) == (reason, state)
    assert (found.passes_from, found.passes_until) == passes
    assert (found.triplet_key, found.client_key, found.at) == (KEY, b"192.0.2.7", NOW)


@pytest.mark.parametrize(("count", "is_trusted"), [(4, False), (5, True)])
def test_client(count: int, is_trusted: bool) -> None:
    found = explained(client=b"%d,%d" % (count, NOW - 10))
    assert (found.client, found.is_trusted) == ((count, NOW - 10), is_trusted)
    assert (found.decision.reason is Reason.AUTO_WHITELIST) is is_trusted


def test_mail_that_passes_by_a_list_needs_no_remarks() -> None:
    found = explained(client_name="mx.white.example", sender="alice@white.example")
    assert found.decision.entry == Line("clients", 1, "white.example")
    assert found.remarks == ()
    assert explained(sender="alice@white.example").remarks != ()


def test_training_tells_what_would_be() -> None:
    found = explained(settings=Settings(training=True))
    assert (found.decision.action, found.decision.reason) == (Action.PASS, Reason.TRAINING)
    assert found.passes_from == NOW + 300


def test_address_that_is_none() -> None:
    found = explained(client_address="unknown")
    assert (found.decision.reason, found.triplet_key, found.client) == (Reason.UNKNOWN_ADDRESS, b"", None)


def test_without_auto_whitelist_there_is_no_client() -> None:
    found = explained(client=b"9,9", settings=Settings(auto_whitelist_clients=0))
    assert (found.client_key, found.client, found.decision.reason) == (b"", None, Reason.NEW)


def test_lists_that_let_nothing_through_are_named() -> None:
    lists = Whitelists(
        greylisted=RecipientList([Line("only", 3, "example.org # for Bob")]),
        untrusted=ClientList([Line("never", 4, "192.0.2.7")]),
    )
    request = Request("192.0.2.7", "unknown", "alice@example.com", "bob@example.org", "", None)
    found = explain(Policy(SETTINGS, lists), lists, SETTINGS, request, "", Records({}, {}), NOW)
    assert found.remarks == (
        "example.org is listed (only line 3): this recipient is greylisted",
        "192.0.2.7 is listed (never line 4): this client never gets onto the auto-whitelist",
    )


@pytest.mark.parametrize(("name", "shown"), [("unknown", "unknown"), ("mx.example.net", "mx.example.net")])
def test_sender_that_is_listed_and_not_proven_is_told(name: str, shown: str) -> None:
    lists = Whitelists(sender=SenderList([Line("senders", 7, "example.com")]))
    request = Request("192.0.2.7", name, "alice@news.example.com", "bob@example.org", "", None)
    policy = Policy(SETTINGS, lists, domain_of=lambda name: ".".join(name.split(".")[-2:]))
    found = explain(policy, lists, SETTINGS, request, "", Records({}, {}), NOW)
    assert found.decision.reason is Reason.NEW
    assert found.remarks == (
        (
            "example.com is listed (senders line 7), but not proven: the client's verified name,"
            f" {shown}, is not that of a server in example.com"
        ),
    )
