# SPDX-License-Identifier: GPL-2.0-or-later
"""A state machine that drives decider, commits, parking and replies on a real database, beside a model.

The model has dictionaries for the tables and a list of replies for each connection, and asks the same pure rules. Facts
come in any order, late, never or as failures; flushes end when the machine says so, well or not; time passes only by a
rule. `World` makes the parts, so that tests of this test can plant a bug in one of them.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from postgrey_py.daemon.commits import STUCK_SECONDS, Commits
from postgrey_py.daemon.decider import Decider
from postgrey_py.daemon.flusher import Done
from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.outage import Outage
from postgrey_py.daemon.parking import Parking
from postgrey_py.daemon.replies import Replies
from postgrey_py.daemon.tally import Tally
from postgrey_py.database.environment import Environment
from postgrey_py.database.store import Store
from postgrey_py.errors import DatabaseError
from postgrey_py.facts.source import GiveUp, Tell
from postgrey_py.greylist.address import Address
from postgrey_py.greylist.decision import NO_FACTS, Decision, Facts, Question, Wanted
from postgrey_py.greylist.instances import RecentInstances
from postgrey_py.greylist.list_lines import Line
from postgrey_py.greylist.loglines import Level
from postgrey_py.greylist.policy import Policy
from postgrey_py.greylist.request import Request
from postgrey_py.greylist.settings import Settings
from postgrey_py.greylist.tables import Records
from postgrey_py.greylist.texts import PASSED, ReplyTexts
from postgrey_py.greylist.whitelists import ClientList, Whitelists

NOW = 1_700_000_000
SETTINGS = Settings(greylist_text="wait", x_greylist_header="X: %t", auto_whitelist_clients=2)
MOST_PARKED = 2
DEADLINE = 1.0
FAILURE = DatabaseError("the disk is gone")

ADDRESSES = ("192.0.2.1", "192.0.2.2", "198.51.100.1")
NAMES = ("mail.example.com", "white.example")
SENDERS = ("alice@example.com", "carol@example.net")


class Loop:
    """The event loop: callbacks and timers that run when the machine says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self.soon: list[Callable[[], None]] = []
        self.timers: list[Timer] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        self.soon.append(callback)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(self, self.now + seconds, callback)
        self.timers.append(timer)
        return timer

    def run(self) -> None:
        """One turn."""
        soon, self.soon = self.soon, []
        for callback in soon:
            callback()

    def wait_until(self, time: float) -> None:
        """Let time pass."""
        self.now = time
        for timer in sorted((timer for timer in self.timers if timer.due <= time), key=lambda timer: timer.due):
            if timer in self.timers:
                self.timers.remove(timer)
                timer.callback()


@dataclass(eq=False)
class Timer:
    loop: Loop
    due: float
    callback: Callable[[], None]

    def cancel(self) -> None:
        if self in self.loop.timers:
            self.loop.timers.remove(self)


class ManualFlusher:
    """The thread for flushes: one is under way until the machine ends it. `given_up_at` is when it takes too long."""

    def __init__(self, store: WatchedStore, loop: Loop) -> None:
        self.store = store
        self.loop = loop
        self.given_up_at = math.inf
        self.work: Callable[[], None] | None = None
        self.done: Done | None = None
        self.covers = 0

    def start(self, work: Callable[[], None], done: Done) -> None:
        assert self.done is None, "two flushes at a time"
        # What is committed later is not sure to be in it.
        self.work, self.done, self.covers = work, done, self.store.committed
        self.given_up_at = self.loop.now + STUCK_SECONDS

    def end(self, seconds: float, failure: DatabaseError | None) -> None:
        assert self.work is not None
        assert self.done is not None
        done, self.done = self.done, None
        self.given_up_at = math.inf
        if failure is None:
            self.store.from_thread = True
            self.work()
            self.store.from_thread = False
            self.store.flushed = max(self.store.flushed, self.covers)
        done(seconds, failure)


class WatchedStore(Store):
    """A store that counts what is committed and what is on the disk."""

    committed = 0
    flushed = 0
    from_thread = False

    def commit_unflushed(self) -> bool:
        has_written = super().commit_unflushed()
        self.committed += 1
        return has_written

    def flush(self) -> None:
        super().flush()
        if not self.from_thread:
            self.flushed = self.committed

    def empty(self) -> None:
        """Remove all records."""
        self.abort()
        for table in (self.triplets, self.clients):
            table.delete([key for key, _ in table.records(b"", 100_000)])


class ManualOutage(Outage):
    """An outage that ends when the machine says so."""

    def __init__(self, log: Log) -> None:
        super().__init__(self._never, log, lambda: 0.0)

    async def _never(self) -> None:
        raise AssertionError("nobody runs this")

    def failed(self, error: DatabaseError) -> None:
        self.is_down = True


class ManualSource:
    """Somebody who is asked, and answers when the machine says so."""

    def __init__(self) -> None:
        self.asked: list[tuple[Question, Tell]] = []

    def ask(self, question: Question, tell: Tell) -> GiveUp:
        entry = (question, tell)
        self.asked.append(entry)
        # Who gave up may be told all the same: it is under way already.
        return lambda: None


class NoSink:
    def write(self, _: list[tuple[Level, str]]) -> int:
        return 0


class State(enum.Enum):
    """How far a request has come, in the model."""

    PARKED = enum.auto()
    DECIDED = enum.auto()
    WAITS_FOR_DISK = enum.auto()
    READY = enum.auto()


@dataclass(eq=False)
class Item:
    """One request of a connection, in the model. `commit` is the number of the commit that stored its records."""

    request: Request
    state: State = State.DECIDED
    octets: bytes = b""
    is_stored: bool = False
    commit: int = 0
    parked_until: float = 0.0
    turn: int = 0


@dataclass(eq=False)
class Connection:
    """A client: what it got, and in the model what it is to get."""

    is_exim: bool
    items: list[Item] = field(default_factory=list)
    got: bytes = b""
    is_closed: bool = False
    hangs_up: bool = False

    def __post_init__(self) -> None:
        self.replies = self.make_replies()

    def make_replies(self) -> Replies:
        return Replies(self.take, self.close, self.close)

    def take(self, octets: bytes) -> None:
        assert not self.is_closed, "written to when it was closed"
        self.got += octets

    def close(self) -> None:
        self.is_closed = True

    def due(self) -> list[Item]:
        """What no earlier reply holds up."""
        due = []
        for item in self.items:
            if item.state is not State.READY:
                break
            due.append(item)
        return due


class World:
    """The parts under test. A test of the test makes one of them wrong."""

    parking_type = Parking
    decider_type = Decider
    commits_type = Commits
    connection_type = Connection

    def __init__(self, store: WatchedStore) -> None:
        self.store = store
        self.loop = Loop()
        log = Log(NoSink())
        self.outage = ManualOutage(log)
        self.flusher = ManualFlusher(store, self.loop)
        self.source = ManualSource()
        self.policy = Policy(
            SETTINGS,
            Whitelists(ClientList([Line("clients", 1, "white.example")])),
            wants_facts=True,
        )
        self.texts = ReplyTexts(SETTINGS, "9.9")
        self.commits = self.commits_type(store, log, self.outage, self.flusher, self.loop, lambda: 0.0)
        tally = Tally(NOW)
        self.decider = self.decider_type(self.policy, self.texts, store, self.commits, self.outage, tally, lambda: NOW)
        self.parking = self.decider.use_facts(
            lambda resume: self.parking_type(self.source, resume, self.loop.call_later, DEADLINE, MOST_PARKED)
        )


class ParkingMachine(RuleBasedStateMachine):
    """Rules and invariants. `directory` and `world_type` are set by whoever runs it."""

    directory: Path
    world_type: type[World] = World
    steps = 0
    _environments: dict[Path, Environment] = {}  # noqa: RUF012 - shared on purpose: opening one takes long

    def __init__(self) -> None:
        super().__init__()
        environment = self._environments.get(self.directory)
        if environment is None:
            environment = self._environments[self.directory] = Environment(str(self.directory), True, print)
        store = WatchedStore(environment)
        store.empty()
        self.world = self.world_type(store)
        self.connections: list[Connection] = []
        self.triplets: dict[bytes, bytes] = {}
        self.clients: dict[bytes, bytes] = {}
        self.instances = RecentInstances()
        self.parked = 0

    @classmethod
    def close_databases(cls) -> None:
        for environment in cls._environments.values():
            environment.close()
        cls._environments.clear()

    # Rules.

    @initialize(wants_facts=st.booleans(), disk=st.sampled_from([None, 0.00001, 0.5]))
    def begin(self, wants_facts: bool, disk: float | None) -> None:
        """Begin with or without facts, on a disk of which nothing is known, that is quick, or slow."""
        self.world.policy._wants_facts = wants_facts
        self.world.commits._flush_seconds = disk
        self.connect(False)
        self.connect(False)

    @rule(is_exim=st.booleans())
    def connect(self, is_exim: bool) -> None:
        if len(self.connections) < 6:
            self.connections.append(self.world.connection_type(is_exim))

    @rule(
        number=st.integers(0, 5),
        address=st.sampled_from(ADDRESSES),
        name=st.sampled_from(NAMES),
        sender=st.sampled_from(SENDERS),
        later=st.sampled_from([-180_000, 0, 100, 300, 4000]),
        instance=st.sampled_from([None, "a", "b"]),
        ends_turn=st.booleans(),
    )
    def ask(
        self, number: int, address: str, name: str, sender: str, later: int, instance: str | None, ends_turn: bool
    ) -> None:
        connection = self.connections[number % len(self.connections)]
        if connection.hangs_up or connection.is_closed:
            return
        request = Request(address, name, sender, "bob@example.org", "", instance, "", True, NOW + later)
        item = Item(request)
        connection.items.append(item)
        self.expect(item)
        self.world.decider.add(connection.replies, request)
        self.world.commits.end_turn_soon()
        if connection.is_exim:
            connection.hangs_up = True
            connection.replies.hang_up()
        if ends_turn:
            self.end_turn()

    @rule()
    def end_turn(self) -> None:
        self.turn_ends()
        self.world.loop.run()

    @precondition(lambda self: bool(self.world.source.asked))
    @rule(which=st.integers(0, 10), voucher=st.sampled_from(["", "", "a friend"]))
    def tell(self, which: int, voucher: str) -> None:
        question, tell = self.world.source.asked.pop(which % len(self.world.source.asked))
        item = self.parked_item(question.request)
        facts = Facts(voucher)
        if item is not None:
            self.decide(item, question, facts)
        tell(facts)

    @rule(seconds=st.sampled_from([0.3, 0.3, 0.6, 0.6, 1.1, 1.1, 1.1, 30.0]))
    def wait(self, seconds: float) -> None:
        until = self.world.loop.now + seconds
        given_up_at = self.world.flusher.given_up_at
        if given_up_at <= until:
            self.wait_until(given_up_at)
        self.wait_until(until)

    def wait_until(self, time: float) -> None:
        late = sorted(
            (item for item in self.items() if item.state is State.PARKED and item.parked_until <= time),
            key=lambda item: (item.parked_until, item.turn),
        )
        for item in late:
            self.decide(item, Question(item.request, self.address_of(item)), NO_FACTS)
        if self.world.flusher.given_up_at <= time:
            self.world.flusher.given_up_at = math.inf
            self.nothing_gets_to_the_disk()
        self.world.loop.wait_until(time)

    @precondition(lambda self: self.world.flusher.done is not None)
    @rule(seconds=st.sampled_from([0.00001, 0.001, 0.5]), fails=st.sampled_from([False, False, False, True]))
    def flush_ends(self, seconds: float, fails: bool = False) -> None:
        if fails:
            self.flush_fails()
            return
        covers = self.world.flusher.covers
        for item in self.items():
            if item.state is State.WAITS_FOR_DISK and item.commit <= covers:
                item.state = State.READY
        self.all_is_committed()
        self.world.flusher.end(seconds, None)

    def nothing_gets_to_the_disk(self) -> None:
        for item in self.items():
            if item.state in (State.WAITS_FOR_DISK, State.DECIDED):
                item.state, item.octets = State.READY, PASSED

    def flush_fails(self) -> None:
        self.nothing_gets_to_the_disk()
        self.world.flusher.end(0.5, FAILURE)

    @rule()
    def settle(self) -> None:
        """A slice of a clean-up is about to begin."""
        self.all_is_committed()
        self.world.commits.settle()

    @precondition(lambda self: self.world.outage.is_down and self.world.flusher.done is None)
    @rule()
    def reopen(self) -> None:
        self.end_turn()
        self.world.outage.is_down = False
        self.world.store.attach()
        # What was acknowledged is there; of the rest nobody knows.
        self.triplets = dict(self.world.store.triplets.records(b"", 10_000))
        self.clients = dict(self.world.store.clients.records(b"", 10_000))

    @precondition(lambda self: bool(self.connections))
    @rule(number=st.integers(0, 5))
    def lose_connection(self, number: int) -> None:
        connection = self.connections.pop(number % len(self.connections))
        self.world.decider.drop(connection.replies)
        if not self.connections:
            self.connect(False)

    # The model.

    def items(self) -> list[Item]:
        return [item for connection in self.connections for item in connection.items]

    def parked_item(self, request: Request) -> Item | None:
        return next((i for i in self.items() if i.request is request and i.state is State.PARKED), None)

    @staticmethod
    def address_of(item: Item) -> Address:
        question = Policy(SETTINGS, Whitelists()).examine(item.request)
        assert isinstance(question, Question)
        return question.address

    def expect(self, item: Item) -> None:
        """What becomes of a new request."""
        if self.world.outage.is_down:
            item.octets = PASSED
            return
        examined = self.world.policy.examine(item.request)
        if isinstance(examined, Decision):
            item.octets = PASSED
            return
        records = Records(self.triplets, self.clients, self.instances)
        judged = self.world.policy.judge(examined, records, None, NOW)
        parked = [other for other in self.items() if other.state is State.PARKED]
        if isinstance(judged, Wanted) and len(parked) < MOST_PARKED:
            item.state, item.parked_until = State.PARKED, self.world.loop.now + DEADLINE
            self.parked += 1
            item.turn = self.parked
        else:
            self.decide(item, examined, NO_FACTS)

    def decide(self, item: Item, question: Question, facts: Facts) -> None:
        item.state = State.DECIDED
        if self.world.outage.is_down:
            item.octets = PASSED
            return
        decision = self.world.policy.judge(question, Records(self.triplets, self.clients, self.instances), facts, NOW)
        assert isinstance(decision, Decision)
        self.triplets.update(decision.triplets)
        self.clients.update(decision.clients)
        if decision.delay is not None and item.request.instance is not None:
            self.instances.remember(item.request.instance)
        item.octets = self.world.texts.octets(item.request, decision, NOW)
        item.is_stored = bool(decision.triplets or decision.clients)

    def turn_ends(self) -> None:
        """What was decided is committed, unless a flush is under way: then what left no record is answered."""
        if not self.world.loop.soon:
            return
        if self.world.flusher.done is None or self.world.outage.is_down:
            self.all_is_committed()
            return
        for item in self.items():
            if item.state is State.DECIDED and not item.is_stored:
                item.state = State.READY

    def all_is_committed(self) -> None:
        """What was decided waits for the disk; what left no record, or all in an outage, for nothing."""
        for item in self.items():
            if item.state is not State.DECIDED:
                continue
            if self.world.outage.is_down:
                item.state, item.octets = State.READY, PASSED
            elif item.is_stored:
                item.state, item.commit = State.WAITS_FOR_DISK, self.world.store.committed + 1
            else:
                item.state = State.READY

    def learn_of_disk(self) -> None:
        """Flushes in the loop have ended by now."""
        for item in self.items():
            if item.state is State.WAITS_FOR_DISK and item.commit <= self.world.store.flushed:
                item.state = State.READY

    # Invariants.

    @invariant()
    def everybody_has_what_is_due(self) -> None:
        type(self).steps += 1
        self.learn_of_disk()
        for connection in self.connections:
            due = connection.due()
            assert connection.got == b"".join(item.octets for item in due)
            assert connection.is_closed == (connection.hangs_up and len(due) == len(connection.items))
            for item in due:
                assert not item.is_stored or item.octets == PASSED or item.commit <= self.world.store.flushed

    @invariant()
    def no_more_wait_than_there_are(self) -> None:
        parked = [item for item in self.items() if item.state is State.PARKED]
        assert len(self.world.parking) == len(parked) <= MOST_PARKED

    @invariant()
    def the_tables_are_those_of_the_model(self) -> None:
        if not self.world.outage.is_down:
            for key, value in self.triplets.items():
                assert self.world.store.triplets.get(key) == value

    def teardown(self) -> None:
        """A stop answers everybody."""
        if not self.connections:
            return
        waiting = (item for item in self.items() if item.state is State.PARKED)
        for item in sorted(waiting, key=lambda item: item.turn):
            self.decide(item, Question(item.request, self.address_of(item)), NO_FACTS)
        self.world.decider.stop_waiting()
        for connection in self.connections:
            connection.hangs_up = True
            connection.replies.hang_up()
        while self.world.loop.soon or self.world.flusher.done is not None:
            self.end_turn()
            if self.world.flusher.done is not None:
                self.flush_ends(0.001)
        self.learn_of_disk()
        for connection in self.connections:
            assert connection.is_closed
            assert connection.got == b"".join(item.octets for item in connection.items)
