# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import re

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from postgrey_py.greylist.request import MAX_LOGGED_GARBAGE, read_request
from postgrey_py.protocol.reader import (
    MAX_REQUEST_BYTES,
    Attributes,
    RequestReader,
    RequestShape,
    RequestSplitter,
    RequestTooLongError,
    parse_attributes,
)

untimed = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

MORE = b"more=of it\n\n"


def feed_in_pieces(pieces: list[bytes]) -> list[Attributes]:
    """The requests in these pieces of input; readers, one that learns their shape and one that does not, find them."""
    splitter, reader, learner = RequestSplitter(), RequestReader(), RequestReader(RequestShape())
    requests = [parse_attributes(octets) for piece in pieces for octets in splitter.feed(piece)]
    expected = [read_request(*attributes) for attributes in requests]
    assert [request for piece in pieces for request in reader.feed(piece)] == expected
    assert [request for piece in pieces for request in learner.feed(piece)] == expected
    return requests


def feed(splitter: RequestSplitter, octets: bytes) -> list[Attributes]:
    """The requests that these bytes complete."""
    return [parse_attributes(whole) for whole in splitter.feed(octets)]


def read(octets: bytes) -> list[Attributes]:
    """The requests in this input, which are the same however it comes: whole, byte by byte, with more behind it."""
    whole = feed_in_pieces([octets])
    singly = [octets[position : position + 1] for position in range(len(octets))]
    assert feed_in_pieces(singly) == whole
    for middle in range(1, len(octets)):
        assert feed_in_pieces([octets[:middle], octets[middle:]]) == whole
    if octets.endswith((b"\n\n", b"\n\r\n")) or octets in (b"", b"\n", b"\r\n"):
        behind = [*whole, Attributes({"more": "of it"}, [])]
        assert feed_in_pieces([octets + MORE]) == feed_in_pieces([*singly, MORE]) == behind
    return whole


def read_one(octets: bytes) -> Attributes:
    (request,) = read(octets)
    return request


def test_lines_until_an_empty_one_are_a_request() -> None:
    octets = b"request=smtpd_access_policy\nclient_address=192.0.2.7\nsender=\n\n"
    attributes = {"request": "smtpd_access_policy", "client_address": "192.0.2.7", "sender": ""}
    assert read(octets) == [Attributes(attributes, [])]


def test_carriage_returns_before_line_ends_do_not_count() -> None:
    assert read(b"a=1\r\nb=2\r\n\r\n") == [Attributes({"a": "1", "b": "2"}, [])]
    assert read(b"a=1\r\nb=2\n\r\nc=3\n\n") == [Attributes({"a": "1", "b": "2"}, []), Attributes({"c": "3"}, [])]
    assert read(b"a=1\nb=2\r\n\n") == [Attributes({"a": "1", "b": "2"}, [])]


def test_requests_may_be_sent_ahead() -> None:
    assert read(b"a=1\n\na=2\n\na=3\n\n") == [Attributes({"a": number}, []) for number in "123"]


@pytest.mark.parametrize("octets", [b"", b"a", b"a=1", b"a=1\n", b"a=1\nb=2\n", b"a=1\n\r", b"\r", b"a=1\r\n\r"])
def test_without_an_empty_line_there_is_no_request(octets: bytes) -> None:
    assert read(octets) == []


def test_what_is_unfinished_waits_behind_whole_requests() -> None:
    splitter = RequestSplitter()
    assert feed(splitter, b"a=1\n\nb=") == [Attributes({"a": "1"}, [])]
    assert feed(splitter, b"2\n") == []
    assert feed(splitter, b"\nc=3\n\nd") == [Attributes({"b": "2"}, []), Attributes({"c": "3"}, [])]
    assert feed(splitter, b"=4\n\n") == [Attributes({"d": "4"}, [])]


@pytest.mark.parametrize("octets", [b"\n", b"\r\n"])
def test_an_empty_line_alone_is_a_request_without_attributes(octets: bytes) -> None:
    assert read(octets) == [Attributes({}, [])]
    assert read(octets * 3) == [Attributes({}, [])] * 3
    assert read(b"a=1\n\n" + octets) == [Attributes({"a": "1"}, []), Attributes({}, [])]
    assert read(octets + b"a=1\n\n") == [Attributes({}, []), Attributes({"a": "1"}, [])]


@pytest.mark.parametrize(
    ("line", "name", "value"),
    [
        (b"a=b", "a", "b"),
        (b"a=", "a", ""),
        (b"a=b=c=", "a", "b=c="),
        (b"a==b", "a", "=b"),
        (b" a = b ", " a ", " b "),
        (b"a b=c\td", "a b", "c\td"),
        (b"a=\x00\xe9\xff\x85", "a", "\x00\xe9\xff\x85"),
        (b"\xc3\xa9=x", "\xc3\xa9", "x"),
        (b"a=x\x0by\x0cz\x1c\x1d\x1e", "a", "x\x0by\x0cz\x1c\x1d\x1e"),
        # 1.37: what stands before the name does not count.
        (b"=a=b", "a", "b"),
        (b"===a=b=c", "a", "b=c"),
    ],
)
def test_an_attribute_is_a_name_and_a_value(line: bytes, name: str, value: str) -> None:
    for end in (b"\n", b"\r\n"):
        assert read(line + end + b"x=y" + end + end) == [Attributes({name: value, "x": "y"}, [])]


@pytest.mark.parametrize(
    "line",
    [
        *(b"garbage", b"=", b"==", b"=value", b"===value", b" ", b"\x00", b"\xe9", b"GET / HTTP/1.0"),
        # unlike 1.37, where a carriage return inside a line wedges the connection.
        *(b"a=b\rc", b"a\r=b", b"a=\r", b"\ra=b", b"\r", b"a=b\r", b"\r\r"),
    ],
)
def test_a_line_that_is_no_attribute_is_garbage(line: bytes) -> None:
    before_a_newline = line + (b"\r" if line.endswith(b"\r") else b"")
    octets = b"a=1\n" + before_a_newline + b"\nb=2\n\n"
    assert read(octets) == [Attributes({"a": "1", "b": "2"}, [line.decode("latin-1")])]


def test_garbage_comes_in_order_and_is_cut() -> None:
    assert MAX_LOGGED_GARBAGE == 100
    request = read_one(b"first\na=1\n" + b"x" * 100 + b"\n" + b"y" * 101 + b"\n=\n\n")
    assert request == Attributes({"a": "1"}, ["first", "x" * 100, "y" * 100, "="])


def test_a_request_may_be_garbage_alone() -> None:
    assert read(b"garbage\n\n") == [Attributes({}, ["garbage"])]


def test_the_last_of_a_repeated_name_wins() -> None:
    assert read_one(b"a=1\nb=2\na=3\n\n") == Attributes({"a": "3", "b": "2"}, [])
    assert read_one(b"a=1\nA=2\na=\n\n") == Attributes({"a": "", "A": "2"}, [])


def test_attributes_of_one_request_are_not_those_of_the_next() -> None:
    assert read(b"a=1\nb=2\n\na=3\n\n") == [Attributes({"a": "1", "b": "2"}, []), Attributes({"a": "3"}, [])]


def test_a_request_may_be_as_long_as_the_limit() -> None:
    line = b"a=" + b"x" * (MAX_REQUEST_BYTES - 3)
    splitter = RequestSplitter()
    assert splitter.feed(line) == []
    assert splitter.feed(b"\n") == []
    assert feed(splitter, b"\n") == [Attributes({"a": "x" * (MAX_REQUEST_BYTES - 3)}, [])]
    # And the next one too.
    assert splitter.feed(line) == []


# unlike 1.37, which has no limit.
@pytest.mark.parametrize("octets", [b"x" * MAX_REQUEST_BYTES, b"a=b\n" * (MAX_REQUEST_BYTES // 4)])
def test_more_than_64_kib_without_a_request_is_too_much(octets: bytes) -> None:
    assert MAX_REQUEST_BYTES == 65536
    for pieces in ([octets], [b"a=1\n\n", octets], [octets[start : start + 1000] for start in range(0, 70_000, 1000)]):
        splitter = RequestSplitter()
        for piece in pieces:
            splitter.feed(piece)
        with pytest.raises(RequestTooLongError, match=r"^more than 65536 bytes without a complete request$"):
            splitter.feed(b"x")


def test_any_number_of_requests_may_come_over_one_connection() -> None:
    splitter = RequestSplitter()
    octets = b"a=" + b"x" * 1000 + b"\n\n"
    assert sum(len(splitter.feed(octets * 10)) for _ in range(100)) == 1000


def read_line_by_line(octets: bytes) -> list[Attributes]:
    """The rules of 1.37, one after the other."""
    requests: list[Attributes] = []
    attributes: dict[str, str] = {}
    garbage: list[str] = []
    for ended in octets.split(b"\n")[:-1]:
        line = ended.removesuffix(b"\r")
        if not line:
            requests.append(Attributes(attributes, garbage))
            attributes, garbage = {}, []
        elif (match := re.search(rb"([^=]+)=(.*)", line, re.DOTALL)) and b"\r" not in line:
            attributes[match[1].decode("latin-1")] = match[2].decode("latin-1")
        else:
            garbage.append(line[:100].decode("latin-1"))
    return requests


lines = st.sampled_from(
    [b"a=1", b"sender=2", b"sender=", b"a=", b"", b"", b"=", b"x", b"=a=b", b"\r", b"a=\r1"]
) | st.binary(max_size=5)
ends = st.sampled_from([b"\n", b"\n", b"\r\n", b"\n\n", b""])


@untimed
@given(st.lists(st.tuples(lines, ends), max_size=8).map(lambda parts: b"".join(b"".join(part) for part in parts)))
@example(b"a=1\n\r\r\n\n")
@example(b"\r\n\na=1\n\n\r\n")
def test_any_input_gives_the_same_requests_however_it_comes(octets: bytes) -> None:
    assert read(octets) == read_line_by_line(octets)


@untimed
@given(
    st.lists(st.sampled_from([b"a=1\n\n", b"sender=2\n\n", b"b=2\r\n\r\n", b"\n", b"x\n\n", b"a=1\nb"]), max_size=6),
    st.data(),
)
def test_any_splitting_gives_the_same_requests(parts: list[bytes], data: st.DataObject) -> None:
    octets = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(octets)), max_size=6)))
    pieces = [octets[start:end] for start, end in zip([0, *cuts], [*cuts, len(octets)], strict=True)]
    assert feed_in_pieces(pieces) == read_line_by_line(octets)
