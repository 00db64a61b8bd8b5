# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from postgrey_py.daemon.commits import Commits
from postgrey_py.daemon.decider import Decider
from postgrey_py.daemon.flusher import Done
from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.outage import Outage
from postgrey_py.daemon.replies import Replies
from postgrey_py.daemon.tally import Tally
from postgrey_py.database.environment import Environment
from postgrey_py.database.reopening import reopen
from postgrey_py.database.store import Store, Table
from postgrey_py.errors import DatabaseError
from postgrey_py.greylist.list_lines import Line
from postgrey_py.greylist.loglines import Level
from postgrey_py.greylist.policy import Policy
from postgrey_py.greylist.request import Flaws, Request, read_request
from postgrey_py.greylist.settings import Settings
from postgrey_py.greylist.texts import ReplyTexts
from postgrey_py.greylist.whitelists import ClientList, Whitelists
from postgrey_py.protocol.reader import RequestReader
from tests.support import policy as policy_client

NOW = 1_700_000_000
GREYLISTED = b"action=DEFER_IF_PERMIT 4.2.0 wait\n\n"
PASSED = b"action=DUNNO\n\n"
UP = b"action=DUNNO\npostgrey_outage=0\n\n"
WHO = "client_name=mail.example.com, client_address=192.0.2.7, sender=alice@example.com, recipient=bob@example.org"


def parsed_request(**attributes: str | int | None) -> Request:
    """A request as the protocol hands it on, at NOW unless it says otherwise."""
    fields: dict[str, str | int | None] = {"policy_test_time": NOW, **attributes}
    (request,) = RequestReader().feed(policy_client.make_request(**fields))
    return request


class WatchedStore(Store):
    """A store that tells what is done to it, and fails when it is told to."""

    def __init__(self, environment: Environment, events: list[Any]) -> None:
        self.events = events
        self.failure: DatabaseError | None = None
        super().__init__(environment)
        self.triplets = self.fragile = FragileTable(self)
        self.attach()

    def begin(self) -> Any:
        self.events.append("begin")
        return super().begin()

    def commit_unflushed(self) -> bool:
        if self.transaction is not None:
            if self.failure is not None:
                self.abort()
                raise self.failure
            self.events.append("commit")
        return super().commit_unflushed()

    def abort(self) -> None:
        self.events.append("abort")
        super().abort()


class FragileTable(Table):
    """A table of the store that can't be read once it is broken."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self.is_broken = False

    def get(self, key: bytes) -> bytes | None:
        if self.is_broken:
            raise DatabaseError("can't read: it is broken")
        return super().get(key)


class InstantFlusher:
    """Flushes at once, as a disk does that costs nothing."""

    def start(self, work: Callable[[], None], done: Done) -> None:
        failure = None
        try:
            work()
        except DatabaseError as error:
            failure = error
        done(0.0, failure)


class Turns:
    """The event loop as far as commits use it: turns end when the test says so, and no time passes."""

    def __init__(self) -> None:
        self.scheduled: list[Callable[[], None]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.scheduled.append(callback)

    def call_later(self, _: float, __: Callable[[], None]) -> Turns:
        return self

    def cancel(self) -> None:
        pass


class EventSink:
    """A log whose lines are events."""

    def __init__(self, events: list[Any]) -> None:
        self.events = events

    def write(self, lines: list[tuple[Level, str]]) -> int:
        self.events += lines
        return 0


class World:
    """A turn on a real database. `events` has all that it did, in order."""

    def __init__(self, directory: Path) -> None:
        self.events: list[Any] = []
        self.turns = Turns()
        self.environment = Environment(str(directory), True, self.events.append)
        self.store = WatchedStore(self.environment, self.events)
        self.triplets = self.store.fragile
        settings = Settings(greylist_text="wait", x_greylist_header="X: %t")
        policy = Policy(settings, Whitelists(ClientList([Line("clients", 1, "white.example")])))
        self.decide_by(policy, settings)

    def decide_by(self, policy: Policy, settings: Settings) -> None:
        log = Log(EventSink(self.events), Level.DEBUG, marks_complaints=True)
        self.outage = Outage(self._reopen, log, time.monotonic)
        self.commits = Commits(self.store, log, self.outage, InstantFlusher(), self.turns)
        self.tally = Tally(0)
        texts = ReplyTexts(settings, "9.9")
        self.decider = Decider(policy, texts, self.store, self.commits, self.outage, self.tally)

    def connect(self, name: str = "client") -> Replies:
        """The output side of a client that tells what it gets."""
        return Replies(
            lambda octets: self.events.append((name, octets)),
            lambda: self.events.append((name, "hung up")),
            lambda: self.events.append((name, "given up")),
        )

    def add(self, connection: Replies, **attributes: str | int | None) -> bool:
        return self.add_raw(connection, parsed_request(**attributes))

    def add_raw(self, connection: Replies, request: Request) -> bool:
        """Add a request, and have the turn end as the server does."""
        is_accepted = self.decider.add(connection, request)
        self.commits.end_turn_soon()
        return is_accepted

    def finish(self) -> list[Any]:
        """Let the loop end the turn; returns what happened since the last time."""
        for end_turn in self.turns.scheduled:
            end_turn()
        self.turns.scheduled.clear()
        events = list(self.events)
        self.events.clear()
        return events

    async def _reopen(self) -> None:
        reopen(self.environment)
        self.store.attach()

    def reopen(self) -> list[Any]:
        """Let the database be opened again; returns what happened since the last time."""

        async def until_it_works() -> None:
            bringing_back = asyncio.ensure_future(self.outage.run())
            while self.outage.is_down:
                await asyncio.sleep(0)
            bringing_back.cancel()

        asyncio.run(until_it_works())
        return self.finish()

    def ask(self, **attributes: str | int | None) -> list[Any]:
        """A turn with this request alone."""
        self.add(self.connect(), **attributes)
        return self.finish()

    def stored(self) -> dict[bytes, bytes]:
        """The triplets that are in the database for good."""
        return dict(self.store.triplets.records(b"", 1000))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.store.abort()
    world.environment.close()


# One turn.


def test_a_request_is_answered_only_after_it_is_committed_and_logged(world: World) -> None:
    connection = world.connect()
    assert world.add(connection)
    assert world.events == ["begin"]
    assert world.finish() == [
        "begin",
        "commit",
        (Level.NOTICE, f"action=greylist, reason=new, {WHO}"),
        ("client", GREYLISTED),
    ]
    assert world.stored() == {b"192.0.2.0/alice@example.com/bob@example.org": b"%d,%d" % (NOW, NOW)}


def test_the_clock_is_read_for_each_request(world: World) -> None:
    before = int(time.time())
    world.ask(policy_test_time=None)
    (value,) = world.stored().values()
    assert before <= int(value.split(b",")[0]) <= time.time()


def test_all_requests_of_a_turn_share_one_transaction(world: World) -> None:
    connections = [world.connect(str(number)) for number in range(3)]
    for number, connection in enumerate(connections):
        world.add(connection, sender=f"s{number}x@example.com")
    assert len(world.turns.scheduled) == 1
    events = world.finish()
    assert [event for event in events if isinstance(event, str)] == ["begin", "commit"]
    assert events[-3:] == [(str(number), GREYLISTED) for number in range(3)]
    assert len(world.stored()) == 3
    # The next turn is another one.
    world.add(connections[0])
    assert len(world.turns.scheduled) == 1
    assert world.finish()[:2] == ["begin", "commit"]


def test_answers_of_a_connection_stay_in_order(world: World) -> None:
    one, two = world.connect("one"), world.connect("two")
    world.add(one)
    world.add(two, client_name="white.example")
    world.add(one, client_name="white.example")
    world.add(one, policy_test_time=NOW + 300)
    sent = {"one": b"", "two": b""}
    for name, octets in (event for event in world.finish() if event[0] in sent):
        sent[name] += octets
    assert sent == {"one": GREYLISTED + PASSED + b"action=PREPEND X: 300\n\n", "two": PASSED}


def test_log_lines_are_in_the_order_of_the_requests(world: World) -> None:
    connection = world.connect()
    for number in range(3):
        world.add(connection, queue_id=f"Q{number}", client_name="white.example")
    lines = [text for _, text in world.finish()[:3]]
    assert [line.split(":")[0] for line in lines] == ["Q0", "Q1", "Q2"]


def test_requests_of_a_turn_know_of_each_other(world: World) -> None:
    connection = world.connect()
    world.add(connection)
    world.add(connection, policy_test_time=NOW + 100)
    texts = [text for _, text in world.finish()[2:4]]
    assert [text.split(", client")[0] for text in texts] == [
        "action=greylist, reason=new",
        "action=greylist, reason=early-retry (200s missing)",
    ]


def test_a_turn_that_writes_nothing_commits_nothing(world: World) -> None:
    events = world.ask(client_name="white.example")
    assert events == [
        (Level.NOTICE, f"action=pass, reason=client whitelist, {WHO.replace('mail.example.com', 'white.example')}"),
        ("client", PASSED),
    ]


def test_a_turn_without_requests_does_nothing(world: World) -> None:
    world.commits.end_turn()
    assert world.events == []


def test_bytes_beyond_ascii_come_back_as_they_came(world: World) -> None:
    settings = Settings(greylist_text="caf\xe9 %r")
    world.decide_by(Policy(settings, Whitelists()), settings)
    events = world.ask(recipient="bob@\xc3\xa9\xff")
    assert events[-1] == ("client", b"action=DEFER_IF_PERMIT 4.2.0 caf\xe9 \xc3\xa9\xff\n\n")


# Hanging up.


def test_a_connection_without_open_answers_is_closed_at_once(world: World) -> None:
    world.connect().hang_up()
    assert world.events == [("client", "hung up")]


def test_a_connection_is_closed_only_after_its_answers(world: World) -> None:
    one, two = world.connect("one"), world.connect("two")
    world.add(one, client_name="white.example")
    one.hang_up()
    two.hang_up()
    assert world.events == [("two", "hung up")]
    assert world.finish()[-2:] == [("one", PASSED), ("one", "hung up")]
    # The next turn does not close it again.
    world.commits.end_turn()
    assert world.events == []


# What is no request that can be decided.


# unlike 1.37, which leaves the connection open without an answer.
@pytest.mark.parametrize("kind", ["junk", "", "SMTPD_ACCESS_POLICY", "smtpd_access_policy ", "\xe9"])
def test_another_type_of_request_is_logged_and_closes_the_connection(kind: str, world: World) -> None:
    assert not world.add(world.connect(), request=kind)
    assert world.finish() == [(Level.ERROR, f"unrecognized request type: '{kind}'"), ("client", "hung up")]
    assert world.stored() == {}


def test_no_type_of_request_is_another_type(world: World) -> None:
    assert not world.add_raw(world.connect(), read_request({}))
    assert world.finish() == [(Level.ERROR, "unrecognized request type: ''"), ("client", "hung up")]


def test_a_type_of_request_is_cut_like_any_value(world: World) -> None:
    world.add(world.connect(), request="x" * 513)
    assert world.finish()[0] == (Level.ERROR, f"unrecognized request type: '{'x' * 512}'")


def test_what_was_asked_before_is_answered(world: World) -> None:
    connection = world.connect()
    world.add(connection, client_name="white.example")
    world.add(connection, request="junk")
    assert world.finish()[-2:] == [("client", PASSED), ("client", "hung up")]


@pytest.mark.parametrize("name", ["client_address", "client_name", "recipient", "sender"])
def test_a_missing_attribute_lets_mail_pass(name: str, world: World) -> None:
    assert world.ask(**{name: None}) == [(Level.WARNING, f"WARNING: attribute missing: {name}"), ("client", PASSED)]
    assert world.stored() == {}


def test_an_address_that_is_none_lets_mail_pass(world: World) -> None:
    assert world.ask(client_address="unknown") == [
        (Level.WARNING, "WARNING: can't parse client_address: unknown"),
        ("client", PASSED),
    ]


def test_garbage_is_logged_before_the_decision(world: World) -> None:
    request = parsed_request(client_name="white.example")
    world.add_raw(world.connect(), request._replace(flaws=Flaws(None, None, ["one", "\xe9\x01"])))
    events = world.finish()
    assert events[:2] == [
        (Level.WARNING, "ignoring garbage: <one>"),
        (Level.WARNING, "ignoring garbage: <\xe9\x01>"),
    ]
    assert events[2][1].startswith("action=pass, ")
    assert events[3] == ("client", PASSED)


# unlike 1.37, which stores it.
@pytest.mark.parametrize(("text", "shown"), [("soon", "soon"), ("", ""), ("-5", "-5"), ("x" * 100, "x" * 83)])
def test_a_test_time_that_is_no_number_is_garbage(text: str, shown: str, world: World) -> None:
    before = int(time.time())
    events = world.ask(policy_test_time=text)
    assert (Level.WARNING, f"ignoring garbage: <policy_test_time={shown}>") in events
    assert events[-1] == ("client", GREYLISTED)
    (value,) = world.stored().values()
    assert int(value.split(b",")[0]) >= before


def test_garbage_of_another_type_of_request_is_logged_too(world: World) -> None:
    world.add_raw(world.connect(), read_request({}, ["GET / HTTP/1.0"]))
    assert world.finish() == [
        (Level.WARNING, "ignoring garbage: <GET / HTTP/1.0>"),
        (Level.ERROR, "unrecognized request type: ''"),
        ("client", "hung up"),
    ]


def test_probe_is_answered_from_the_database_and_leaves_nothing(world: World) -> None:
    connection = world.connect()
    world.add(connection, sender="other@example.com")
    world.add(connection, postgrey_probe=1, client_name="white.example", policy_test_time="never")
    events = world.finish()
    assert events[-1] == ("client", GREYLISTED + UP)
    assert len(world.stored()) == 1
    assert sum(world.tally.since_start().counts) == 1
    world.add(connection, postgrey_probe="")
    assert world.finish() == [("client", UP)]


def test_probe_that_finds_the_database_broken_begins_an_outage(world: World) -> None:
    connection = world.connect()
    world.triplets.is_broken = True
    world.add(connection, postgrey_probe=1)
    assert world.finish() == ["abort", BROKEN, ("client", PASSED)]
    world.add(connection, postgrey_probe=1)
    assert world.finish() == [("client", b"action=DUNNO\npostgrey_outage=1\n\n")]
    # It is no mail that passed.
    assert world.outage.passed_in_all == 1


# The database fails.

FAILURE = DatabaseError("can't commit: the disk is full")
FAILED = (Level.CRITICAL, f"the database failed, mail passes without greylisting: {FAILURE}")
WORKS = "the database works again, mail is greylisted; {} requests passed without"
BROKEN = (Level.CRITICAL, "the database failed, mail passes without greylisting: can't read: it is broken")


def test_all_of_a_turn_pass_when_it_cannot_be_committed(world: World) -> None:
    world.store.failure = FAILURE
    one, two = world.connect("one"), world.connect("two")
    world.add(one)
    world.add(two, sender="other@example.com")
    world.add(one, client_name="white.example")
    events = world.finish()
    # Nobody was deferred, and no line says so.
    assert events == ["begin", "abort", FAILED, ("one", PASSED * 2), ("two", PASSED)]
    assert world.outage.is_down
    assert world.stored() == {}


def test_all_of_a_turn_pass_when_one_cannot_be_read(world: World) -> None:
    connection = world.connect()
    world.add(connection)
    world.triplets.is_broken = True
    world.add(connection, sender="other@example.com")
    world.triplets.is_broken = False
    world.add(connection, sender="third@example.com")
    assert world.finish() == ["begin", "abort", BROKEN, ("client", PASSED * 3)]
    assert world.stored() == {}
    assert world.outage.is_down


def test_what_an_administrator_must_know_is_logged_all_the_same(world: World) -> None:
    world.store.failure = FAILURE
    connection = world.connect()
    world.add(connection)
    world.add(connection, sender=None)
    world.add(connection, client_address="unknown")
    world.add(connection, request="junk")
    assert world.finish() == [
        *("begin", "abort", FAILED),
        (Level.WARNING, "WARNING: attribute missing: sender"),
        (Level.WARNING, "WARNING: can't parse client_address: unknown"),
        (Level.ERROR, "unrecognized request type: 'junk'"),
        ("client", PASSED * 3),
        ("client", "hung up"),
    ]


def test_connections_are_closed_after_a_failure_too(world: World) -> None:
    world.store.failure = FAILURE
    connection = world.connect()
    world.add(connection)
    connection.hang_up()
    assert world.finish()[-2:] == [("client", PASSED), ("client", "hung up")]


def test_until_the_database_works_again_all_pass_and_it_is_not_touched(world: World) -> None:
    world.store.failure = FAILURE
    world.ask()
    world.triplets.is_broken = True
    assert world.ask() == world.ask(sender="other@example.com") == [("client", PASSED)]
    # Not even whitelists are asked, for the line would be as untrue.
    assert world.ask(client_name="white.example") == [("client", PASSED)]
    # Other rules stay.
    assert world.ask(request="junk")[-1] == ("client", "hung up")


def test_a_database_that_was_opened_again_is_used(world: World) -> None:
    world.ask()
    world.store.failure = FAILURE
    world.ask(policy_test_time=NOW + 100)
    world.store.failure = None
    world.reopen()
    world.events.clear()
    # What was stored before is known, what failed is not.
    assert world.ask(policy_test_time=NOW + 200)[-2][1].startswith("action=greylist, reason=early-retry (100s missing)")
    assert world.stored() == {b"192.0.2.0/alice@example.com/bob@example.org": b"%d,%d" % (NOW, NOW + 200)}


def test_every_request_that_passed_for_the_failure_is_counted(world: World) -> None:
    world.store.failure = FAILURE
    world.ask()
    for _ in range(4):
        world.ask()
    world.store.failure = None
    assert world.reopen() == [(Level.WARNING, WORKS.format(5))]
    assert world.ask()[-1] == ("client", GREYLISTED)


def test_no_request_counts_twice_when_the_database_fails_in_between(world: World) -> None:
    connection = world.connect()
    world.add(connection)
    # As a checkpoint in the background does it.
    world.outage.failed(FAILURE)
    world.store.failure = FAILURE
    world.add(connection)
    world.add(connection)
    assert world.finish()[-1] == ("client", PASSED * 3)
    world.store.failure = None
    assert world.reopen() == [(Level.WARNING, WORKS.format(3))]


# A bug.


class BuggyPolicy(Policy):
    """Fails in a way that nobody thought of, after something was stored."""

    def judge(self, _: object, records: Any, *__: object) -> Any:
        records.triplets[b"key"] = b"value"
        raise RuntimeError("a\nbug \N{EURO SIGN}")


@pytest.fixture
def buggy(world: World) -> World:
    world.decide_by(BuggyPolicy(Settings(), Whitelists()), Settings())
    return world


def test_a_bug_in_the_rules_lets_mail_pass_and_shows_where_it_is(buggy: World) -> None:
    _, _, (level, text), answer = buggy.ask()
    assert answer == ("client", PASSED)
    assert level == Level.CRITICAL
    assert text.startswith("a bug, mail passes: Traceback ")
    assert "test_decider.py" in text
    assert text.endswith("RuntimeError: a | bug \N{EURO SIGN}")
    assert "\n" not in text


def test_a_bug_is_shown_even_where_the_database_fails(buggy: World) -> None:
    buggy.store.failure = FAILURE
    events = buggy.ask()
    assert events[:3] == ["begin", "abort", FAILED]
    assert events[3][1].startswith("a bug, mail passes: Traceback ")
    assert events[4] == ("client", PASSED)


# Memory that runs out


def exhaust(*_: object) -> None:
    raise MemoryError


def test_request_that_memory_does_not_suffice_for_is_not_taken_for_a_bug(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as context:
        context.setattr(Policy, "examine", exhaust)
        with pytest.raises(MemoryError):
            world.add(world.connect())
    assert world.finish() == []
    # Others go on.
    world.add(world.connect("other"))
    assert ("other", b"action=DEFER_IF_PERMIT 4.2.0 wait\n\n") in world.finish()


@pytest.mark.parametrize("place", ["commit_unflushed", "flush"])
def test_turn_that_memory_does_not_suffice_for_is_given_up(
    place: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is not answered is hung up on, nothing stays open, and the next turn is as any other."""
    first, second = world.connect("first"), world.connect("second")
    world.add(first)
    world.add(second, sender="carol@example.com")
    with monkeypatch.context() as context:
        context.setattr(type(world.store), place, exhaust)
        events = world.finish()
    assert [event for event in events if event[0] in ("first", "second")] == [
        ("first", "given up"),
        ("second", "given up"),
    ]
    assert world.store.transaction is None
    world.add(world.connect("third"))
    assert ("third", b"action=DEFER_IF_PERMIT 4.2.0 wait\n\n") in world.finish()
    assert not world.outage.is_down


def test_flush_that_can_not_be_handed_over_is_given_up(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add(world.connect("first"))
    with monkeypatch.context() as context:
        context.setattr(InstantFlusher, "start", exhaust)
        assert ("first", "given up") in world.finish()
    quiet: list[bool] = []
    world.commits.when_quiet(lambda: quiet.append(True))
    assert quiet == [True]
    world.add(world.connect("second"))
    assert ("second", b"action=DEFER_IF_PERMIT 4.2.0 wait\n\n") in world.finish()


def test_log_that_finds_no_memory_loses_lines_and_no_answer(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.add(world.connect("first"))
    with monkeypatch.context() as context:
        context.setattr(EventSink, "write", exhaust)
        assert [event for event in world.finish() if event[0] == "first"] == [
            ("first", b"action=DEFER_IF_PERMIT 4.2.0 wait\n\n")
        ]
    world.add(world.connect("second"))
    assert any("1 lines lost" in str(event) for event in world.finish())
