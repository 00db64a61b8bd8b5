# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from postgrey_py.greylist.list_lines import Line
from postgrey_py.greylist.sender_entries import take_nobody
from postgrey_py.greylist.whitelists import SenderList


def make_list(*texts: str) -> SenderList:
    return SenderList(Line("senders", number, text) for number, text in enumerate(texts, 1))


def test_nobody_is_told_from_others() -> None:
    lines = [Line("f", 1, " <> # bounces"), Line("f", 2, "<>x"), Line("f", 3, "example.com")]
    assert take_nobody(lines) == (lines[:1], lines[1:])


@pytest.mark.parametrize(
    ("entry", "listed", "others"),
    [
        ("example.com", ["a@example.com", "a@News.EXAMPLE.com"], ["a@example.org", "a@notexample.com", ""]),
        ("alice@example.com", ["alice@example.com", "Alice+x@example.com"], ["bob@example.com", "alice@a.example.com"]),
        ("alice@", ["alice@example.com", "alice@example.org"], ["malice@example.org", ""]),
        ("/^news-[0-9]+@/", ["news-12@example.com"], ["news@example.com", ""]),
        ("<>", [""], ["a@example.com", "<>"]),
        ("/^$/", [""], ["a@example.com"]),
        ("m\xc3\xbcnchen.example", ["a@m\xc3\xbcnchen.example"], ["a@muenchen.example"]),
    ],
)
def test_entries(entry: str, listed: list[str], others: list[str]) -> None:
    senders = make_list("# ours", entry)
    assert senders.in_force == 1
    assert senders.remarks == ()
    assert [senders.match(sender) for sender in listed] == [Line("senders", 2, entry)] * len(listed)
    assert [senders.match(sender) for sender in others] == [None] * len(others)


def test_what_is_no_entry_is_told_with_its_place() -> None:
    senders = make_list("two words", "192.0.2.7", "ok.example", "<>")
    assert senders.in_force == 2
    assert senders.remarks[0].text.startswith("senders line 1: ")
    assert "192.0.2.7 is an address of a client, and this is a list of mail addresses" in senders.remarks[1].text
