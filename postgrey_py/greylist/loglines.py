# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines for the log, and the ones that a decision makes: the one place where `action=` is written."""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from postgrey_py.greylist.address import parse_address
from postgrey_py.greylist.decision import Decision, Note, Reason, deferral_text
from postgrey_py.greylist.request import Request

# Values that log lines leave out.
_UNLOGGED = ("", "0")


class Level(enum.IntEnum):
    """The level of a log line; the numbers are those of syslog(3)."""

    CRITICAL = 2
    ERROR = 3
    WARNING = 4
    NOTICE = 5
    INFO = 6
    DEBUG = 7


# Reasons that say in brackets what was ordered, or of what domain.
_WITH_DETAIL = (
    *(Reason.ALLOWED, Reason.PAUSED, Reason.TRAINING),
    *(Reason.DOMAIN_AUTO_WHITELIST, Reason.DOMAIN_FOUND),
)

# Members of an enumeration take long to look up.
_NOTICE, _TRIPLET_FOUND = Level.NOTICE, Reason.TRIPLET_FOUND


class LogLine(NamedTuple):
    """A line for the log, without line end; Latin-1 text, not yet escaped.

    `is_complaint` marks what 1.37 says with Perl's warn(), which has `WARNING: ` before it in syslog. `fields` are
    those of the decision that the line is about, where the log wants them.
    """

    level: Level
    text: str
    is_complaint: bool = False
    fields: Mapping[str, Any] | None = None


def complaint(text: str) -> LogLine:
    """A line about bad input or configuration."""
    return LogLine(Level.WARNING, text, is_complaint=True)


def decision_lines(request: Request, decision: Decision) -> list[LogLine]:
    """The lines about this decision, in order; the last one is the `action=` line, unless there was nothing to decide.

    That line is an interface that log analysers read. Source: 1.37.
    """
    reason = decision.reason
    text = reason.text
    if reason.has_values:
        if reason is _TRIPLET_FOUND:
            if decision.delay is not None:
                text = f"{text}, delay={decision.delay}"
        elif reason is Reason.EARLY_RETRY:
            text = deferral_text(reason, decision.wait)
        elif reason is Reason.VOUCHED_FOR:
            text = decision.detail
        elif reason in _WITH_DETAIL:
            text = f"{text} ({decision.detail})"
            if decision.delay is not None:
                text = f"{text}, delay={decision.delay}"
        elif reason is Reason.ATTRIBUTE_MISSING:
            return [complaint(f"attribute missing: {decision.detail}")]
        elif reason is Reason.UNKNOWN_ADDRESS:
            # unlike 1.37, which dies of it.
            return [complaint(f"can't parse client_address: {request.client_address}")]
    address, name, sender, recipient, queue_id = request[:5]
    if decision.suspicions:
        text = f"{text}, suspect={'+'.join(decision.suspicions)}"
    start = f"action={decision.action.text}, reason={text}"
    # 1.37: empty values are left out, and so is what Perl takes for false.
    line = LogLine(
        _NOTICE,
        f"{start if queue_id in _UNLOGGED else f'{queue_id}: {start}'}"
        f"{'' if name in _UNLOGGED else f', client_name={name}'}"
        f"{'' if address in _UNLOGGED else f', client_address={address}'}"
        f"{'' if sender in _UNLOGGED else f', sender={sender}'}"
        f"{'' if recipient in _UNLOGGED else f', recipient={recipient}'}",
    )
    return [*(_NOTES[note](request) for note in decision.notes), line] if decision.notes else [line]


def _first_seen_corrected(_: Request) -> LogLine:
    return LogLine(Level.WARNING, "correcting date for first seen in the future!")


def _client_trusted(request: Request) -> LogLine:
    address = parse_address(request.client_address)
    text = request.client_address if address is None else address.text()
    name = f"{request.client_name}[{text}]" if request.client_name not in _UNLOGGED else text
    return LogLine(Level.WARNING, f"whitelisted: {name}")


_NOTES: dict[Note, Callable[[Request], LogLine]] = {
    Note.FIRST_SEEN_IN_FUTURE: _first_seen_corrected,
    Note.CLIENT_TRUSTED: _client_trusted,
}
