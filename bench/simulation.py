# SPDX-License-Identifier: GPL-2.0-or-later
"""Three weeks of mail through the real rules, under 1.37's options and under each of ours: who waits, and who gets in.

.venv/bin/python -m bench.simulation [--seed N] [--scale N]

Seeded, in memory, and with no clock: the same seed gives the same table. What it assumes about senders is in
doc/simulation.md. A mail that is not delivered within four hours is late; one that is never delivered is lost.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

from postgrey_py.greylist.decision import NO_FACTS, Action, Question, Wanted
from postgrey_py.greylist.list_lines import Line
from postgrey_py.greylist.policy import Policy
from postgrey_py.greylist.request import Request
from postgrey_py.greylist.settings import SECONDS_PER_DAY, SECONDS_PER_HOUR, Settings
from postgrey_py.greylist.suspicion import USUAL_SUSPICIONS
from postgrey_py.greylist.tables import Records
from postgrey_py.greylist.whitelists import SenderList, Whitelists
from postgrey_py.publicsuffix import load_public_suffixes

START = 1_700_000_000
DAYS = 21
LATE_SECONDS = 4 * SECONDS_PER_HOUR

# When common mail servers try again, in minutes after the first try; the last of them goes on at its last distance
# until the mail is five days old. Postfix' queue run with doubling pauses, Exim's default rule, Exchange's ten minutes
# after the first six, the widening steps of large providers.
SCHEDULES: dict[str, tuple[float, ...]] = {
    "postfix": (5, 10, 20, 40, 80, 140, 207, 274),
    "exim": (15, 30, 45, 60, 75, 90, 105, 120, 180, 270, 405),
    "exchange": (1, 2, 3, 4, 5, 6, 16, 26, 36, 46),
    "large": (2, 7, 17, 37, 77, 137, 257, 497),
}
GIVE_UP_SECONDS = 5 * SECONDS_PER_DAY


class Host(NamedTuple):
    """A machine that connects: its address, the name that the mail server has verified, and its HELO."""

    address: str
    name: str
    helo: str


@dataclass(slots=True)
class Mail:
    """One mail: when it is tried first and from which hosts, and what became of it."""

    kind: str
    first: int
    sender: str
    recipient: str
    retries: tuple[int, ...]
    hosts: tuple[Host, ...]
    is_wanted: bool
    delivered: int | None = None
    tried: int = field(default=0)


class Outcome(NamedTuple):
    """What became of the mail of a kind: median and p95 of the delay in seconds, and shares from 0 to 1."""

    mails: int
    median: float
    p95: float
    late: float
    delivered: float


def retry_times(schedule: str, chance: random.Random) -> tuple[int, ...]:
    """Return when a server of this kind tries again, in seconds after the first try."""
    minutes = list(SCHEDULES[schedule])
    step = minutes[-1] - minutes[-2]
    while minutes[-1] * 60 < GIVE_UP_SECONDS:
        minutes.append(minutes[-1] + step)
    return tuple(int(60 * minute + chance.uniform(0, 60)) for minute in minutes if minute * 60 < GIVE_UP_SECONDS)


def make_mails(chance: random.Random, scale: int) -> list[Mail]:
    """Return all mail of the three weeks, `scale` times a small site's."""
    mails: list[Mail] = []
    for make in (_pools, _single_servers, _newsletters, _codes, _bots):
        mails += make(chance, scale)
    return sorted(mails, key=lambda mail: mail.first)


def _moments(number: int, chance: random.Random) -> Iterator[int]:
    for _ in range(number):
        yield START + chance.randrange(DAYS * SECONDS_PER_DAY)


def _recipient(chance: random.Random) -> str:
    return f"user{chance.randrange(300)}@example.org"


def _address(chance: random.Random) -> str:
    return ".".join(str(chance.randrange(1, 255)) for _ in range(4))


def _pools(chance: random.Random, scale: int) -> Iterator[Mail]:
    """Large senders: 1 to 200 machines, each in a network of its own, one after the other at random."""
    for number, machines in enumerate((1, 3, 10, 30, 80, 200)):
        domain = f"pool{number}.com"
        hosts = [
            Host(_address(chance), f"mail-{letter}{machine}.out.{domain}", f"mail-{letter}{machine}.out.{domain}")
            for machine in range(machines)
            for letter in chance.choice("abcdef")
        ]
        for moment in _moments(120 * scale, chance):
            retries = retry_times("large", chance)
            used = tuple(chance.choice(hosts) for _ in range(len(retries) + 1))
            sender = f"person{chance.randrange(200)}@{domain}"
            yield Mail("pools", moment, sender, _recipient(chance), retries, used, True)


def _single_servers(chance: random.Random, scale: int) -> Iterator[Mail]:
    for number in range(150):
        domain = f"firm{number}.example"
        host = Host(_address(chance), f"mx.{domain}", f"mx.{domain}")
        schedule = chance.choice(("postfix", "postfix", "exim", "exchange"))
        # A few have no name that the mail server could verify, or call themselves oddly.
        if chance.random() < 0.04:
            host = host._replace(name="unknown")
        if chance.random() < 0.03:
            host = host._replace(helo="server")
        for moment in _moments(6 * scale, chance):
            retries = retry_times(schedule, chance)
            sender = f"person{chance.randrange(5)}@{domain}"
            used = (host,) * (len(retries) + 1)
            yield Mail("single servers", moment, sender, _recipient(chance), retries, used, True)


def _newsletters(chance: random.Random, scale: int) -> Iterator[Mail]:
    """Weekly, with another sender for each mail (VERP), from four machines."""
    for number in range(20):
        domain = f"news{number}.example"
        hosts = [Host(_address(chance), f"mta{host}.{domain}", f"mta{host}.{domain}") for host in range(4)]
        for issue in range(3 * scale):
            for reader in range(10):
                moment = START + (issue % 3) * 7 * SECONDS_PER_DAY + number * 3600 + chance.randrange(3600)
                retries = retry_times("postfix", chance)
                sender = f"bounce-{issue}x{reader}a{number}b@{domain}"
                used = tuple(chance.choice(hosts) for _ in range(len(retries) + 1))
                yield Mail("newsletters", moment, sender, f"user{reader}@example.org", retries, used, True)


def _codes(chance: random.Random, scale: int) -> Iterator[Mail]:
    """One-time codes: from services that somebody uses now and then, by way of twelve machines."""
    for number in range(30):
        domain = f"shop{number}.example"
        hosts = [Host(_address(chance), f"o{host}.mail.{domain}", f"o{host}.mail.{domain}") for host in range(12)]
        for moment in _moments(8 * scale, chance):
            retries = retry_times("large", chance)
            used = tuple(chance.choice(hosts) for _ in range(len(retries) + 1))
            yield Mail("codes", moment, f"noreply@{domain}", _recipient(chance), retries, used, True)


def _bots(chance: random.Random, scale: int) -> Iterator[Mail]:
    """Machines of customers of twelve providers. Most never retry, some do at once, some have another bot try again."""
    providers = [f"isp{number}.example" for number in range(12)]
    for moment in _moments(4000 * scale, chance):
        provider = chance.choice(providers)
        behaviour = chance.choices(("never", "soon", "other bot", "server-like"), (78, 12, 7, 3))[0]
        hosts = [_bot(provider, chance) for _ in range(3)]
        sender, recipient = f"x{chance.randrange(10**6)}@victim{chance.randrange(500)}.example", _recipient(chance)
        if behaviour == "never":
            retries: tuple[int, ...] = ()
            used: tuple[Host, ...] = (hosts[0],)
        elif behaviour == "soon":
            retries, used = (20, 60), (hosts[0],) * 3
        elif behaviour == "other bot":
            retries, used = (420, 1500), tuple(hosts)
        else:
            retries, used = (900, 3600), (hosts[0],) * 3
        yield Mail("bots", moment, sender, recipient, retries, used, False)


def _bot(provider: str, chance: random.Random) -> Host:
    address = _address(chance)
    dashed = address.replace(".", "-")
    names = (f"dyn-{dashed}.{provider}", "unknown", f"web{chance.randrange(99)}.{provider}")
    name = chance.choices(names, (60, 32, 8))[0]
    helos = ("PC", f"[{address}]", "mail.example.com", name if name != "unknown" else "host")
    helo = chance.choices(helos, (3, 2, 3, 2))[0]
    return Host(address, name, helo)


def play(mails: Sequence[Mail], settings: Settings, whitelists: Whitelists) -> None:
    """Have the rules decide each try, in order of time, and note when each mail was delivered."""
    policy = Policy(settings, whitelists, domain_of=load_public_suffixes())
    triplets: dict[bytes, bytes] = {}
    clients: dict[bytes, bytes] = {}
    records = Records(triplets, clients)
    numbers = count()
    waiting: list[tuple[int, int, Mail]] = []
    for mail in mails:
        heappush(waiting, (mail.first, next(numbers), mail))
    while waiting:
        now, _, mail = heappop(waiting)
        host = mail.hosts[mail.tried]
        request = Request(host.address, host.name, mail.sender, mail.recipient, "", str(next(numbers)), host.helo)
        decision = policy.examine(request)
        if isinstance(decision, Question):
            judged = policy.judge(decision, records, NO_FACTS, now)
            if isinstance(judged, Wanted):
                raise TypeError("facts were given")
            decision = judged
            triplets.update(decision.triplets)
            clients.update(decision.clients)
        mail.tried += 1
        if decision.action is Action.PASS:
            mail.delivered = now
        elif mail.tried <= len(mail.retries):
            heappush(waiting, (mail.first + mail.retries[mail.tried - 1], next(numbers), mail))


def summarise(mails: Sequence[Mail]) -> dict[str, Outcome]:
    """Return the outcome of each kind of mail."""
    outcomes = {}
    for kind in dict.fromkeys(mail.kind for mail in mails):
        some = [mail for mail in mails if mail.kind == kind]
        delays = sorted(mail.delivered - mail.first for mail in some if mail.delivered is not None)
        late = sum(mail.delivered is None or mail.delivered - mail.first > LATE_SECONDS for mail in some)
        outcomes[kind] = Outcome(
            len(some),
            delays[len(delays) // 2] if delays else 0.0,
            delays[int(0.95 * (len(delays) - 1))] if delays else 0.0,
            late / len(some),
            len(delays) / len(some),
        )
    return outcomes


def _senders(*entries: str) -> SenderList:
    return SenderList(Line("senders", number, entry) for number, entry in enumerate(entries, 1))


USUAL = Settings()
# The shops whose codes somebody waits for are on a list of senders.
SHOPS = _senders(*(f"shop{number}.example" for number in range(30)))
OPTIONS: dict[str, tuple[Settings, Whitelists]] = {
    "as 1.37": (USUAL, Whitelists()),
    "--lookup-by-host": (replace(USUAL, lookup_by_host=True), Whitelists()),
    "--lookup-by-domain": (replace(USUAL, lookup_by_domain=True), Whitelists()),
    "--whitelist-senders": (USUAL, Whitelists(sender=SHOPS)),
    "--only-suspects": (replace(USUAL, only_suspects=USUAL_SUSPICIONS), Whitelists()),
    "all of ours": (
        replace(USUAL, lookup_by_domain=True, only_suspects=USUAL_SUSPICIONS),
        Whitelists(sender=SHOPS),
    ),
}


def simulate(seed: int, scale: int) -> dict[str, dict[str, Outcome]]:
    """Return the outcomes by option and kind of mail."""
    results = {}
    for name, (settings, whitelists) in OPTIONS.items():
        # The same mail each time.
        mails = make_mails(random.Random(seed), scale)
        play(mails, settings, whitelists)
        results[name] = summarise(mails)
    return results


def format_table(results: dict[str, dict[str, Outcome]]) -> str:
    """Return the table as Markdown."""
    lines = [
        "| options | mail | mails | median | p95 | later than 4 h | delivered |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, outcomes in results.items():
        for kind, one in outcomes.items():
            median, p95 = (f"{seconds / 60:.0f} min" for seconds in (one.median, one.p95))
            late = "" if kind == "bots" else f"{100 * one.late:.1f} %"
            lines.append(f"| {name} | {kind} | {one.mails} | {median} | {p95} | {late} | {100 * one.delivered:.1f} % |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; returns the exit status."""
    parser = argparse.ArgumentParser(prog="bench.simulation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scale", type=int, default=1)
    options = parser.parse_args(arguments)
    print(format_table(simulate(options.seed, options.scale)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
