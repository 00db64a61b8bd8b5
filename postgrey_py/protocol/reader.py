# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy delegation protocol without sockets: feed bytes, get complete requests.

Input may come split anywhere, several requests at once, with LF or CRLF. Source: Postfix SMTPD_POLICY_README, and
1.37 for all that it leaves open.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from postgrey_py.errors import PostgreyError
from postgrey_py.greylist.request import (
    MAX_LOGGED_GARBAGE,
    MAX_VALUE_CHARACTERS,
    REQUEST_TYPE,
    TEXT_FIELDS,
    Request,
    read_request,
)

# unlike 1.37, which has no limit. A request of Postfix has about a kilobyte.
MAX_REQUEST_BYTES = 64 << 10

# Learning a shape costs as much as reading a hundred requests line by line.
LEARNING_INTERVAL = 100
MAX_LEARNED_NAMES = 64

# Postfix has sent all of these since 2.3; what sends less is read line by line.
_NEEDED = frozenset((*TEXT_FIELDS, "request", "etrn_domain"))

_EMPTY_LINE = re.compile(rb"\n\r?\n")


class RequestTooLongError(PostgreyError):
    """A client has sent more than MAX_REQUEST_BYTES without completing a request."""


class Attributes(NamedTuple):
    """The attributes of one request, and the lines of it that are none; all Latin-1 text."""

    values: dict[str, str]
    garbage: list[str]


class RequestShape:
    """The usual shape of requests: a mail server sends the same names in the same order every time.

    One pattern reads such a request, and nothing about it is left to check, in a quarter of the time that its lines
    take one by one. It is learned from what did not fit, and all connections share it. What does not fit costs one
    failed match, which ends at the first name that is another.
    """

    def __init__(self) -> None:
        self._match = re.compile("(?!)").fullmatch
        self._groups: tuple[int, ...] = ()
        self._longest = 0
        self._misfits = LEARNING_INTERVAL

    def read(self, octets: bytes | memoryview) -> Request | None:
        """Return the request, if these bytes are one whole request of this shape; else None."""
        if len(octets) > self._longest:
            return None
        text = str(octets, "latin-1")
        match = self._match(text)
        # A carriage return may be part of a line end; looking for it is faster than a pattern that takes none.
        if match is None or "\r" in text:
            return None
        texts: tuple[Any, ...] = match.group(*self._groups)
        return Request(*texts)

    def learn(self, names: Mapping[str, str], request: Request) -> None:
        """Take the shape of a request that did not fit, unless it has none or another was learned a moment ago.

        `names` are its attributes.
        """
        self._misfits += 1
        if self._misfits <= LEARNING_INTERVAL or request.flaws is not None or request.test_time is not None:
            return
        if request.is_probe:
            return
        if not (names.keys() >= _NEEDED and len(names) <= MAX_LEARNED_NAMES):
            return
        self._misfits = 0
        values = {"request": REQUEST_TYPE, **dict.fromkeys(TEXT_FIELDS, "(.*)")}
        pattern = "".join(f"{re.escape(name)}={values.get(name, '.*')}\n" for name in names) + "\n"
        self._match = re.compile(pattern).fullmatch
        places = [name for name in names if name in TEXT_FIELDS]
        self._groups = tuple(places.index(name) + 1 for name in TEXT_FIELDS)
        # In a request that is no longer than this no value can be so long that it would have to be cut.
        self._longest = sum(len(f"{name}=\n") for name in names) + len(REQUEST_TYPE) + MAX_VALUE_CHARACTERS


class RequestSplitter:
    """Cuts the input of one connection into whole requests, however it comes."""

    __slots__ = ("_scanned", "unfinished")

    def __init__(self) -> None:
        # What has come of a request that is not yet whole.
        self.unfinished = b""
        # Up to here the buffer is known to hold no end of a request, so that nothing is looked at twice.
        self._scanned = 0

    def drop(self) -> None:
        """Forget what has come of a request that will never be whole."""
        self.unfinished = b""
        self._scanned = 0

    def feed(self, octets: bytes) -> list[bytes]:
        """Return every request that these bytes complete, with the empty line that ends it.

        Raises RequestTooLongError.
        """
        buffer = self.unfinished + octets
        requests: list[bytes] = []
        start, scanned = 0, self._scanned
        while True:
            if buffer.startswith((b"\n", b"\r\n"), start):
                end = buffer.index(b"\n", start) + 1
            elif empty_line := _EMPTY_LINE.search(buffer, scanned):
                end = empty_line.end()
            else:
                break
            requests.append(buffer[start:end])
            start = scanned = end
        self.unfinished = buffer[start:]
        if len(self.unfinished) > MAX_REQUEST_BYTES:
            raise RequestTooLongError(f"more than {MAX_REQUEST_BYTES} bytes without a complete request")
        # The last two bytes may be the beginning of an empty line.
        self._scanned = max(0, len(self.unfinished) - 2)
        return requests


class RequestReader:
    """The input side of one connection.

    Readers that are given the same `shape` learn from each other what requests look like; without one all are read
    line by line.
    """

    __slots__ = ("_shape", "splitter")

    def __init__(self, shape: RequestShape | None = None) -> None:
        self._shape = shape
        self.splitter = RequestSplitter()

    def feed(self, octets: bytes | memoryview) -> list[Request]:
        """Return every request that these bytes complete, in order. Raises RequestTooLongError."""
        shape = self._shape
        if shape is not None and not self.splitter.unfinished and (usual := shape.read(octets)):
            return [usual]
        return [self._read(one) for one in self.splitter.feed(bytes(octets))]

    def _read(self, octets: bytes) -> Request:
        attributes = parse_attributes(octets)
        request = read_request(*attributes)
        if self._shape is not None:
            self._shape.learn(attributes.values, request)
        return request


def parse_attributes(octets: bytes) -> Attributes:
    """Read one whole request, with the empty line that ends it.

    The last of a repeated name wins. Lines without `=` or without a name, and lines with a carriage return inside,
    are garbage.
    """
    text = octets.decode("latin-1")
    has_returns = "\r" in text
    if has_returns:
        text = text.replace("\r\n", "\n")
    attributes: dict[str, str] = {}
    garbage: list[str] = []
    for line in text.split("\n"):
        name, equals, value = line.partition("=")
        if equals and name and not has_returns:
            attributes[name] = value
        elif line:
            # 1.37: "=a=b" is taken for a=b.
            name, equals, value = line.lstrip("=").partition("=")
            if equals and name and "\r" not in line:
                attributes[name] = value
            else:
                garbage.append(line[:MAX_LOGGED_GARBAGE])
    return Attributes(attributes, garbage)
