# SPDX-License-Identifier: GPL-2.0-or-later
"""Senders that retry from another machine each time: --lookup-by-domain."""

from __future__ import annotations

import pytest

from postgrey_py.greylist.address import Address
from postgrey_py.greylist.decision import Question, Reason
from postgrey_py.greylist.pools import Pool, look_up_pool
from postgrey_py.greylist.request import Request
from postgrey_py.greylist.settings import Settings
from postgrey_py.greylist.tables import Records
from tests.greylist.test_policy import HOUR, NOW, World, make_world, record

KEY = b"domain:example.com/alice@example.com/bob@example.org"
DOMAIN = b"domain:example.com"


def make_pool(**options: object) -> World:
    return make_world(lookup_by_domain=True, **options)  # type: ignore[arg-type]


def machine(number: int, **attributes: str | None) -> dict[str, str | None]:
    """A machine of the domain, in a network of its own."""
    return {"client_address": f"198.51.{number}.9", "client_name": f"mx{number}.out.example.com", **attributes}


def test_retry_from_another_machine_of_the_domain_is_a_retry() -> None:
    world = make_pool()
    assert world.decide(NOW, **machine(1)).reason is Reason.NEW
    assert world.triplets == {
        b"198.51.1.0/alice@example.com/bob@example.org": record(NOW, NOW),
        KEY: record(NOW, NOW),
    }
    early = world.decide(NOW + 100, **machine(2))
    assert (early.reason, early.wait) == (Reason.EARLY_RETRY, 200)
    answer = world.ask(NOW + 300, **machine(3))
    assert answer.reply.startswith("PREPEND X-Greylist: delayed 300 seconds")
    assert answer.log[0].text.startswith(
        "action=pass, reason=domain found (example.com), delay=300, client_name=mx3.out.example.com,"
    )
    # Perl Postgrey lets that machine pass from now on, and this one every machine.
    assert world.triplets[b"198.51.3.0/alice@example.com/bob@example.org"] == record(NOW, NOW + 300)
    assert world.triplets[KEY] == record(NOW, NOW + 300)
    later = world.decide(NOW + HOUR, **machine(4))
    assert (later.reason, later.delay, later.clients) == (Reason.DOMAIN_FOUND, None, ())
    assert world.decide(NOW + HOUR + 1, **machine(4)).reason is Reason.TRIPLET_FOUND


def test_network_is_judged_first_and_as_ever() -> None:
    world, usual = make_pool(), make_world()
    for now in (NOW, NOW + 10, NOW + 300, NOW + 9999):
        assert world.ask(now, **machine(1)) == usual.ask(now, **machine(1))
    own = {key: value for key, value in world.triplets.items() if not key.startswith(b"domain:")}
    assert own == usual.triplets
    # The domain has passed with it.
    assert world.decide(NOW + 10_000, **machine(2)).reason is Reason.DOMAIN_FOUND


def test_successes_count_for_the_domain() -> None:
    world = make_pool(auto_whitelist_clients=2)
    for number in (1, 2):
        start = NOW + number * 2 * HOUR
        attributes = {"recipient": f"user{number}@example.org"}
        world.decide(start, **machine(number, **attributes))
        world.decide(start + 300, **machine(number + 10, **attributes))
    assert world.clients[DOMAIN] == record(2, NOW + 4 * HOUR + 300)
    trusted = world.ask(NOW + 6 * HOUR, **machine(77, recipient="new@example.org"))
    assert trusted.reply == "DUNNO"
    assert trusted.log[0].text.startswith("action=pass, reason=domain AWL (example.com), client_name=mx77.")
    assert world.clients[DOMAIN] == record(3, NOW + 6 * HOUR)


@pytest.mark.parametrize(
    "attributes",
    [
        {"client_name": "unknown"},
        {"client_name": "host-198-51-100-9.example.com", "client_address": "198.51.100.9"},
        {"client_name": "mx.example.net"},
        {"sender": "mallory@example.com"},
        {"recipient": "carol@example.org"},
    ],
)
def test_others_are_new(attributes: dict[str, str | None]) -> None:
    world = make_pool()
    world.decide(NOW, **machine(1))
    assert world.decide(NOW + 300, **machine(2, **attributes)).reason is Reason.NEW


def test_generic_name_leaves_no_record_of_a_domain() -> None:
    world = make_pool()
    world.decide(NOW, client_address="198.51.100.9", client_name="c-198-51-100-9.example.com")
    assert list(world.triplets) == [b"198.51.100.0/alice@example.com/bob@example.org"]


def test_domain_out_of_its_retry_window_is_new() -> None:
    world = make_pool(retry_window=HOUR)
    world.decide(NOW, **machine(1))
    decision = world.decide(NOW + HOUR + 1, **machine(2))
    assert (decision.reason, decision.wait) == (Reason.NEW, 300)
    assert world.triplets[KEY] == record(NOW + HOUR + 1, NOW + HOUR + 1)


def test_client_that_is_never_trusted_earns_the_domain_nothing() -> None:
    world = make_pool(untrusted=("example.com",), auto_whitelist_clients=1)
    world.decide(NOW, **machine(1))
    assert world.decide(NOW + 300, **machine(2)).reason is Reason.DOMAIN_FOUND
    assert world.clients == {}


def test_without_auto_whitelist_nothing_is_counted() -> None:
    world = make_pool(auto_whitelist_clients=0)
    world.decide(NOW, **machine(1))
    assert world.decide(NOW + 300, **machine(2)).delay == 300
    assert world.clients == {}


def test_keys_are_hashed_with_privacy() -> None:
    world = make_pool(privacy=True)
    world.decide(NOW, **machine(1))
    assert all(len(key) == 40 for key in world.triplets)
    assert world.decide(NOW + 300, **machine(2)).reason is Reason.DOMAIN_FOUND
    assert all(len(key) == 40 for key in world.clients)


def test_machines_that_waited_before_the_option_was_given_lend_that_to_the_domain() -> None:
    world = make_pool(triplets={b"198.51.1.0/alice@example.com/bob@example.org": record(NOW - 200, NOW - 200)})
    assert world.decide(NOW, **machine(1)).reason is Reason.EARLY_RETRY
    assert world.decide(NOW + 100, **machine(2)).reason is Reason.DOMAIN_FOUND


def test_pool_tells_how_long_it_waits() -> None:
    settings = Settings()
    question = Question(Request("192.0.2.7", "mx.example.com", "a@b", "c@d", "", None), Address(0, 32))
    pool = look_up_pool(question, "example.com", Records({}, {}), NOW, NOW, settings, True)
    assert pool == Pool(b"domain:example.com/a@b/c@d", NOW, False, DOMAIN, (0, None))
    assert (pool.wait(NOW, settings), pool.wait(NOW + 400, settings)) == (300, 0)
    assert not pool.is_trusted(settings)
    assert pool.counted(NOW) == ((DOMAIN, record(1, NOW)),)
