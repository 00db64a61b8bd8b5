# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postgrey_py.errors import InterchangeError
from postgrey_py.greylist.settings import Settings
from postgrey_py.protocol.interchange import (
    CLIENTS,
    TRIPLETS,
    End,
    Entry,
    check_header,
    describe_end,
    describe_entry,
    describe_header,
    parse_line,
)

NOW = 1_795_250_913
SETTINGS = Settings()
TRIPLET = Entry(TRIPLETS, b"192.0.2.0/alice@example.com/bob@example.org", b"1795250000,1795250900")


def line(**values: Any) -> str:
    return json.dumps(values)


def test_record_of_each_kind() -> None:
    assert describe_entry(TRIPLET) == {
        "triplet": "192.0.2.0/alice@example.com/bob@example.org",
        "first_seen": 1795250000,
        "last_seen": 1795250900,
    }
    client = Entry(CLIENTS, b"2001:DB8:0:0:0:0:0:1", b"3,1795250900")
    assert describe_entry(client) == {"client": "2001:DB8:0:0:0:0:0:1", "passes": 3, "last_seen": 1795250900}
    assert parse_line(json.dumps(describe_entry(client)), NOW) == client


@given(
    st.sampled_from([TRIPLETS, CLIENTS]),
    st.binary(min_size=1, max_size=60),
    st.one_of(st.binary(min_size=1, max_size=30), st.from_regex(rb"\d{1,9}(,\d{1,9}){0,2}", fullmatch=True)),
)
def test_any_record_comes_back_as_it_was(table: str, key: bytes, value: bytes) -> None:
    entry = Entry(table, key, value)
    text = json.dumps(describe_entry(entry))
    assert text.isascii()
    # In the year 33658 none of these times lies ahead.
    assert parse_line(text, 10**18) == entry


def test_end_comes_back() -> None:
    assert parse_line(json.dumps(describe_end(End(3, 2))), NOW) == End(3, 2)


def test_header_fits_a_server_that_makes_the_same_keys() -> None:
    check_header(json.dumps(describe_header(SETTINGS, NOW)), replace(SETTINGS, delay=1, retry_window=7))
    by_host = replace(SETTINGS, lookup_by_host=True)
    check_header(json.dumps(describe_header(by_host, NOW)), replace(by_host, ipv4cidr=20))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"privacy": True}, "a server with privacy false, and this one has true"),
        ({"lookup_by_host": True}, 'a server with lookup "subnet", and this one has "host"'),
        ({"ipv4cidr": 20}, "a server with ipv4cidr 24, and this one has 20"),
        ({"ipv6cidr": 56}, "a server with ipv6cidr 64, and this one has 56"),
    ],
)
def test_header_of_a_server_that_makes_other_keys_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(InterchangeError, match=message):
        check_header(json.dumps(describe_header(SETTINGS, NOW)), replace(SETTINGS, **change))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "no line of JSON"),
        ("[1]", "no JSON object"),
        (line(triplet="x", first_seen=1, last_seen=1), "no export of postgreyctl"),
        (line(postgrey="records", version=2), "version 2 is not understood here, only 1"),
        (line(postgrey="records", version=1), "a server with privacy null"),
    ],
)
def test_what_is_no_header_is_told(header: str, message: str) -> None:
    with pytest.raises(InterchangeError, match=message):
        check_header(header, SETTINGS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no line of JSON"),
        ("[" * 100_000, "no line of JSON"),
        ("{", "no line of JSON"),
        ("17", "no JSON object"),
        (line(), "neither a triplet nor a client nor the end"),
        (line(triplet="", first_seen=1, last_seen=1), "triplet is no text"),
        (line(triplet=5, first_seen=1, last_seen=1), "triplet is no text"),
        (line(triplet="\ud800", first_seen=1, last_seen=1), "triplet: .* is no text"),
        (line(triplet="x" * 5000, first_seen=1, last_seen=1), "triplet has more than 4096 bytes"),
        (line(triplet="x", last_seen=1), "first_seen is no whole number, but null"),
        (line(triplet="x", first_seen=1, last_seen="1"), 'last_seen is no whole number, but "1"'),
        (line(triplet="x", first_seen=-1, last_seen=1), "first_seen is no whole number, but -1"),
        (line(triplet="x", first_seen=True, last_seen=1), "first_seen is no whole number, but true"),
        (line(triplet="x", first_seen=1.5, last_seen=1), "first_seen is no whole number, but 1.5"),
        (line(triplet="x", first_seen=10**30, last_seen=1), "first_seen is no whole number"),
        (line(triplet="x", first_seen=1, last_seen=NOW + 90_000), "is in the future"),
        (line(client="192.0.2.7", passes=3, last_seen=NOW + 90_000), "is in the future"),
        (line(triplet="x", value=f"{NOW + 90_000}"), "is in the future"),
        (line(triplet="x", value="1" * 200), "value has more than 100 bytes"),
        (line(triplet="x", value=None), "value is no text"),
        (line(end="records"), "triplets is no whole number, but null"),
    ],
)
def test_what_is_wrong_is_told(text: str, message: str) -> None:
    with pytest.raises(InterchangeError, match=message):
        parse_line(text, NOW)


def test_count_of_a_client_is_no_time() -> None:
    assert parse_line(line(client="c", passes=NOW * 9, last_seen=NOW), NOW) == Entry(
        CLIENTS, b"c", b"%d,%d" % (NOW * 9, NOW)
    )


def test_names_of_later_versions_are_passed_over() -> None:
    assert parse_line(json.dumps({**describe_entry(TRIPLET), "seen_by": "mx2"}), NOW) == TRIPLET
