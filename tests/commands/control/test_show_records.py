# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from postgrey_py.commands.control.show_records import count_changes, show_changes, show_client, show_triplet

TRIPLET: dict[str, Any] = {
    "key": "192.0.2.0//bob@example.org",
    "client": "192.0.2.0",
    "sender": "",
    "recipient": "bob@example.org",
    "first_seen": 1_700_000_000,
    "last_seen": None,
    "wait": 61,
}
CLIENT: dict[str, Any] = {"client": "192.0.2.7", "passes": 5, "last_seen": None}


def test_triplet() -> None:
    assert show_triplet(TRIPLET).endswith(": 192.0.2.0, from <>, to bob@example.org: passes in 1m 1s\n")
    assert show_triplet({**TRIPLET, "wait": 0}).endswith(": passes at its next try\n")
    assert ": 192.0.2.0//bob@example.org: " in show_triplet({**TRIPLET, "client": None})
    assert "\x1b" not in show_triplet({**TRIPLET, "sender": "\x1b[31m"})


def test_client() -> None:
    assert show_client(CLIENT) == "192.0.2.7: 5 passes\n"
    assert "last counted 20" in show_client({**CLIENT, "last_seen": 1_700_000_000})


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({"triplets": 1}, "1 triplet; the first: "),
        ({"triplets": 3, "clients": 1}, "3 triplets and 1 client; the first: "),
        ({"triplets": 0, "clients": 0}, "nothing of that kind is known\n"),
    ],
)
def test_changes(counts: dict[str, int], text: str) -> None:
    result = {**counts, "first": TRIPLET, "applied": True}
    assert show_changes(result).startswith(text)
    assert count_changes(result) == sum(counts.values())


def test_change_of_a_client_shows_it() -> None:
    assert show_changes({"triplets": 0, "clients": 1, "first": CLIENT}) == "1 client; the first: 192.0.2.7: 5 passes\n"
