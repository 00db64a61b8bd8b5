# SPDX-License-Identifier: GPL-2.0-or-later
"""Mail logs of a made-up week, the database that a server would have after it, and what a report must say of both.

The same seed makes the same log. Lines are those of Postfix and of the server, by rsyslog in the traditional form or
in ISO 8601. Without `quirks` there is only mail that Perl's postgreyreport judges rightly.
"""

from __future__ import annotations

import itertools
import random
import string
import time
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from postgrey_py.greylist.address import parse_address
from postgrey_py.greylist.keys import rewrite_sender, triplet_key
from postgrey_py.greylist.lowercase import ascii_lower
from postgrey_py.greylist.settings import Settings
from tests.database.dbdirs import fill

DELAY = 300
DAYS = 7
HOST = "mx.example.org"
GREYLISTED = "Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/example.org.html"

# 2026-03-02, a Monday.
START = 1_772_409_600
SECONDS_PER_DAY = 86400

# What of a hundred mails becomes of them, and how often mail comes at which hour.
KINDS = {"lost": 45, "returned": 20, "known": 17, "whitelisted": 11, "auto_whitelisted": 7}
RETRIES = {310: 18, 420: 5, 600: 25, 900: 14, 1200: 6, 1800: 14, 3600: 9, 7200: 4, 14400: 3, 28800: 1.5, 43200: 0.5}
BUSY_HOURS = (2, 2, 2, 2, 3, 4, 6, 9, 14, 16, 16, 15, 13, 14, 16, 15, 13, 10, 8, 7, 6, 5, 4, 3)


@dataclass(frozen=True, slots=True)
class Row:
    """A deferral that never came back, as the report has it."""

    client_address: str
    client_name: str
    sender: str
    recipient: str


@dataclass(slots=True)
class World:
    """What was generated. `lost` has how often each was tried, `delays` belong to the mails that came back."""

    lines: list[str]
    records: dict[bytes, bytes] = field(default_factory=dict)
    lost: dict[Row, int] = field(default_factory=dict)
    delays: list[int] = field(default_factory=list)
    deferred: int = 0
    known: int = 0
    whitelisted: int = 0
    auto_whitelisted: int = 0


@dataclass(frozen=True, slots=True)
class Client:
    address: str
    name: str


@dataclass(frozen=True, slots=True)
class Mail:
    """`sender` as the server gets it, `logged_sender` as Postfix writes it into its log."""

    client: Client
    sender: str
    logged_sender: str
    recipient: str

    def attributes(self) -> str:
        """As in the server's log, where the empty sender is left out."""
        sender = f"sender={self.sender}, " if self.sender else ""
        name, address = self.client.name, self.client.address
        return f"client_name={name}, client_address={address}, {sender}recipient={self.recipient}"


def make_world(directory: Path, seed: int, wanted: int) -> tuple[World, Path]:
    """A log of so many lines in which Perl's report is right, and the database to it."""
    world = Generator(seed, wanted).generate()
    fill(directory / "db", world.records)
    return world, directory / "db"


class Generator:
    """Makes one World of at least `wanted` lines; `settings` are those of the server whose database it is.

    With `rejections_only`, all lines are rejections of Postfix.
    """

    def __init__(
        self,
        seed: int,
        wanted: int,
        quirks: bool = False,
        iso: bool = False,
        settings: Settings | None = None,
        rejections_only: bool = False,
    ) -> None:
        self.random = random.Random(seed)
        self.wanted = wanted
        self.quirks = quirks
        self.iso = iso
        self.rejections_only = rejections_only
        self.settings = settings or Settings()
        self.world = World([])
        self.lines: list[tuple[int, int, str]] = []
        self.numbers = itertools.count(1)

    def generate(self) -> World:
        """The world; call it once."""
        while len(self.lines) < self.wanted:
            self.mail()
        self.world.lines = [line for _, _, line in sorted(self.lines)]
        return self.world

    # Mails

    def mail(self) -> None:
        """One mail and what becomes of it."""
        kind = self.random.choices(list(KINDS), list(KINDS.values()))[0]
        moment = self.moment()
        client = self.client(returns=kind != "lost")
        sender, logged_sender = self.sender()
        # Bounces would not be told apart otherwise.
        number = self.random.randrange(400) if sender else next(self.numbers)
        recipient = f"user{number}@example.org"
        mail = Mail(client, sender, logged_sender, recipient)
        if kind == "lost":
            self.lose(mail, moment)
        elif kind == "returned":
            self.bring_back(mail, moment)
        elif kind == "known":
            self.record(mail, moment - 10 * SECONDS_PER_DAY, moment)
            self.deliver(mail, moment, "triplet found")
            self.world.known += 1
        elif kind == "whitelisted":
            self.deliver(mail, moment, self.random.choice(["client whitelist", "recipient whitelist"]))
            self.world.whitelisted += 1
        else:
            self.deliver(mail, moment, "client AWL")
            self.world.auto_whitelisted += 1

    def lose(self, mail: Mail, moment: int) -> None:
        """A mail that is tried some times, at times by a neighbour, but not when the delay is over."""
        tries = self.random.choice((1, 1, 1, 2, 3))
        last = first = moment
        for number in range(tries):
            if number:
                last = self.random.randrange(last, first + DELAY)
            client = mail.client if self.random.random() < 0.8 else self.neighbour(mail.client)
            mail = Mail(client, mail.sender, mail.logged_sender, mail.recipient)
            self.defer(mail, last, last - first)
            row = Row(
                client.address, client.name, ascii_lower(rewrite_sender(mail.sender)), ascii_lower(mail.recipient)
            )
            self.world.lost[row] = self.world.lost.get(row, 0) + 1
        self.world.deferred += 1
        # Some are gone from the database when the report is made.
        if self.random.random() < 0.9:
            self.record(mail, first, last)

    def bring_back(self, mail: Mail, moment: int) -> None:
        """A mail that comes back, some minutes or hours later."""
        # Mail servers try again at fixed intervals, and a little later when they are busy.
        interval, weight = zip(*RETRIES.items(), strict=True)
        delay = int(self.random.choices(interval, weight)[0] * self.random.lognormvariate(0.12, 0.1) + 1)
        delay = max(delay, DELAY)
        self.defer(mail, moment, 0)
        if self.random.random() < 0.3:
            self.defer(mail, moment + 60, 60)
        self.deliver(mail, moment + delay, f"triplet found, delay={delay}")
        self.world.deferred += 1
        self.world.delays.append(delay)
        self.record(mail, moment, moment + delay)

    def record(self, mail: Mail, first: int, last: int) -> None:
        address = parse_address(mail.client.address)
        assert address is not None
        key = triplet_key(address, mail.sender, mail.recipient, self.settings)
        self.world.records[key] = b"%d,%d" % (first, last)

    # Lines

    def defer(self, mail: Mail, moment: int, since_first: int) -> None:
        client = f"{mail.client.name}[{mail.client.address}]"
        code = "451 4.7.1" if self.quirks and self.random.random() < 0.3 else "450 4.2.0"
        reason = f"early-retry ({DELAY - since_first}s missing)" if since_first else "new"
        self.log(moment, "postfix/smtpd", f"connect from {client}")
        self.log(moment, "postgrey", f"action=greylist, reason={reason}, {mail.attributes()}")
        self.log(
            moment,
            "postfix/smtpd",
            f"NOQUEUE: reject: RCPT from {client}: {code} <{mail.recipient}>: {GREYLISTED}; "
            f"from=<{mail.logged_sender}> to=<{mail.recipient}> proto=ESMTP helo=<{mail.client.name}>",
        )
        self.log(moment, "postfix/smtpd", f"disconnect from {client} ehlo=1 mail=1 rcpt=0/1 quit=1 commands=3/4")

    def deliver(self, mail: Mail, moment: int, reason: str) -> None:
        client = f"{mail.client.name}[{mail.client.address}]"
        queue_id = f"{next(self.numbers) * 0x9E3779B1 % 2**40:010X}"
        size = self.random.randrange(2000, 60000)
        self.log(moment, "postfix/smtpd", f"connect from {client}")
        self.log(moment, "postgrey", f"action=pass, reason={reason}, {mail.attributes()}")
        self.log(moment, "postfix/smtpd", f"{queue_id}: client={client}")
        self.log(moment, "postfix/cleanup", f"{queue_id}: message-id=<{queue_id}@{mail.client.name}>")
        self.log(
            moment, "postfix/qmgr", f"{queue_id}: from=<{mail.logged_sender}>, size={size}, nrcpt=1 (queue active)"
        )
        self.log(moment, "postfix/smtpd", f"disconnect from {client} ehlo=1 mail=1 rcpt=1 data=1 quit=1 commands=5")
        self.log(
            moment,
            "postfix/lmtp",
            f"{queue_id}: to=<{mail.recipient}>, relay=mail.example.org[private/lmtp], delay=0.2, "
            f"delays=0.1/0/0/0.1, dsn=2.0.0, status=sent (250 2.0.0 <{mail.recipient}> Saved)",
        )
        self.log(moment, "postfix/qmgr", f"{queue_id}: removed")

    def log(self, moment: int, program: str, text: str) -> None:
        if self.rejections_only and "reject: " not in text:
            return
        if self.iso:
            stamp = datetime.fromtimestamp(moment).astimezone().isoformat(timespec="microseconds")
        else:
            stamp = time.strftime("%b %e %H:%M:%S", time.localtime(moment))
        self.lines.append((moment, len(self.lines), f"{stamp} {HOST} {program}[{1000 + moment % 7}]: {text}\n"))

    # Who and when

    def moment(self) -> int:
        day = self.random.choices(range(DAYS), (10, 11, 11, 10, 9, 5, 4))[0]
        hour = self.random.choices(range(24), BUSY_HOURS)[0]
        return START + day * SECONDS_PER_DAY + hour * 3600 + self.random.randrange(3600)

    def client(self, returns: bool) -> Client:
        """A client, always under the same name; 1.37's report is wrong about those that `returns` without one."""
        while True:
            client = self.client_at(int(self.random.paretovariate(0.7)) % 20000, self.random.randrange(1, 255))
            if self.quirks or not returns or client.name != "unknown":
                return client

    def client_at(self, network: int, host: int) -> Client:
        """The client with this number in a network; one of four has no name."""
        address = f"10.{network // 250}.{network % 250}.{host}"
        name = f"mail.{self.word(network)}.example" if (network + host) % 4 else "unknown"
        if self.quirks and host % 3 == 0:
            return Client(f"2001:db8:{network:x}::{host:x}", name)
        if self.quirks and host % 3 == 1:
            return Client(address, f"host-{network % 250}-{host}.pool.example")
        return Client(address, name)

    def neighbour(self, client: Client) -> Client:
        """Another client of the same network."""
        while True:
            if ":" in client.address:
                network, host = int(client.address.split(":")[2], 16), self.random.randrange(3, 255, 3)
            else:
                _, high, low, _ = map(int, client.address.split("."))
                network, host = high * 250 + low, self.random.randrange(1, 255)
            neighbour = self.client_at(network, host)
            if (":" in neighbour.address) == (":" in client.address):
                return neighbour

    def sender(self) -> tuple[str, str]:
        """A sender that nobody had before, as the server gets it and as Postfix logs it."""
        word = self.word(next(self.numbers))
        domain = f"{self.word(self.random.randrange(3000))}.example"
        if self.quirks and self.random.random() < 0.4:
            kind = self.random.randrange(4)
            if kind == 0:
                return "", ""
            if kind == 1:
                return f"prvs=1234567890={word}@{domain}", f"prvs=1234567890={word}@{domain}"
            if kind == 2:
                return f"{word}/x=y@{domain}", f"{word}/x=y@{domain}"
            return f"{word} and co@{domain}", f'"{word} and co"@{domain}'
        tag = self.random.choice(("", "", f"-{self.random.randrange(9999)}", f"+{word}", ".Smith"))
        return f"{word}{tag}@{domain}", f"{word}{tag}@{domain}"

    def word(self, number: int) -> str:
        """A word of letters for each number."""
        letters = string.ascii_lowercase
        text = ""
        while number or not text:
            number, digit = divmod(number, 26)
            text = letters[digit] + text
        return f"x{text}"
