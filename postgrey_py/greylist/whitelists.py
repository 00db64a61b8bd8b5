# SPDX-License-Identifier: GPL-2.0-or-later
"""Lists of clients and recipients, made of lines, as one bundle that is never changed: a reload makes another.

A match is the line that it comes from. Domains are found by suffix in a dictionary, networks by prefix length, and
patterns as `patterns` does it. Answers for recent clients and recipients are remembered. A further kind of list is a
class with `match`, `remarks` and `in_force`, a field of Whitelists, and a line in KINDS.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, TypeAlias

from postgrey_py.greylist.address import IPV4_BITS, IPV6_BITS, Address
from postgrey_py.greylist.client_entries import read_client_line
from postgrey_py.greylist.list_lines import Entries, Line, quote
from postgrey_py.greylist.lowercase import ascii_lower
from postgrey_py.greylist.patterns import Pattern, PatternSet, Slow, TooSlowError
from postgrey_py.greylist.recipient_entries import read_recipient_line
from postgrey_py.greylist.sender_entries import take_nobody

REMEMBERED_ANSWERS = 4096


def _no_clock() -> float:
    """Stand for a clock that never moves: every pattern has its time, and all of them together have no limit."""
    return 0.0


def _no_report(_: str) -> None:
    """Ignore the report."""


@dataclass(frozen=True, slots=True)
class Watch:
    """The watch over patterns: a clock of processor time in seconds, and who is told of those that take too long."""

    clock: Callable[[], float] = _no_clock
    report: Callable[[str], None] = _no_report


class ClientList:
    """Clients by domain, by network, and by patterns on their name.

    `remarks` has what there is to tell about lines; `in_force` says how many lines are.
    """

    def __init__(self, lines: Iterable[Line] = (), watch: Watch = Watch()) -> None:
        entries, self.in_force = _read(lines, read_client_line)
        self.remarks = tuple(entries.remarks)
        self._names = entries.names
        self._below = entries.below
        self._networks = {
            bits: tuple((bits - length, lines) for (b, length), lines in sorted(entries.networks.items()) if b == bits)
            for bits in (IPV4_BITS, IPV6_BITS)
        }
        self._patterns = _Patterns(entries.patterns, watch) if entries.patterns else None
        self._remembered = lru_cache(REMEMBERED_ANSWERS)(self._match)

    def match(self, name: str, address: Address) -> Line | None:
        """The line that lists the client with this name and address."""
        try:
            return self._remembered(name, address)
        except TooSlowError:
            # Not remembered: it may be told another time.
            return None

    def names(self) -> Iterator[tuple[str, Line]]:
        """Yield the names that are listed, in small letters."""
        yield from self._names.items()
        yield from self._below.items()

    def networks(self, bits: int) -> Iterator[tuple[int, int, Line]]:
        """Yield the networks of addresses of so many bits: the prefix as a number, its length, and the line."""
        for shift, values in self._networks[bits]:
            for value, line in values.items():
                yield value, bits - shift, line

    def _match(self, name: str, address: Address) -> Line | None:
        lowered = ascii_lower(name)
        line = _find_suffix(lowered, self._names)
        if line is None and self._below:
            line = _find_suffix(lowered.partition(".")[2], self._below)
        if line is not None:
            return line
        value, bits = address
        for shift, values in self._networks[bits]:
            if value >> shift in values:
                return values[value >> shift]
        return None if self._patterns is None else self._patterns.match(name)


class RecipientList:
    """Recipients by domain, user and address, and by patterns on the whole address.

    `remarks` has what there is to tell about lines; `in_force` says how many lines are.
    """

    def __init__(self, lines: Iterable[Line] = (), watch: Watch = Watch()) -> None:
        entries, self.in_force = _read(lines, read_recipient_line)
        self.remarks = tuple(entries.remarks)
        # "user@domain" and "user@" contain the sign, a domain does not: one dictionary holds all three.
        self._names = entries.names
        self._domains = entries.domains
        self._below = entries.below
        self._users = entries.users
        self._has_stars = bool(entries.domains or entries.below or entries.users)
        self._patterns = _Patterns(entries.patterns, watch) if entries.patterns else None
        self._remembered = lru_cache(REMEMBERED_ANSWERS)(self._match)

    def match(self, recipient: str) -> Line | None:
        """The line that lists this address."""
        try:
            return self._remembered(recipient)
        except TooSlowError:
            return None

    def names(self) -> Iterator[tuple[str, Line]]:
        """Yield the domains that are listed, in small letters."""
        for names in (self._names, self._domains, self._below):
            yield from ((name, line) for name, line in names.items() if "@" not in name)

    def _match(self, recipient: str) -> Line | None:
        lowered = ascii_lower(recipient)
        user, at, domain = lowered.partition("@")
        line = _find_user(user, domain, self._names) if at else None
        if line is None:
            # Entries of a domain match behind the last @ or any dot after it, but not the start of an address without.
            domain = lowered.rpartition("@")[2] if at else lowered.partition(".")[2]
            line = _find_suffix(domain, self._names)
        if line is None and self._has_stars and at:
            line = self._match_stars(user, domain)
        if line is not None:
            return line
        return None if self._patterns is None else self._patterns.match(recipient)

    def _match_stars(self, user: str, domain: str) -> Line | None:
        """The line with a wildcard that lists this user in this domain."""
        line = self._domains.get(domain) or _find_suffix(domain.partition(".")[2], self._below)
        while line is None and self._users and domain:
            domain = domain.partition(".")[2]
            line = _find_user(user, domain, self._users)
        return line


class SenderList:
    """Senders, as recipients are listed, and `<>`."""

    def __init__(self, lines: Iterable[Line] = (), watch: Watch = Watch()) -> None:
        nobody, others = take_nobody(lines)
        self._nobody = nobody[0] if nobody else None
        self._addresses = RecipientList(others, watch)
        self.remarks = self._addresses.remarks
        self.in_force = self._addresses.in_force + len(nobody)

    def match(self, sender: str) -> Line | None:
        """The line that lists this sender; that of bounces is empty."""
        if not sender and self._nobody is not None:
            return self._nobody
        return self._addresses.match(sender)


@dataclass(frozen=True, slots=True)
class Whitelists:
    """All lists, by kind; None for one that no option names, and that changes nothing.

    Recipients who are `greylisted` are the only ones, if there is that list. Clients that are `untrusted` never get
    onto the auto-whitelist. A `sender` counts only if it is proven, an `unverified_sender` as it is.
    """

    client: ClientList = field(default_factory=ClientList)
    recipient: RecipientList = field(default_factory=RecipientList)
    greylisted: RecipientList | None = None
    untrusted: ClientList | None = None
    sender: SenderList | None = None
    unverified_sender: SenderList | None = None


AnyList: TypeAlias = "ClientList | RecipientList | SenderList"


class Kind(NamedTuple):
    """A kind of list: what makes one of lines, the field of Settings with its files, and what it is called."""

    make: Callable[[Iterable[Line], Watch], AnyList]
    files: str
    title: str
    entries: str


# By the field of Whitelists.
KINDS: dict[str, Kind] = {
    "client": Kind(ClientList, "whitelist_clients", "client whitelist", "clients"),
    "recipient": Kind(RecipientList, "whitelist_recipients", "recipient whitelist", "recipients"),
    "greylisted": Kind(RecipientList, "greylist_recipients", "list of greylisted recipients", "greylisted recipients"),
    "untrusted": Kind(ClientList, "never_trust_clients", "list of clients never to trust", "clients never to trust"),
    "sender": Kind(SenderList, "whitelist_senders", "sender whitelist", "senders"),
    "unverified_sender": Kind(
        SenderList, "whitelist_unverified_senders", "whitelist of unverified senders", "unverified senders"
    ),
}
# Those that are there without an option.
USUAL = ("client", "recipient")


class _Patterns:
    """The patterns of a list, each with its line."""

    def __init__(self, patterns: list[tuple[Pattern, Line]], watch: Watch) -> None:
        self._lines = [line for _, line in patterns]
        self._tell = watch.report
        self._set = PatternSet([pattern for pattern, _ in patterns], watch.clock, self._report)

    def match(self, text: str) -> Line | None:
        """The line of a pattern that matches. Raises TooSlowError where none did for want of time."""
        number = self._set.search(text)
        return None if number is None else self._lines[number]

    def _report(self, slow: Slow) -> None:
        if slow.number is None:
            text = f"{self._lines[0].file}: its patterns together took too long for a request, and did not match it"
        else:
            line = self._lines[slow.number]
            entry = quote(line.text.partition("#")[0].strip())
            what = "is left out until the next reload" if slow.is_left_out else "did not match it"
            often = "keeps taking too long, and" if slow.is_left_out else "took too long for a request, and"
            text = line.remark(f"the pattern {entry} {often} {what}: write one with fewer * and +")
        self._tell(text)


def _read(lines: Iterable[Line], read_line: Callable[[Line, Entries], bool]) -> tuple[Entries, int]:
    """Return the entries of these lines, and how many are in force."""
    entries = Entries()
    number = sum(read_line(line, entries) for line in lines)
    return entries, number - sum(not remark.is_in_force for remark in entries.remarks)


def _find_suffix(name: str, names: dict[str, Line]) -> Line | None:
    """The line for the name, or for what stands behind one of its dots."""
    while name:
        if name in names:
            return names[name]
        name = name.partition(".")[2]
    return None


def _find_user(user: str, domain: str, names: dict[str, Line]) -> Line | None:
    """The line for `user@domain` or `user@`, with or without any `+extension` of the user."""
    # An extension has at least one character.
    rest = user[:-1]
    while True:
        line = names.get(f"{user}@{domain}") or names.get(f"{user}@")
        if line is not None:
            return line
        user, plus, _ = rest.rpartition("+")
        if not plus:
            return None
        rest = user
