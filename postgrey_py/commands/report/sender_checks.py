# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks of clients and senders in the DNS: is the client a mail server of the sender's domain, is it on a blacklist.

All names are asked for at once. Called by `report`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from ipaddress import ip_address

from postgrey_py.commands.dns import DnsQuestion, Nameserver, Resolver
from postgrey_py.commands.progress import ProgressBar
from postgrey_py.commands.report.history import Deferral
from postgrey_py.commands.report.options import SENDER_CHECKS
from postgrey_py.greylist.address import IPV4_BITS, IPV6_BITS, Address, parse_address

# What counts as near: the /24 of the check's name, and what of IPv6 a site has.
_NEAR_BITS = {IPV4_BITS: 24, IPV6_BITS: 64}

# Blacklists answer with these; they say 127.255.255.x to those whom they do not want to answer.
_LISTED = "127."
_REFUSED = "127.255.255."


class SenderChecks:
    """Asks these name servers, those of the system where there are none."""

    def __init__(self, nameservers: Sequence[Nameserver]) -> None:
        self._resolver = Resolver(nameservers)

    @property
    def is_given_up(self) -> bool:
        """Whether no name server answered, so that the results say nothing."""
        return self._resolver.is_given_up

    def leave_out_listed(self, deferrals: Sequence[Deferral], blacklists: Sequence[str]) -> list[Deferral]:
        """Those deferrals whose client is on none of these DNS blacklists. Raises PostgreyError."""
        questions = {
            DnsQuestion(f"{_reversed(address)}.{blacklist.strip('.')}", "A"): address
            for address in {deferral.address for deferral in deferrals}
            for blacklist in blacklists
        }
        with ProgressBar("looking up blacklists") as bar:
            answers = self._resolver.look_up(questions, bar.show)
        listed = {questions[question] for question, answer in answers.items() if any(map(_is_listing, answer or ()))}
        return [deferral for deferral in deferrals if deferral.address not in listed]

    def check_senders(self, deferrals: Sequence[Deferral], checks: Collection[str]) -> dict[int, str]:
        """Return for each deferral, by its place, the first of these SENDER_CHECKS that it passes, in capitals.

        Those that pass none are left out. Raises PostgreyError.
        """
        domains = [domain_of(deferral.sender) for deferral in deferrals]
        known = sorted({domain for domain in domains if domain})
        by_mx = self._exchangers(known) if {"mx", "mx/24"} & set(checks) else {}
        by_a = {domain: (domain,) for domain in known} if {"a", "a/24"} & set(checks) else {}
        addresses = self._addresses({name for names in (*by_mx.values(), *by_a.values()) for name in names})
        passed: dict[int, str] = {}
        for place, (deferral, domain) in enumerate(zip(deferrals, domains, strict=True)):
            for check in (check for check in SENDER_CHECKS if check in checks):
                names = (by_mx if check.startswith("mx") else by_a).get(domain, ())
                servers = (address for name in names for address in addresses[name])
                if _is_among(deferral.address, servers, is_near_enough=check.endswith("/24")):
                    passed[place] = check.upper()
                    break
        return passed

    def _exchangers(self, domains: Iterable[str]) -> dict[str, tuple[str, ...]]:
        """The names of the mail exchangers of each domain."""
        with ProgressBar("looking up mail exchangers") as bar:
            answers = self._resolver.look_up([DnsQuestion(domain, "MX") for domain in domains], bar.show)
        return {question.name: answer or () for question, answer in answers.items()}

    def _addresses(self, names: Iterable[str]) -> dict[str, list[Address]]:
        """The addresses of each name."""
        questions = [DnsQuestion(name, kind) for name in sorted(names) for kind in ("A", "AAAA")]
        with ProgressBar("looking up addresses") as bar:
            answers = self._resolver.look_up(questions, bar.show)
        addresses: dict[str, list[Address]] = {}
        for question, answer in answers.items():
            found = (parse_address(text) for text in answer or ())
            addresses.setdefault(question.name, []).extend(address for address in found if address is not None)
        return addresses


def domain_of(sender: str) -> str:
    """The domain of a sender, empty where there is none."""
    return sender.rpartition("@")[2] if "@" in sender else ""


def _is_among(client: Address, servers: Iterable[Address], is_near_enough: bool) -> bool:
    """Whether the client is one of the servers, or near one."""
    length = _NEAR_BITS[client.bits] if is_near_enough else client.bits
    return any(server.bits == client.bits and server.network(length) == client.network(length) for server in servers)


def _is_listing(answer: str) -> bool:
    return answer.startswith(_LISTED) and not answer.startswith(_REFUSED)


def _reversed(address: Address) -> str:
    """The address as it stands before the name of a blacklist."""
    text = ip_address(address.text()).reverse_pointer
    return text.removesuffix(".in-addr.arpa").removesuffix(".ip6.arpa")
