# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules: whitelists, then the auto-whitelist, then the triplet.

`examine` answers what needs no records, `judge` everything else. Both are pure and total: the same arguments give the
same decision, nothing is written, and no input raises. What is to be stored is in the decision.
"""

from __future__ import annotations

from collections.abc import Container
from typing import NamedTuple, Protocol

from postgrey_py.greylist.decision import Action, Decision, Facts, Note, Question, Reason, Record, Wanted
from postgrey_py.greylist.keys import client_key, parse_address, triplet_key
from postgrey_py.greylist.records import format_record, parse_record
from postgrey_py.greylist.request import Request
from postgrey_py.greylist.settings import SECONDS_PER_HOUR, Settings
from postgrey_py.greylist.whitelists import Whitelists

# A client's count goes up, and a whitelisted client's record is refreshed, at most this often.
COUNTING_INTERVAL = SECONDS_PER_HOUR


class Table(Protocol):
    """A database by key, as far as a decision needs it."""

    def get(self, key: bytes, /) -> bytes | None: ...


class Records(NamedTuple):
    """What is known when a request is judged: both databases, and the messages that have got their header."""

    triplets: Table
    clients: Table
    instances: Container[str] = ()


class ClientHistory(NamedTuple):
    """A client's record in postgrey_clients.db, or what stands for a missing one: no passes, never seen."""

    key: bytes
    passes: int
    last_seen: int | None

    def is_due(self, now: int) -> bool:
        """Whether an hour has passed since the client was last counted.

        A time in the future is due too, unlike 1.37, where such a client never gains a count again.
        """
        return self.last_seen is None or now >= self.last_seen + COUNTING_INTERVAL or self.last_seen > now

    def counted(self, now: int) -> Record:
        """The client's record with one more pass."""
        return self.key, format_record(self.passes + 1, now)


class Policy:
    """The rules under these settings and whitelists. A reload makes a new one.

    With `wants_facts`, `judge` says so before it defers; else nobody is asked.
    """

    def __init__(
        self,
        settings: Settings,
        whitelists: Whitelists,
        wants_facts: bool = False,
    ) -> None:
        self._settings = settings
        self._whitelists = whitelists
        self._wants_facts = wants_facts

    def examine(self, request: Request) -> Decision | Question:
        """Return what the lists decide about this request, or the question to be judged."""
        address = parse_address(request.client_address)
        if address is None:
            return Decision(Action.PASS, Reason.UNKNOWN_ADDRESS)
        entry = self._whitelists.client.match(request.client_name, address)
        if entry is not None:
            return Decision(Action.PASS, Reason.CLIENT_WHITELIST, 0, None, entry)
        entry = self._whitelists.recipient.match(request.recipient)
        if entry is not None:
            return Decision(Action.PASS, Reason.RECIPIENT_WHITELIST, 0, None, entry)
        return Question(request, address)

    def judge(self, question: Question, records: Records, facts: Facts | None, now: int) -> Decision | Wanted:
        """Return what the records decide at `now`, in seconds since 1970 (unless the request brings a time).

        `facts` is None where nobody has been asked yet. Raises nothing of its own; what `records` raises passes
        through.
        """
        request, address = question
        settings = self._settings
        if request.test_time is not None:
            now = request.test_time
        client = None
        if settings.auto_whitelist_clients:
            client = _read_client(client_key(address, settings), records.clients)
            if client.passes >= settings.auto_whitelist_clients:
                counted = (client.counted(now),) if client.is_due(now) else ()
                return Decision(Action.PASS, Reason.AUTO_WHITELIST, clients=counted)

        key = triplet_key(address, request.sender, request.recipient, settings)
        value = records.triplets.get(key)
        notes: tuple[Note, ...] = ()
        if value is None:
            first_seen, passed_before = now, False
        else:
            first_seen, passed_before = _first_seen(value, now, settings)
            if first_seen > now:
                notes = (Note.FIRST_SEEN_IN_FUTURE,)
                first_seen = now
        triplets = ((key, format_record(first_seen, now)),)

        wait = settings.delay - (now - first_seen)
        if wait > 0:
            if facts is None and self._wants_facts:
                return Wanted(question)
            if facts is not None and facts.voucher:
                return Decision(Action.PASS, Reason.VOUCHED_FOR, detail=facts.voucher)
            reason = Reason.NEW if first_seen == now else Reason.EARLY_RETRY
            return Decision(Action.GREYLIST, reason, wait, None, None, triplets, (), notes)
        if passed_before:
            return Decision(Action.PASS, Reason.TRIPLET_FOUND, 0, None, None, triplets, (), notes)
        clients: tuple[Record, ...] = ()
        if client is not None and client.is_due(now):
            clients = (client.counted(now),)
            if client.passes + 1 == settings.auto_whitelist_clients:
                notes += (Note.CLIENT_TRUSTED,)
        # Once for each message; without an instance every request is one.
        is_told = request.instance is None or request.instance not in records.instances
        delay = now - first_seen if is_told else None
        return Decision(Action.PASS, Reason.TRIPLET_FOUND, 0, delay, None, triplets, clients, notes)


def _read_client(key: bytes, clients: Table) -> ClientHistory:
    value = clients.get(key)
    if value is None:
        return ClientHistory(key, 0, None)
    passes, last_seen = parse_record(value)
    return ClientHistory(key, passes, last_seen)


def _first_seen(value: bytes, now: int, settings: Settings) -> tuple[int, bool]:
    """When this triplet was first seen, and whether it has passed before.

    One that has not, and comes back only after the retry window, is seen for the first time now.
    """
    first_seen, last_seen = parse_record(value)
    if (last_seen or 0) - first_seen >= settings.delay:
        return first_seen, True
    return (now if now - first_seen > settings.retry_window else first_seen), False
