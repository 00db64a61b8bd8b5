# SPDX-License-Identifier: GPL-2.0-or-later
"""Events in the life of a greylisted mail, and the way from one line of a mail log to its event.

A line is a rejection of Postfix, or the server's own line `action=`. Text is Latin-1, one character for each byte.
Called by `maillog`, which reads whole logs.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from postgrey_py.commands.loghead import find_head, message_start
from postgrey_py.commands.rejection import is_rejection, read_rejection
from postgrey_py.greylist.decision import Reason


class Kind(enum.Enum):
    """The kinds of events in the life of a mail."""

    REJECTED = "Postfix told the client to come back later, in the words of greylisting"
    WARNED = "Postfix only warned that it would have told so (warn_if_reject), and took the mail"
    GREYLISTED = "the server deferred it"
    TRAINED = "the server let it pass in training, and would have deferred it otherwise"
    RETURNED = "the server let it pass when it came back; the line has the delay"
    KNOWN = "the server let it pass because its triplet has passed before"
    WHITELISTED = "the server let it pass because of a whitelist"
    AUTO_WHITELISTED = "the server let it pass because of the auto-whitelist"


class Event(NamedTuple):
    """The event that one line tells of.

    `delay` is None but for RETURNED, `times` is how often it happened. `stamp` is the time as the line has it, empty
    where it has none.
    """

    kind: Kind
    stamp: str
    client_name: str
    client_address: str
    sender: str
    recipient: str
    delay: int | None
    times: int = 1


class Unreadable(enum.Enum):
    """The kinds of lines that no event can be read from.

    A LINE should say what happened to a mail and does not; one that is STRANGE does not belong into a log.
    """

    LINE = enum.auto()
    STRANGE = enum.auto()


# What one line says; None where that is nothing about greylisting.
Reading = Event | Unreadable | None


_DECISION_START = re.compile(r"(?:\w{1,40}: )?action=(greylist|pass), reason=", re.ASCII)
_DECISION = re.compile(
    r"([^,]*)(?:, suspect=[a-z0-9+-]*)?(?:, delay=(\d{1,18}))?(?:, client_name=([^,]*))?"
    # With its mask in the log of Debian's 1.36.
    r", client_address=([^,/\s]*)(?:/\d+)?(?=, sender=|, recipient=|$)",
    re.ASCII,
)

# The reason for which it would have deferred the mail follows in brackets.
_TRAINING = f"{Reason.TRAINING.text} ("

# And so does the domain here.
_DOMAIN_TRUSTED = f"{Reason.DOMAIN_AUTO_WHITELIST.text} ("

_PASS_KINDS = {
    "client whitelist": Kind.WHITELISTED,
    "recipient whitelist": Kind.WHITELISTED,
    "sender whitelist": Kind.WHITELISTED,
    "not suspect": Kind.WHITELISTED,
    "recipient not greylisted": Kind.WHITELISTED,
    "client AWL": Kind.AUTO_WHITELISTED,
}


def read_line(line: str) -> Reading:
    """Return the event of one line; None where it is not about greylisting."""
    head = find_head(line)
    if head is None:
        return Unreadable.STRANGE
    start, count = message_start(line, head)
    if start != head.end:
        line = line.rstrip().removesuffix("]")
    if is_rejection(line, start):
        # Who is refused by postscreen never comes to the server.
        return None if head.program.endswith("postscreen") else _read_rejection(line, start, head.stamp, count)
    decision = _DECISION_START.match(line, start)
    return None if decision is None else _read_decision(line, decision, head.stamp, count)


def _read_rejection(line: str, start: int, stamp: str, count: int) -> Reading:
    rejection = read_rejection(line, start)
    if rejection is None:
        return Unreadable.LINE
    # unlike 1.37: any code that says so, since --greylist-action may name another than 450.
    if rejection.code != "4":
        return None
    kind = Kind.WARNED if rejection.is_warning else Kind.REJECTED
    name, address = rejection.client_name, rejection.client_address
    return Event(kind, stamp, name, address, rejection.sender, rejection.recipient, None, count)


def _read_decision(line: str, start: re.Match[str], stamp: str, count: int) -> Reading:
    line = line.rstrip("\r\n")
    found = _DECISION.match(line, start.end())
    if found is None:
        return Unreadable.LINE
    reason, delay, name, address = found.groups()
    # 1.37: empty attributes are left out. A stranger may write `, recipient=` into his sender: the last one counts.
    sender, recipient = "", line[found.end() :].removeprefix(", recipient=")
    if recipient.startswith(", sender="):
        sender, is_followed, recipient = recipient.removeprefix(", sender=").rpartition(", recipient=")
        if not is_followed:
            sender, recipient = recipient, ""
    seconds = int(delay) if delay else None
    return Event(kind_of(start[1], reason, seconds), stamp, name or "", address, sender, recipient, seconds, count)


def kind_of(action: str, reason: str, delay: int | None) -> Kind:
    """Return the kind of the event in a line `action=` with this reason and delay."""
    if action == "greylist":
        return Kind.GREYLISTED
    if reason.startswith(_TRAINING):
        return Kind.TRAINED
    if reason.startswith(_DOMAIN_TRUSTED):
        return Kind.AUTO_WHITELISTED
    return _PASS_KINDS.get(reason) or (Kind.KNOWN if delay is None else Kind.RETURNED)
