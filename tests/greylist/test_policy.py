# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from postgrey_py.greylist.decision import NO_FACTS, Action, Decision, Question, Reason, Wanted
from postgrey_py.greylist.instances import REMEMBERED_INSTANCES, RecentInstances
from postgrey_py.greylist.list_lines import Line
from postgrey_py.greylist.loglines import Level, LogLine, complaint, decision_lines
from postgrey_py.greylist.overrides import NO_OVERRIDES, Overrides, Pause, make_allowance
from postgrey_py.greylist.policy import Policy
from postgrey_py.greylist.records import is_due
from postgrey_py.greylist.request import Request, read_request
from postgrey_py.greylist.settings import SECONDS_PER_DAY, SECONDS_PER_HOUR, Settings
from postgrey_py.greylist.tables import Records
from postgrey_py.greylist.texts import ReplyTexts
from postgrey_py.greylist.whitelists import ClientList, RecipientList, SenderList, Whitelists

untimed = hypothesis_settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

NOW = 1_700_000_000
HOUR, DAY = SECONDS_PER_HOUR, SECONDS_PER_DAY
FIXED_CLOCK = "Tue, 14 Nov 2023 22:13:20 UTC"

TRIPLET = b"192.0.2.0/alice@example.com/bob@example.org"
CLIENT = b"192.0.2.7"
WHO = "client_name=mail.example.com, client_address=192.0.2.7, sender=alice@example.com, recipient=bob@example.org"
GREYLISTED = "DEFER_IF_PERMIT Greylisted, see http://postgrey.schweikert.ch/help/example.org.html"


@pytest.fixture(autouse=True)
def set_zone() -> Iterator[Callable[[str], None]]:
    """Sets the local time zone, which headers have: at first the same everywhere."""
    with pytest.MonkeyPatch.context() as patch:

        def change(zone: str) -> None:
            patch.setenv("TZ", zone)
            time.tzset()

        change("UTC")
        yield change
    time.tzset()


class Answer(NamedTuple):
    """What a mail server is told, and what the log says of it."""

    reply: str
    log: tuple[LogLine, ...]


@dataclass
class World:
    """A policy, the two tables that it works on, and how to ask it."""

    policy: Policy
    texts: ReplyTexts
    triplets: dict[bytes, bytes] = field(default_factory=dict)
    clients: dict[bytes, bytes] = field(default_factory=dict)
    instances: RecentInstances = field(default_factory=RecentInstances)

    def request(self, **attributes: str | None) -> Request:
        """A request with these attributes; None leaves one out."""
        fields = {
            "client_address": "192.0.2.7",
            "client_name": "mail.example.com",
            "sender": "alice@example.com",
            "recipient": "bob@example.org",
            **attributes,
        }
        return read_request(
            {"request": "smtpd_access_policy", **{name: text for name, text in fields.items() if text is not None}}
        )

    def decide(self, now: int = NOW, /, **attributes: str | None) -> Decision:
        """What is decided about a request with these attributes, with its records written."""
        request = self.request(**attributes)
        decision = self.policy.examine(request)
        if isinstance(decision, Question):
            before = dict(self.triplets), dict(self.clients)
            judged = self.policy.judge(decision, Records(self.triplets, self.clients, self.instances), NO_FACTS, now)
            assert before == (self.triplets, self.clients)
            assert not isinstance(judged, Wanted)
            decision = judged
        self.triplets.update(decision.triplets)
        self.clients.update(decision.clients)
        if decision.delay is not None and request.instance is not None:
            self.instances.remember(request.instance)
        return decision

    def ask(self, now: int = NOW, /, **attributes: str | None) -> Answer:
        """What is answered and logged about such a request."""
        decision = self.decide(now, **attributes)
        request = self.request(**attributes)
        octets = self.texts.octets(request, decision, now)
        assert octets.startswith(b"action=")
        assert octets.endswith(b"\n\n")
        return Answer(octets[7:-2].decode("latin-1"), tuple(decision_lines(request, decision)))

    def reply(self, now: int = NOW, /, **attributes: str | None) -> str:
        return self.ask(now, **attributes).reply

    def records(self) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
        return self.triplets, self.clients


def make_world(
    whitelist: tuple[str, ...] = (),
    recipients: tuple[str, ...] = (),
    triplets: dict[bytes, bytes] | None = None,
    clients: dict[bytes, bytes] | None = None,
    greylisted: tuple[str, ...] | None = None,
    untrusted: tuple[str, ...] | None = None,
    senders: tuple[str, ...] | None = None,
    unverified_senders: tuple[str, ...] | None = None,
    **options: Any,
) -> World:
    """A world with these lists, records and options."""
    tables: tuple[dict[bytes, bytes], dict[bytes, bytes]] = dict(triplets or {}), dict(clients or {})
    settings = Settings(hostname="mx.example.org", **options)
    policy = Policy(
        settings,
        Whitelists(
            ClientList(Line("clients", number, text) for number, text in enumerate(whitelist, 1)),
            RecipientList(Line("recipients", number, text) for number, text in enumerate(recipients, 1)),
            None if greylisted is None else RecipientList(Line("greylisted", 1, text) for text in greylisted),
            None if untrusted is None else ClientList(Line("untrusted", 1, text) for text in untrusted),
            None if senders is None else SenderList(Line("senders", 1, text) for text in senders),
            None
            if unverified_senders is None
            else SenderList(Line("unverified", 1, text) for text in unverified_senders),
        ),
        domain_of=lambda name: ".".join(name.split(".")[-2:]) if "." in name else None,
    )
    return World(policy, ReplyTexts(settings, "9.9"), *tables)


def notice(text: str) -> LogLine:
    return LogLine(Level.NOTICE, text)


def warning(text: str) -> LogLine:
    return LogLine(Level.WARNING, text)


def header(delay: int, clock: str = FIXED_CLOCK) -> str:
    return f"PREPEND X-Greylist: delayed {delay} seconds by postgrey-9.9 at mx.example.org; {clock}"


def record(first: int, second: int) -> bytes:
    return f"{first},{second}".encode()


def seen(first: int, last: int) -> dict[bytes, bytes]:
    """The triplet of the usual request, with this record."""
    return {TRIPLET: record(first, last)}


# Whitelists.


def test_a_whitelisted_client_passes_and_leaves_no_record() -> None:
    for entry in ("example.com", "192.0.2.0/24", "/^mail/"):
        world = make_world(whitelist=(entry,))
        assert world.ask() == Answer("DUNNO", (notice(f"action=pass, reason=client whitelist, {WHO}"),))
        assert world.records() == ({}, {})


def test_a_whitelisted_recipient_passes_and_leaves_no_record() -> None:
    for entry in ("example.org", "bob@example.org", "bob@", "/^bob/"):
        world = make_world(recipients=(entry,))
        assert world.ask() == Answer("DUNNO", (notice(f"action=pass, reason=recipient whitelist, {WHO}"),))
        assert world.records() == ({}, {})


def test_the_client_whitelist_comes_first() -> None:
    world = make_world(whitelist=("example.com",), recipients=("example.org",), clients={CLIENT: record(9, 0)})
    assert world.decide().reason is Reason.CLIENT_WHITELIST


def test_the_recipient_whitelist_comes_before_the_auto_whitelist() -> None:
    world = make_world(recipients=("example.org",), clients={CLIENT: record(9, 0)})
    assert world.decide().reason is Reason.RECIPIENT_WHITELIST
    assert world.clients == {CLIENT: record(9, 0)}


def test_the_auto_whitelist_comes_before_the_triplet() -> None:
    world = make_world(clients={CLIENT: record(5, NOW)}, triplets=seen(NOW - 1, NOW - 1))
    assert world.decide().reason is Reason.AUTO_WHITELIST
    assert world.triplets == seen(NOW - 1, NOW - 1)


def test_a_reloaded_whitelist_counts_from_the_next_request_on() -> None:
    world = make_world(whitelist=("example.com",))
    assert world.reply() == "DUNNO"
    world.policy = make_world().policy
    assert world.reply() == GREYLISTED
    world.policy = make_world(recipients=("bob@",)).policy
    assert world.reply() == "DUNNO"


# Client addresses.


# unlike 1.37, which dies.
@pytest.mark.parametrize(
    "text", ["unknown", "", "0", "mail.example.com", "192.0.2", "192.0.2.7/32", "fe80::1%lo", "\xff\x00"]
)
def test_a_client_address_that_is_none_passes(text: str) -> None:
    world = make_world(whitelist=("example.com",), recipients=("example.org",))
    assert world.ask(client_address=text) == Answer("DUNNO", (complaint(f"can't parse client_address: {text}"),))
    assert world.records() == ({}, {})


def test_a_complaint_is_a_warning_with_a_mark() -> None:
    assert complaint("text") == LogLine(Level.WARNING, "text", is_complaint=True)


# unlike 1.37.
def test_an_ipv4_mapped_client_is_the_ipv4_client() -> None:
    world = make_world()
    world.ask(client_address="::ffff:192.0.2.9")
    assert world.triplets == seen(NOW, NOW)
    decision = world.ask(NOW + 300, client_address="192.0.2.7", instance="a")
    assert decision.reply.startswith("PREPEND ")
    assert make_world(whitelist=("192.0.2.0/24",)).reply(client_address="::ffff:192.0.2.9") == "DUNNO"
    # The log has what came.
    assert ", client_address=::ffff:192.0.2.9, " in make_world().ask(client_address="::ffff:192.0.2.9").log[0].text


# New triplets and early retries.


def test_a_new_triplet_is_greylisted() -> None:
    world = make_world()
    assert world.ask() == Answer(GREYLISTED, (notice(f"action=greylist, reason=new, {WHO}"),))
    assert world.records() == (seen(NOW, NOW), {})


def test_an_early_retry_is_greylisted() -> None:
    world = make_world(triplets=seen(NOW, NOW))
    reason = "early-retry (199s missing)"
    assert world.ask(NOW + 101) == Answer(GREYLISTED, (notice(f"action=greylist, reason={reason}, {WHO}"),))
    assert world.records() == (seen(NOW, NOW + 101), {})


@pytest.mark.parametrize(
    ("waited", "reason"),
    [(0, "new"), (1, "early-retry (299s missing)"), (299, "early-retry (1s missing)")],
)
def test_how_long_is_missing(waited: int, reason: str) -> None:
    world = make_world(triplets=seen(NOW, NOW))
    assert world.ask(NOW + waited).log == (notice(f"action=greylist, reason={reason}, {WHO}"),)
    assert world.triplets == seen(NOW, NOW + waited)


def test_many_early_retries_do_not_move_the_first() -> None:
    world = make_world()
    for waited in range(0, 300, 50):
        assert world.reply(NOW + waited) == GREYLISTED
        assert world.triplets == seen(NOW, NOW + waited)
    assert world.reply(NOW + 300) == header(300, "Tue, 14 Nov 2023 22:18:20 UTC")


@pytest.mark.parametrize(
    "other",
    [
        {"client_address": "192.0.3.7"},
        {"client_address": "2001:db8::1"},
        {"sender": "alice@example.net"},
        {"sender": ""},
        {"recipient": "carol@example.org"},
        {"recipient": "bob+x@example.org"},
    ],
)
def test_another_triplet_is_new(other: dict[str, str]) -> None:
    world = make_world(triplets=seen(NOW - 300, NOW - 300))
    assert world.decide(**other).reason is Reason.NEW
    assert world.triplets[TRIPLET] == record(NOW - 300, NOW - 300)
    assert len(world.triplets) == 2


@pytest.mark.parametrize(
    "same",
    [
        {"client_address": "192.0.2.200"},
        {"client_name": "unknown"},
        {"client_name": ""},
        {"sender": "ALICE+list@example.com"},
        {"sender": "prvs=0123456789=alice@example.com"},
        {"recipient": "BOB@Example.org"},
        {"helo_name": "other"},
    ],
)
def test_the_same_triplet_may_look_different(same: dict[str, str]) -> None:
    world = make_world(triplets=seen(NOW - 300, NOW - 300))
    assert world.reply(**same) == header(300)
    assert world.triplets == seen(NOW - 300, NOW)


@pytest.mark.parametrize(
    ("options", "client", "key"),
    [
        ({"lookup_by_host": True}, "192.0.2.7", b"192.0.2.7/32/alice@example.com/bob@example.org"),
        ({"ipv4cidr": 16}, "192.0.2.7", b"192.0.0.0/alice@example.com/bob@example.org"),
        ({"ipv6cidr": 48}, "2001:db8:1:2::3", b"2001:db8:1:0:0:0:0:0/alice@example.com/bob@example.org"),
        ({}, "2001:db8:1:2::3", b"2001:db8:1:2:0:0:0:0/alice@example.com/bob@example.org"),
        # printf %s 192.0.2.0/alice@example.com/bob@example.org | sha1sum
        ({"privacy": True}, "192.0.2.7", b"d52386f47397ae38d521e00f0919ac29071e5de3"),
    ],
)
def test_options_decide_under_which_key_a_triplet_is_stored(options: dict[str, Any], client: str, key: bytes) -> None:
    world = make_world(**options)
    world.ask(client_address=client)
    assert world.triplets == {key: record(NOW, NOW)}


# The delay is over.


def test_the_first_success_gets_a_header_and_counts_for_the_client() -> None:
    world = make_world(triplets=seen(NOW - 345, NOW - 100))
    line = notice(f"action=pass, reason=triplet found, delay=345, {WHO}")
    assert world.ask() == Answer(header(345), (line,))
    assert world.records() == (seen(NOW - 345, NOW), {CLIENT: record(1, NOW)})


def test_the_delay_is_over_at_the_very_second() -> None:
    for waited, passes in ((299, False), (300, True), (301, True)):
        world = make_world(triplets=seen(NOW - waited, NOW - waited))
        assert world.reply().startswith("PREPEND ") == passes
        assert world.clients == ({CLIENT: record(1, NOW)} if passes else {})


def test_a_later_success_passes_without_header() -> None:
    world = make_world(triplets=seen(NOW - 1000, NOW - 700), clients={CLIENT: record(1, NOW - 700)})
    assert world.ask(instance="new") == Answer("DUNNO", (notice(f"action=pass, reason=triplet found, {WHO}"),))
    assert world.records() == (seen(NOW - 1000, NOW), {CLIENT: record(1, NOW - 700)})


def test_a_later_success_never_counts_for_the_client() -> None:
    world = make_world(triplets=seen(NOW - 30 * DAY, NOW - 20 * DAY))
    assert world.reply() == "DUNNO"
    assert world.clients == {}


def test_a_success_is_known_by_its_record_to_the_very_second() -> None:
    early = make_world(triplets=seen(NOW - 400, NOW - 101))
    assert early.reply().startswith("PREPEND ")
    late = make_world(triplets=seen(NOW - 400, NOW - 100))
    assert late.reply() == "DUNNO"


def test_another_delay() -> None:
    world = make_world(delay=60)
    assert world.reply(NOW) == GREYLISTED
    assert world.ask(NOW + 59).log[0].text.startswith("action=greylist, reason=early-retry (1s missing)")
    assert world.reply(NOW + 60).startswith("PREPEND X-Greylist: delayed 60 seconds")
    assert world.reply(NOW + 61) == "DUNNO"


# The retry window.


def test_a_first_retry_within_the_retry_window_passes() -> None:
    world = make_world(triplets=seen(NOW - 2 * DAY, NOW - 2 * DAY))
    assert world.reply() == header(2 * DAY)
    assert world.triplets == seen(NOW - 2 * DAY, NOW)


def test_a_first_retry_after_the_retry_window_is_new() -> None:
    world = make_world(triplets=seen(NOW - 2 * DAY - 1, NOW - 2 * DAY - 1))
    assert world.ask() == Answer(GREYLISTED, (notice(f"action=greylist, reason=new, {WHO}"),))
    assert world.records() == (seen(NOW, NOW), {})


def test_the_retry_window_counts_from_the_first_time() -> None:
    world = make_world(triplets=seen(NOW - 2 * DAY - 1, NOW - 2 * DAY + 250))
    assert world.reply() == GREYLISTED
    assert world.triplets == seen(NOW, NOW)


def test_the_retry_window_does_not_matter_after_a_success() -> None:
    world = make_world(triplets=seen(NOW - 100 * DAY, NOW - 30 * DAY))
    assert world.reply() == "DUNNO"
    assert world.triplets == seen(NOW - 100 * DAY, NOW)


def test_another_retry_window() -> None:
    for waited, passes in ((6 * HOUR, True), (6 * HOUR + 1, False)):
        world = make_world(retry_window=6 * HOUR, triplets=seen(NOW - waited, NOW - waited))
        assert world.reply().startswith("PREPEND ") == passes


def test_a_retry_window_shorter_than_the_delay_never_lets_mail_pass() -> None:
    world = make_world(retry_window=100)
    for retry in range(20):
        assert world.reply(NOW + 150 * retry) == GREYLISTED


# Clocks that were wrong.

CORRECTED = warning("correcting date for first seen in the future!")


@pytest.mark.parametrize(
    ("first", "last"), [(NOW + 1, NOW + 1), (NOW + 100 * DAY, NOW), (NOW + 1, NOW + 1000), (NOW + 5, NOW - 5)]
)
def test_a_first_time_in_the_future_is_corrected(first: int, last: int) -> None:
    world = make_world(triplets=seen(first, last))
    assert world.ask() == Answer(GREYLISTED, (CORRECTED, notice(f"action=greylist, reason=new, {WHO}")))
    assert world.records() == (seen(NOW, NOW), {})


def test_a_first_time_of_now_is_not_corrected() -> None:
    world = make_world(triplets=seen(NOW, NOW + 50))
    assert world.ask().log == (notice(f"action=greylist, reason=new, {WHO}"),)


def test_a_clock_set_back_behind_a_success_greylists_again() -> None:
    world = make_world(triplets=seen(NOW, NOW + 500))
    assert world.ask(NOW + 100).log == (notice(f"action=greylist, reason=early-retry (200s missing), {WHO}"),)
    assert world.triplets == seen(NOW, NOW + 100)


@pytest.mark.parametrize("value", [b"", b",", b"rubbish", b"1", b"1,", b"\xff\x00,\xfe", b"9" * 5000])
def test_a_damaged_triplet_is_replaced(value: bytes) -> None:
    world = make_world(triplets={TRIPLET: value})
    assert world.reply() == GREYLISTED
    assert world.triplets == seen(NOW, NOW)


def test_the_third_field_of_old_records_goes() -> None:
    world = make_world(triplets={TRIPLET: record(NOW - 300, NOW - 300) + b",mail.example.com"})
    assert world.reply() == header(300)
    assert world.triplets == seen(NOW - 300, NOW)


# The time that a request brings.


def test_a_test_time_replaces_the_clock() -> None:
    world = make_world()
    world.ask(NOW, policy_test_time="1000")
    assert world.triplets == seen(1000, 1000)
    assert world.ask(NOW, policy_test_time="1299").log[0].text.startswith("action=greylist, reason=early-retry (1s ")
    # But the header has the time of the clock.
    assert world.reply(NOW, policy_test_time="1300") == header(300)
    assert world.records() == (seen(1000, 1300), {CLIENT: record(1, 1300)})


def test_a_test_time_of_zero_is_a_time() -> None:
    world = make_world()
    world.ask(NOW, policy_test_time="0")
    assert world.triplets == seen(0, 0)


def test_a_test_time_that_is_no_number_does_not_count() -> None:
    world = make_world()
    world.ask(NOW, policy_test_time="soon")
    assert world.triplets == seen(NOW, NOW)


# The auto-whitelist.


def test_a_client_counts_once_an_hour_until_it_is_trusted() -> None:
    world = make_world()
    log = []
    for number in range(1, 7):
        then = NOW + number * HOUR
        sender = f"sender-{'x' * number}@example.com"
        first = world.ask(then - 300, sender=sender)
        log += [*first.log, *world.ask(then, sender=sender).log]
        if number < 5:
            assert world.clients == {CLIENT: record(number, then)}
    assert [line.text for line in log if line.level == Level.WARNING] == ["whitelisted: mail.example.com[192.0.2.7]"]
    # Trusted from the fifth on; it goes on counting.
    assert first == Answer(
        "DUNNO", (notice(f"action=pass, reason=client AWL, {WHO.replace('alice', 'sender-xxxxxx')}"),)
    )
    assert world.clients == {CLIENT: record(6, NOW + 6 * HOUR)}
    assert len(world.triplets) == 5


def test_the_line_of_trust_comes_before_the_decision() -> None:
    world = make_world(triplets=seen(NOW - 300, NOW - 300), clients={CLIENT: record(4, NOW - HOUR)})
    assert world.ask().log == (
        warning("whitelisted: mail.example.com[192.0.2.7]"),
        notice(f"action=pass, reason=triplet found, delay=300, {WHO}"),
    )


@pytest.mark.parametrize(
    ("name", "address", "line"),
    [
        ("mail.example.com", "2001:db8::ab", "whitelisted: mail.example.com[2001:DB8:0:0:0:0:0:AB]"),
        ("", "192.0.2.7", "whitelisted: 192.0.2.7"),
        ("0", "192.0.2.7", "whitelisted: 192.0.2.7"),
        ("", "::ffff:192.0.2.7", "whitelisted: 192.0.2.7"),
    ],
)
def test_whom_the_line_of_trust_names(name: str, address: str, line: str) -> None:
    world = make_world(auto_whitelist_clients=1)
    world.ask(NOW, client_name=name, client_address=address)
    assert world.ask(NOW + 300, client_name=name, client_address=address).log[0] == warning(line)


@pytest.mark.parametrize(
    ("last", "counts"),
    [
        (NOW - HOUR - 1, True),
        (NOW - HOUR, True),
        (NOW - HOUR + 1, False),
        (NOW - 1, False),
        (NOW, False),
        # unlike 1.37, where a client from the future never gains a count.
        (NOW + 1, True),
        (NOW + 100 * DAY, True),
    ],
)
def test_a_client_gains_a_count_only_an_hour_after_the_last(last: int, counts: bool) -> None:
    world = make_world(triplets=seen(NOW - 300, NOW - 300), clients={CLIENT: record(2, last)})
    assert world.reply() == header(300)
    assert world.clients == {CLIENT: record(3, NOW) if counts else record(2, last)}


@pytest.mark.parametrize(
    ("last", "counts"),
    [
        (NOW - HOUR - 1, True),
        (NOW - HOUR, True),
        (NOW - HOUR + 1, False),
        (NOW, False),
        (NOW + 1, True),
        (NOW + 100 * DAY, True),
    ],
)
def test_a_trusted_client_is_counted_only_an_hour_after_the_last(last: int, counts: bool) -> None:
    world = make_world(clients={CLIENT: record(5, last)})
    assert world.ask() == Answer("DUNNO", (notice(f"action=pass, reason=client AWL, {WHO}"),))
    assert world.records() == ({}, {CLIENT: record(6, NOW) if counts else record(5, last)})


def test_a_client_is_due_an_hour_after_it_was_seen() -> None:
    assert is_due((0, None), NOW)
    assert is_due((1, NOW - HOUR), NOW)
    assert not is_due((1, NOW - HOUR + 1), NOW)
    assert is_due((1, NOW + 1), NOW)


@pytest.mark.parametrize("count", [5, 6, 1000])
def test_from_the_fifth_success_on_a_client_is_trusted(count: int) -> None:
    assert make_world(clients={CLIENT: record(count, NOW)}).reply() == "DUNNO"


@pytest.mark.parametrize("count", [-1, 0, 1, 4])
def test_before_the_fifth_success_a_client_is_not_trusted(count: int) -> None:
    assert make_world(clients={CLIENT: record(count, NOW)}).reply() == GREYLISTED


def test_a_trusted_client_is_not_said_to_be_trusted_again() -> None:
    # The number of successes that it takes was lower when this client had its.
    world = make_world(
        auto_whitelist_clients=3, clients={CLIENT: record(2, NOW - HOUR)}, triplets=seen(NOW - 300, NOW - 300)
    )
    assert len(world.ask().log) == 2
    assert len(world.ask(NOW + HOUR).log) == 1
    assert world.clients == {CLIENT: record(4, NOW + HOUR)}


def test_one_success_may_be_enough() -> None:
    world = make_world(auto_whitelist_clients=1)
    assert world.reply(NOW) == GREYLISTED
    assert world.ask(NOW + 300).log[0] == warning("whitelisted: mail.example.com[192.0.2.7]")
    assert world.reply(NOW + 300, sender="other@example.com") == "DUNNO"
    # The neighbour is another client, though of the same network.
    assert world.reply(NOW + 300, sender="other@example.com", client_address="192.0.2.8") == GREYLISTED


def test_without_auto_whitelist_clients_are_neither_read_nor_written() -> None:
    world = make_world(auto_whitelist_clients=0, clients={CLIENT: record(9, NOW)}, triplets=seen(NOW - 300, NOW - 300))
    assert world.ask() == Answer(header(300), (notice(f"action=pass, reason=triplet found, delay=300, {WHO}"),))
    assert world.reply(sender="other@example.com") == GREYLISTED
    assert world.clients == {CLIENT: record(9, NOW)}


@pytest.mark.parametrize("value", [b"", b",", b"rubbish", b"\xff,\x00", b"-3"])
def test_a_damaged_client_starts_anew(value: bytes) -> None:
    world = make_world(clients={CLIENT: value}, triplets=seen(NOW - 300, NOW - 300))
    assert world.reply() == header(300)
    count = -2 if value == b"-3" else 1
    assert world.clients == {CLIENT: record(count, NOW)}


@pytest.mark.parametrize(("value", "after"), [(b"7", b"8"), (b"7,", b"8"), (b"7x,rubbish", b"8")])
def test_a_trusted_client_without_a_last_time_is_due(value: bytes, after: bytes) -> None:
    world = make_world(clients={CLIENT: value})
    assert world.reply() == "DUNNO"
    assert world.clients == {CLIENT: after + b",%d" % NOW}


@pytest.mark.parametrize(
    ("options", "client", "key"),
    [
        ({}, "2001:db8::ab", b"2001:DB8:0:0:0:0:0:AB"),
        ({"lookup_by_host": True}, "192.0.2.7", b"192.0.2.7"),
        # printf %s 192.0.2.7 | sha1sum
        ({"privacy": True}, "192.0.2.7", b"3a8e329934c7cda5120fd97583dbbfeb679b24c8"),
    ],
)
def test_options_decide_under_which_key_a_client_is_stored(options: dict[str, Any], client: str, key: bytes) -> None:
    world = make_world(**options)
    world.ask(NOW, client_address=client)
    world.ask(NOW + 300, client_address=client)
    assert world.clients == {key: record(1, NOW + 300)}


# Message instances.


def first_success(world: World, number: int, instance: str | None) -> Answer:
    """A triplet of its own for each number, come back after the delay, in this message."""
    recipient = f"rcpt-{'x' * number}@example.org" if number < 50 else f"r{number}x@example.org"
    world.ask(NOW, recipient=recipient)
    return world.ask(NOW + 300, recipient=recipient, instance=instance)


def test_a_message_gets_one_header_for_all_its_recipients() -> None:
    world = make_world()
    assert first_success(world, 1, "a").reply.startswith("PREPEND ")
    second = first_success(world, 2, "a")
    assert second.reply == "DUNNO"
    assert second.log == (notice(f"action=pass, reason=triplet found, {WHO.replace('bob', 'rcpt-xx')}"),)
    assert first_success(world, 3, "b").reply.startswith("PREPEND ")
    assert first_success(world, 4, "a").reply == "DUNNO"


def test_without_an_instance_each_request_is_a_message() -> None:
    world = make_world()
    assert first_success(world, 1, None).reply.startswith("PREPEND ")
    assert first_success(world, 2, None).reply.startswith("PREPEND ")


def test_an_empty_instance_is_one_message() -> None:
    world = make_world()
    assert first_success(world, 1, "").reply.startswith("PREPEND ")
    assert first_success(world, 2, "").reply == "DUNNO"


def test_only_messages_with_a_header_are_remembered() -> None:
    world = make_world()
    world.ask(NOW, instance="a")
    world.ask(NOW + 100, instance="a")
    assert world.reply(NOW + 300, instance="a").startswith("PREPEND ")
    # A later success of that triplet in a message that gets its header afterwards.
    assert world.reply(NOW + 301, instance="b") == "DUNNO"
    assert first_success(world, 1, "b").reply.startswith("PREPEND ")


# unlike 1.37, which forgets a message after ten others.
def test_the_last_thousand_messages_are_remembered() -> None:
    assert REMEMBERED_INSTANCES == 1000
    world = make_world()
    for number in range(1000):
        assert first_success(world, 100 + number, f"i{number}").reply.startswith("PREPEND ")
    assert first_success(world, 1, "i0").reply == "DUNNO"
    assert first_success(world, 2, "i999").reply == "DUNNO"
    assert first_success(world, 3, "one more").reply.startswith("PREPEND ")
    # The oldest is forgotten for it, however recently it was asked for.
    assert first_success(world, 4, "i1").reply == "DUNNO"
    assert first_success(world, 5, "i0").reply.startswith("PREPEND ")
    assert first_success(world, 6, "i1").reply.startswith("PREPEND ")
    assert first_success(world, 7, "i999").reply == "DUNNO"


# Log lines.


def test_the_queue_id_comes_first() -> None:
    assert make_world().ask(queue_id="4XyZ1").log == (notice(f"4XyZ1: action=greylist, reason=new, {WHO}"),)


@pytest.mark.parametrize("nothing", ["", "0"])
@pytest.mark.parametrize(
    ("name", "gone"),
    [
        ("queue_id", ""),
        ("client_name", ", client_name=mail.example.com"),
        ("sender", ", sender=alice@example.com"),
        ("recipient", ", recipient=bob@example.org"),
    ],
)
def test_what_perl_takes_for_false_is_left_out(name: str, gone: str, nothing: str) -> None:
    whole = f"action=greylist, reason=new, {WHO}"
    assert make_world().ask(**{name: nothing}).log == (notice(whole.replace(gone, "")),)


@pytest.mark.parametrize("text", ["00", "0.0", " ", "0@", "x"])
def test_anything_else_is_logged(text: str) -> None:
    decision = make_world().ask(queue_id=text, client_name=text, sender=text, recipient=text)
    assert decision.log == (
        notice(
            f"{text}: action=greylist, reason=new, "
            f"client_name={text}, client_address=192.0.2.7, sender={text}, recipient={text}"
        ),
    )


def test_all_may_be_left_out() -> None:
    decision = make_world().ask(client_name="", sender="", recipient="")
    assert decision.log == (notice("action=greylist, reason=new, client_address=192.0.2.7"),)


def test_attributes_are_logged_as_they_came() -> None:
    decision = make_world().ask(sender="Alice+x-12@EX.com", recipient="{0}%s\xe9\x01@Example.org", client_name="a, b=c")
    assert decision.log[0].text == (
        "action=greylist, reason=new, client_name=a, b=c, client_address=192.0.2.7, "
        "sender=Alice+x-12@EX.com, recipient={0}%s\xe9\x01@Example.org"
    )


# Texts.


@pytest.mark.parametrize(
    ("text", "recipient", "reply"),
    [
        ("wait", "bob@example.org", "wait"),
        ("%s seconds for %r", "bob@example.org", "288 seconds for example.org"),
        ("%r", "bob@one@two.example", "two.example"),
        ("%r", "postmaster", "postmaster"),
        ("%r", "bob@", ""),
        ("%r", "", ""),
        ("%r", "bob@Example.ORG", "Example.ORG"),
        # unlike 1.37: everywhere, not once.
        ("%s %s %r %r", "b@c", "288 288 c c"),
        # Nothing else has a meaning, least of all in what is put in.
        ("100%", "b@c", "100%"),
        ("%%s", "b@c", "%288"),
        ("%t %v %d %h %x %S %", "b@c", "%t %v %d %h %x %S %"),
        ("{} {0} {s} {r} }{ {{%s}}", "b@c", "{} {0} {s} {r} }{ {{288}}"),
        (r"\1 \g<0> \n", "b@c", r"\1 \g<0> \n"),
        ("%r", "b@%s{s}%r", "%s{s}%r"),
        ("caf\xe9 %r", "b@\xe9", "caf\xe9 \xe9"),
    ],
)
def test_placeholders_of_the_text(text: str, recipient: str, reply: str) -> None:
    world = make_world(greylist_text=text)
    world.ask(NOW, recipient=recipient)
    assert world.reply(NOW + 12, recipient=recipient) == f"DEFER_IF_PERMIT {reply}"


@pytest.mark.parametrize(
    ("action", "reply"), [("DEFER", "DEFER wait"), ("450", "450 wait"), ("{s} %s %r", "{s} %s %r wait")]
)
def test_the_action_is_taken_as_it_is(action: str, reply: str) -> None:
    assert make_world(greylist_action=action, greylist_text="wait").reply() == reply


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("wait", "4.2.0 wait"),
        ("%s seconds", "4.2.0 300 seconds"),
        (" 5.7.1 wait", "4.2.0  5.7.1 wait"),
        ("{s}", "4.2.0 {s}"),
        ("\xb2", "4.2.0 \xb2"),
        ("4.7.1 wait", "4.7.1 wait"),
        ("9 wait", "9 wait"),
        ("0", "0"),
        ("9", "9"),
    ],
)
def test_postfix_gets_a_code_before_a_text_that_has_none(text: str, reply: str) -> None:
    for domain in ("", "example.org"):
        assert make_world(greylist_text=text).reply(etrn_domain=domain) == f"DEFER_IF_PERMIT {reply}"
    without = make_world(greylist_text=text).reply()
    assert without == f"DEFER_IF_PERMIT {reply.removeprefix('4.2.0 ')}"


@pytest.mark.parametrize(
    ("text", "reply"),
    [
        ("X-Own: %t by %v on %h at %d", f"X-Own: 345 by 9.9 on mx.example.org at {FIXED_CLOCK}"),
        ("X-Own: yes", "X-Own: yes"),
        # unlike 1.37: everywhere, not once.
        ("%t %t %h %h %v %v", "345 345 mx.example.org mx.example.org 9.9 9.9"),
        ("%s %r %x %T %", "%s %r %x %T %"),
        ("{} {t} }{ {{%t}}", "{} {t} }{ {{345}}"),
    ],
)
def test_placeholders_of_the_header(text: str, reply: str) -> None:
    world = make_world(x_greylist_header=text, triplets=seen(NOW - 345, NOW - 345))
    assert world.reply() == f"PREPEND {reply}"


def test_the_name_of_the_host_is_not_searched_for_placeholders() -> None:
    world = make_world(triplets=seen(NOW - 300, NOW - 300))
    world.texts = ReplyTexts(Settings(hostname="%t{t}", x_greylist_header="%h"), "9.9")
    assert world.reply() == "PREPEND %t{t}"


@pytest.mark.parametrize(
    ("zone", "clock", "text"),
    [
        ("UTC", NOW, "Tue, 14 Nov 2023 22:13:20 UTC"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", NOW, "Tue, 14 Nov 2023 23:13:20 CET"),
        ("CET-1CEST,M3.5.0,M10.5.0/3", 1_720_000_000, "Wed, 03 Jul 2024 11:46:40 CEST"),
        ("EST5", 1_704_067_199, "Sun, 31 Dec 2023 18:59:59 EST"),
        ("UTC", 0, "Thu, 01 Jan 1970 00:00:00 UTC"),
    ],
)
def test_the_date_in_the_header_is_local_time_in_english(
    zone: str, clock: int, text: str, set_zone: Callable[[str], None]
) -> None:
    set_zone(zone)
    world = make_world(triplets=seen(clock - 300, clock - 300), x_greylist_header="X: %d")
    assert world.reply(clock) == f"PREPEND X: {text}"


# Everything at once.

texts = st.binary(max_size=12).map(lambda octets: octets.decode("latin-1").replace("\n", ""))
values = texts | st.sampled_from(["192.0.2.7", "2001:db8::1", "::ffff:192.0.2.7", "a@b", "0", "prvs=1=2@b", "unknown"])
numbers = st.integers(-1, 2) | st.integers(NOW - 1000, NOW + 1000) | st.integers()
attributes = st.fixed_dictionaries(
    dict.fromkeys(["client_address", "client_name", "sender", "recipient"], values),
    optional=dict.fromkeys(["queue_id", "instance", "etrn_domain", "policy_test_time"], values),
)


@untimed
@given(
    st.lists(attributes, max_size=4),
    st.builds(record, numbers, numbers) | st.binary(max_size=8),
    st.builds(record, numbers, numbers) | st.binary(max_size=8),
    st.integers(0, 5),
)
def test_whatever_comes_gets_one_decision_and_one_line_for_it(
    requests: list[dict[str, str]], triplet: bytes, client: bytes, auto_whitelist_clients: int
) -> None:
    world = make_world(
        auto_whitelist_clients=auto_whitelist_clients,
        greylist_text="wait",
        x_greylist_header="X: yes",
        whitelist=("/^whitelisted$/",),
        triplets={TRIPLET: triplet},
        clients={CLIENT: client},
    )
    for request in [{}, *requests]:
        before = dict(world.triplets), dict(world.clients)
        decision = world.ask(**request)
        assert decision.reply in ("DUNNO", "DEFER_IF_PERMIT wait", "DEFER_IF_PERMIT 4.2.0 wait", "PREPEND X: yes")
        lines = [line for line in decision.log if "action=" in line.text or line.is_complaint]
        assert lines == [decision.log[-1]]
        deferred = "action=greylist, " in lines[0].text
        assert deferred == decision.reply.startswith("DEFER")
        # Whoever is deferred has a record by which the retry will be known.
        assert not deferred or world.triplets != before[0] or record(NOW, NOW) in before[0].values()
        if "whitelist, " in lines[0].text or lines[0].is_complaint:
            assert world.records() == before


# What was ordered.


def make_ordered_world(overrides: Overrides, **options: Any) -> World:
    settings = Settings(hostname="mx.example.org", **options)
    return World(Policy(settings, Whitelists(), overrides=overrides), ReplyTexts(settings, "9.9"))


def test_training_lets_pass_what_would_be_deferred_and_says_why() -> None:
    world, plain = make_world(training=True), make_world()
    for now, reason in (
        (NOW, "training (new)"),
        (NOW + 100, "training (early-retry (200s missing))"),
        (NOW + 300, "triplet found, delay=300"),
        (NOW + 301, "triplet found"),
    ):
        plain.ask(now)
        answer = world.ask(now)
        assert answer.log[-1] == notice(f"action=pass, reason={reason}, {WHO}")
        assert answer.reply == (header(300, "Tue, 14 Nov 2023 22:18:20 UTC") if "delay" in reason else "DUNNO")
        assert world.records() == plain.records()


def test_pause_lets_pass_what_would_be_deferred_and_records_it() -> None:
    pause = Pause(NOW + 50, "root")
    world, plain = make_ordered_world(Overrides(pause=pause)), make_world()
    plain.ask(NOW)
    assert world.ask(NOW) == Answer("DUNNO", (notice(f"action=pass, reason=paused ({pause.text()}), {WHO}"),))
    assert world.records() == plain.records()
    assert world.ask(NOW + 50).log == (notice(f"action=greylist, reason=early-retry (250s missing), {WHO}"),)


def test_allowance_is_for_mail_that_would_be_deferred_only() -> None:
    world = make_ordered_world(Overrides((make_allowance(7, NOW + 400, sender="example.com"),)))
    assert world.ask(NOW) == Answer("DUNNO", (notice(f"action=pass, reason=allowed (7), {WHO}"),))
    assert world.decide(NOW + 300).reason is Reason.TRIPLET_FOUND
    other = world.decide(NOW + 300, sender="carol@example.net")
    assert (other.action, other.reason, other.wait) == (Action.GREYLIST, Reason.NEW, 300)


def test_pause_uses_no_allowance_up() -> None:
    overrides = Overrides((make_allowance(7, NOW + 400, sender="example.com", once=True),), Pause(None, "root"))
    assert make_ordered_world(overrides).decide().reason is Reason.PAUSED


def test_time_of_an_order_is_not_that_of_the_request() -> None:
    world = make_ordered_world(Overrides((make_allowance(7, NOW + 400, sender="example.com"),)))
    assert world.decide(NOW + 400, policy_test_time=str(NOW)).action is Action.GREYLIST
    assert world.decide(NOW + 399, policy_test_time=str(NOW + 10_000_000)).reason is Reason.ALLOWED


def test_nobody_is_asked_for_facts_about_mail_that_an_order_lets_pass() -> None:
    world = make_world()
    question = world.policy.examine(world.request())
    assert isinstance(question, Question)
    for overrides, expected in ((NO_OVERRIDES, Wanted), (Overrides(pause=Pause(None, "root")), Decision)):
        policy = Policy(Settings(), Whitelists(), wants_facts=True, overrides=overrides)
        assert isinstance(policy.judge(question, Records({}, {}), None, NOW), expected)


def test_training_asks_for_facts_first() -> None:
    world = make_world()
    question = world.policy.examine(world.request())
    assert isinstance(question, Question)
    policy = Policy(Settings(training=True), Whitelists(), wants_facts=True)
    assert isinstance(policy.judge(question, Records({}, {}), None, NOW), Wanted)


# Lists that an option names.


def test_only_recipients_who_are_listed_are_greylisted() -> None:
    world = make_world(greylisted=("bob@example.org", "example.net"))
    assert world.decide().reason is Reason.NEW
    assert world.decide(recipient="Carol@lists.EXAMPLE.net").reason is Reason.NEW
    line = f"action=pass, reason=recipient not greylisted, {WHO}".replace("bob@", "dave@")
    world.triplets.clear()
    assert world.ask(recipient="dave@example.org") == Answer("DUNNO", (notice(line),))
    assert world.records() == ({}, {})


def test_whitelist_overrules_the_list_of_recipients() -> None:
    world = make_world(recipients=("bob@",), greylisted=("example.org",))
    assert world.decide().reason is Reason.RECIPIENT_WHITELIST


def test_nobody_is_greylisted_by_an_empty_list() -> None:
    assert make_world(greylisted=()).decide().reason is Reason.NOT_GREYLISTED


def test_client_that_is_never_trusted_earns_nothing() -> None:
    world = make_world(untrusted=("example.com", "198.51.100.0/24"), auto_whitelist_clients=1)
    for attributes in ({}, {"client_address": "198.51.100.9", "client_name": "unknown"}):
        world.decide(NOW, **attributes)
        assert world.decide(NOW + 300, **attributes).delay == 300
    assert world.clients == {}
    # Others do.
    world.decide(NOW, client_name="mx.example.net", client_address="203.0.113.1")
    world.decide(NOW + 300, client_name="mx.example.net", client_address="203.0.113.1")
    assert world.clients == {b"203.0.113.1": record(1, NOW + 300)}


def test_client_that_is_never_trusted_loses_what_it_had() -> None:
    world = make_world(untrusted=("192.0.2.7",), clients={CLIENT: record(9, NOW - 10)})
    assert world.decide().reason is Reason.NEW
    assert world.clients == {CLIENT: record(0, NOW)}
    # Once.
    assert world.decide(NOW + 1).clients == ()


def test_client_that_was_never_trusted_may_be_again() -> None:
    world = make_world(clients={CLIENT: record(0, NOW - HOUR)}, triplets=seen(NOW - 300, NOW - 300))
    assert world.decide().clients == ((CLIENT, record(1, NOW)),)


def test_listed_sender_passes_from_a_client_of_its_domain() -> None:
    world = make_world(senders=("example.com", "<>"))
    assert world.ask() == Answer("DUNNO", (notice(f"action=pass, reason=sender whitelist, {WHO}"),))
    assert world.decide().entry == Line("senders", 1, "example.com")
    assert world.records() == ({}, {})
    # Anybody may write that.
    for name in ("unknown", "mx.example.net", "192-0-2-7.example.com"):
        assert world.decide(client_name=name).reason is not Reason.SENDER_WHITELIST
    assert world.decide(sender="").reason is Reason.NEW


def test_unverified_sender_passes_from_anywhere() -> None:
    world = make_world(unverified_senders=("example.com", "<>"))
    for attributes in ({"client_name": "unknown"}, {"sender": ""}):
        assert world.decide(**attributes).reason is Reason.SENDER_WHITELIST
    assert world.decide(sender="alice@example.net").reason is Reason.NEW


def test_listed_sender_passes_whoever_is_greylisted() -> None:
    world = make_world(senders=("example.com",), greylisted=("example.org",))
    assert world.decide().reason is Reason.SENDER_WHITELIST


# Suspects.

SUSPECTS = ("no-name", "generic-name", "helo")


def test_only_suspects_are_greylisted_and_the_log_says_why() -> None:
    world = make_world(only_suspects=SUSPECTS)
    assert world.ask() == Answer("DUNNO", (notice(f"action=pass, reason=not suspect, {WHO}"),))
    assert world.records() == ({}, {})
    line = f"action=greylist, reason=new, suspect=no-name+helo, {WHO}".replace("mail.example.com", "unknown")
    suspect: dict[str, str | None] = {"client_name": "unknown", "helo_name": "pc"}
    assert world.ask(**suspect) == Answer(GREYLISTED, (notice(line),))
    early = world.ask(NOW + 10, **suspect).log[0].text
    assert early.startswith("action=greylist, reason=early-retry (290s missing), suspect=no-name+helo, client_name")
    # It waits no longer than others do.
    assert world.decide(NOW + 300, **suspect).reason is Reason.TRIPLET_FOUND


def test_lists_come_before_suspicions() -> None:
    world = make_world(whitelist=("192.0.2.7",), greylisted=("example.net",), only_suspects=SUSPECTS)
    assert world.decide(client_name="unknown").reason is Reason.CLIENT_WHITELIST
    assert world.decide(client_address="203.0.113.1", client_name="unknown").reason is Reason.NOT_GREYLISTED


def test_everybody_is_greylisted_without_the_option() -> None:
    decision = make_world().decide()
    assert (decision.reason, decision.suspicions) == (Reason.NEW, ())
