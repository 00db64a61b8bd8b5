# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postgrey_py.errors import ControlError
from postgrey_py.protocol.control import (
    Call,
    Reply,
    format_call,
    format_error,
    format_item,
    format_result,
    from_wire,
    parse_call,
    parse_reply,
    to_wire,
)

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)


@given(st.text(), st.dictionaries(st.text(), JSON))
def test_request_comes_as_it_was_sent(command: str, arguments: dict[str, object]) -> None:
    line = format_call(Call(command, arguments))
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert parse_call(line) == Call(command, arguments)


def test_arguments_may_be_left_out() -> None:
    assert parse_call(b'{"version":1,"command":"status"}\n') == Call("status", {})


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (b"", "bad-message"),
        (b"\n", "bad-message"),
        (b"status\n", "bad-message"),
        (b'{"version":1,"command":"status"', "bad-message"),
        (b'{"version":1,"command":"status"} {}', "bad-message"),
        (b'{"version":1,"command":"\xff"}', "bad-message"),
        (b"[]", "bad-message"),
        (b'"status"', "bad-message"),
        (b"null", "bad-message"),
        (b"{}", "bad-version"),
        (b'{"version":2,"command":"status"}', "bad-version"),
        (b'{"version":"1","command":"status"}', "bad-version"),
        (b'{"version":true,"command":"status"}', "bad-version"),
        (b'{"version":1}', "bad-message"),
        (b'{"version":1,"command":7}', "bad-message"),
        (b'{"version":1,"command":"status","arguments":[]}', "bad-message"),
        (b'{"version":1,"command":"status","arguments":null}', "bad-message"),
        (b'{"version":1,"command":"status","argument":{}}', "bad-message"),
        (b'{"version":1,"command":"status","command":"pause"}', "bad-message"),
        (b'{"version":1,"command":"status","arguments":{"a":NaN}}', "bad-message"),
        (b'{"version":1,"command":"x","arguments":{"a":' + b"9" * 5000 + b"}}", "bad-message"),
        (b"[" * 60_000, "bad-message"),
        (b"\x00" * 100, "bad-message"),
    ],
)
def test_what_is_no_request_is_refused(line: bytes, code: str) -> None:
    with pytest.raises(ControlError) as caught:
        parse_call(line)
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_answer_has_items_and_a_result() -> None:
    assert parse_reply(format_item({"key": "a"})) == Reply("item", {"key": "a"})
    assert parse_reply(format_result(None)) == Reply("result", None)


def test_error_is_raised_where_it_is_read() -> None:
    with pytest.raises(ControlError, match=r"^there is no allowance 7$") as caught:
        parse_reply(format_error(ControlError("there is no allowance 7", code="refused")))
    assert caught.value.code == "refused"


@pytest.mark.parametrize("line", [b"", b"220 mail ESMTP\n", b"{}", b'{"item":1,"result":2}', b'{"error":"x"}', b"[1]"])
def test_what_is_no_answer_is_refused(line: bytes) -> None:
    with pytest.raises(ControlError):
        parse_reply(line)


@given(st.binary())
def test_any_bytes_can_be_told(octets: bytes) -> None:
    text = octets.decode("latin-1")
    (told,) = json.loads(json.dumps([to_wire(text)]))
    assert from_wire(told) == text


def test_utf8_reads_as_what_it_means() -> None:
    assert to_wire("ren\xc3\xa9") == "ren\xe9"


def test_what_is_no_text_is_refused() -> None:
    with pytest.raises(ControlError):
        from_wire("\ud800")
