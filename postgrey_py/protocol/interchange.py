# SPDX-License-Identifier: GPL-2.0-or-later
"""Both databases as lines of JSON: a header, a line for each record, and one that ends them. See postgreyctl(8).

    {"postgrey": "records", "version": 1, "time": 1795250913, "lookup": "subnet", "ipv4cidr": 24, "ipv6cidr": 64, ...}
    {"triplet": "192.0.2.0/alice@example.com/bob@example.org", "first_seen": 1795250000, "last_seen": 1795250900}
    {"client": "192.0.2.7", "passes": 3, "last_seen": 1795250900}
    {"end": "records", "triplets": 1, "clients": 1}

A record whose value is not the two numbers has them in `value` instead, as they are stored. Keys are bytes, as in the
control protocol. Names that are not known are passed over, so that later versions may add some.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from postgrey_py.errors import ControlError, InterchangeError
from postgrey_py.greylist.records import format_record, parse_record
from postgrey_py.greylist.settings import SECONDS_PER_DAY, Settings
from postgrey_py.protocol.control import from_wire, to_wire

KIND = "records"
VERSION = 1

TRIPLETS, CLIENTS = "triplets", "clients"

# How a record's line names its key, and the first of its numbers.
_NAMES = {TRIPLETS: ("triplet", "first_seen"), CLIENTS: ("client", "passes")}

# Both addresses of a request are cut long before this.
_MOST_KEY_BYTES = 4096
_MOST_VALUE_BYTES = 100
_MOST = 10**18


class Entry(NamedTuple):
    """A record: `table` is TRIPLETS or CLIENTS."""

    table: str
    key: bytes
    value: bytes


class End(NamedTuple):
    """The end of all records, with the number of each kind."""

    triplets: int
    clients: int


def describe_header(settings: Settings, now: int) -> dict[str, Any]:
    """Return the header: what the keys are made by, and when."""
    return {
        "postgrey": KIND,
        "version": VERSION,
        "time": now,
        "lookup": "host" if settings.lookup_by_host else "subnet",
        "ipv4cidr": settings.ipv4cidr,
        "ipv6cidr": settings.ipv6cidr,
        "privacy": settings.privacy,
    }


def check_header(line: str, settings: Settings) -> None:
    """Raise InterchangeError unless this is a header, and its records fit a server with these settings."""
    header = _parse(line)
    if header.get("postgrey") != KIND:
        raise InterchangeError("this is no export of postgreyctl: the first line is another")
    if header.get("version") != VERSION:
        raise InterchangeError(f"version {_show(header.get('version'))} is not understood here, only {VERSION}")
    ours = describe_header(settings, 0)
    for name in ("privacy", "lookup", "ipv4cidr", "ipv6cidr"):
        # By host, the size of networks does not matter.
        if name.endswith("cidr") and ours["lookup"] == "host":
            continue
        if header.get(name) != ours[name]:
            raise InterchangeError(
                f"these records are of a server with {name} {_show(header.get(name))}, and this one has"
                f" {_show(ours[name])}: they would mean nothing here"
            )


def describe_entry(entry: Entry) -> dict[str, Any]:
    """Return a record as the object of its line."""
    key_name, first_name = _NAMES[entry.table]
    key = to_wire(entry.key.decode("latin-1"))
    first, last = parse_record(entry.value)
    if last is None or format_record(first, last) != entry.value:
        return {key_name: key, "value": to_wire(entry.value.decode("latin-1"))}
    return {key_name: key, first_name: first, "last_seen": last}


def describe_end(end: End) -> dict[str, Any]:
    """Return the object of the last line."""
    return {"end": KIND, **end._asdict()}


def parse_line(line: str, now: int) -> Entry | End:
    """Return what a line behind the header says. Raises InterchangeError.

    Times of tomorrow and later are refused: nobody can have been seen then, and it would be remembered for ever.
    """
    values = _parse(line)
    if "end" in values:
        return End(_number(values, "triplets"), _number(values, "clients"))
    for table, (key_name, first_name) in _NAMES.items():
        if key_name in values:
            value = _value_of(values, first_name)
            first, last = parse_record(value)
            latest = max(last or 0, first if table == TRIPLETS else 0)
            if latest > now + SECONDS_PER_DAY:
                raise InterchangeError(f"the time {latest} is in the future")
            return Entry(table, _octets(values, key_name, _MOST_KEY_BYTES), value)
    raise InterchangeError("this is neither a triplet nor a client nor the end")


def _value_of(values: Mapping[str, Any], first_name: str) -> bytes:
    if "value" in values:
        return _octets(values, "value", _MOST_VALUE_BYTES)
    return format_record(_number(values, first_name), _number(values, "last_seen"))


def _octets(values: Mapping[str, Any], name: str, most: int) -> bytes:
    text = values[name]
    if not isinstance(text, str) or not text:
        raise InterchangeError(f"{name} is no text")
    try:
        octets = from_wire(text).encode("latin-1")
    except ControlError as error:
        raise InterchangeError(f"{name}: {error}") from None
    if len(octets) > most:
        raise InterchangeError(f"{name} has more than {most} bytes")
    return octets


def _number(values: Mapping[str, Any], name: str) -> int:
    number = values.get(name)
    if type(number) is not int or not 0 <= number < _MOST:
        raise InterchangeError(f"{name} is no whole number, but {_show(number)}")
    return number


def _parse(line: str) -> dict[str, Any]:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InterchangeError(f"this is no line of JSON: {error}") from None
    if not isinstance(values, dict):
        raise InterchangeError("this is no JSON object")
    return values


def _show(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
