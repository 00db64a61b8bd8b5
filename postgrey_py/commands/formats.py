# SPDX-License-Identifier: GPL-2.0-or-later
"""Output of the commands for people and for machines: safe text, times, CSV and JSON."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from socket import AF_INET, AF_INET6, inet_ntop
from typing import TypeAlias

from postgrey_py.greylist.address import IPV4_BITS, Address

Value: TypeAlias = str | int | float | bool | None

# How people are shown the empty sender of bounces.
NOBODY = "<>"

# C0, DEL and C1: what makes a terminal do things.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def printable(octets: bytes) -> str:
    r"""Return bytes that came from the network as text that is safe to print.

    Control characters and bytes that are not UTF-8 become `\x1b`.
    """
    text = octets.decode("utf-8", "backslashreplace")
    return text if text.isprintable() else _CONTROL.sub(lambda match: f"\\x{ord(match[0]):02x}", text)


def address_text(address: Address) -> str:
    """The address as mail logs have it: IPv6 in small letters, as short as possible."""
    family = AF_INET if address.bits == IPV4_BITS else AF_INET6
    return inet_ntop(family, address.value.to_bytes(address.bits // 8, "big"))


def iso_time(seconds: int) -> str:
    """The local time with its offset, `2026-11-21T09:40:00+01:00`; the bare number where no calendar has it."""
    try:
        return datetime.fromtimestamp(seconds).astimezone().isoformat()
    except (OverflowError, OSError, ValueError):
        return str(seconds)


def write_csv(columns: Sequence[str], rows: Iterable[Mapping[str, Value]]) -> None:
    """Print a line with the names of the columns, and one for each row; missing is empty, truth is yes or no."""
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_csv_value(row[column]) for column in columns])


def write_json(rows: Iterable[Mapping[str, Value]]) -> None:
    """Print an array of objects, a line for each."""
    separator = "["
    for row in rows:
        sys.stdout.write(f"{separator}\n{json.dumps(row, ensure_ascii=False)}")
        separator = ","
    sys.stdout.write("[]\n" if separator == "[" else "\n]\n")


def _csv_value(value: Value) -> Value:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else value
