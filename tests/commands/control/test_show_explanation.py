# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from postgrey_py.commands.control.show_explanation import show_explanation

NOW = 1_700_000_000
DEFERRED: dict[str, Any] = {
    "time": NOW,
    "action": "greylist",
    "reason": "early-retry",
    "detail": "",
    "wait": 142,
    "delay": None,
    "entry": None,
    "client_name": "unknown",
    "client_address": "192.0.2.7",
    "sender": "",
    "recipient": "bob@example.org",
    "triplet": {"key": "192.0.2.0//bob@example.org", "state": "pending", "first_seen": NOW - 158, "last_seen": NOW - 9},
    "client": {"key": "192.0.2.7", "passes": 3, "last_seen": NOW - 90_000, "trusted": False},
    "passes_from": NOW + 142,
    "passes_until": NOW - 158 + 172_800,
    "remarks": ["mail.example is listed"],
}


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()


def test_deferral_is_explained() -> None:
    assert show_explanation(DEFERRED).splitlines() == [
        "DEFERRED: it comes back too early [reason=early-retry]",
        "  it passes when it is tried again from 22:15:42 (in 2m 22s) until Thu 16 Nov 22:10:42",
        "  mail: client 192.0.2.7 (its name is not verified), from <>, to bob@example.org, at 2023-11-14 22:13:20",
        "  triplet 192.0.2.0//bob@example.org: first seen 2023-11-14 22:10:42, last 2023-11-14 22:13:11: pending",
        "  client 192.0.2.7: not on the auto-whitelist yet, 3 passes, last counted 2023-11-13 21:13:20",
        "  but: mail.example is listed",
    ]


PASSED: dict[str, Any] = {**DEFERRED, "action": "pass", "wait": 0, "passes_from": None, "passes_until": None}


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        (
            {
                "reason": "client whitelist",
                "entry": {"file": "/etc/list", "line": 7, "text": "example.com # ours"},
            },
            "PASSES: the client is on a whitelist: /etc/list line 7: example.com # ours [reason=client whitelist]",
        ),
        ({"reason": "allowed", "detail": "7"}, "PASSES: it is allowed (7) [reason=allowed]"),
        ({"reason": "triplet found", "delay": 310}, "PASSES: it has waited long enough [reason=triplet found]"),
        (
            {"reason": "triplet found"},
            "PASSES: mail of this client, sender and recipient has passed before [reason=triplet found]",
        ),
        ({"reason": "a later reason"}, "PASSES: a later reason [reason=a later reason]"),
    ],
)
def test_pass_is_explained(changes: dict[str, Any], line: str) -> None:
    assert show_explanation({**PASSED, **changes}).splitlines()[0] == line


def test_what_an_order_overrules_is_told() -> None:
    text = show_explanation({**DEFERRED, "action": "pass", "reason": "paused", "detail": "by root"})
    assert "without that it would be deferred; it passes when it is tried again from" in text


@pytest.mark.parametrize(
    ("triplet", "line"),
    [
        ({"state": "never seen", "first_seen": None, "last_seen": None}, "never seen"),
        ({"state": "lapsed"}, "not tried again within the retry window, so it begins anew"),
        ({"state": "passed"}, ": passed"),
        ({"last_seen": None, "first_seen": 10**17}, "first seen 100000000000000000: pending"),
    ],
)
def test_triplet_is_explained(triplet: dict[str, Any], line: str) -> None:
    text = show_explanation({**DEFERRED, "triplet": {**DEFERRED["triplet"], **triplet}})
    assert f"{line}\n" in text


@pytest.mark.parametrize(
    ("client", "line"),
    [
        ({"key": ""}, "client not counted: there is no auto-whitelist"),
        ({"passes": None}, "client 192.0.2.7: none of its mail has come back yet"),
        ({"trusted": True, "passes": 9}, "client 192.0.2.7: on the auto-whitelist, 9 passes, last counted"),
    ],
)
def test_client_is_explained(client: dict[str, Any], line: str) -> None:
    assert line in show_explanation({**DEFERRED, "client": {**DEFERRED["client"], **client}})


def test_strangers_do_nothing_to_a_terminal() -> None:
    hostile = {"client_name": "\x1b[31m", "sender": "\x07", "remarks": ["\x1b]0;owned"]}
    text = show_explanation({**DEFERRED, **hostile})
    assert "\x1b" not in text
    assert "\x07" not in text


def test_suspicions_are_told() -> None:
    shown = show_explanation({**DEFERRED, "suspicions": ["no-name", "helo"]})
    assert "  suspect: no-name, helo\n" in shown
