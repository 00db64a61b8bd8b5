# SPDX-License-Identifier: GPL-2.0-or-later
"""Decides requests as they arrive: examine, judge, write the records, hand the answer to the commits.

A request that wants facts is parked, and comes back with them to be judged again.
"""

from __future__ import annotations

import contextlib
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from postgrey_py.daemon.commits import Commits
from postgrey_py.daemon.flood import Flood
from postgrey_py.daemon.outage import Outage
from postgrey_py.daemon.parking import Parking, Resume
from postgrey_py.daemon.replies import Replies, Slot
from postgrey_py.daemon.tally import Tally
from postgrey_py.database.store import Store
from postgrey_py.errors import DatabaseError
from postgrey_py.greylist.decision import NO_FACTS, Decision, Facts, Question, Reason, Wanted
from postgrey_py.greylist.instances import RecentInstances
from postgrey_py.greylist.loglines import Level, LogLine, decision_lines
from postgrey_py.greylist.policy import Policy
from postgrey_py.greylist.request import Flaws, Request
from postgrey_py.greylist.settings import SECONDS_PER_DAY
from postgrey_py.greylist.tables import Records
from postgrey_py.greylist.texts import PASSED, ReplyTexts, probe_answer

# Told of each decision, and when it was made, in seconds since 1970; 0 for those that need no time.
Watcher: TypeAlias = Callable[[Request, Decision, int], None]

# Members of an enumeration take long to look up.
_ALLOWED = Reason.ALLOWED

# No record has this key.
PROBE_KEY = b"probe"

# unlike 1.37, which logs every one: a request may consist of nothing else.
MOST_GARBAGE_LINES = 4


class Decider:
    """The rules at work: one per server. `policy` is replaced by a reload and by orders.

    `use_allowance` is told the number of the allowance by which a mail passes, and the mail's instance. `describe`
    makes the fields of a decision for the log, if that wants them. With `ignore_test_time`, requests can't say what
    time it is.
    """

    def __init__(
        self,
        policy: Policy,
        texts: ReplyTexts,
        store: Store,
        commits: Commits,
        outage: Outage,
        tally: Tally,
        clock: Callable[[], float] = time.time,
        ignore_test_time: bool = False,
        use_allowance: Callable[[int, str | None], None] = lambda _number, _instance: None,
        describe: Callable[[Request, Decision], Mapping[str, Any]] | None = None,
    ) -> None:
        self.policy = policy
        self._texts = texts
        self._store = store
        self._commits = commits
        self._outage = outage
        self._count = tally.count
        self._clock = clock
        self._ignore_test_time = ignore_test_time
        self._strange_types = Flood("unrecognized request types", time.monotonic)
        self._strange_times = Flood("policy_test_time", time.monotonic)
        self._instances = RecentInstances()
        self._records = Records(store.triplets, store.clients, self._instances)
        self._parking: Parking | None = None
        self._use_allowance = use_allowance
        self._describe = describe
        self._watchers: list[Watcher] = []

    def use_facts(self, park: Callable[[Resume], Parking]) -> Parking:
        """Ask for facts where the policy wants them; `park` makes the place where requests wait, which is returned."""
        self._parking = park(self._judge_again)
        return self._parking

    def drop(self, replies: Replies) -> None:
        """Forget the requests of a connection that is gone, as far as they wait for facts."""
        if self._parking is not None:
            self._parking.drop(replies)

    def stop_waiting(self) -> None:
        """Judge all requests that wait for facts as if nobody knew any."""
        if self._parking is not None:
            self._parking.end_all()

    @contextlib.contextmanager
    def watched_by(self, watcher: Watcher) -> Iterator[None]:
        """Tell this one of each decision as long as the context lasts."""
        self._watchers.append(watcher)
        try:
            yield
        finally:
            self._watchers.remove(watcher)

    def add(self, replies: Replies, request: Request) -> bool:
        """Decide the next request of a connection; false when the protocol does not allow it any more."""
        slot = Slot(replies)
        if request.flaws is not None and not self._tell_flaws(slot, request.flaws):
            return False
        if request.is_probe:
            self._answer_probe(slot)
            return True
        if request.test_time is not None:
            request = self._check_time(slot, request, request.test_time)
        if self._outage.is_down or self._commits.failure is not None:
            self._pass_unseen(slot)
            return True
        try:
            decision = self.policy.examine(request)
            if isinstance(decision, Question):
                self._judge(slot, decision)
            else:
                self._answer(slot, request, decision)
        except DatabaseError as error:
            self._fail(slot, error)
        except MemoryError:
            raise
        except Exception:
            self._tell_bug(slot)
        return True

    def _tell_flaws(self, slot: Slot, flaws: Flaws) -> bool:
        """Have the flaws of a request logged; returns whether it can be decided, else it is ended without an answer."""
        slot.lines = _garbage_lines(flaws.garbage)
        if flaws.type is None:
            return True
        # The policy protocol's rule for trouble: log, and hang up without an answer.
        line = LogLine(Level.ERROR, f"unrecognized request type: '{flaws.type}'")
        admitted = self._strange_types.admit(line)
        slot.lines = [*slot.lines, *admitted] if line in admitted else admitted
        slot.replies.hang_up()
        self._commits.add(slot)
        return False

    def _answer_probe(self, slot: Slot) -> None:
        """Tell whether the database answers. Nothing is written, counted or logged.

        Where it fails just now, the reply is that of all requests of the turn, which pass.
        """
        slot.octets = probe_answer(self._outage.seconds)
        if not self._outage.is_down:
            try:
                self._store.triplets.get(PROBE_KEY)
            except DatabaseError as error:
                self._commits.fail(error)
        self._commits.add(slot)

    def _check_time(self, slot: Slot, request: Request, test_time: int) -> Request:
        """Return the request, without the time that it brings where that does not count."""
        # What is later than tomorrow would outlive every clean-up.
        if not self._ignore_test_time and test_time <= self._clock() + SECONDS_PER_DAY:
            return request
        line = LogLine(Level.WARNING, f"ignoring garbage: <policy_test_time={test_time}>")
        slot.lines = [*slot.lines, *self._strange_times.admit(line)]
        return request._replace(test_time=None)

    def _judge(self, slot: Slot, question: Question) -> None:
        """Decide by the records, or park the request until facts are known. Raises DatabaseError."""
        now, parking = int(self._clock()), self._parking
        decision = self.policy.judge(question, self._records, NO_FACTS if parking is None else None, now)
        if isinstance(decision, Wanted):
            if parking is not None and parking.park(question, slot):
                return
            decision = self.policy.judge(question, self._records, NO_FACTS, now)
        self._store_and_answer(slot, question.request, decision, now)

    def _judge_again(self, question: Question, slot: Slot, facts: Facts) -> None:
        """Decide a request that was parked, with these facts and the records as they are now."""
        self._commits.end_turn_soon()
        if self._outage.is_down or self._commits.failure is not None:
            self._pass_unseen(slot)
            return
        try:
            now = int(self._clock())
            decision = self.policy.judge(question, self._records, facts, now)
            self._store_and_answer(slot, question.request, decision, now)
        except DatabaseError as error:
            self._fail(slot, error)
        except MemoryError:
            slot.replies.give_up()
        except Exception:
            self._tell_bug(slot)

    def _store_and_answer(self, slot: Slot, request: Request, decision: Decision | Wanted, now: int) -> None:
        """Write the records of a decision that was judged `now`, and have it answered. Raises DatabaseError."""
        if isinstance(decision, Wanted):
            raise TypeError("facts were given, and are wanted all the same")
        for key, value in decision.triplets:
            self._store.triplets[key] = value
            slot.is_stored = True
        for key, value in decision.clients:
            self._store.clients[key] = value
            slot.is_stored = True
        if decision.delay is not None and request.instance is not None:
            self._instances.remember(request.instance)
        if decision.reason is _ALLOWED:
            self._use_allowance(int(decision.detail), request.instance)
        self._answer(slot, request, decision, now)

    def _answer(self, slot: Slot, request: Request, decision: Decision, now: int = 0) -> None:
        slot.octets = self._texts.octets(request, decision, now)
        lines = decision_lines(request, decision)
        if self._describe is not None:
            lines[-1] = lines[-1]._replace(fields=self._describe(request, decision))
        # Garbage comes first.
        slot.lines = [*slot.lines, *lines] if slot.lines else lines
        self._commits.add(slot)
        self._count(decision, now)
        for watcher in self._watchers:
            watcher(request, decision, now)

    def _pass_unseen(self, slot: Slot) -> None:
        """Let a request pass without judging it, since the database has failed."""
        slot.octets = PASSED
        if self._outage.is_down:
            self._outage.passed()
            slot.is_counted = True
        self._commits.add(slot)

    def _fail(self, slot: Slot, error: DatabaseError) -> None:
        self._commits.fail(error)
        slot.octets = PASSED
        self._commits.add(slot)

    def _tell_bug(self, slot: Slot) -> None:
        """Log an exception of the rules with its place, and let the mail pass."""
        place = traceback.format_exc().strip().replace("\n", " | ")
        slot.lines = [*slot.lines, LogLine(Level.CRITICAL, f"a bug, mail passes: {place}")]
        slot.octets = PASSED
        self._commits.add(slot)


def _garbage_lines(garbage: Sequence[str]) -> list[LogLine]:
    """Return lines about those of a request that are no attributes: one for each, as in 1.37, unless there are many."""
    if len(garbage) <= MOST_GARBAGE_LINES:
        return [LogLine(Level.WARNING, f"ignoring garbage: <{line}>") for line in garbage]
    text = f"ignoring garbage: <{garbage[0]}> and {len(garbage) - 1} more lines of this request"
    return [LogLine(Level.WARNING, text)]
