# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads lines of a list of clients: a domain, an address or network, or a pattern on the client's name.

1.37 takes whatever it does not know for the name of a host, which then never comes. Here what is clearly meant works,
and everything else gets a remark with the spelling that would work; what 1.37 matches is matched all the same.
"""

from __future__ import annotations

import re

from postgrey_py.greylist.list_lines import (
    MAX_ENTRY_CHARACTERS,
    WHITE_SPACE,
    Entries,
    Line,
    explain_white_space,
    find_strange_character,
    in_dns,
    quote,
    read_pattern,
    tidy,
    wildcard_pattern,
    without_comment,
)
from postgrey_py.greylist.lowercase import ascii_lower
from postgrey_py.greylist.networks import NetworkError, read_networks

_NAME = re.compile(r"[\w-]+(?:\.[\w-]+)*", re.ASCII)
_URL = re.compile(r"\w+://([\w.-]+).*", re.ASCII)
_WITH_PORT = re.compile(r"(\[?[\w.-]+\]?):\w+", re.ASCII)
_WITH_ADDRESS = re.compile(r"([\w.-]+)\[[\d.a-f:]+\].*", re.ASCII | re.IGNORECASE)
_WITH_MASK = re.compile(r"([\w.-]+)/\d+", re.ASCII)
_SPF = re.compile(r"[+?~-]?(?:include|redirect|a|mx|ptr|exists)[:=].*|v=spf1.*", re.ASCII | re.IGNORECASE)
# A pattern that somebody wrote for addresses: ^192\.0\.2\.
_PATTERN_FOR_ADDRESSES = re.compile(r"\^(?:\d{1,3}\\?\.){2,3}(?:\d{1,3}|[*+$\\.d\[\]()-])*", re.ASCII)


def read_client_line(line: Line, entries: Entries) -> bool:
    """Add what this line says to the entries, or a remark about it; false for a line that says nothing."""
    literal = without_comment(line)
    entry = tidy(literal)
    if not entry:
        return False
    if entry.startswith("/"):
        _read_pattern(line, entry, entries)
        if len(literal) < 3 or not literal.endswith("/"):
            _add_literal(line, literal, entries)
        return True
    if len(entry) > MAX_ENTRY_CHARACTERS:
        entries.refuse(line, f"{quote(entry)} is longer than any name")
    elif any(character in WHITE_SPACE for character in entry):
        entries.refuse(line, f"doesn't look like a hostname{explain_white_space(entry)}")
    else:
        _read_word(line, entry, literal, entries)
    return True


def _add_literal(line: Line, literal: str, entries: Entries) -> None:
    # 1.37: a name, whatever is in it.
    if len(literal) <= MAX_ENTRY_CHARACTERS and not any(character in WHITE_SPACE for character in literal):
        entries.names.setdefault(ascii_lower(literal), line)


def _read_pattern(line: Line, entry: str, entries: Entries) -> None:
    read_pattern(line, entry, entries, "a hostname")
    if _PATTERN_FOR_ADDRESSES.fullmatch(entry.strip("/")):
        entries.hint(line, f"{entry} is searched for in names, not in addresses: write 192.0.2.0/24 for a network")


def _read_word(line: Line, entry: str, literal: str, entries: Entries) -> None:
    try:
        found = read_networks(entry)
    except NetworkError as error:
        entries.refuse(line, str(error))
        return
    if found is None:
        _read_domain(line, entry, entries)
        _add_literal(line, literal, entries)
        return
    for value, bits, length in found.networks:
        entries.networks.setdefault((bits, length), {}).setdefault(value, line)
    if found.taken_as:
        entries.hint(line, f"{entry} is taken as {found.taken_as}")


def _read_domain(line: Line, entry: str, entries: Entries) -> None:
    # A name from the DNS is absolute, and comes without the dot that says so.
    domain = entry.removesuffix(".") if not entry.startswith(".") or len(entry) > 2 else entry
    is_below = domain.startswith((".", "*."))
    domain = domain.removeprefix("*").removeprefix(".") if is_below else domain
    if not domain.isascii() and not find_strange_character(domain):
        domain = in_dns(domain) or domain
    if _NAME.fullmatch(domain):
        (entries.below if is_below else entries.names).setdefault(ascii_lower(domain), line)
    else:
        entries.refuse(line, _why_no_name(entry))


def _why_no_name(entry: str) -> str:
    """Return the reason why no client ever has this name, with what to write instead."""
    if strange := find_strange_character(entry):
        return f"{quote(entry)} has {strange} in it: type it anew"
    if not entry.isascii():
        return f"{quote(entry)} is no name in ASCII: write it as the DNS has it, with xn--"
    if entry == "*":
        return "* is no name: write /^/ to let every client pass"
    if entry.startswith("!"):
        return f"{entry} is no exception, there are none: leave the line out"
    if _SPF.fullmatch(entry):
        return f"{entry} would have to be looked up in the DNS, which is never asked: write the networks themselves"
    if url := _URL.fullmatch(entry):
        return f"{entry} is no name of a host: write {url[1]}"
    if "@" in entry:
        name = entry.rpartition("@")[2] or "example.com"
        return f"{entry} is of a mail address, and clients are hosts: write the names of these, such as {name}"
    if with_address := _WITH_ADDRESS.fullmatch(entry):
        return f"{entry} is a name with an address: write {with_address[1]}, or the address"
    if with_port := _WITH_PORT.fullmatch(entry):
        return f"{entry} has a port, and clients have none: write {with_port[1]}"
    if with_mask := _WITH_MASK.fullmatch(entry):
        return (
            f"{entry} has a mask behind a name, which is never looked up: write {with_mask[1]}, or a network in numbers"
        )
    if "*" in entry:
        return f"{entry} has a * that is no wildcard there: write {wildcard_pattern(entry)}"
    sound = re.search(r"[\w-]+(?:\.[\w-]+)+", entry, re.ASCII)
    return f"no client can be called {quote(entry)}{f': write {sound[0]}' if sound else ''}"
