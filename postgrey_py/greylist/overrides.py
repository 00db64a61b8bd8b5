# SPDX-License-Identifier: GPL-2.0-or-later
"""Orders of an administrator that hold for a while: let this mail through, let everything through.

An order is asked for only before a deferral, and speaks only for the mail. One immutable bundle, kept by `Policy`; a
change makes another. The texts of an order are those of list lines, so that they mean the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from postgrey_py.errors import OrderError
from postgrey_py.greylist.address import Address
from postgrey_py.greylist.list_lines import Line, quote
from postgrey_py.greylist.request import Request
from postgrey_py.greylist.whitelists import ClientList, RecipientList, Watch

# How the sender of a bounce is named, who has no address.
NULL_SENDER = "<>"

_NO_WATCH = Watch()

AnyList = TypeVar("AnyList", ClientList, RecipientList)


@dataclass(frozen=True, slots=True)
class Allowance:
    """Mail of this client, sender and recipient passes until `until`, seconds since 1970; with `once`, a single mail.

    A text that is empty stands for everybody. `by` is who ordered it. `used_by` is the instance of the mail that has
    used up one for a single mail, whose other recipients pass as well; None as long as nobody has. `matches` tells
    whether a mail is meant. Make one with `make_allowance`.
    """

    number: int
    until: int
    client: str = ""
    sender: str = ""
    recipient: str = ""
    once: bool = False
    comment: str = ""
    by: str = ""
    used_by: str | None = None
    matches: Callable[[Request, Address], bool] = field(default=lambda *_: False, repr=False, compare=False)

    def text(self) -> str:
        """Return what is allowed, for how long, and by whom, for the log."""
        texts = (("client", self.client), ("sender", self.sender), ("recipient", self.recipient))
        whom = ", ".join(f"{name}={text}" for name, text in texts if text)
        once = ", once" if self.once else ""
        comment = f" ({self.comment})" if self.comment else ""
        return f"{self.number}: {whom}, by {self.by} until {format_time(self.until)}{once}{comment}"


def make_allowance(
    number: int,
    until: int,
    *,
    client: str = "",
    sender: str = "",
    recipient: str = "",
    once: bool = False,
    comment: str = "",
    by: str = "",
    used_by: str | None = None,
    watch: Watch = _NO_WATCH,
) -> Allowance:
    """Return the order. `client` is written as in a client list; the others as in a recipient list, or "<>".

    `watch` is over its patterns. Raises OrderError, whose text names what is wrong.
    """
    if not (client or sender or recipient):
        raise OrderError("whose mail is allowed? Name a client, a sender or a recipient")
    clients = _read_list("client", client, ClientList, watch)
    senders = None if sender == NULL_SENDER else _read_list("sender", sender, RecipientList, watch)
    recipients = _read_list("recipient", recipient, RecipientList, watch)

    def matches(request: Request, address: Address) -> bool:
        if sender == NULL_SENDER and request.sender:
            return False
        return (
            (clients is None or clients.match(request.client_name, address) is not None)
            and (senders is None or senders.match(request.sender) is not None)
            and (recipients is None or recipients.match(request.recipient) is not None)
        )

    return Allowance(number, until, client, sender, recipient, once, comment, by, used_by, matches)


@dataclass(frozen=True, slots=True)
class Pause:
    """Everything passes until `until`, seconds since 1970, or for good where that is None; `by` ordered it."""

    until: int | None
    by: str

    def text(self) -> str:
        """Return who ordered it, and how long it lasts."""
        end = "it is ended" if self.until is None else format_time(self.until)
        return f"by {self.by} until {end}"


@dataclass(frozen=True, slots=True)
class Overrides:
    """All orders. Some may have run out: `in_force` leaves those out."""

    allowances: tuple[Allowance, ...] = ()
    pause: Pause | None = None

    def find_pause(self, now: int) -> Pause | None:
        """Return the pause that is in force at `now`."""
        pause = self.pause
        return pause if pause is not None and (pause.until is None or now < pause.until) else None

    def find_allowance(self, request: Request, address: Address, now: int) -> Allowance | None:
        """Return the order by which this mail passes at `now`.

        Of several, one that would be used up comes last.
        """
        found = None
        for allowance in self.allowances:
            if now < allowance.until and allowance.matches(request, address):
                if not allowance.once or (allowance.used_by and allowance.used_by == request.instance):
                    return allowance
                if allowance.used_by is None:
                    found = found or allowance
        return found

    def use(self, number: int, instance: str | None) -> Overrides | None:
        """Return these after a mail passed by the allowance of this number; None where that changes nothing."""
        used = next((one for one in self.allowances if one.number == number and one.once), None)
        if used is None or used.used_by is not None:
            return None
        return replace(
            self,
            allowances=tuple(replace(one, used_by=instance or "") if one is used else one for one in self.allowances),
        )

    def in_force(self, now: int) -> Overrides:
        """Return those that have not run out."""
        allowances = tuple(allowance for allowance in self.allowances if now < allowance.until)
        return Overrides(allowances, self.find_pause(now))

    def without(self, number: int) -> Overrides:
        """Return all but the allowance of this number."""
        return replace(self, allowances=tuple(one for one in self.allowances if one.number != number))

    def with_allowance(self, allowance: Allowance) -> Overrides:
        """Return these and this one."""
        return replace(self, allowances=(*self.allowances, allowance))

    def with_pause(self, pause: Pause | None) -> Overrides:
        """Return these with this pause, or without any."""
        return replace(self, pause=pause)


NO_OVERRIDES = Overrides()


def format_time(seconds: int) -> str:
    """Return a time for messages, by the local clock."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _read_list(name: str, text: str, make: Callable[[list[Line], Watch], AnyList], watch: Watch) -> AnyList | None:
    """Return the list of this one entry; None where it stands for everybody. Raises OrderError."""
    if not text:
        return None
    line = Line(name, 1, text)
    entries = make([line], watch)
    if entries.in_force:
        return entries
    reason = next((remark.text.removeprefix(line.remark("")) for remark in entries.remarks), "is no entry of a list")
    raise OrderError(f"{name} {quote(text)}: {reason}")
