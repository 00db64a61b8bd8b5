# SPDX-License-Identifier: GPL-2.0-or-later
"""Whitelist lines become immutable matchers; what a line says wrong becomes a warning with file and line.

Reading the files is the caller's business. A whitelist is never changed: a reload builds a new one.

Domains are found by suffix in a set, networks by prefix length, and only patterns are tried one by one. Answers for
recent clients and recipients are remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import netaddr
import regex

from postgrey_py.greylist.keys import IPV4_BITS, IPV6_BITS, Address

REMEMBERED_ANSWERS = 4096

# `regex` rather than `re`: Postgrey's patterns are Perl's, and `re` silently misreads `[[:alpha:]]`, knows no
# `\z`, `\h`, `\R` or `(?i)` in the middle, and before Python 3.11 no possessive or atomic groups.
_PATTERN_FLAGS = regex.IGNORECASE | regex.ASCII | regex.VERSION0

# What `re` and `regex` read alike: letters, groups, sets, quantifiers that give back what they took.
_COMMON_PATTERN = re.compile(
    r"""(?: [\w@=:/,~%. ^$|-] | \\[dDwWsSb] | \\[.@/+*?|$^(){}\[\]-] | \((?:\?:)? | \)
        | \[\^? (?: [\w.@:/,] | -(?!-) | \\[dDwWsS.\[\]/-] )+ \]
        | (?: [*+?] | \{\d+(?:,\d*)?\} ) \?? (?!\+)
    )*""",
    re.ASCII | re.VERBOSE,
)

_PATTERN_ENTRY = re.compile(r"/([^\s]+)/", re.ASCII)
_IPV4_ENTRY = re.compile(r"(\d{1,3}(?:\.\d{1,3}){1,3})(/\d{1,2})?", re.ASCII)
_IPV6_ENTRY = re.compile(r".*:.*:.*")
_NUMERIC_ENTRY = re.compile(r"[\d./]+", re.ASCII)
_WHITE_SPACE = " \t\n\r\f\v"

_MAPPED_NETWORK = 0xFFFF << IPV4_BITS


class Line(NamedTuple):
    """One line of a whitelist file, as Latin-1 text, and where it stands."""

    file: str
    number: int
    text: str

    def warning(self, problem: str) -> str:
        return f"{self.file} line {self.number}: {problem}"


@dataclass(slots=True)
class _Entries:
    """What the lines of one whitelist add up to, while they are read."""

    names: set[str]
    networks: dict[tuple[int, int], set[int]]
    patterns: list[Any]
    warnings: list[str]


class ClientWhitelist:
    """Clients that are never greylisted: domains, networks, and patterns on the client's name.

    `warnings` has one text for each line that could not be used.
    """

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        entries = _Entries(set(), {}, [], [])
        for line in lines:
            _read_client_entry(line, entries)
        self.warnings = tuple(entries.warnings)
        self._domains = frozenset(entries.names)
        self._networks = {
            bits: tuple(
                (bits - length, frozenset(n)) for (b, length), n in sorted(entries.networks.items()) if b == bits
            )
            for bits in (IPV4_BITS, IPV6_BITS)
        }
        self._patterns = _combine_patterns(entries.patterns)
        self.matches = lru_cache(REMEMBERED_ANSWERS)(self._matches)

    def _matches(self, name: str, address: Address) -> bool:
        """Whether the client with this name and address is listed."""
        if _has_listed_suffix(_ascii_lower(name), self._domains):
            return True
        for pattern in self._patterns:
            if pattern.search(name):
                return True
        value, bits = address
        for shift, values in self._networks[bits]:  # noqa: SIM110 - any() takes twice as long, for every client
            if value >> shift in values:
                return True
        return False


class RecipientWhitelist:
    """Recipients whose mail is never greylisted: domains, users, addresses, and patterns on the whole address.

    `warnings` has one text for each line that could not be used.
    """

    def __init__(self, lines: Iterable[Line] = ()) -> None:
        entries = _Entries(set(), {}, [], [])
        for line in lines:
            _read_recipient_entry(line, entries)
        self.warnings = tuple(entries.warnings)
        # "user@domain" and "user@" contain the sign, a domain does not: one set holds all three.
        self._names = frozenset(entries.names)
        self._patterns = _combine_patterns(entries.patterns)
        self.matches = lru_cache(REMEMBERED_ANSWERS)(self._matches)

    def _matches(self, recipient: str) -> bool:
        """Whether this address is listed."""
        lowered = _ascii_lower(recipient)
        user, at, domain = lowered.partition("@")
        if at and _is_listed_user(user, domain, self._names):
            return True
        # Entries of a domain match behind the last @ or any dot after it, but not the start of an address without @.
        domain = lowered.rpartition("@")[2] if at else lowered.partition(".")[2]
        if _has_listed_suffix(domain, self._names):
            return True
        return any(pattern.search(recipient) for pattern in self._patterns)


def _read_client_entry(line: Line, entries: _Entries) -> None:
    entry = _entry(line)
    if not entry:
        return
    if pattern := _PATTERN_ENTRY.fullmatch(entry):
        _add_pattern(line, pattern[1], entries)
    elif ipv4 := _IPV4_ENTRY.fullmatch(entry):
        _add_ipv4_network(line, ipv4[1], ipv4[2], entries)
    elif _IPV6_ENTRY.fullmatch(entry):
        _add_network(line, entry, entries)
    elif _NUMERIC_ENTRY.fullmatch(entry):
        # unlike 1.37, which takes these for domain names that no client ever has.
        entries.warnings.append(
            line.warning(f"{entry} is no network: write two to four numbers, or all four and /mask")
        )
    elif any(character in _WHITE_SPACE for character in entry):
        entries.warnings.append(line.warning("doesn't look like a hostname"))
    else:
        entries.names.add(_ascii_lower(entry))


def _read_recipient_entry(line: Line, entries: _Entries) -> None:
    entry = _entry(line)
    if not entry:
        return
    if pattern := _PATTERN_ENTRY.fullmatch(entry):
        _add_pattern(line, pattern[1], entries)
    elif any(character in _WHITE_SPACE for character in entry):
        entries.warnings.append(line.warning("doesn't look like an address"))
    else:
        entries.names.add(_ascii_lower(entry))


def _entry(line: Line) -> str:
    # 1.37: a # starts a comment wherever it stands, also inside a pattern.
    return line.text.partition("#")[0].strip(_WHITE_SPACE)


def _add_pattern(line: Line, pattern: str, entries: _Entries) -> None:
    # Debian's regex knows Perl's \z only by Python's name.
    in_python = re.sub(r"\\(.)", lambda escape: r"\Z" if escape[1] == "z" else escape[0], pattern)
    try:
        regex.compile(in_python, _PATTERN_FLAGS)
    except (regex.error, OverflowError, RecursionError) as error:
        entries.warnings.append(line.warning(f"can't compile the pattern /{pattern}/: {error}"))
    else:
        entries.patterns.append(in_python)


def _combine_patterns(patterns: list[str]) -> tuple[Any, ...]:
    """Compiled patterns that together match what any of `patterns` matches.

    Calling a pattern costs more than trying it, so the plain ones are tried in one go, and by `re`, which is twice as
    fast, where it cannot mean anything else. One with groups that it refers to by number or name, or with flags of its
    own, would mean something else among others: it stays alone.
    """
    plain = [pattern for pattern in patterns if not re.search(r"\\[1-9gkKEQR]|\(\?(?!:)|\(\*", pattern)]
    alone = [pattern for pattern in patterns if pattern not in plain]
    simple = [pattern for pattern in plain if _means_the_same_to_re(pattern)]
    others = [pattern for pattern in plain if pattern not in simple]
    compiled = [re.compile(_any_of(simple), re.IGNORECASE | re.ASCII)] if simple else []
    together = [_any_of(others)] if others else []
    return (*compiled, *(regex.compile(pattern, _PATTERN_FLAGS) for pattern in together + alone))


def _any_of(patterns: list[str]) -> str:
    return "|".join(f"(?:{pattern})" for pattern in patterns)


def _means_the_same_to_re(pattern: str) -> bool:
    try:
        return _COMMON_PATTERN.fullmatch(pattern) is not None and bool(re.compile(pattern))
    except re.error:
        return False


def _add_ipv4_network(line: Line, numbers: str, mask: str | None, entries: _Entries) -> None:
    """Add an IPv4 address or network, of which two or three numbers are a /16 or /24."""
    given = numbers.count(".") + 1
    if given < 4 and mask is not None:
        entries.warnings.append(line.warning(f"{numbers}{mask} is no network: write all four numbers before the mask"))
        return
    # netaddr 0.8 and 1.x read short forms differently, so they are written out here.
    _add_network(line, numbers + ".0" * (4 - given) + (mask or f"/{8 * given}"), entries)


def _add_network(line: Line, text: str, entries: _Entries) -> None:
    address, slash, mask = text.partition("/")
    try:
        # The address on its own first: IPNetwork would read it in ways that differ from netaddr 0.8 to 1.x.
        netaddr.IPAddress(address, flags=netaddr.INET_PTON)
        if slash and not (mask.isascii() and mask.isdigit()):
            raise ValueError(f"/{mask} is no prefix length")
        network = netaddr.IPNetwork(text)
    except (netaddr.AddrFormatError, ValueError):
        entries.warnings.append(line.warning(f"{_entry(line)} is not a valid address or network"))
        return
    value, length = network.first, int(network.prefixlen)
    bits = IPV4_BITS if network.version == 4 else IPV6_BITS
    if bits == IPV6_BITS and length >= IPV6_BITS - IPV4_BITS and value >> IPV4_BITS == 0xFFFF:
        bits, length, value = IPV4_BITS, length - (IPV6_BITS - IPV4_BITS), value - _MAPPED_NETWORK
    entries.networks.setdefault((bits, length), set()).add(value >> (bits - length))


def _ascii_lower(text: str) -> str:
    """Lower case of ASCII letters only, as Perl does it to bytes."""
    return text.lower() if text.isascii() else text.encode("latin-1").lower().decode("latin-1")


def _has_listed_suffix(name: str, names: frozenset[str]) -> bool:
    """Whether the name, or what stands behind one of its dots, is among `names`."""
    while name:
        if name in names:
            return True
        name = name.partition(".")[2]
    return False


def _is_listed_user(user: str, domain: str, names: frozenset[str]) -> bool:
    """Whether `user@domain` or `user@` is among `names`, with or without any `+extension` of the user."""
    # An extension has at least one character.
    rest = user[:-1]
    while True:
        if f"{user}@{domain}" in names or f"{user}@" in names:
            return True
        user, plus, _ = rest.rpartition("+")
        if not plus:
            return False
        rest = user
