# SPDX-License-Identifier: GPL-2.0-or-later
"""Whether a mail that was deferred came back, from what the database knows of its triplet. Called by `report`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from hashlib import sha1

from postgrey_py.commands.report.history import REMEMBERED_CLIENTS, Deferral
from postgrey_py.database.snapshot import TableSnapshot
from postgrey_py.greylist.address import Address
from postgrey_py.greylist.keys import divide_key, is_hash, possible_networks
from postgrey_py.greylist.records import has_passed, parse_record
from postgrey_py.greylist.settings import Settings

# To look a triplet up takes as long as to walk past so many others.
_WALKED_PER_LOOK_UP = 6


class Verdicts:
    """Looks triplets up in a database that was written under `settings`.

    It does so by host or by subnet, or if it is not known by which of the two, by either. Mail has passed that was seen
    again after `delay` seconds.
    """

    def __init__(self, triplets: TableSnapshot, settings: Settings, is_lookup_known: bool) -> None:
        self._triplets = triplets
        self.delay = settings.delay
        self._settings = settings
        self._networks_of = lru_cache(REMEMBERED_CLIENTS)(
            lambda address: possible_networks(address, settings, is_lookup_known)
        )

    def came_back(self, deferrals: Sequence[Deferral]) -> set[int]:
        """The places of those whose triplet was seen again, under any of its keys, when the delay was over."""
        if not self._settings.privacy:
            found = self._walk(deferrals)
            if found is not None:
                return found
        return {place for place, deferral in enumerate(deferrals) if self._look_up(deferral)}

    def records(self, address: Address, correspondents: str) -> list[tuple[bytes, bytes | None]]:
        """The keys that the triplet may be stored under, each with what is stored there."""
        return [(key, self._triplets.get(key)) for key in self._keys(address, correspondents)]

    def complaint(self) -> str | None:
        """Return a complaint where the database has keys of another form; None where it has not."""
        first_key = next((key for key, _ in self._triplets), None)
        if first_key is None or is_hash(first_key) == self._settings.privacy:
            return None
        if self._settings.privacy:
            return "the database was written without --privacy: leave that out, or every mail seems lost"
        return "the database was written with --privacy: say so here too, or every mail seems lost"

    def _look_up(self, deferral: Deferral) -> bool:
        for key in self._keys(deferral.address, deferral.correspondents):
            value = self._triplets.get(key)
            if value is not None and self._has_passed(value):
                return True
        return False

    def _walk(self, deferrals: Sequence[Deferral]) -> set[int] | None:
        """Do the work of `came_back` by reading every record; None when there are so many that look-ups are faster."""
        places: dict[str, list[int]] = {}
        for place, deferral in enumerate(deferrals):
            places.setdefault(deferral.correspondents, []).append(place)
        found: set[int] = set()
        for number, (key, value) in enumerate(self._triplets):
            if number == _WALKED_PER_LOOK_UP * len(deferrals):
                return None
            for client, correspondents in divide_key(key.decode("latin-1")):
                candidates = places.get(correspondents)
                if candidates is not None and self._has_passed(value):
                    found.update(place for place in candidates if client in self._networks_of(deferrals[place].address))
        return found

    def _keys(self, address: Address, correspondents: str) -> list[bytes]:
        keys = [f"{client}/{correspondents}".encode("latin-1") for client in self._networks_of(address)]
        if self._settings.privacy:
            keys = [sha1(key, usedforsecurity=False).hexdigest().encode("ascii") for key in keys]
        return keys

    def _has_passed(self, value: bytes) -> bool:
        return has_passed(parse_record(value), self.delay)


def judge(deferrals: Sequence[Deferral], verdicts: Verdicts) -> list[Deferral]:
    """The deferrals that never came back; of the others the mails are marked as having come back."""
    # The log knows, too, of mail that passed by a whitelist or the auto-whitelist and left no trace in its record.
    unclear = [deferral for deferral in deferrals if not deferral.mail.came_back]
    returned = verdicts.came_back(unclear)
    for place in returned:
        unclear[place].mail.came_back = True
    return [deferral for place, deferral in enumerate(unclear) if place not in returned]
