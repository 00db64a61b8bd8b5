# SPDX-License-Identifier: GPL-2.0-or-later
"""Replies, octet for octet; more of them are in test_policy."""

from __future__ import annotations

import time

import pytest

from postgrey_py.greylist.decision import Action, Decision, Reason
from postgrey_py.greylist.request import Request
from postgrey_py.greylist.settings import Settings
from postgrey_py.greylist.texts import PASSED, ReplyTexts, probe_answer

REQUEST = Request("192.0.2.7", "mail.example.com", "alice@example.com", "bob@example.org", "", None)


def reply(decision: Decision, request: Request = REQUEST, clock: int = 0, **settings: str) -> bytes:
    return ReplyTexts(Settings(**settings), "1.2").octets(request, decision, clock)  # type: ignore[arg-type]


def defer(text: str, request: Request = REQUEST, wait: int = 300) -> bytes:
    return reply(Decision(Action.GREYLIST, Reason.NEW, wait), request, greylist_text=text)


def test_mail_passes_to_the_next_restriction() -> None:
    assert reply(Decision(Action.PASS, Reason.CLIENT_WHITELIST)) == PASSED == b"action=DUNNO\n\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("wait %s s", b"4.2.0 wait 300 s"),
        ("%r", b"4.2.0 example.org"),
        ("%x {} %", b"4.2.0 %x {} %"),
        ("4.7.1 later", b"4.7.1 later"),
        ("", b"4.2.0 "),
        ("\u2026", b"4.2.0 ?"),
    ],
)
def test_what_a_deferral_says(text: str, said: bytes) -> None:
    assert defer(text) == b"action=DEFER_IF_PERMIT " + said + b"\n\n"


def test_old_postfix_gets_no_code() -> None:
    assert defer("later", REQUEST._replace(knows_etrn=False)) == b"action=DEFER_IF_PERMIT later\n\n"


def test_a_remembered_text_is_of_its_own_wait_and_domain() -> None:
    texts = ReplyTexts(Settings(greylist_text="%s %r"), "1.2")

    def said(wait: int, recipient: str) -> bytes:
        request = REQUEST._replace(recipient=recipient)
        return texts.octets(request, Decision(Action.GREYLIST, Reason.NEW, wait), 0)

    assert said(1, "bob@a.example") == b"action=DEFER_IF_PERMIT 4.2.0 1 a.example\n\n"
    assert said(2, "bob@a.example") == b"action=DEFER_IF_PERMIT 4.2.0 2 a.example\n\n"
    assert said(1, "bob@b.example") == b"action=DEFER_IF_PERMIT 4.2.0 1 b.example\n\n"


def test_the_header_has_delay_version_host_and_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    decision = Decision(Action.PASS, Reason.TRIPLET_FOUND, delay=0)
    header = reply(decision, clock=86400, x_greylist_header="X: %t %v %h %d", hostname="mx.example")
    assert header == b"action=PREPEND X: 0 1.2 mx.example Fri, 02 Jan 1970 00:00:00 UTC\n\n"


def test_probe_is_told_how_long_the_database_has_been_down() -> None:
    assert probe_answer(0) == b"action=DUNNO\npostgrey_outage=0\n\n"
    assert probe_answer(83) == b"action=DUNNO\npostgrey_outage=83\n\n"
