# SPDX-License-Identifier: GPL-2.0-or-later
"""Group commit: the requests of one turn of the event loop share one transaction.

Requests are decided at once as they arrive; what was decided is logged and answered only after the commit, so that an
answer is never lost. Where the database fails, all of the turn pass, and mail goes on while `outage` repairs it.
"""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable
from typing import Protocol

from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.outage import Outage
from postgrey_py.database.store import Store
from postgrey_py.errors import DatabaseError
from postgrey_py.greylist.decision import NO_FACTS, Decision, Question, Wanted
from postgrey_py.greylist.instances import RecentInstances
from postgrey_py.greylist.loglines import Level, LogLine, complaint, decision_lines
from postgrey_py.greylist.policy import Policy, Records
from postgrey_py.greylist.request import (
    MAX_VALUE_CHARACTERS,
    MissingAttributeError,
    Request,
    bad_test_time,
    make_request,
)
from postgrey_py.greylist.texts import PASS, ReplyTexts
from postgrey_py.protocol.reader import REQUEST_TYPE, RawRequest


class Client(Protocol):
    """A connection, as far as answering it goes."""

    def answer(self, octets: bytes) -> None: ...

    def hang_up(self) -> None: ...


class Turn:
    """Decides requests, and answers them together when the turn is over.

    `schedule` calls `finish` soon, once for each turn; `outage` hears of every failure of the database.
    """

    def __init__(
        self,
        policy: Policy,
        texts: ReplyTexts,
        store: Store,
        log: Log,
        schedule: Callable[[Callable[[], None]], object],
        outage: Outage,
    ) -> None:
        self.policy = policy
        self._texts = texts
        self._store = store
        self._log = log
        self._schedule = schedule
        self._outage = outage
        self._instances = RecentInstances()
        self._records = Records(store.triplets, store.clients, self._instances)
        self._answers: dict[Client, bytes] = {}
        self._hang_ups: list[Client] = []
        self._lines: list[LogLine] = []
        self._is_scheduled = False
        self._requests = 0
        self._failure: DatabaseError | None = None

    def add(self, client: Client, request: Request | RawRequest) -> bool:
        """Decide a request of this client; false when the protocol does not allow it any more requests."""
        if isinstance(request, RawRequest):
            self._log_garbage(request)
            kind = request.attributes.get("request", "")
            if kind != REQUEST_TYPE:
                # The policy protocol's rule for trouble: log, and hang up without an answer.
                text = f"unrecognized request type: '{kind[:MAX_VALUE_CHARACTERS]}'"
                self._lines.append(LogLine(Level.ERROR, text))
                self._hang_ups.append(client)
                return False
        reply = f"action={self._decide(request)}\n\n".encode("latin-1", "replace")
        answers = self._answers
        answers[client] = answers[client] + reply if client in answers else reply
        return True

    def hang_up(self, client: Client) -> None:
        """Close this connection as soon as all that it asked is answered."""
        if client in self._answers:
            self._hang_ups.append(client)
        else:
            client.hang_up()

    def finish_soon(self) -> None:
        """End the turn when all that has arrived by now was added."""
        if not self._is_scheduled:
            self._is_scheduled = True
            self._schedule(self.finish)

    def finish(self) -> None:
        """Commit, log, and answer every request since the last time."""
        self._is_scheduled = False
        failure, self._failure = self._failure, None
        try:
            if failure is None:
                self._store.commit()
            else:
                self._store.abort()
        except DatabaseError as error:
            failure = failure or error
        lines, self._lines = self._lines, []
        answers, self._answers = self._answers, {}
        hang_ups, self._hang_ups = self._hang_ups, []
        requests, self._requests = self._requests, 0
        if failure is not None:
            # What was decided is not on disk: nobody was deferred, and no line says so.
            answers = {client: _pass_all(octets) for client, octets in answers.items()}
            lines = [line for line in lines if line.is_complaint or line.level <= Level.ERROR]
            self._outage.passed(requests)
            self._outage.failed(failure)
        if lines:
            self._log.write(lines)
        for client, octets in answers.items():
            client.answer(octets)
        for client in hang_ups:
            client.hang_up()

    def _decide(self, request: Request | RawRequest) -> str:
        """The action for this request; the lines for it go to the turn's log."""
        if self._outage.is_down:
            self._outage.passed()
            return PASS
        self._requests += 1
        if self._failure is not None:
            return PASS
        try:
            if isinstance(request, RawRequest):
                request = make_request(request.attributes)
            clock = int(time.time())
            decision = self.policy.examine(request)
            if isinstance(decision, Question):
                decision = self._judge(decision, clock)
            reply = self._texts.reply(request, decision, clock)
            self._lines += decision_lines(request, decision)
            return reply
        except MissingAttributeError as error:
            self._lines.append(complaint(str(error)))
        except DatabaseError as error:
            self._failure = error
            return PASS
        except Exception:
            # A bug in the rules must not keep a mail server waiting: mail passes, and the log shows where to look.
            place = traceback.format_exc().strip().replace("\n", " | ")
            self._lines.append(LogLine(Level.CRITICAL, f"a bug, mail passes: {place}"))
        return PASS

    def _judge(self, question: Question, clock: int) -> Decision:
        """Return the decision about a question, its records written. Raises DatabaseError."""
        decision = self.policy.judge(question, self._records, NO_FACTS, clock)
        if isinstance(decision, Wanted):
            raise AssertionError("facts are given, and are wanted all the same")
        for key, value in decision.triplets:
            self._store.triplets[key] = value
        for key, value in decision.clients:
            self._store.clients[key] = value
        instance = question.request.instance
        if decision.delay is not None and instance is not None:
            self._instances.remember(instance)
        return decision

    def _log_garbage(self, raw: RawRequest) -> None:
        self._lines += (LogLine(Level.WARNING, f"ignoring garbage: <{line}>") for line in raw.garbage)
        test_time = bad_test_time(raw.attributes)
        if test_time is not None:
            self._lines.append(LogLine(Level.WARNING, f"ignoring garbage: <{f'policy_test_time={test_time}'[:100]}>"))


def _pass_all(octets: bytes) -> bytes:
    """As many answers as these are, all of which let mail pass."""
    return f"action={PASS}\n\n".encode("ascii") * octets.count(b"\n\n")
