# SPDX-License-Identifier: GPL-2.0-or-later
"""Many DNS look-ups at a time: bounded in number, each with a timeout, every answer kept.

Used by all tools that print names or check them. Ask for everything at once, in one call; look-ups that need the
answers of others (the addresses of mail exchangers) go into a second one:

    resolver = Resolver()
    mail_exchangers = resolver.look_up([DnsQuestion("example.org", "MX"), ...])   # {question: ("mx.example.org",) ...}
    names = resolver.names_of(["192.0.2.1", ...])                              # {"192.0.2.1": "mail.example.com"}
"""

from __future__ import annotations

import argparse
import asyncio
import re
import resource
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

import dns.asyncquery
import dns.exception
import dns.message
import dns.rcode
import dns.rdata
import dns.rdatatype
import dns.resolver
import dns.reversename
from dns.rdtypes.ANY.TXT import TXT

from postgrey_py.errors import PostgreyError

# Each has a socket of its own. Name servers put up with this many: BIND takes 900 by default, unbound and systemd more;
# dnsmasq takes 150, says REFUSED to the rest, and is asked again.
CONCURRENCY = 500
SPARE_DESCRIPTORS = 64

TIMEOUT_SECONDS = 8.0
# The first try is short, since packets get lost when many are sent at a time, and each is twice as long as the one
# before, up to this, since a name server may have to ask others for long.
FIRST_TRY_SECONDS = 1.0
TRY_SECONDS = 4.0
BUSY_SECONDS = 0.25
# What the library may take beyond its time.
GRACE_SECONDS = 0.5

DNS_PORT = 53
RESOLV_CONF = "/etc/resolv.conf"

_ADDRESS_AND_PORT = re.compile(r"(?:\[([^\]]+)\]|([^:]+))(?::([0-9]{1,6}))?")

# The data of the answer, as text: names without the last dot, addresses, texts. () is no such data; None is no answer.
Answer: TypeAlias = tuple[str, ...] | None
Progress: TypeAlias = Callable[[int, int], None]


class DnsQuestion(NamedTuple):
    """A name in the DNS and the type of the data that is wanted of it: A, AAAA, MX, PTR, TXT."""

    name: str
    type: str


class Nameserver(NamedTuple):
    """The address of a name server."""

    address: str
    port: int


class Resolver:
    """Asks name servers, those of /etc/resolv.conf unless others are given, and remembers what they said.

    `timeout` is how many seconds one look-up may take, with all tries. When one has taken that long and no other was
    answered meanwhile, the rest is left alone, and `is_given_up` tells so; so many look-ups that nobody answers do
    not take much longer than one.
    """

    def __init__(self, nameservers: Sequence[Nameserver] = (), timeout: float = TIMEOUT_SECONDS) -> None:
        self.is_given_up = False
        self._nameservers = list(nameservers)
        self._timeout = timeout
        self._answers: dict[DnsQuestion, Answer] = {}
        self._answered_at = 0.0
        self._concurrency = _affordable_concurrency()

    def look_up(
        self, questions: Iterable[DnsQuestion], on_progress: Progress | None = None
    ) -> dict[DnsQuestion, Answer]:
        """The answers to these questions; what was asked before is not asked again.

        `on_progress` is called with how many look-ups are done, and of how many. Raises PostgreyError when no name
        server is known.
        """
        wanted = list(dict.fromkeys(questions))
        unknown = [question for question in wanted if question not in self._answers]
        if unknown:
            if not self._nameservers:
                self._nameservers = _system_nameservers()
            asyncio.run(self._ask_all(unknown, on_progress or _no_progress))
        return {question: self._answers[question] for question in wanted}

    def names_of(self, addresses: Iterable[str], on_progress: Progress | None = None) -> dict[str, str]:
        """The reverse names of these IPv4 and IPv6 addresses; those that have none are left out."""
        questions = {address: DnsQuestion(reverse_name(address), "PTR") for address in addresses}
        answers = self.look_up(questions.values(), on_progress)
        names = ((address, answers[question]) for address, question in questions.items())
        return {address: answer[0] for address, answer in names if answer}

    async def _ask_all(self, questions: list[DnsQuestion], on_progress: Progress) -> None:
        waiting = iter(questions)
        done = 0
        is_silent = self.is_given_up

        async def work() -> None:
            """Ask one question after the other; none any more once the name server is silent."""
            nonlocal done, is_silent
            for question in waiting:
                if is_silent:
                    self.is_given_up, answer = True, None
                else:
                    asked_at = time.monotonic()
                    answer = await self._ask(question)
                    # A name that nobody can tell is nothing strange, as long as others are told meanwhile.
                    is_silent = is_silent or (answer is None and self._answered_at < asked_at)
                self._answers[question] = answer
                done += 1
                on_progress(done, len(questions))

        await asyncio.gather(*(work() for _ in range(min(self._concurrency, len(questions)))))
        self.is_given_up |= is_silent and not self._answered_at

    async def _ask(self, question: DnsQuestion) -> Answer:
        try:
            query = dns.message.make_query(question.name, question.type)
        except (dns.exception.DNSException, UnicodeError):
            # Too long, an empty label and the like: there can't be such a name.
            return ()
        deadline = time.monotonic() + self._timeout
        for server, try_seconds in self._attempts():
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                break
            seconds = min(remaining, try_seconds)
            asking = dns.asyncquery.udp_with_fallback(
                query, server.address, timeout=seconds, port=server.port, ignore_unexpected=True
            )
            try:
                # Up to release 2.3 the library waits for good when its own time is over to the clock tick.
                response, _ = await asyncio.wait_for(asking, seconds + GRACE_SECONDS)
            except (dns.exception.DNSException, OSError, EOFError, asyncio.TimeoutError):
                # Perhaps it is not running: no reason to ask it without a pause.
                await asyncio.sleep(min(remaining, BUSY_SECONDS))
                continue
            self._answered_at = time.monotonic()
            if response.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                return _data_of(response, question)
            if response.rcode() == dns.rcode.SERVFAIL and len(self._nameservers) == 1:
                break
            await asyncio.sleep(min(remaining, BUSY_SECONDS))
        return None

    def _attempts(self) -> Iterator[tuple[Nameserver, float]]:
        """Yield each name server to ask in turn, with the seconds to wait for its answer."""
        seconds = FIRST_TRY_SECONDS
        while True:
            for server in self._nameservers:
                yield server, min(seconds, TRY_SECONDS)
            seconds *= 2


def reverse_name(address: str) -> str:
    """The name under which the DNS has the name of this address."""
    return dns.reversename.from_address(address).to_text()


def parse_nameserver(text: str) -> Nameserver:
    """The name server written as ADDRESS[:PORT], IPv6 with a port as [ADDRESS]:PORT; for argparse."""
    match = _ADDRESS_AND_PORT.fullmatch(text)
    address, port = (match[1] or match[2], int(match[3] or DNS_PORT)) if match else (text, DNS_PORT)
    try:
        dns.reversename.from_address(address)
    except dns.exception.DNSException as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not the address of a name server (ADDRESS[:PORT])") from error
    if not 0 < port < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is not the address of a name server: there is no such port")
    return Nameserver(address, port)


def _data_of(response: dns.message.Message, question: DnsQuestion) -> tuple[str, ...]:
    """The data of the wanted type, wherever a chain of aliases leads."""
    wanted = dns.rdatatype.from_text(question.type)
    return tuple(_text_of(data) for rrset in response.answer if rrset.rdtype == wanted for data in rrset)


def _text_of(data: dns.rdata.Rdata) -> str:
    target = getattr(data, "target", None) or getattr(data, "exchange", None)
    if target is not None:
        return str(target.to_text(omit_final_dot=True))
    if isinstance(data, TXT):
        return b"".join(data.strings).decode("utf-8", "replace")
    return data.to_text()


def _system_nameservers() -> list[Nameserver]:
    try:
        configured = dns.resolver.Resolver(RESOLV_CONF).nameservers
    except (dns.exception.DNSException, OSError) as error:
        raise PostgreyError(f"no name server to ask: {RESOLV_CONF} has none; name one with --nameserver") from error
    return [Nameserver(str(address), DNS_PORT) for address in configured]


def _affordable_concurrency() -> int:
    """As many look-ups at a time as there may be open files."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return CONCURRENCY if soft == resource.RLIM_INFINITY else max(1, min(CONCURRENCY, soft - SPARE_DESCRIPTORS))


def _no_progress(done: int, total: int) -> None:
    """Ignore the progress."""
