# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines of `postgreyreport`, byte for byte those of the original, and the same for machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from postgrey_py.commands.formats import NOBODY, Value, iso_time, printable
from postgrey_py.commands.logtime import LogClock
from postgrey_py.commands.report.history import Deferral
from postgrey_py.greylist.address import Address

COLUMNS = ("time", "tries", "check_sender", "client_address", "client_name", "sender", "recipient")

# A client whose name is not known, so that no column is empty.
_NAMELESS = "unknown"


@dataclass(frozen=True, slots=True)
class ListingStyle:
    """The style of the list; the fields are the options of the same name."""

    show_time: bool = False
    show_tries: bool = False
    check_sender: bool = False
    tab: bool = False
    single_line: bool = True
    separate_by_ip: str = ""
    separate_by_subnet: str = ""


def in_order_of_address(deferrals: Sequence[Deferral]) -> list[Deferral]:
    """Sorted as numbers, IPv4 first; those of one address in the order in which they began."""
    return sorted(deferrals, key=lambda deferral: (deferral.address.bits, deferral.address.value))


def format_lines(
    deferrals: Sequence[Deferral],
    checks: Mapping[int, str],
    style: ListingStyle,
    name_network: Callable[[Address], str],
) -> Iterator[str]:
    """The report for people. `checks` has for each deferral, by its place, which check of the sender it passed."""
    has_separators = bool(style.separate_by_ip or style.separate_by_subnet)
    previous: Deferral | None = None
    for place, deferral in enumerate(deferrals):
        if has_separators:
            is_same_network = previous is not None and name_network(previous.address) == name_network(deferral.address)
            if not is_same_network:
                yield style.separate_by_subnet or style.separate_by_ip
            elif previous is not None and previous.client_address != deferral.client_address:
                yield style.separate_by_ip
        check = checks.get(place, "")
        if style.single_line:
            yield _single_line(deferral, check, style)
        else:
            if previous is None or previous.client_address != deferral.client_address:
                yield f"{show(deferral.client_name) or _NAMELESS:<77} {deferral.client_address:>15}\n"
            yield _grouped_line(deferral, check, style)
        previous = deferral


def rows(deferrals: Sequence[Deferral], checks: Mapping[int, str], clock: LogClock) -> Iterator[Mapping[str, Value]]:
    """The report for machines, a mapping with COLUMNS for each deferral."""
    for place, deferral in enumerate(deferrals):
        seconds = clock.seconds(deferral.stamp)
        yield {
            "time": None if seconds is None else iso_time(seconds),
            "tries": deferral.tries,
            "check_sender": checks.get(place),
            "client_address": deferral.client_address,
            "client_name": show(deferral.client_name),
            "sender": show(deferral.sender),
            "recipient": show(deferral.recipient),
        }


def show(text: str) -> str:
    """Latin-1 text from a log as text for the output."""
    return text if text.isascii() and text.isprintable() else printable(text.encode("latin-1"))


def _single_line(deferral: Deferral, check: str, style: ListingStyle) -> str:
    address = deferral.client_address
    if not style.tab:
        address, check = f"{address:>15}", f"{check:>5}"
    fields = [
        *([deferral.stamp] if style.show_time else ()),
        *([str(deferral.tries)] if style.show_tries else ()),
        *([check] if style.check_sender else ()),
        *(address, deferral.client_name or _NAMELESS, deferral.sender or NOBODY, deferral.recipient or NOBODY),
    ]
    return ("\t".join(map(show, fields)) if style.tab else show(" ".join(fields))) + "\n"


def _grouped_line(deferral: Deferral, check: str, style: ListingStyle) -> str:
    first = f"{check:>5} " if style.check_sender else " " * 6
    second = f" {deferral.tries:>2} " if style.show_tries else " " * 4
    return f"{first}{second} {show(deferral.sender) or NOBODY:>40}  {show(deferral.recipient) or NOBODY:>40} \n"
