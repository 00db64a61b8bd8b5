# SPDX-License-Identifier: GPL-2.0-or-later
"""A reader that has learned what requests look like reads the same as one that reads line by line."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from postgrey_py.greylist.request import MAX_VALUE_CHARACTERS, Request
from postgrey_py.protocol.reader import (
    LEARNING_INTERVAL,
    MAX_LEARNED_NAMES,
    RequestReader,
    RequestShape,
)
from tests.support.policy import make_request

NEEDED = {
    "request": "smtpd_access_policy",
    **dict.fromkeys(("client_address", "client_name", "sender", "recipient", "queue_id", "instance", "helo_name"), "x"),
    "etrn_domain": "",
}
VALUES = ["", "smtpd_access_policy", "a=b", "=", "\xe9", "x" * 511, "x" * 512, "x" * 513, "\r", "a\rb", "a\nsender=b"]
MORE = ["size=1", "a.b=2", "a+b=", "=sender=1", "sender=twice", "garbage", "policy_test_time=5", "a=1\r"]


def learned_from(*requests: bytes) -> RequestShape:
    shape = RequestShape()
    for octets in requests:
        RequestReader(shape).feed(octets)
    return shape


def write(attributes: dict[str, str], more: list[str]) -> bytes:
    lines = [f"{name}={value}" for name, value in attributes.items()] + more
    return "".join(f"{line}\n" for line in lines).encode("latin-1") + b"\n"


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Requests that have all that is needed, or nearly."""
    names = draw(st.permutations(list(NEEDED)))
    values = draw(st.dictionaries(st.sampled_from(names), st.sampled_from(VALUES), max_size=3))
    attributes = {name: values.get(name, NEEDED[name]) for name in names}
    for name in draw(st.lists(st.sampled_from(names), max_size=1)):
        del attributes[name]
    return write(attributes, draw(st.lists(st.sampled_from(MORE), max_size=2)))


@settings(deadline=None)
@given(st.lists(requests(), min_size=1, max_size=3), requests())
def test_a_learned_shape_changes_nothing(earlier: list[bytes], octets: bytes) -> None:
    shape = learned_from(*earlier)
    assert RequestReader(shape).feed(octets) == RequestReader().feed(octets)


@settings(deadline=None)
@given(st.permutations(list(NEEDED)), st.dictionaries(st.sampled_from(list(NEEDED)), st.sampled_from(VALUES)))
def test_the_shape_of_a_request_reads_others_of_its_kind(names: list[str], values: dict[str, str]) -> None:
    shape = learned_from(write({name: NEEDED[name] for name in names}, ["size=1"]))
    other = write({name: values.get(name, NEEDED[name]) for name in names}, ["size=2"])
    expected = RequestReader().feed(other)
    assert RequestReader(shape).feed(other) == expected


def test_a_shape_is_learned_from_the_first_request_and_serves_every_reader() -> None:
    first, second = make_request(sender="x@example.com"), make_request(sender="y=z@example.com", instance="2")
    assert RequestShape().read(first) is None
    shape = learned_from(first)
    expected = Request(
        "192.0.2.7",
        "mail.example.com",
        "y=z@example.com",
        "bob@example.org",
        "",
        "2",
        "mail.example.com",
        True,
        None,
        None,
    )
    assert shape.read(second) == expected
    assert RequestReader(shape).feed(second) == [expected]


def test_another_shape_is_learned_once_in_a_while() -> None:
    usual, unusual = make_request(), write(NEEDED, [])
    shape = learned_from(usual, unusual)
    assert shape.read(usual) is not None
    reader = RequestReader(shape)
    for _ in range(LEARNING_INTERVAL):
        reader.feed(unusual)
    assert shape.read(unusual) is not None
    assert shape.read(usual) is None


@pytest.mark.parametrize(
    "octets",
    [
        write(NEEDED, ["garbage"]),
        write(NEEDED, ["policy_test_time=1000000000"]),
        write({**NEEDED, "request": "junk"}, []),
        write(NEEDED, [f"name{number}=" for number in range(MAX_LEARNED_NAMES)]),
        *(write({name: value for name, value in NEEDED.items() if name != left_out}, []) for left_out in NEEDED),
    ],
)
def test_what_has_to_be_looked_at_is_not_learned(octets: bytes) -> None:
    shape = learned_from(octets)
    assert shape.read(octets) is None
    assert RequestReader(shape).feed(octets) == RequestReader().feed(octets)
    # Nor does it keep the next one from being learned.
    RequestReader(shape).feed(make_request())
    assert shape.read(make_request()) is not None


@pytest.mark.parametrize("name", ["sender", "client_name", "instance"])
def test_values_that_are_too_long_are_cut(name: str) -> None:
    shape = learned_from(write(NEEDED, []))
    octets = write({**NEEDED, name: "y" * (MAX_VALUE_CHARACTERS + 1)}, [])
    (request,) = RequestReader(shape).feed(octets)
    assert getattr(request, name) == "y" * MAX_VALUE_CHARACTERS


def test_shape_of_a_probe_is_not_learned() -> None:
    probe = make_request(postgrey_probe=1)
    shape = learned_from(*[probe] * (LEARNING_INTERVAL + 2))
    (read,) = RequestReader(shape).feed(probe)
    assert read.is_probe
