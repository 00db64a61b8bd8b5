# SPDX-License-Identifier: GPL-2.0-or-later
"""The decision: whitelists, then the auto-whitelist, then the triplet.

`Policy.decide` runs start to end without waiting for anything. It reads and writes records through the two tables it
is handed (dictionaries in unit tests, the open group transaction in the server) and says what to answer and to log.
"""

from __future__ import annotations

import enum
import re
import time
from functools import lru_cache
from typing import NamedTuple, Protocol

from postgrey_py.greylist.keys import Address, client_key, parse_address, triplet_key
from postgrey_py.greylist.records import format_record, parse_record
from postgrey_py.greylist.request import Request
from postgrey_py.greylist.settings import SECONDS_PER_HOUR, Settings
from postgrey_py.greylist.whitelist import ClientWhitelist, RecipientWhitelist

PASS = "DUNNO"

# unlike 1.37, which forgets a message after ten others and then adds the header again.
REMEMBERED_INSTANCES = 1000

REMEMBERED_TEXTS = 256

# Values that log lines leave out.
_UNLOGGED = ("", "0")

# A client's count goes up, and a whitelisted client's record is refreshed, at most this often.
COUNTING_INTERVAL = SECONDS_PER_HOUR


class Level(enum.IntEnum):
    """How much a log line matters; the numbers are those of syslog(3)."""

    CRITICAL = 2
    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6
    DEBUG = 7


class LogLine(NamedTuple):
    """A line for the log, without line end; Latin-1 text, not yet escaped.

    `is_complaint` marks what 1.37 says with Perl's warn(), which has `WARNING: ` before it in syslog.
    """

    level: Level
    text: str
    is_complaint: bool = False


def complaint(text: str) -> LogLine:
    """A line about bad input or configuration."""
    return LogLine(Level.WARNING, text, is_complaint=True)


class Decision(NamedTuple):
    """What to answer (the value of `action=`) and what to log about it, in order."""

    reply: str
    log: tuple[LogLine, ...]


class Table(Protocol):
    """A database by key, as far as a decision needs it."""

    def get(self, key: bytes, /) -> bytes | None: ...

    def __setitem__(self, key: bytes, value: bytes, /) -> None: ...


class Client(NamedTuple):
    """A client's record in postgrey_clients.db, or what stands for a missing one: no passes, never seen."""

    key: bytes
    passes: int
    last_seen: int | None

    def is_due(self, now: int) -> bool:
        """Whether an hour has passed since the client was last counted.

        A time in the future is due too, unlike 1.37, where such a client never gains a count again.
        """
        return self.last_seen is None or now >= self.last_seen + COUNTING_INTERVAL or self.last_seen > now


class Policy:
    """Decides what requests deserve, under settings that do not change and whitelists that a reload replaces.

    `version` stands for %v in the header.
    """

    def __init__(
        self,
        settings: Settings,
        triplets: Table,
        clients: Table,
        client_whitelist: ClientWhitelist,
        recipient_whitelist: RecipientWhitelist,
        version: str,
    ) -> None:
        self.client_whitelist = client_whitelist
        self.recipient_whitelist = recipient_whitelist
        self._settings = settings
        self._triplets = triplets
        self._clients = clients
        self._version = version
        self._instances: dict[str, None] = {}
        self._text_template = _make_template(settings.greylist_text, "sr")
        # Recipients are in a few domains, and what a first try is told depends on nothing else.
        self._text = lru_cache(REMEMBERED_TEXTS)(self._make_text)
        self._header_template = _make_template(settings.x_greylist_header, "tvdh")

    def decide(self, request: Request, now: int) -> Decision:
        """What this request deserves at `now` (seconds since 1970, unless the request brings a time of its own)."""
        address = parse_address(request.client_address)
        if address is None:
            # unlike 1.37, which dies of it.
            return Decision(PASS, (complaint(f"can't parse client_address: {request.client_address}"),))
        if self.client_whitelist.matches(request.client_name, address):
            return _passed(request, "client whitelist")
        if self.recipient_whitelist.matches(request.recipient):
            return _passed(request, "recipient whitelist")
        clock, now = now, now if request.test_time is None else request.test_time
        client = None
        if self._settings.auto_whitelist_clients:
            client = self._read_client(address)
            if client.passes >= self._settings.auto_whitelist_clients:
                if client.is_due(now):
                    self._count(client, now)
                return _passed(request, "client AWL")
        return self._greylist(request, address, client, now, clock)

    def _greylist(self, request: Request, address: Address, client: Client | None, now: int, clock: int) -> Decision:
        """The answer that the triplet's history deserves."""
        settings = self._settings
        log: tuple[LogLine, ...] = ()
        key = triplet_key(address, request.sender, request.recipient, settings)
        value = self._triplets.get(key)
        if value is None:
            first_seen, passed_before = now, False
        else:
            first_seen, passed_before = _first_seen(value, now, settings)
            if first_seen > now:
                log += (LogLine(Level.WARNING, "correcting date for first seen in the future!"),)
                first_seen = now
        self._triplets[key] = format_record(first_seen, now)

        missing = settings.delay - (now - first_seen)
        if missing > 0:
            reason = "new" if first_seen == now else f"early-retry ({missing}s missing)"
            text = self._text(request.knows_etrn, missing, request.recipient.rpartition("@")[2])
            reply = f"{settings.greylist_action} {text}"
            return Decision(reply, (*log, _action_line(request, "greylist", reason)))
        if passed_before:
            return Decision(PASS, (*log, _action_line(request, "pass", "triplet found")))
        if client is not None and client.is_due(now):
            log += self._count_success(request, address, client, now)
        if not self._is_new_instance(request.instance):
            return Decision(PASS, (*log, _action_line(request, "pass", "triplet found")))
        delay = now - first_seen
        line = _action_line(request, "pass", "triplet found", f", delay={delay}")
        return Decision(f"PREPEND {self._header(delay, clock)}", (*log, line))

    def _read_client(self, address: Address) -> Client:
        key = client_key(address, self._settings)
        value = self._clients.get(key)
        if value is None:
            return Client(key, 0, None)
        count, last_seen = parse_record(value)
        return Client(key, count, last_seen)

    def _count(self, client: Client, now: int) -> int:
        self._clients[client.key] = format_record(client.passes + 1, now)
        return client.passes + 1

    def _count_success(self, request: Request, address: Address, client: Client, now: int) -> tuple[LogLine, ...]:
        """Count one more passed triplet, and return the line that says so when it makes the client trusted."""
        if self._count(client, now) != self._settings.auto_whitelist_clients:
            return ()
        text = address.text()
        name = f"{request.client_name}[{text}]" if request.client_name not in _UNLOGGED else text
        return (LogLine(Level.WARNING, f"whitelisted: {name}"),)

    def _is_new_instance(self, instance: str | None) -> bool:
        """Whether the message is none of the last ones that got a header. Without an instance every one is."""
        if instance is None:
            return True
        if instance in self._instances:
            return False
        self._instances[instance] = None
        if len(self._instances) > REMEMBERED_INSTANCES:
            del self._instances[next(iter(self._instances))]
        return True

    def _make_text(self, knows_etrn: bool, missing: int, domain: str) -> str:
        template = self._text_template
        if knows_etrn and not ("0" <= template[:1] <= "9"):
            # 1.37: Exchange servers misread Postfix's default code 4.7.1; Postfix takes another only since 2.3,
            # which is the first to send etrn_domain.
            template = f"4.2.0 {template}"
        return template.format(s=missing, r=domain)

    def _header(self, delay: int, clock: int) -> str:
        return self._header_template.format(
            t=delay,
            v=self._version,
            # 1.37: the clock's time, also where the request brings one of its own.
            d=time.strftime("%a, %d %b %Y %H:%M:%S %Z", time.localtime(clock)),
            h=self._settings.hostname,
        )


def _first_seen(value: bytes, now: int, settings: Settings) -> tuple[int, bool]:
    """When this triplet was first seen, and whether it has passed before.

    One that has not, and comes back only after the retry window, is seen for the first time now.
    """
    first_seen, last_seen = parse_record(value)
    if (last_seen or 0) - first_seen >= settings.delay:
        return first_seen, True
    return (now if now - first_seen > settings.retry_window else first_seen), False


def _make_template(text: str, placeholders: str) -> str:
    """A text with `%x` for values, as a template for str.format with `{x}`; other characters stay as they are."""
    escaped = text.replace("{", "{{").replace("}", "}}")
    return re.sub(f"%([{placeholders}])", r"{\1}", escaped)


def _passed(request: Request, reason: str) -> Decision:
    return Decision(PASS, (_action_line(request, "pass", reason),))


def _action_line(request: Request, action: str, reason: str, extra: str = "") -> LogLine:
    """The one line that every decision is logged with; an interface that log analysers read."""
    address, name, sender, recipient, queue_id = request[:5]
    start = f"action={action}, reason={reason}{extra}"
    # 1.37: empty values are left out, and so is what Perl takes for false.
    return LogLine(
        Level.NOTICE,
        f"{start if queue_id in _UNLOGGED else f'{queue_id}: {start}'}"
        f"{'' if name in _UNLOGGED else f', client_name={name}'}"
        f"{'' if address in _UNLOGGED else f', client_address={address}'}"
        f"{'' if sender in _UNLOGGED else f', sender={sender}'}"
        f"{'' if recipient in _UNLOGGED else f', recipient={recipient}'}",
    )
