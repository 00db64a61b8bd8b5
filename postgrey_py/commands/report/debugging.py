# SPDX-License-Identifier: GPL-2.0-or-later
"""The records of chosen clients in the database: --debug_db of `postgreyreport`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from postgrey_py.commands.events import Event, Kind
from postgrey_py.commands.report.listing import show
from postgrey_py.commands.report.options import DebugPattern
from postgrey_py.commands.report.verdicts import Verdicts
from postgrey_py.greylist.address import parse_address
from postgrey_py.greylist.keys import rewrite_sender
from postgrey_py.greylist.lowercase import ascii_lower
from postgrey_py.greylist.records import parse_record, seconds_seen


def print_records(events: Iterable[Event], verdicts: Verdicts, patterns: Sequence[DebugPattern]) -> None:
    """Print, for each rejection of a client whose name matches a pattern, every key of the triplet with its record."""
    names = "".join(f"{pattern} ; " for pattern, _ in patterns)
    print(f"\nDebugging_DB Active, Displaying hosting matching REs: {names}\n")
    for event in events:
        address = parse_address(event.client_address)
        if event.kind is not Kind.REJECTED or address is None:
            continue
        name = event.client_name.encode("latin-1")
        if not any(search(name) for _, search in patterns):
            continue
        for key, value in verdicts.records(address, ascii_lower(f"{rewrite_sender(event.sender)}/{event.recipient}")):
            seconds = seconds_seen(parse_record(value)) if value is not None else 0
            print(f"{show(key.decode('latin-1'))} : {show((value or b'').decode('latin-1'))} = {seconds}s ")
