# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy delegation protocol without sockets: feed bytes, get the attributes of complete requests.

Input may come split anywhere, several requests at once, with LF or CRLF. Source: Postfix SMTPD_POLICY_README, and
1.37 for all that it leaves open.
"""

from __future__ import annotations

from typing import NamedTuple

from postgrey_py.errors import PostgreyError

# unlike 1.37, which has no limit. A request of Postfix has about a kilobyte.
MAX_REQUEST_BYTES = 64 << 10

# 1.37: names and values are cut here.
MAX_ATTRIBUTE_CHARACTERS = 512

MAX_LOGGED_GARBAGE = 100


class RequestTooLongError(PostgreyError):
    """A client has sent more than MAX_REQUEST_BYTES without completing a request."""


class RawRequest(NamedTuple):
    """The attributes of one request, and the lines of it that are none; all Latin-1 text."""

    attributes: dict[str, str]
    garbage: list[str]


class RequestReader:
    """The input side of one connection: bytes that are not yet a whole request."""

    __slots__ = ("_buffer", "_scanned")

    def __init__(self) -> None:
        self._buffer = b""
        # Up to here the buffer is known to hold no end of a request, so that nothing is looked at twice.
        self._scanned = 0

    def feed(self, octets: bytes) -> list[RawRequest]:
        """Every request that these bytes complete, in order. Raises RequestTooLongError."""
        buffer = self._buffer + octets if self._buffer else octets
        requests = []
        start, scanned = 0, self._scanned
        while (end := _end_of_request(buffer, start, scanned)) > 0:
            requests.append(parse_attributes(buffer[start:end]))
            start = scanned = end
        self._buffer = buffer[start:]
        if len(self._buffer) > MAX_REQUEST_BYTES:
            raise RequestTooLongError(f"more than {MAX_REQUEST_BYTES} bytes without a complete request")
        # The end of a request is up to three bytes behind a line's end: "\n\r\n".
        self._scanned = max(0, len(self._buffer) - 2)
        return requests


def _end_of_request(buffer: bytes, start: int, scanned: int) -> int:
    """The position behind the first empty line from `start` on, or 0; before `scanned` there is none."""
    if buffer.startswith((b"\n", b"\r\n"), start):
        return buffer.index(b"\n", start) + 1
    position = buffer.find(b"\n\n", scanned) + 2
    # The other line end is looked for only where there is one; "\n\n" may well be of a later request.
    other = buffer.find(b"\n\r\n", scanned, position if position > 1 else len(buffer)) + 3
    found = [end for end in (position if position > 1 else 0, other if other > 2 else 0) if end]
    return min(found, default=0)


def parse_attributes(octets: bytes) -> RawRequest:
    """Read one whole request, with the empty line that ends it.

    The last of a repeated name wins. Lines without `=` or without a name, and lines with a carriage return inside,
    are garbage.
    """
    text = octets.decode("latin-1")
    lines = text.split("\n")
    try:
        # Nearly every request is plain: name=value, LF, nothing long. This is the fastest way through it.
        attributes = dict([line.split("=", 1) for line in lines if line])
        if "" not in attributes and "\r" not in text and max(map(len, lines)) <= MAX_ATTRIBUTE_CHARACTERS:
            return RawRequest(attributes, [])
    except ValueError:  # A line without "=".
        pass
    return _parse_unusual_lines(lines)


def _parse_unusual_lines(lines: list[str]) -> RawRequest:
    """Read lines that may be long, end in CR, or have something wrong with them."""
    attributes: dict[str, str] = {}
    garbage: list[str] = []
    for line in (line.removesuffix("\r") for line in lines):
        # 1.37: what stands before the first "=" that has a name before it is the name; "=a=b" is a=b.
        name, equals, value = line.lstrip("=").partition("=")
        if name and equals and "\r" not in line:
            attributes[name[:MAX_ATTRIBUTE_CHARACTERS]] = value[:MAX_ATTRIBUTE_CHARACTERS]
        elif line:
            garbage.append(line[:MAX_LOGGED_GARBAGE])
    return RawRequest(attributes, garbage)
