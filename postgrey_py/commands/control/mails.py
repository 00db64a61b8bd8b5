# SPDX-License-Identifier: GPL-2.0-or-later
"""The mail that `postgreyctl explain` is asked about: from operands, or from a line of the mail log; and its time."""

from __future__ import annotations

import os
import re
from datetime import datetime, timedelta
from typing import NamedTuple

from postgrey_py.commands.events import Event, read_line
from postgrey_py.errors import UsageError
from postgrey_py.greylist.address import parse_address
from postgrey_py.greylist.domains import UNKNOWN

_HELO = re.compile(r" helo=<([^>]*)>\s*$")
_SPAN = re.compile(r"\+((?:\d{1,6}[smhdw])+)", re.ASCII)
_CLOCK = re.compile(r"(tomorrow )?(\d{1,2}):(\d\d)(?::(\d\d))?", re.ASCII)
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}

# 9 September 2001; whatever has fewer digits is no time since 1970 that anybody means.
_SECONDS = re.compile(r"\d{10,12}", re.ASCII)


class Mail(NamedTuple):
    """A mail, with a character for each byte; `helo` is empty where it is not known."""

    client: str
    sender: str
    recipient: str
    name: str = UNKNOWN
    helo: str = ""


def read_operands(client: str, sender: str, recipient: str, name: str | None, helo: str | None) -> Mail:
    """Return the mail of the command line. Raises UsageError."""
    address, slash, _ = client.partition("/")
    if parse_address(address.removeprefix("[").removesuffix("]")) is None or slash:
        raise UsageError(f"explain: {client} is no address of a client; give its name with --name")
    return Mail(
        _octets(address.removeprefix("[").removesuffix("]")),
        _correspondent(sender),
        _correspondent(recipient),
        UNKNOWN if name is None else _octets(name),
        _octets(helo or ""),
    )


def read_log_line(text: str, name: str | None, helo: str | None) -> Mail:
    """Return the mail that a line of the mail log is about. Raises UsageError."""
    line = _octets(text.strip())
    event = read_line(line)
    if not isinstance(event, Event):
        raise UsageError(
            "explain: --line: whose mail to whom is not understood; a line of Postfix with 'NOQUEUE: reject: RCPT"
            " from NAME[ADDRESS]: 450 ...; from=<...> to=<...>' is, and one of postgrey with 'action=..., reason=...'"
        )
    said = _HELO.search(line)
    return Mail(
        event.client_address,
        event.sender,
        event.recipient,
        (event.client_name or UNKNOWN) if name is None else _octets(name),
        (said[1] if said else "") if helo is None else _octets(helo),
    )


def read_time(text: str, now: datetime) -> int:
    """Return the time that is meant, in seconds since 1970, by the clock of this place. Raises UsageError."""
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return int(text)
    if found := _SPAN.fullmatch(text):
        parts = re.findall(r"(\d+)([smhdw])", found[1])
        return int(now.timestamp()) + sum(int(number) * _UNITS[unit] for number, unit in parts)
    try:
        if found := _CLOCK.fullmatch(text):
            at = now.replace(hour=int(found[2]), minute=int(found[3]), second=int(found[4] or 0), microsecond=0)
            return int((at + timedelta(days=1) if found[1] else at).timestamp())
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError, OSError):
        raise UsageError(
            f"explain: --at={text}: is no time such as +15m, 14:05, 'tomorrow 14:05', '2026-11-27 14:05' or seconds"
            " since 1970"
        ) from None


def _correspondent(text: str) -> str:
    octets = _octets(text)
    return octets[1:-1] if octets.startswith("<") and octets.endswith(">") else octets


def _octets(text: str) -> str:
    return os.fsencode(text).decode("latin-1")
