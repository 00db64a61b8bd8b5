# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a mail that was deferred came back, from what the database knows of its triplet. Called by `report`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import sha1

from postgrey_py.commands.report.history import REMEMBERED_CLIENTS, Deferral
from postgrey_py.database.snapshot import Records
from postgrey_py.greylist.keys import IPV4_BITS, IPV6_BITS, Address, client_network
from postgrey_py.greylist.records import parse_record
from postgrey_py.greylist.settings import Settings

# To look a triplet up takes as long as to walk past so many others.
_WALKED_PER_LOOK_UP = 6

# What follows the address of a client by host; a sender may begin like that too.
_MASKS = (f"{IPV4_BITS}/", f"{IPV6_BITS}/")

_HASH = re.compile(rb"[0-9a-f]{40}")


class Verdicts:
    """Looks triplets up in a database. `layouts` are the settings under which its keys may have been made."""

    def __init__(self, triplets: Records, layouts: Sequence[Settings]) -> None:
        self._triplets = triplets
        self._layouts = layouts
        self._delay = layouts[0].delay
        self._is_private = layouts[0].privacy
        self._clients_of = lru_cache(REMEMBERED_CLIENTS)(self._clients)

    def came_back(self, deferrals: Sequence[Deferral]) -> set[int]:
        """The places of those whose triplet was seen again, under any of its keys, when the delay was over."""
        if not self._is_private:
            found = self._walk(deferrals)
            if found is not None:
                return found
        return {place for place, deferral in enumerate(deferrals) if self._look_up(deferral)}

    def records(self, address: Address, correspondents: str) -> list[tuple[bytes, bytes | None]]:
        """The keys that the triplet may be stored under, each with what is stored there."""
        return [(key, self._triplets.get(key)) for key in self._keys(address, correspondents)]

    def complaint(self) -> str | None:
        """What is wrong with the layouts when the database has keys of another kind; None when nothing is."""
        first_key = next((key for key, _ in self._triplets), None)
        if first_key is None or bool(_HASH.fullmatch(first_key)) == self._is_private:
            return None
        if self._is_private:
            return "the database was written without --privacy: leave that out, or every mail seems lost"
        return "the database was written with --privacy: say so here too, or every mail seems lost"

    def _look_up(self, deferral: Deferral) -> bool:
        for key in self._keys(deferral.address, deferral.correspondents):
            value = self._triplets.get(key)
            if value is not None and lasted(value) >= self._delay:
                return True
        return False

    def _walk(self, deferrals: Sequence[Deferral]) -> set[int] | None:
        """The same by a look at every record; None when there are so many that looking up is faster."""
        places: dict[str, list[int]] = {}
        for place, deferral in enumerate(deferrals):
            places.setdefault(deferral.correspondents, []).append(place)
        found: set[int] = set()
        for number, (key, value) in enumerate(self._triplets):
            if number == _WALKED_PER_LOOK_UP * len(deferrals):
                return None
            for client, correspondents in _divide(key.decode("latin-1")):
                candidates = places.get(correspondents)
                if candidates is not None and lasted(value) >= self._delay:
                    found.update(place for place in candidates if client in self._clients_of(deferrals[place].address))
        return found

    def _keys(self, address: Address, correspondents: str) -> list[bytes]:
        keys = [f"{client}/{correspondents}".encode("latin-1") for client in self._clients_of(address)]
        if self._is_private:
            keys = [sha1(key, usedforsecurity=False).hexdigest().encode("ascii") for key in keys]
        return keys

    def _clients(self, address: Address) -> tuple[str, ...]:
        """What stands for the client in the keys, in each layout."""
        return tuple(dict.fromkeys(client_network(address, layout).lower() for layout in self._layouts))


def _divide(key: str) -> tuple[tuple[str, str], ...]:
    """What a key may have for the client, and for sender and recipient."""
    client, _, correspondents = key.partition("/")
    if not correspondents.startswith(_MASKS):
        return ((client, correspondents),)
    mask, _, rest = correspondents.partition("/")
    return (client, correspondents), (f"{client}/{mask}", rest)


def lasted(value: bytes) -> int:
    """The seconds between the first and the last time that a triplet was seen."""
    first_seen, last_seen = parse_record(value)
    return 0 if last_seen is None else last_seen - first_seen


def possible_layouts(settings: Settings, is_layout_known: bool) -> list[Settings]:
    """The settings under which keys are to be looked up: these, and unless they are said to be right, others."""
    if is_layout_known:
        return [settings]
    by_subnet, by_host = replace(settings, lookup_by_host=False), replace(settings, lookup_by_host=True)
    # Without mask: as earlier versions stored clients by host, and as --ipv4cidr=32 does.
    bare = replace(settings, lookup_by_host=False, ipv4cidr=IPV4_BITS, ipv6cidr=IPV6_BITS)
    return [bare, by_subnet, by_host]


def judge(deferrals: Sequence[Deferral], verdicts: Verdicts) -> list[Deferral]:
    """The deferrals that never came back; of the others the mails are marked as having come back."""
    # The log knows, too, of mail that passed by a whitelist or the auto-whitelist and left no trace in its record.
    unclear = [deferral for deferral in deferrals if not deferral.mail.came_back]
    returned = verdicts.came_back(unclear)
    for place in returned:
        unclear[place].mail.came_back = True
    return [deferral for place, deferral in enumerate(unclear) if place not in returned]
