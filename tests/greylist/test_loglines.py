# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines that a decision makes; more of them are in test_policy, and against 1.37 in the tests of parity."""

from __future__ import annotations

import pytest

from postgrey_py.greylist.decision import Action, Decision, Note, Reason
from postgrey_py.greylist.loglines import Level, LogLine, complaint, decision_lines
from postgrey_py.greylist.request import Request

REQUEST = Request("192.0.2.7", "mail.example.com", "alice@example.com", "bob@example.org", "", None)
REST = ", client_name=mail.example.com, client_address=192.0.2.7, sender=alice@example.com, recipient=bob@example.org"


def the_line(decision: Decision, request: Request = REQUEST) -> LogLine:
    (line,) = decision_lines(request, decision)
    return line


def test_levels_are_those_of_syslog() -> None:
    assert [level.value for level in Level] == [2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("decision", "start"),
    [
        (Decision(Action.PASS, Reason.CLIENT_WHITELIST), "action=pass, reason=client whitelist"),
        (Decision(Action.PASS, Reason.AUTO_WHITELIST), "action=pass, reason=client AWL"),
        (Decision(Action.GREYLIST, Reason.NEW, wait=300), "action=greylist, reason=new"),
        (Decision(Action.GREYLIST, Reason.EARLY_RETRY, 1), "action=greylist, reason=early-retry (1s missing)"),
        (Decision(Action.PASS, Reason.TRIPLET_FOUND), "action=pass, reason=triplet found"),
        (Decision(Action.PASS, Reason.TRIPLET_FOUND, delay=0), "action=pass, reason=triplet found, delay=0"),
        (Decision(Action.PASS, Reason.VOUCHED_FOR, detail="x.example"), "action=pass, reason=x.example"),
        (Decision(Action.PASS, Reason.ALLOWED, 300, detail="7"), "action=pass, reason=allowed (7)"),
        (Decision(Action.PASS, Reason.PAUSED, 300, detail="by root"), "action=pass, reason=paused (by root)"),
        (Decision(Action.PASS, Reason.TRAINING, 300, detail="new"), "action=pass, reason=training (new)"),
    ],
)
def test_the_line_of_a_decision(decision: Decision, start: str) -> None:
    assert the_line(decision) == LogLine(Level.NOTICE, start + REST)


def test_the_queue_id_comes_first() -> None:
    line = the_line(Decision(Action.GREYLIST, Reason.NEW), REQUEST._replace(queue_id="AB12"))
    assert line.text.startswith("AB12: action=greylist, ")


@pytest.mark.parametrize("nothing", ["", "0"])
def test_what_perl_takes_for_false_is_left_out(nothing: str) -> None:
    request = Request(nothing, nothing, nothing, nothing, nothing, None)
    assert the_line(Decision(Action.GREYLIST, Reason.NEW), request).text == "action=greylist, reason=new"


def test_what_was_not_decided_is_a_complaint_alone() -> None:
    unknown = the_line(Decision(Action.PASS, Reason.UNKNOWN_ADDRESS))
    missing = the_line(Decision(Action.PASS, Reason.ATTRIBUTE_MISSING, detail="sender"))
    assert unknown == complaint("can't parse client_address: 192.0.2.7")
    assert missing == LogLine(Level.WARNING, "attribute missing: sender", is_complaint=True)


def test_notes_come_before_the_decision_in_their_order() -> None:
    decision = Decision(Action.PASS, Reason.TRIPLET_FOUND, notes=(Note.FIRST_SEEN_IN_FUTURE, Note.CLIENT_TRUSTED))
    assert [line.text for line in decision_lines(REQUEST, decision)] == [
        "correcting date for first seen in the future!",
        "whitelisted: mail.example.com[192.0.2.7]",
        f"action=pass, reason=triplet found{REST}",
    ]
