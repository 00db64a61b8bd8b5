# SPDX-License-Identifier: GPL-2.0-or-later
"""Explanations: the real decision about a mail, whose writes are thrown away, and what it was made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from postgrey_py.greylist.address import Address, parse_address
from postgrey_py.greylist.decision import NO_FACTS, Decision, Question, Reason, Wanted
from postgrey_py.greylist.domains import UNKNOWN, DomainOf, sender_domain
from postgrey_py.greylist.keys import client_key, domain_triplet_key, triplet_key
from postgrey_py.greylist.near_misses import find_near_misses
from postgrey_py.greylist.policy import Policy
from postgrey_py.greylist.records import Record, has_passed, is_pending, is_trusted, parse_record
from postgrey_py.greylist.request import Request
from postgrey_py.greylist.settings import Settings
from postgrey_py.greylist.tables import Records
from postgrey_py.greylist.whitelists import Whitelists

# What a record says of its triplet.
NEVER_SEEN, PENDING, LAPSED, PASSED = "never seen", "pending", "lapsed", "passed"

_BY_LISTS = (
    Reason.CLIENT_WHITELIST,
    Reason.RECIPIENT_WHITELIST,
    Reason.NOT_GREYLISTED,
    Reason.SENDER_WHITELIST,
    Reason.NOT_SUSPECT,
)


class Explanation(NamedTuple):
    """A decision that would be made at `at`, in seconds since 1970, and what it was made of.

    The keys are empty where the client's address is none, `client_key` also without auto-whitelist. `triplet` and
    `client` are the records, None where there are none; `state` says what the first means. A mail that is deferred, or
    would be, passes from `passes_from` to `passes_until` if it is tried again then. `remarks` name list entries that
    matter beside the decision, and those that nearly match. `domain` is the client's where that is looked up as well,
    and `domain_triplet` the record by that.
    """

    request: Request
    decision: Decision
    at: int
    triplet_key: bytes = b""
    triplet: Record | None = None
    state: str = NEVER_SEEN
    client_key: bytes = b""
    client: Record | None = None
    is_trusted: bool = False
    passes_from: int | None = None
    passes_until: int | None = None
    remarks: tuple[str, ...] = ()
    domain: str = ""
    domain_triplet: Record | None = None


def explain(
    policy: Policy,
    whitelists: Whitelists,
    settings: Settings,
    request: Request,
    helo: str,
    records: Records,
    now: int,
) -> Explanation:
    """Return the decision about this request at `now`, and what it is made of; nothing is written.

    `whitelists` and `settings` are those of `policy`. `helo` is what the client calls itself, empty where that is not
    known. Raises nothing of its own; what `records` raises passes through.
    """
    found = policy.examine(request)
    if isinstance(found, Question):
        judged = policy.judge(found, records, NO_FACTS, now)
        if isinstance(judged, Wanted):
            raise TypeError("facts were given, and are wanted all the same")
        decision = judged
    else:
        decision = found
    address = parse_address(request.client_address)
    if address is None:
        return Explanation(request, decision, now)
    key = triplet_key(address, request.sender, request.recipient, settings)
    value = records.triplets.get(key)
    triplet = None if value is None else parse_record(value)
    name, client = b"", None
    if settings.auto_whitelist_clients:
        name = client_key(address, settings)
        value = records.clients.get(name)
        client = None if value is None else parse_record(value)
    domain = found.domain or "" if isinstance(found, Question) else ""
    value = None
    if domain:
        value = records.triplets.get(domain_triplet_key(domain, request.sender, request.recipient, settings))
    domain_triplet = None if value is None else parse_record(value)
    passes_from = passes_until = None
    if decision.wait:
        first_seen = parse_record(decision.triplets[0][1])[0]
        passes_from, passes_until = now + decision.wait, first_seen + settings.retry_window
    remarks: tuple[str, ...] = ()
    if decision.reason not in _BY_LISTS:
        remarks = (
            *_find_standing(request, address, whitelists, policy.domain_of),
            *find_near_misses(request, address, helo, whitelists),
        )
    return Explanation(
        request,
        decision,
        now,
        key,
        triplet,
        _state(triplet, now, settings),
        name,
        client,
        client is not None and is_trusted(client, settings),
        passes_from,
        passes_until,
        remarks,
        domain,
        domain_triplet,
    )


def _find_standing(request: Request, address: Address, whitelists: Whitelists, domain_of: DomainOf) -> Iterator[str]:
    """Yield what lists say of this mail that let nothing through."""
    if whitelists.sender is not None and (line := whitelists.sender.match(request.sender)):
        domain = sender_domain(request, domain_of) or "nobody's domain"
        why = f"the client's verified name, {request.client_name or UNKNOWN}, is not that of a server in {domain}"
        yield f"{line.entry()} is listed ({line.place()}), but not proven: {why}"
    if whitelists.greylisted is not None and (line := whitelists.greylisted.match(request.recipient)):
        yield f"{line.entry()} is listed ({line.place()}): this recipient is greylisted"
    if whitelists.untrusted is not None and (line := whitelists.untrusted.match(request.client_name, address)):
        yield f"{line.entry()} is listed ({line.place()}): this client never gets onto the auto-whitelist"


def _state(triplet: Record | None, now: int, settings: Settings) -> str:
    if triplet is None:
        return NEVER_SEEN
    if has_passed(triplet, settings.delay):
        return PASSED
    return PENDING if is_pending(triplet, now, settings) else LAPSED
