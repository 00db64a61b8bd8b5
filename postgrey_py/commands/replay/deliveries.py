# SPDX-License-Identifier: GPL-2.0-or-later
"""What Postfix must have asked a policy server, from what it has logged: one question for each recipient of each mail.

A recipient that was refused has all of it in one line. For one that was accepted, Postfix tells the client, the sender
and each recipient in lines of their own, which its queue id holds together. Called by `policy_test`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from postgrey_py.commands.logfiles import LogText
from postgrey_py.commands.logtime import LogClock, lacks_time, stamp_of
from postgrey_py.commands.maillog import Unreadable, unquote

# Mails that are under way at the same time; the end of one that is older has got lost.
MAX_MESSAGES = 100_000

# Hexadecimal, or with enable_long_queue_ids of digits and consonants.
_QUEUE_ID = r"(?:[0-9A-F]{5,}|[0-9B-DF-HJ-NP-TV-Zb-df-hj-np-tv-z]{10,})"
_ADDRESS = r'([^">]*(?:"(?:[^"\\]|\\.)*"[^">]*)*|[^>]*)'
_CLIENT = r"([^\[\s]*)\[([^\]\s]*)\](?::\w+)?"

_MESSAGE = re.compile(
    rf"[^\[]*? postfix[\w.-]*/[\w/-]+(?:\[\d+\])?: (?:\[ID [^\]]*\] )?(NOQUEUE|{_QUEUE_ID}): (.*)", re.ASCII
)
_REJECT = re.compile(rf"reject: RCPT from {_CLIENT}: .*?; from=<{_ADDRESS}> to=<{_ADDRESS}>(?= proto=|\s*$)", re.ASCII)
_ACCEPT = re.compile(rf"client={_CLIENT}(.*)", re.ASCII)
_FROM = re.compile(rf"from=<{_ADDRESS}>", re.ASCII)
# An alias shows where the mail went, and behind that what the client had asked for.
_TO = re.compile(rf"to=<{_ADDRESS}>(?:, orig_to=<{_ADDRESS}>)?", re.ASCII)


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


class DeliveryReader:
    """Reads the blocks of a log, in which lines that can't be read are counted."""

    def __init__(self, log: LogText, clock: LogClock) -> None:
        self._log = log
        self._clock = clock
        self._messages: dict[str, _Message] = {}

    def read(self, block: bytes) -> Iterator[Delivery]:
        """The deliveries that lines of this block, the last that the log gave, tell of."""
        start = 0
        for line in block.split(b"\n"):
            if b" postfix" in line:
                delivery = self._read_line(line.decode("latin-1"))
                if delivery is Unreadable.LINE:
                    self._log.skip(start)
                elif delivery is not None:
                    yield delivery
            elif lacks_time(line):
                self._log.skip(start)
            start += len(line) + 1

    def _read_line(self, line: str) -> Delivery | Unreadable | None:
        found = _MESSAGE.match(line)
        if found is None:
            return None
        queue_id, text = found.groups()
        if text.startswith("reject: RCPT "):
            return self._read_reject(line, text)
        if queue_id == "NOQUEUE":
            return None
        if text.startswith("client="):
            return self._begin(queue_id, line, text)
        if text == "removed":
            self._messages.pop(queue_id, None)
        elif (message := self._messages.get(queue_id)) is not None:
            if sender := _FROM.match(text):
                message.sender = unquote(sender[1])
            elif recipient := _TO.match(text):
                return _deliver(message, unquote(recipient[1] if recipient[2] is None else recipient[2]))
        return None

    def _read_reject(self, line: str, text: str) -> Delivery | Unreadable:
        found, time = _REJECT.match(text), self._clock.seconds(stamp_of(line))
        if found is None or time is None:
            return Unreadable.LINE
        name, address, sender, recipient = found.groups()
        return Delivery(time, name, address, unquote(sender), unquote(recipient), None)

    def _begin(self, queue_id: str, line: str, text: str) -> Unreadable | None:
        found, time = _ACCEPT.match(text), self._clock.seconds(stamp_of(line))
        if found is None or time is None:
            return Unreadable.LINE
        name, address, rest = found.groups()
        # What a content filter gives back has been asked about under its first queue id.
        if ", orig_queue_id=" not in rest:
            self._messages[queue_id] = _Message(time, name, address, f"{queue_id}.{time:x}")
            if len(self._messages) > MAX_MESSAGES:
                del self._messages[next(iter(self._messages))]
        return None


def _deliver(message: _Message, recipient: str) -> Delivery | None:
    """The question about a recipient, the first time that the recipient is seen."""
    if message.sender is None or recipient in message.recipients:
        return None
    message.recipients.add(recipient)
    name, address = message.client_name, message.client_address
    return Delivery(message.time, name, address, message.sender, recipient, message.instance)
