# SPDX-License-Identifier: GPL-2.0-or-later
"""The event of one line, whatever stands around it; the reading of whole logs is tested beside `maillog`."""

from __future__ import annotations

import pytest

from postgrey_py.commands.events import Event, Kind, Reading, Unreadable, kind_of, read_line
from tests.commands.test_maillog import PASS, PASSED, REJECT, REJECTED

WARNED = REJECTED._replace(kind=Kind.WARNED)


@pytest.mark.parametrize(
    ("line", "event"),
    [
        (REJECT, REJECTED),
        (REJECT.replace("450 4.2.0", "471 4.7.1"), REJECTED),
        (REJECT.replace("reject: ", "reject_warning: "), WARNED),
        (PASS, PASSED),
        (f"{PASS}\r\n", PASSED),
    ],
)
def test_an_event_has_what_its_line_says(line: str, event: Event) -> None:
    assert read_line(line) == event


@pytest.mark.parametrize(
    ("line", "reading"),
    [
        ("garbage", Unreadable.STRANGE),
        (REJECT.replace("from=<", "form=<"), Unreadable.LINE),
        (PASS.replace("client_address=", "address="), Unreadable.LINE),
        (REJECT.replace("450 4.2.0", "550 5.7.1"), None),
        (REJECT.replace("postfix/smtpd", "postfix/postscreen"), None),
        ("Nov 21 09:57:31 mx postfix/smtpd[1]: connect from mail.example.com[198.51.100.7]", None),
    ],
)
def test_a_line_without_an_event_is_unreadable_or_about_something_else(line: str, reading: Reading) -> None:
    assert read_line(line) == reading


@pytest.mark.parametrize(
    ("action", "reason", "delay", "kind"),
    [
        ("greylist", "new", None, Kind.GREYLISTED),
        ("pass", "client AWL", None, Kind.AUTO_WHITELISTED),
        ("pass", "recipient whitelist", None, Kind.WHITELISTED),
        ("pass", "triplet found", None, Kind.KNOWN),
        ("pass", "triplet found", 0, Kind.RETURNED),
        ("pass", "training (new)", None, Kind.TRAINED),
        ("pass", "training (early-retry (12s missing))", None, Kind.TRAINED),
    ],
)
def test_the_kind_comes_from_action_reason_and_delay(action: str, reason: str, delay: int | None, kind: Kind) -> None:
    assert kind_of(action, reason, delay) is kind


@pytest.mark.parametrize("reason", ["new", "early-retry (10s missing)"])
def test_suspicions_in_a_line_are_passed_over(reason: str) -> None:
    head = "Nov 21 09:40:00 mx postgrey[77]: action=greylist, reason="
    rest = "client_name=unknown, client_address=192.0.2.7, sender=a@example.com, recipient=b@example.org"
    with_suspicions = read_line(f"{head}{reason}, suspect=no-name+helo, {rest}")
    assert with_suspicions == read_line(f"{head}{reason}, {rest}")
    assert isinstance(with_suspicions, Event)
