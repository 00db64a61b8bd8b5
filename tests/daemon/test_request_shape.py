# SPDX-License-Identifier: GPL-2.0-or-later
"""A reader that has learned what requests look like reads the same as one that reads line by line."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from postgrey_py.daemon.protocol import LEARNING_INTERVAL, USED_ATTRIBUTES, RawRequest, RequestReader, RequestShape

NAMES = ["request", "client_address", "sender", "etrn_domain", "size", "x", "a.b", "a+b", ""]
VALUES = ["", "smtpd_access_policy", "a=b", "=", "\xe9", "x" * 600, "\r", "a\rb"]
LINES = st.one_of(
    st.builds("{}={}".format, st.sampled_from(NAMES), st.sampled_from(VALUES)),
    st.sampled_from(["garbage", "", "=", "==a=b", "a=1\r"]),
)
REQUESTS = st.lists(LINES, max_size=6).map(
    lambda lines: "".join(f"{line}\n" for line in lines).encode("latin-1") + b"\n"
)


def used(requests: list[RawRequest]) -> list[tuple[dict[str, str], list[str]]]:
    """What a decision sees of these requests."""
    return [({n: v for n, v in r.attributes.items() if n in USED_ATTRIBUTES}, r.garbage) for r in requests]


@settings(deadline=None)
@given(st.lists(REQUESTS, max_size=4), REQUESTS)
def test_a_learned_shape_changes_nothing(earlier: list[bytes], octets: bytes) -> None:
    shape = RequestShape()
    for request in [*earlier, octets]:
        shape.learn(RequestReader().feed(request)[0])
    assert used(RequestReader(shape).feed(octets)) == used(RequestReader().feed(octets))


@settings(deadline=None)
@given(st.lists(LINES, max_size=6), st.data())
def test_the_shape_of_a_request_reads_others_of_its_kind(lines: list[str], data: st.DataObject) -> None:
    shape, octets = RequestShape(), "".join(f"{line}\n" for line in lines).encode("latin-1") + b"\n"
    RequestReader(shape).feed(octets)
    other = octets.replace(b"a=b", data.draw(st.sampled_from([b"", b"=", b"\n", b"c", b"a\nb", b"\n\n"])))
    assert used(RequestReader(shape).feed(other)) == used(RequestReader().feed(other))


def test_a_shape_is_learned_from_the_first_request_and_serves_every_reader() -> None:
    shape = RequestShape()
    first, second = b"request=a\nsize=1\nsender=x\n\n", b"request=b\nsize=2\nsender=y=z\n\n"
    assert shape.read(first) is None
    RequestReader(shape).feed(first)
    assert shape.read(second) == RawRequest({"request": "b", "sender": "y=z"}, [])
    assert RequestReader(shape).feed(second) == [RawRequest({"request": "b", "sender": "y=z"}, [])]


def test_another_shape_is_learned_once_in_a_while() -> None:
    shape = RequestShape()
    usual, unusual = b"request=a\n\n", b"sender=a\n\n"
    reader = RequestReader(shape)
    reader.feed(usual)
    reader.feed(unusual)
    assert shape.read(usual) is not None
    for _ in range(LEARNING_INTERVAL):
        reader.feed(unusual)
    assert shape.read(unusual) == RawRequest({"sender": "a"}, [])


def test_garbage_is_not_learned() -> None:
    shape = RequestShape()
    RequestReader(shape).feed(b"request=a\ngarbage\n\n")
    assert shape.read(b"request=a\n\n") is None
