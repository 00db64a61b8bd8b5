# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads lines of a list of recipients: a domain, an address, a user, or a pattern on the address.

As in `client_entries`, what is clearly meant works, and everything else gets a remark with the spelling that would
work; what 1.37 matches is matched all the same.
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

_DOMAIN = re.compile(r"[\w-]+(?:\.[\w-]+)*|\[[\w.:-]+\]", re.ASCII)
_URL = re.compile(r"\w+://([\w.-]+).*", re.ASCII | re.IGNORECASE)
# Users that every domain has (RFC 2142), and no domain is called.
_ROLES = frozenset(
    ["postmaster", "hostmaster", "webmaster", "abuse", "root", "mailer-daemon", "admin", "administrator", "noreply"]
)


def read_recipient_line(line: Line, entries: Entries) -> bool:
    """Add what this line says to the entries, or a remark about it; false for a line that says nothing."""
    literal = without_comment(line)
    entry = tidy(tidy(literal).removeprefix("mailto:"))
    if not entry:
        return False
    if entry.startswith("/"):
        read_pattern(line, entry, entries, "an address")
        return True
    if len(entry) > MAX_ENTRY_CHARACTERS:
        entries.refuse(line, f"{quote(entry)} is longer than any address")
    elif any(character in WHITE_SPACE for character in entry):
        entries.refuse(line, f"doesn't look like an address{explain_white_space(entry)}")
    else:
        _read_word(line, ascii_lower(entry), entries)
    if not any(character in WHITE_SPACE for character in literal) and len(literal) <= MAX_ENTRY_CHARACTERS:
        # 1.37: whatever is in it.
        entries.names.setdefault(ascii_lower(literal), line)
    return True


def _read_word(line: Line, entry: str, entries: Entries) -> None:
    # 1.37: the first one.
    user, at, domain = entry.partition("@")
    if not at:
        user, domain = "", entry
    # A domain is absolute in any case, with a dot at its end or without.
    domain = domain.removesuffix(".") if domain != "." else domain
    is_below = domain.startswith((".", "*.")) and domain not in (".", "*.")
    domain = domain.removeprefix("*").removeprefix(".") if is_below else domain
    if not domain.isascii() and not find_strange_character(domain) and (ascii_domain := in_dns(domain)):
        _add(line, user, bool(at), domain, is_below, entries)
        domain = ascii_domain
    is_user_anywhere = bool(at) and user not in ("", "*") and domain in ("", "*")
    is_user = "*" not in user and not find_strange_character(user) and not user.startswith("!")
    if is_user_anywhere and is_user:
        entries.names.setdefault(f"{user}@", line)
    elif (is_user or user == "*") and (_DOMAIN.fullmatch(domain) or (user not in ("", "*") and "@" in domain)):
        _add(line, user, bool(at), domain, is_below, entries)
        _hint(line, entry, entries)
    else:
        entries.refuse(line, _why_no_address(entry, domain))


def _add(line: Line, user: str, has_user: bool, domain: str, is_below: bool, entries: Entries) -> None:
    everybody = not has_user or user in ("", "*")
    if everybody and is_below:
        entries.below.setdefault(domain, line)
    elif is_below:
        entries.users.setdefault(f"{user}@{domain}", line)
    elif not has_user:
        entries.names.setdefault(domain, line)
    elif everybody:
        entries.domains.setdefault(domain, line)
    else:
        entries.names.setdefault(f"{user}@{domain}", line)


def _hint(line: Line, entry: str, entries: Entries) -> None:
    if entry in _ROLES:
        entries.hint(line, f"{entry} is taken as a domain: write {entry}@ for that user in every domain")
    elif _is_network(entry):
        entries.refuse(line, f"{entry} is an address of a client, and this is a list of mail addresses")


def _is_network(entry: str) -> bool:
    try:
        return read_networks(entry) is not None
    except NetworkError:
        return ":" not in entry and not entry.isdigit()


def _why_no_address(entry: str, domain: str) -> str:
    """Return the reason why no recipient ever has this address, with what to write instead."""
    if strange := find_strange_character(entry):
        return f"{quote(entry)} has {strange} in it: type it anew"
    if not domain.isascii():
        return f"{quote(entry)} has a domain that is neither ASCII nor UTF-8: write it as the DNS has it, with xn--"
    if entry.strip("*.@") == "":
        return f"{entry} is no address: write /^/ to let mail to everybody pass"
    if entry.startswith("!"):
        return f"{entry} is no exception, there are none: leave the line out"
    if url := _URL.fullmatch(entry):
        return f"{entry} is no address: write {url[1]}"
    if "*" in entry:
        return f"{entry} has a * that is no wildcard there: write {wildcard_pattern(entry)}"
    if _is_network(entry):
        return f"{entry} is an address of a client, and this is a list of mail addresses"
    sound = re.search(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+|[\w-]+(?:\.[\w-]+)+", entry, re.ASCII)
    return f"no address is in the domain {quote(domain)}{f': write {sound[0]}' if sound and sound[0] != entry else ''}"
