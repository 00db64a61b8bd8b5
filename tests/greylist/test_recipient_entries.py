# SPDX-License-Identifier: GPL-2.0-or-later
"""One line of a list of recipients: where its entry goes, and what is said about it. Lists are in test_spellings."""

from __future__ import annotations

import pytest

from postgrey_py.greylist.list_lines import MAX_ENTRY_CHARACTERS, Entries, Line
from postgrey_py.greylist.recipient_entries import read_recipient_line


def read(text: str) -> Entries:
    entries = Entries()
    assert read_recipient_line(Line("recipients", 7, text), entries)
    return entries


@pytest.mark.parametrize("text", ["", " \t", "# bob@example.org", "mailto:"])
def test_a_line_without_entry_says_nothing(text: str) -> None:
    entries = Entries()
    assert not read_recipient_line(Line("recipients", 1, text), entries)
    assert entries == Entries()


@pytest.mark.parametrize(
    ("text", "kind", "key"),
    [
        ("Bob@Example.ORG", "names", "bob@example.org"),
        ("bob@", "names", "bob@"),
        ("bob@*", "names", "bob@"),
        ("example.org", "names", "example.org"),
        ("example.org.", "names", "example.org"),
        ("mailto:bob@example.org", "names", "bob@example.org"),
        ("<bob@example.org>", "names", "bob@example.org"),
        ("@example.org", "domains", "example.org"),
        ("*@example.org", "domains", "example.org"),
        (".example.org", "below", "example.org"),
        ("*@*.example.org", "below", "example.org"),
        ("bob@.example.org", "users", "bob@example.org"),
        ("bob@*.example.org", "users", "bob@example.org"),
        ("bob@b\xc3\xbccher.example", "names", "bob@xn--bcher-kva.example"),
    ],
)
def test_where_an_entry_goes(text: str, kind: str, key: str) -> None:
    entries = read(text)
    assert key in getattr(entries, kind)
    assert entries.remarks == []
    others = {"names", "domains", "below", "users"} - {kind, "names"}
    assert all(not getattr(entries, other) for other in others)


def test_137_takes_an_entry_as_it_stands() -> None:
    assert "*@example.org" in read("*@example.org").names


def test_the_longest_entry_is_taken_and_one_character_more_is_not() -> None:
    longest = "a" * (MAX_ENTRY_CHARACTERS - 1) + "@"
    assert read(longest).remarks == []
    entries = read("a" + longest)
    assert entries.names == {}
    assert entries.remarks[0].text.endswith("... is longer than any address")


def test_a_user_without_a_sign_is_in_force_with_a_hint() -> None:
    (remark,) = read("postmaster").remarks
    assert remark.is_in_force
    assert remark.text == (
        "recipients line 7: postmaster is taken as a domain: write postmaster@ for that user in every domain"
    )


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("*", "write /^/ to let mail to everybody pass"),
        ("!bob@example.org", "leave the line out"),
        ("https://example.org", "write example.org"),
        ("bo*@example.org", "write /^bo.*@example\\.org$/"),
        ("192.0.2.7", "is an address of a client, and this is a list of mail addresses"),
        ("192.0.2.0/24", "is an address of a client, and this is a list of mail addresses"),
        ("bob@example.org;x", "write bob@example.org"),
        ("bob@\xff.example", "write it as the DNS has it, with xn--"),
        ("bob@exam\x01ple.org", "type it anew"),
        ("bob example", "doesn't look like an address"),
    ],
)
def test_what_is_no_address_is_refused_with_a_remedy(text: str, remedy: str) -> None:
    (remark,) = read(text).remarks
    assert not remark.is_in_force
    assert remark.text.startswith("recipients line 7: ")
    assert remark.text.endswith(remedy)
