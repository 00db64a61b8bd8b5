# SPDX-License-Identifier: GPL-2.0-or-later
"""A sender's pool: all machines of a domain, known as one client by records of their own (--lookup-by-domain).

The record of the client's network is judged first, as 1.37 does it. That of the domain is looked at only where mail
would be deferred, and can only let it pass sooner. Perl Postgrey never asks for these records, and expires them.
"""

from __future__ import annotations

from typing import NamedTuple

from postgrey_py.greylist.decision import Question, StoredRecord
from postgrey_py.greylist.keys import domain_client_key, domain_triplet_key
from postgrey_py.greylist.records import Record, format_record, has_passed, is_due, is_pending, parse_record
from postgrey_py.greylist.settings import Settings
from postgrey_py.greylist.tables import Records


class Pool(NamedTuple):
    """The state of a triplet by its domain: since when it has been tried, and whether it has passed.

    `client` is the record of all machines of the domain, None where there is no auto-whitelist for them.
    """

    key: bytes
    first_seen: int
    has_passed: bool
    client_key: bytes
    client: Record | None

    def wait(self, now: int, settings: Settings) -> int:
        """Return how many seconds from now a try passes by the domain; 0 for at once."""
        return 0 if self.has_passed else max(0, settings.delay - (now - self.first_seen))

    def is_trusted(self, settings: Settings) -> bool:
        """Whether the auto-whitelist lets the domain's mail through."""
        return self.client is not None and self.client[0] >= settings.auto_whitelist_clients

    def counted(self, now: int) -> tuple[StoredRecord, ...]:
        """Return the record to store of the domain as a client that has earned a count; none where that is not due."""
        if self.client is None or not is_due(self.client, now):
            return ()
        return ((self.client_key, format_record(self.client[0] + 1, now)),)


def look_up_pool(
    question: Question, domain: str, records: Records, first_seen: int, now: int, settings: Settings, is_counted: bool
) -> Pool:
    """Return what is known of the domain's mail with this sender and recipient, the try of `now` included.

    `first_seen` is that of the client's own record, whose tries are the domain's as well. `is_counted` says that the
    domain may earn and use the auto-whitelist. Raises what `records` raises.
    """
    key = domain_triplet_key(domain, question.request.sender, question.request.recipient, settings)
    value = records.triplets.get(key)
    passed_before = False
    if value is not None:
        triplet = parse_record(value)
        passed_before = has_passed(triplet, settings.delay)
        if passed_before:
            first_seen = triplet[0]
        elif is_pending(triplet, now, settings):
            first_seen = min(first_seen, triplet[0])
    name, client = b"", None
    if is_counted:
        name = domain_client_key(domain, settings)
        value = records.clients.get(name)
        client = (0, None) if value is None else parse_record(value)
    return Pool(key, min(first_seen, now), passed_before, name, client)
