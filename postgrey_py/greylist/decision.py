# SPDX-License-Identifier: GPL-2.0-or-later
"""Decisions as data: what is done with a mail, why, and which records it leaves.

Made by `policy` alone. Whoever answers, logs, counts, explains or reports reads the fields. The texts are made from
them in `texts` (for the mail server) and `loglines` (for the log), and nobody reads those back.
"""

from __future__ import annotations

import enum
from typing import NamedTuple

from postgrey_py.greylist.address import Address
from postgrey_py.greylist.list_lines import Line
from postgrey_py.greylist.request import Request

# Key and value of a record.
StoredRecord = tuple[bytes, bytes]


class Action(enum.Enum):
    """The action taken on a mail. `text` is the word of `action=` in the log."""

    PASS = "pass"
    GREYLIST = "greylist"

    def __init__(self, text: str) -> None:
        # Takes a tenth of the time to read that `value` takes.
        self.text = text


class Reason(enum.Enum):
    """The rule that decided. `text` is that of `reason=` in the log; `has_values` tells that it says more there.

    `number` counts them from 0, for tables of them.
    """

    CLIENT_WHITELIST = "client whitelist"
    RECIPIENT_WHITELIST = "recipient whitelist"
    SENDER_WHITELIST = "sender whitelist"
    NOT_GREYLISTED = "recipient not greylisted"
    NOT_SUSPECT = "not suspect"
    AUTO_WHITELIST = "client AWL"
    DOMAIN_AUTO_WHITELIST = "domain AWL", True
    NEW = "new"
    EARLY_RETRY = "early-retry", True
    TRIPLET_FOUND = "triplet found", True
    DOMAIN_FOUND = "domain found", True
    VOUCHED_FOR = "vouched for", True
    ALLOWED = "allowed", True
    PAUSED = "paused", True
    TRAINING = "training", True
    UNKNOWN_ADDRESS = "client_address can't be parsed", True
    ATTRIBUTE_MISSING = "attribute missing", True

    def __init__(self, text: str, has_values: bool = False) -> None:
        self.text = text
        self.has_values = has_values
        self.number = len(type(self).__members__)

    @property
    def action(self) -> Action:
        """The action that this rule takes."""
        return Action.GREYLIST if self in (Reason.NEW, Reason.EARLY_RETRY) else Action.PASS


def deferral_text(reason: Reason, wait: int) -> str:
    """Return why a mail is deferred, as the log has it."""
    return f"{reason.text} ({wait}s missing)" if reason is Reason.EARLY_RETRY else reason.text


class Note(enum.Enum):
    """A finding beside the decision, for a line in the log."""

    FIRST_SEEN_IN_FUTURE = enum.auto()
    CLIENT_TRUSTED = enum.auto()


class Decision(NamedTuple):
    """A decision about one request. A tuple because one is made for every request, thousands a second.

    `wait` is how many seconds from now a retry passes: of mail that is deferred, or would be but for an order or
    training. `waited` is how many seconds the mail has waited, set when its triplet passes for the first time; `delay`
    is the same where its message is told so by a header. `entry` is the line of the list that matched. `triplets` and
    `clients` are the records to store before the answer is given.
    `detail` is what a reason carries: the attribute that is missing, the source that vouches, the number of the order,
    the domain whose record let it pass, the reason for which the mail would have been deferred. `suspicions` are why
    the client of a deferred mail is a suspect, where only suspects are greylisted.
    """

    action: Action
    reason: Reason
    wait: int = 0
    delay: int | None = None
    entry: Line | None = None
    triplets: tuple[StoredRecord, ...] = ()
    clients: tuple[StoredRecord, ...] = ()
    notes: tuple[Note, ...] = ()
    detail: str = ""
    waited: int | None = None
    suspicions: tuple[str, ...] = ()


class Question(NamedTuple):
    """A request that no list answers: it needs the records of its client and its triplet.

    `suspicions` are those about the client, where only suspects are greylisted. `domain` is the one whose machines are
    known as one client, None where it has none or that is not wanted.
    """

    request: Request
    address: Address
    suspicions: tuple[str, ...] = ()
    domain: str | None = None


class Wanted(NamedTuple):
    """The result of `judge` in place of a deferral, when facts about the request are to be asked for first."""

    question: Question


class Facts(NamedTuple):
    """Facts about a request, which can only let mail pass; `voucher` names who vouches for it, empty for nobody."""

    voucher: str = ""


NO_FACTS = Facts()
