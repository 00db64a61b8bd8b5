# SPDX-License-Identifier: GPL-2.0-or-later
"""The choice of records that a command is about: by client, sender, recipient and age."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from postgrey_py.daemon.control.arguments import text_of
from postgrey_py.daemon.engine import Engine
from postgrey_py.errors import ControlError
from postgrey_py.greylist.filters import MailFilter, make_filter
from postgrey_py.greylist.keys import parse_client_key, split_key
from postgrey_py.greylist.records import Record

# Tells of a key and its record whether it is chosen.
Keep: TypeAlias = Callable[[bytes, Record], bool]


@dataclass(frozen=True, slots=True)
class Choice:
    """A choice of records; `older` and `newer` are numbers of seconds. Empty for any."""

    client: str = ""
    sender: str = ""
    recipient: str = ""
    older: int | None = None
    newer: int | None = None

    def texts(self) -> dict[str, str]:
        """Return what the mail is named by, with a character for each byte. Raises ControlError."""
        given = {"client": self.client, "sender": self.sender, "recipient": self.recipient}
        return {name: text_of(name, text) for name, text in given.items() if text.strip()}


def triplet_filter(engine: Engine, choice: Choice, now: int) -> Keep:
    """Return what tells whether a triplet is chosen. Raises ControlError, OrderError."""
    chosen = _mail_filter(engine, choice)
    settings = engine.settings

    def keep(key: bytes, triplet: Record) -> bool:
        if not _is_of_age(triplet[0], choice, now):
            return False
        if chosen is None:
            return True
        parts = split_key(key)
        if parts is None:
            return False
        length = None if parts.address is None else settings.network_bits(parts.address.bits)
        return chosen.matches_key(parts, length)

    return keep


def client_filter(engine: Engine, choice: Choice, now: int) -> Keep:
    """Return what tells whether a client is chosen. Raises ControlError, OrderError."""
    chosen = _mail_filter(engine, choice)
    network = None if chosen is None else chosen.network
    domain = None if chosen is None else chosen.domain

    def keep(key: bytes, client: Record) -> bool:
        if not _is_of_age(client[1] or 0, choice, now):
            return False
        if domain is not None:
            return key.decode("latin-1") == domain
        if network is None:
            return True
        address = parse_client_key(key)
        return address is not None and network.has(address)

    return keep


def _mail_filter(engine: Engine, choice: Choice) -> MailFilter | None:
    """Return the choice of mail, None for all. Raises ControlError, OrderError."""
    texts = choice.texts()
    if not texts:
        return None
    if engine.settings.privacy:
        raise ControlError(
            "the records are hashes (--privacy): they can't be chosen by what they are of", code="refused"
        )
    return make_filter(*(texts.get(name, "") for name in ("client", "sender", "recipient")))


def _is_of_age(seen: int, choice: Choice, now: int) -> bool:
    age = now - seen
    return (choice.older is None or age >= choice.older) and (choice.newer is None or age <= choice.newer)
