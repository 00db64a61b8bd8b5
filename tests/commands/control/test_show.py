# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from postgrey_py.commands.control.show import format_duration, safe, show_allowance, show_decision, show_today

DECISION: dict[str, Any] = {
    "time": 1_700_000_000,
    "action": "pass",
    "reason": "client whitelist",
    "detail": "",
    "wait": 0,
    "delay": None,
    "entry": {"file": "/etc/list", "line": 7, "text": "example.com"},
    "client_name": "mail.example.com",
    "client_address": "192.0.2.7",
    "sender": "alice@example.com",
    "recipient": "bob@example.org",
}


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0s"), (59, "59s"), (61, "1m 1s"), (3600, "1h"), (90061, "1d 1h"), (86400 * 40, "40d")]
)
def test_duration(seconds: int, text: str) -> None:
    assert format_duration(seconds) == text


def test_decision_says_what_whitelisted_it() -> None:
    line = show_decision(DECISION, False)
    assert line.endswith(
        " pass, client whitelist, client_name=mail.example.com, client_address=192.0.2.7, sender=alice@example.com,"
        " recipient=bob@example.org [/etc/list line 7]\n"
    )


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"action": "greylist", "reason": "new", "wait": 300}, "greylist, new (300s missing), "),
        ({"reason": "triplet found", "delay": 310}, "pass, triplet found, delay=310, "),
        ({"reason": "allowed", "detail": "7", "wait": 300}, "pass, allowed (7), "),
    ],
)
def test_decision_says_what_its_reason_carries(fields: dict[str, Any], text: str) -> None:
    assert text in show_decision({**DECISION, **fields, "entry": None}, False)


def test_colour_is_for_terminals() -> None:
    assert "\x1b" not in show_decision(DECISION, False)
    assert "\x1b[32mpass\x1b[0m" in show_decision(DECISION, True)


def test_names_of_strangers_do_nothing_to_a_terminal() -> None:
    assert safe("a\x1b[31mb\udcff\x07") == "a\\x1b[31mb\\xff\\x07"
    hostile = {**DECISION, "client_name": "\x1b]0;owned\x07", "entry": None}
    assert "\x1b" not in show_decision(hostile, False)


def test_allowance_in_a_line() -> None:
    one = {
        "number": 7,
        "until": 1_700_000_000,
        "client": "",
        "sender": "example.com",
        "recipient": "bob@example.org",
        "once": True,
        "used": False,
        "comment": "the code",
        "by": "root",
    }
    line = show_allowance(one)
    assert line.startswith("7: sender example.com, recipient bob@example.org until 20")
    assert line.endswith(", for a single mail, by root (the code)\n")
    assert ", used, by root" in show_allowance({**one, "used": True})


def test_today_tells_reasons_and_waits() -> None:
    today = {
        "decisions": [
            {"action": "greylist", "reason": "new", "count": 2},
            {"action": "pass", "reason": "client AWL", "count": 1},
            {"action": "greylist", "reason": "early-retry", "count": 7},
        ],
        "unseen": 3,
        "delays": {"count": 4, "median": 310, "p95": 3661},
    }
    assert show_today(today) == [
        "today: 13 decisions",
        "  deferred 9: early-retry 7, new 2",
        "  passed 4: client AWL 1, database down 3",
        "  came back and passed: 4, after 5m 10s (median), 1h 1m (95 %)",
    ]


def test_today_of_a_server_that_nobody_has_asked() -> None:
    today = {"decisions": [], "unseen": 0, "delays": {"count": 0, "median": None, "p95": None}}
    assert show_today(today) == ["today: 0 decisions", "  deferred 0", "  passed 0"]
