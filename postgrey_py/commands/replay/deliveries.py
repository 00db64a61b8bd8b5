# SPDX-License-Identifier: GPL-2.0-or-later
"""The questions that Postfix must have asked, from its log: one for each recipient of each mail.

A recipient that was refused has all of it in one line. For one that was accepted, Postfix tells the client, the sender
and each recipient in lines of their own, which its queue id holds together. Called by `policy_test`.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from postgrey_py.commands.logfiles import LogText
from postgrey_py.commands.loghead import Head, find_head, find_repetition, is_blank, lacks_head, message_start
from postgrey_py.commands.logtime import LogClock
from postgrey_py.commands.rejection import ADDRESS, CLIENT, read_rejection, unquote

# Mails that are under way at the same time; the end of one that is older has got lost.
MAX_MESSAGES = 100_000

# Hexadecimal, or with enable_long_queue_ids of digits and consonants.
_QUEUE_ID = r"(NOQUEUE|[0-9A-F]{5,40}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,40}): "

# What nearly all lines of Postfix look like that matter; others are read part by part.
_USUAL = re.compile(
    r"([A-Z][a-z]{2} [ \d]\d [\d:]{8}|\d{4}-[\dT:.+-]+) [^\s:\[]+ (postfix[\w.-]*/[\w/-]+)\[\d+\]: "
    rf"(?={_QUEUE_ID})",
    re.ASCII,
)
_TELLING = re.compile(rb"reject: RCPT |client=|from=<|to=<|: removed| repeated ")

_QUEUED = re.compile(_QUEUE_ID, re.ASCII)
_ACCEPT = re.compile(rf"client={CLIENT}", re.ASCII)
_FROM = re.compile(rf"from=<{ADDRESS}>", re.ASCII)
# An alias shows where the mail went, and behind that what the client had asked for.
_TO = re.compile(rf"to=<{ADDRESS}>(?:, orig_to=<{ADDRESS}>)?", re.ASCII)


class Delivery(NamedTuple):
    """One question; `time` is in seconds. `instance` names the mail, if it is known which recipients belong to it."""

    time: int
    client_name: str
    client_address: str
    sender: str
    recipient: str
    instance: str | None


@dataclass(slots=True)
class _Message:
    """A mail in the queue, as far as it is known."""

    time: int
    client_name: str
    client_address: str
    instance: str
    sender: str | None = None
    recipients: set[str] = field(default_factory=set)


class UnreadableError(Exception):
    """A line should tell of a delivery, and does not."""


class DeliveryReader:
    """Reads the blocks of a log, in which lines that can't be read are counted."""

    def __init__(self, log: LogText, clock: LogClock) -> None:
        self._log = log
        self._clock = clock
        self._messages: dict[str, _Message] = {}
        self._refused: Delivery | None = None

    def read(self, block: bytes) -> Iterator[Delivery]:
        """The deliveries that lines of this block, the last that the log gave, tell of."""
        start = 0
        for line in block[:-1].split(b"\n"):
            if is_blank(line):
                self._log.blank += 1
            elif _TELLING.search(line) is None:
                self._refused = None
                if lacks_head(line):
                    self._log.skip(start, is_strange=True)
            else:
                try:
                    delivery, count = self._read_line(line.decode("latin-1"))
                except UnreadableError:
                    self._log.skip(start)
                else:
                    yield from itertools.repeat(delivery, count) if delivery is not None else ()
            start += len(line) + 1

    def _read_line(self, line: str) -> tuple[Delivery | None, int]:
        """The delivery that a line tells of, and how often. Raises UnreadableError."""
        before, self._refused = self._refused, None
        usual = _USUAL.match(line)
        head = Head(usual[1], usual[2], usual.end()) if usual else find_head(line)
        if head is None:
            raise UnreadableError
        if repeated := find_repetition(line, head):
            self._refused = before
            return before, repeated
        start, count = message_start(line, head)
        queued = _QUEUED.match(line, start)
        # Who is refused by postscreen was never asked about.
        if queued is None or not _may_be_postfix(head.program) or head.program.endswith("postscreen"):
            return None, 0
        if line.startswith("reject: RCPT ", queued.end()):
            self._refused = self._read_reject(line, start, head)
            return self._refused, count
        return (None if queued[1] == "NOQUEUE" else self._follow(queued[1], line, queued.end(), head)), 1

    def _follow(self, queue_id: str, line: str, start: int, head: Head) -> Delivery | None:
        """Take note of what happens to a mail in the queue; the delivery that is known by it."""
        if line.startswith("client=", start):
            self._begin(queue_id, line, start, head)
        elif line.startswith("removed", start):
            self._messages.pop(queue_id, None)
        elif (message := self._messages.get(queue_id)) is not None:
            if sender := _FROM.match(line, start):
                message.sender = unquote(sender[1])
            elif recipient := _TO.match(line, start):
                return _deliver(message, unquote(recipient[1] if recipient[2] is None else recipient[2]))
        return None

    def _read_reject(self, line: str, start: int, head: Head) -> Delivery:
        rejection, time = read_rejection(line, start), self._clock.seconds(head.stamp)
        if rejection is None or time is None:
            raise UnreadableError
        name, address = rejection.client_name, rejection.client_address
        return Delivery(time, name, address, rejection.sender, rejection.recipient, None)

    def _begin(self, queue_id: str, line: str, start: int, head: Head) -> None:
        found, time = _ACCEPT.match(line, start), self._clock.seconds(head.stamp)
        if found is None or time is None:
            raise UnreadableError
        # What a content filter gives back has been asked about under its first queue id.
        if ", orig_queue_id=" not in line[found.end() :]:
            self._messages[queue_id] = _Message(time, found[1], found[2], f"{queue_id}.{time:x}")
            if len(self._messages) > MAX_MESSAGES:
                del self._messages[next(iter(self._messages))]


def _may_be_postfix(program: str) -> bool:
    """Whether lines of this program may be Postfix's. Containers may have another name for it, or none."""
    return program.startswith("postfix") or "/" not in program


def _deliver(message: _Message, recipient: str) -> Delivery | None:
    """The question about a recipient, the first time that the recipient is seen."""
    if message.sender is None or recipient in message.recipients:
        return None
    message.recipients.add(recipient)
    name, address = message.client_name, message.client_address
    return Delivery(message.time, name, address, message.sender, recipient, message.instance)
