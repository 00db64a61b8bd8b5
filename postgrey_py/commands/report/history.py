# SPDX-License-Identifier: GPL-2.0-or-later
"""The history of mails, added up from the events of a log: deferred, come back, passed at once.

Memory grows with the number of different triplets, not with the log. Whether a mail came back that the log has lost
sight of is known to the database: see `verdicts`. Called by `report`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from ipaddress import ip_network

from postgrey_py.commands.events import Event, Kind
from postgrey_py.commands.logtime import LogClock
from postgrey_py.greylist.address import Address, parse_address
from postgrey_py.greylist.keys import client_network, rewrite_sender
from postgrey_py.greylist.lowercase import ascii_lower
from postgrey_py.greylist.settings import Settings

REMEMBERED_CLIENTS = 65536

IsWanted = Callable[[str, Address], bool]

# What the server leaves as it is has none of these in its local part.
_IS_REWRITTEN = re.compile(r"[\d+=]", re.ASCII)

# The day is None for lines without a time.
PassCounts = Counter[tuple[Kind, date | None, Address]]


@dataclass(slots=True)
class Mail:
    """A triplet that was deferred, as the server sees it: by subnet the tries of several clients are one.

    `address` is that of its first client, `stamp` the time of the first deferral as the log has it, `delay` how many
    seconds later it came back.
    """

    address: Address
    stamp: str
    came_back: bool = False
    delay: int | None = None


@dataclass(slots=True)
class Deferral:
    """A triplet that was deferred, with the client's own address; `stamp` and `client_name` are of the last try.

    `correspondents` are sender and recipient as they stand in the server's keys.
    """

    mail: Mail
    address: Address
    client_address: str
    client_name: str
    correspondents: str
    sender_length: int
    stamp: str
    rejections: int = 0
    greylistings: int = 0

    @property
    def sender(self) -> str:
        return self.correspondents[: self.sender_length]

    @property
    def recipient(self) -> str:
        return self.correspondents[self.sender_length + 1 :]

    @property
    def tries(self) -> int:
        return self.rejections or self.greylistings


class History:
    """Events, added up one by one. `settings` say what a network is, `is_wanted` which clients count (None: all).

    What came back in less than `least_delay` seconds did not come back.
    What passed without having been deferred is counted in `passes` where `counts_passes` says so. `shortest_delay` is
    that of the mail that was let through soonest, which the server's was not longer than; None where no line has one.
    """

    def __init__(
        self,
        settings: Settings,
        clock: LogClock,
        is_wanted: IsWanted | None = None,
        counts_passes: bool = False,
        least_delay: int = 0,
    ) -> None:
        self.passes: PassCounts = Counter()
        self.has_pass_lines = False
        self._warned: dict[tuple[str, str], Mail] = {}
        self.shortest_delay: int | None = None
        self._least_delay = least_delay
        self._clock = clock
        self._is_wanted = is_wanted
        self._counts_passes = counts_passes
        self._deferrals: dict[tuple[str, str], Deferral] = {}
        self._mails: dict[tuple[str, str], Mail] = {}
        self._find_client = lru_cache(REMEMBERED_CLIENTS)(lambda text: _parse_client(text, settings))

    def add(self, event: Event) -> None:
        """Take one event into account. They are expected in the order of their times."""
        kind, stamp, name, client_address, sender, recipient, delay, times = event
        address, client = self._find_client(client_address)
        # A client without address is never deferred.
        if address is None or (self._is_wanted is not None and not self._is_wanted(name, address)):
            return
        if _IS_REWRITTEN.search(sender):
            sender = rewrite_sender(sender)
        correspondents = ascii_lower(f"{sender}/{recipient}")
        if kind is Kind.WARNED or kind is Kind.TRAINED:
            self.has_pass_lines |= kind is Kind.TRAINED
            self._add_warning(stamp, address, (client, correspondents))
            return
        if kind is not Kind.REJECTED and kind is not Kind.GREYLISTED:
            self._add_pass(kind, stamp, delay, times, address, self._mails.get((client, correspondents)))
            return
        deferral = self._deferrals.get((client_address, correspondents))
        if deferral is None:
            mail = self._mails.get((client, correspondents))
            if mail is None:
                mail = self._mails[client, correspondents] = Mail(address, stamp)
            deferral = Deferral(mail, address, client_address, name, correspondents, len(sender), stamp)
            self._deferrals[client_address, correspondents] = deferral
        if kind is Kind.REJECTED:
            deferral.rejections += times
            deferral.stamp, deferral.client_name = stamp, name
        else:
            deferral.greylistings += times
            if not deferral.rejections:
                deferral.stamp, deferral.client_name = stamp, name

    def deferrals(self, is_of_postfix: bool) -> list[Deferral]:
        """All deferrals in the order in which they began.

        In a log of Postfix, only what Postfix tells: the server does not know when another rule of Postfix refused the
        mail for good. In other logs (of Exim), what the server has told.
        """
        if not is_of_postfix:
            return list(self._deferrals.values())
        return [deferral for deferral in self._deferrals.values() if deferral.rejections]

    def would_be_deferred(self) -> Collection[Mail]:
        """The mails that would have been deferred: Postfix only warned, or the server was in training."""
        return self._warned.values()

    def _add_warning(self, stamp: str, address: Address, key: tuple[str, str]) -> None:
        if (mail := self._mails.get(key)) is not None:
            mail.came_back = True
        self._warned.setdefault(key, Mail(address, stamp))

    def _add_pass(
        self, kind: Kind, stamp: str, delay: int | None, times: int, address: Address, mail: Mail | None
    ) -> None:
        self.has_pass_lines = True
        if kind is Kind.RETURNED and delay is not None and (self.shortest_delay is None or delay < self.shortest_delay):
            self.shortest_delay = delay
        passes = times
        if mail is not None and not mail.came_back:
            self._bring_back(mail, kind, stamp, delay)
            passes -= 1
        if passes and self._counts_passes:
            self.passes[kind, self._clock.day(stamp), address] += passes

    def _bring_back(self, mail: Mail, kind: Kind, stamp: str, delay: int | None) -> None:
        if delay is None:
            delay = self._seconds_between(mail.stamp, stamp)
        # The line is the proof, whatever the delay of the server was then and the reason for letting it pass.
        # 1.37: but whoever names a delay wants to see what came back sooner.
        if delay is None or delay >= self._least_delay or kind is Kind.WHITELISTED or kind is Kind.AUTO_WHITELISTED:
            mail.came_back = True
            mail.delay = delay

    def _seconds_between(self, earlier: str, later: str) -> int | None:
        start, end = self._clock.seconds(earlier), self._clock.seconds(later)
        return max(0, end - start) if start is not None and end is not None else None


def make_network_namer(settings: Settings) -> Callable[[Address], str]:
    """Return a function that names the subnet of a client, as people write it (`192.0.2.0/24`)."""

    @lru_cache(REMEMBERED_CLIENTS)
    def name_network(address: Address) -> str:
        length = settings.network_bits(address.bits)
        return str(ip_network(f"{address.network(length)}/{length}"))

    return name_network


def _parse_client(text: str, settings: Settings) -> tuple[Address | None, str]:
    """The address of a client, None where it is none, and what stands for the client in keys."""
    address = parse_address(text)
    return address, "" if address is None else client_network(address, settings)
