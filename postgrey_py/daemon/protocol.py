# SPDX-License-Identifier: GPL-2.0-or-later
"""The policy delegation protocol without sockets: feed bytes, get the attributes of complete requests.

Input may come split anywhere, several requests at once, with LF or CRLF. Source: Postfix SMTPD_POLICY_README, and
1.37 for all that it leaves open.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from postgrey_py.errors import PostgreyError

# unlike 1.37, which has no limit. A request of Postfix has about a kilobyte.
MAX_REQUEST_BYTES = 64 << 10

MAX_LOGGED_GARBAGE = 100

_EMPTY_LINE = re.compile(rb"\n\r?\n")


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
        if not self._buffer and 0 < octets.find(b"\n\n") == len(octets) - 2 and octets[0] != 10 and b"\r" not in octets:
            # Nearly always: one whole request and nothing else.
            return [parse_attributes(octets)]
        buffer = self._buffer + octets
        requests = []
        start, scanned = 0, self._scanned
        while True:
            if buffer.startswith((b"\n", b"\r\n"), start):
                end = buffer.index(b"\n", start) + 1
            elif empty_line := _EMPTY_LINE.search(buffer, scanned):
                end = empty_line.end()
            else:
                break
            requests.append(parse_attributes(buffer[start:end]))
            start = scanned = end
        self._buffer = buffer[start:]
        if len(self._buffer) > MAX_REQUEST_BYTES:
            raise RequestTooLongError(f"more than {MAX_REQUEST_BYTES} bytes without a complete request")
        # The last two bytes may be the beginning of an empty line.
        self._scanned = max(0, len(self._buffer) - 2)
        return requests


def parse_attributes(octets: bytes) -> RawRequest:
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
    return RawRequest(attributes, garbage)
