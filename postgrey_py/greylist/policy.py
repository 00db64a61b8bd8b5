# SPDX-License-Identifier: GPL-2.0-or-later
"""The rules: whitelists, then the auto-whitelist, then the triplet; before a deferral, what an administrator ordered.

`examine` answers what needs no records, `judge` everything else. Both are pure and total: the same arguments give the
same decision, nothing is written, and no input raises. What is to be stored is in the decision.
"""

from __future__ import annotations

from postgrey_py.greylist.address import Address, parse_address
from postgrey_py.greylist.decision import (
    Action,
    Decision,
    Facts,
    Note,
    Question,
    Reason,
    StoredRecord,
    Wanted,
    deferral_text,
)
from postgrey_py.greylist.domains import DomainOf, client_domain, is_proven, no_domain
from postgrey_py.greylist.keys import client_key, domain_triplet_key, triplet_key
from postgrey_py.greylist.list_lines import Line
from postgrey_py.greylist.overrides import NO_OVERRIDES, Overrides
from postgrey_py.greylist.pools import look_up_pool
from postgrey_py.greylist.records import Record, format_record, has_passed, is_due, is_pending, parse_record
from postgrey_py.greylist.request import Request
from postgrey_py.greylist.settings import Settings
from postgrey_py.greylist.suspicion import find_suspicions
from postgrey_py.greylist.tables import Records
from postgrey_py.greylist.whitelists import Whitelists

# Members of an enumeration take long to look up.
_PASS, _GREYLIST = Action.PASS, Action.GREYLIST
_CLIENT_WHITELIST, _AUTO_WHITELIST = Reason.CLIENT_WHITELIST, Reason.AUTO_WHITELIST
_NEW, _TRIPLET_FOUND = Reason.NEW, Reason.TRIPLET_FOUND

# A client of which nothing is known: nothing passed, and it was never seen.
_NEVER_SEEN: Record = (0, None)


class Policy:
    """The rules under these settings, whitelists and orders. A reload or a new order makes a new one.

    With `wants_facts`, `judge` says so before it defers; else nobody is asked. `domain_of` gives the organisational
    domain of a name.
    """

    def __init__(
        self,
        settings: Settings,
        whitelists: Whitelists,
        wants_facts: bool = False,
        overrides: Overrides = NO_OVERRIDES,
        domain_of: DomainOf = no_domain,
    ) -> None:
        self._settings = settings
        self.domain_of = domain_of
        self._whitelists = whitelists
        self._looks_closer = bool(settings.only_suspects) or settings.lookup_by_domain
        self._lists_senders = whitelists.sender is not None or whitelists.unverified_sender is not None
        self._wants_facts = wants_facts
        # None where there is nothing to look for.
        self._overrides = overrides if overrides.allowances or overrides.pause else None

    def examine(self, request: Request) -> Decision | Question:
        """Return what the lists decide about this request, or the question to be judged."""
        if request.flaws is not None and request.flaws.missing is not None:
            return Decision(_PASS, Reason.ATTRIBUTE_MISSING, detail=request.flaws.missing)
        address = parse_address(request.client_address)
        if address is None:
            return Decision(_PASS, Reason.UNKNOWN_ADDRESS)
        entry = self._whitelists.client.match(request.client_name, address)
        if entry is not None:
            return Decision(_PASS, _CLIENT_WHITELIST, 0, None, entry)
        entry = self._whitelists.recipient.match(request.recipient)
        if entry is not None:
            return Decision(_PASS, Reason.RECIPIENT_WHITELIST, 0, None, entry)
        if self._lists_senders and (entry := self._find_sender(request, address)) is not None:
            return Decision(_PASS, Reason.SENDER_WHITELIST, 0, None, entry)
        greylisted = self._whitelists.greylisted
        if greylisted is not None and greylisted.match(request.recipient) is None:
            return Decision(_PASS, Reason.NOT_GREYLISTED)
        if not self._looks_closer:
            return Question(request, address)
        return self._look_closer(request, address)

    def _look_closer(self, request: Request, address: Address) -> Decision | Question:
        """Return the question about a client whose suspicions or domain are wanted, unless it is no suspect."""
        settings = self._settings
        suspicions: tuple[str, ...] = ()
        if settings.only_suspects:
            suspicions = find_suspicions(request, address, settings.only_suspects, self.domain_of, settings.hostname)
            if not suspicions:
                return Decision(_PASS, Reason.NOT_SUSPECT)
        domain = client_domain(request, address, self.domain_of) if settings.lookup_by_domain else None
        return Question(request, address, suspicions, domain)

    def judge(self, question: Question, records: Records, facts: Facts | None, now: int) -> Decision | Wanted:
        """Return what the records decide at `now`, in seconds since 1970 (unless the request brings a time).

        `facts` is None where nobody has been asked yet. Raises nothing of its own; what `records` raises passes
        through.
        """
        request, address, _, domain = question
        settings, clock = self._settings, now
        if request.test_time is not None:
            now = request.test_time
        client, client_is_due, name, may_be_trusted = _NEVER_SEEN, False, b"", False
        clients: tuple[StoredRecord, ...] = ()
        if settings.auto_whitelist_clients:
            name = client_key(address, settings)
            value = records.clients.get(name)
            client = _NEVER_SEEN if value is None else parse_record(value)
            untrusted = self._whitelists.untrusted
            if untrusted is not None and untrusted.match(request.client_name, address) is not None:
                # What it has earned it loses, for Perl Postgrey and for the time after it is off the list as well.
                clients = ((name, format_record(0, now)),) if client[0] else ()
                client = _NEVER_SEEN
            else:
                client_is_due, may_be_trusted = is_due(client, now), True
            if client[0] >= settings.auto_whitelist_clients:
                clients = ((name, format_record(client[0] + 1, now)),) if client_is_due else ()
                return Decision(_PASS, _AUTO_WHITELIST, 0, None, None, (), clients)

        key = triplet_key(address, request.sender, request.recipient, settings)
        value = records.triplets.get(key)
        notes: tuple[Note, ...] = ()
        first_seen, passed_before = now, False
        if value is not None:
            triplet = parse_record(value)
            passed_before = has_passed(triplet, settings.delay)
            if passed_before or is_pending(triplet, now, settings):
                first_seen = triplet[0]
            if first_seen > now:
                notes = (Note.FIRST_SEEN_IN_FUTURE,)
                first_seen = now
        triplets: tuple[StoredRecord, ...] = ((key, format_record(first_seen, now)),)

        wait = settings.delay - (now - first_seen)
        pool = None
        if domain is not None and not passed_before:
            pool = look_up_pool(question, domain, records, first_seen, now, settings, may_be_trusted)
            if wait > 0 and pool.is_trusted(settings):
                # The network's record as well, so that Perl Postgrey knows since when it has been tried.
                counted = pool.counted(now)
                return Decision(_PASS, Reason.DOMAIN_AUTO_WHITELIST, 0, None, None, triplets, counted, notes, domain)
            wait = min(wait, pool.wait(now, settings))
            triplets = ((key, format_record(first_seen, now)), (pool.key, format_record(pool.first_seen, now)))
        if wait > 0:
            is_new = first_seen == now and (pool is None or pool.first_seen == now)
            return self._defer(question, facts, clock, wait, is_new, triplets, clients, notes)
        if passed_before:
            if domain is not None:
                # So that the domain is remembered for as long as its mail comes.
                key = domain_triplet_key(domain, request.sender, request.recipient, settings)
                triplets = (*triplets, (key, format_record(first_seen, now)))
            return Decision(_PASS, _TRIPLET_FOUND, 0, None, None, triplets, clients, notes)

        # It passes for the first time.
        if client_is_due:
            clients = ((name, format_record(client[0] + 1, now)),)
            if client[0] + 1 == settings.auto_whitelist_clients:
                notes += (Note.CLIENT_TRUSTED,)
        reason, detail = _TRIPLET_FOUND, ""
        if pool is not None:
            if settings.delay > now - first_seen:
                # Its own record would have deferred it.
                reason, detail, first_seen = Reason.DOMAIN_FOUND, question.domain or "", pool.first_seen
            triplets = ((key, format_record(first_seen, now)), (pool.key, format_record(pool.first_seen, now)))
            if detail and pool.has_passed:
                # Another machine of the domain has waited, and earned what there was to earn.
                return Decision(_PASS, reason, 0, None, None, triplets, (), notes, detail)
            clients += pool.counted(now)
        # Once for each message; without an instance every request is one.
        is_told = request.instance is None or request.instance not in records.instances
        waited = now - first_seen
        delay = waited if is_told else None
        return Decision(_PASS, reason, 0, delay, None, triplets, clients, notes, detail, waited)

    def _defer(
        self,
        question: Question,
        facts: Facts | None,
        clock: int,
        wait: int,
        is_new: bool,
        triplets: tuple[StoredRecord, ...],
        clients: tuple[StoredRecord, ...],
        notes: tuple[Note, ...],
    ) -> Decision | Wanted:
        """Return the deferral of a mail that has to wait so many seconds, or what lets it pass all the same."""
        if self._overrides is not None and (order := self._find_order(question, clock)):
            return Decision(_PASS, order[0], wait, None, None, triplets, clients, notes, order[1])
        if facts is None and self._wants_facts:
            return Wanted(question)
        if facts is not None and facts.voucher:
            return Decision(_PASS, Reason.VOUCHED_FOR, detail=facts.voucher)
        reason = _NEW if is_new else Reason.EARLY_RETRY
        if self._settings.training:
            would = deferral_text(reason, wait)
            return Decision(_PASS, Reason.TRAINING, wait, None, None, triplets, clients, notes, would)
        return Decision(_GREYLIST, reason, wait, None, None, triplets, clients, notes, suspicions=question.suspicions)

    def _find_sender(self, request: Request, address: Address) -> Line | None:
        """Return the line that lets this sender's mail pass: as it is, or because the client is of its domain."""
        lists = self._whitelists
        if lists.unverified_sender is not None and (entry := lists.unverified_sender.match(request.sender)) is not None:
            return entry
        entry = None if lists.sender is None else lists.sender.match(request.sender)
        return entry if entry is not None and is_proven(request, address, self.domain_of) else None

    def _find_order(self, question: Question, clock: int) -> tuple[Reason, str] | None:
        """Return by what order this mail is not deferred now, whatever time it says it is."""
        overrides = self._overrides
        if overrides is None:
            return None
        if (pause := overrides.find_pause(clock)) is not None:
            return Reason.PAUSED, pause.text()
        allowance = overrides.find_allowance(question.request, question.address, clock)
        return (Reason.ALLOWED, str(allowance.number)) if allowance is not None else None
