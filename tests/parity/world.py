# SPDX-License-Identifier: GPL-2.0-or-later
"""A small world of mail: clients in a few networks try to deliver messages, retry them, and lose patience.

Its clock mostly runs forward, in steps that meet the limits of greylisting to the second, and sometimes jumps.
What 1.37 does otherwise on purpose of ours (DIFFERENCES FROM POSTGREY 1.37 in the manual) is kept out, here and in
`wire` and `option_sets`, each at the place where it would come in: look for "unlike 1.37".
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from tests.parity.wire import LONGEST

MINUTE, HOUR, DAY = 60, 3600, 86400

# unlike 1.37: a time beyond tomorrow is none. Our first clean-up, by the real clock, comes long after a test has ended.
FIRST_SECOND = 1_000_000_000

NETWORKS = 10
CLIENTS_PER_NETWORK = 4
MESSAGES_WAITING = 40

# How long after another try of the same message something is about to change: the delay, the hour of the
# auto-whitelist, the retry window.
LIMITS = [limit + off for limit in (MINUTE, 5 * MINUTE, HOUR, 6 * HOUR, DAY, 2 * DAY) for off in (-1, 0, 1)]

NEUTRAL_NAMES = ("mail.example.com", "MX.Example.NET", "unknown", "0", "", "almost-white.example", "host%41.example")

# Each row is rewritten to few keys, or nearly.
SENDERS = (
    ("",),
    ("alice@example.com", "Alice@Example.COM", "alice+lists@example.com", "alice+a+b@example.com", "+@example.com"),
    ("bounce-17@lists.example", "bounce-4711@lists.example", "bounce-1-2@lists.example", "bounce+17@lists.example"),
    ("list.2024.05@news.example", "list.2025.12@news.example", "2024@news.example", "7@8.example"),
    ("a_12_b@x.example", "a_13_b@x.example", "a-12_b@x.example", "12a@x.example", "a12@x.example", "12_@x.example"),
    (
        "bob@batv.example",
        "prvs=1234567890=bob@batv.example",
        "prvs=bob=0987abcdef@batv.example",
        "prvs=1234567890x=bob@batv.example",
        "prvs=bob=0987abcde@batv.example",
        "prvs=bob=ABCDEFGHIJ@batv.example",
        "prvs=abcdefghij=klmnopqrst@batv.example",
        "PRVS=1234567890=bob@batv.example",
        "prvs=1234567890=BOB+ext@batv.example",
        "prvs=ABCDEFGHIJ=bob@batv.example",
    ),
    (
        "prvs=bob@batv.example",
        "prvs=@batv.example",
        "prvs==@batv.example",
        "prvs==bob@batv.example",
        "prvs=1234567890=@batv.example",
        "prvs=1234567890=bob=@batv.example",
        "prvs=1234567890==@batv.example",
        "prvs=1234567890==bob@batv.example",
        "prvs=1234567890=bob=carol@batv.example",
        "xprvs=1234567890=bob@batv.example",
    ),
    ("one@two@three.example", "one+x@two@three.example", "1@2@three.example", "@", "@nobody.example", "nobody@"),
    ("no-at-sign", "No-At-Sign", "no-at-17", "no+at", "0", "12345", "+", "prvs=1234567890=bob"),
    ("jos\xe9@latin.example", "JOS\xc9@latin.example", "\xe912@latin.example", "12\xe9@latin.example", "\xff@\xff"),
    ("100%@percent.example", "%s@percent.example", "%%41@percent.example"),
    ("white space@blank.example", " alice@example.com", "alice@example.com ", "a,b@comma.example"),
    ("tab\t17@control.example", "tab\t18@control.example", "\0\x1b[2J\x7f@control.example", "a/b@slash.example"),
)
SENDER_ALPHABET = "aBz019_-+=.@ \xe9%"

RECIPIENTS = (
    *("bob@example.org", "carol@example.org", "carol+shop@example.org", "dave@sub.example.org", "eve@example.net"),
    *("no-domain", "", "0", "@example.org", "bob@", "bob@one@example.org", "Ren\xe9@example.org", "b/c@example.org"),
    *("bob@%s.example", "bob@%r.example", "100%", "bob@4.7.1", "bob@example.org, recipient=carol@example.org"),
    *("postmaster@example.org", "Postmaster+ext@example.com", "abuse@example.net", "test99@example.org"),
)
# What the whitelists of `option_sets` list, and what only looks like it.
LISTED_RECIPIENTS = (
    *(
        "quiet@example.org",
        "quiet+ext@example.org",
        "quiet+a+b@example.org",
        "quiet+@example.org",
        "x@quiet@example.org",
    ),
    *("unquiet@example.org", "anna@white-rcpt.example", "anna@sub.white-rcpt.example", "anna@not-white-rcpt.example"),
    *("white-rcpt.example", "anna@white-rcpt.example@example.org", "role@anywhere.example", "role+ext@", "role"),
    *("a@b.dotted.example", "a@b..dotted.example", "@nobody.example", "+ext@nobody.example", "first@example.org"),
    *("first+second@example.org", "first+second+third@example.org", "bob+ext@one@example.org", "x@bob@one@example.org"),
    *("REN\xe9@example.org", "REN\xc9@example.org"),
)


@dataclass(frozen=True, slots=True)
class Delivery:
    """What one request asks about; `instance` is None where the client names none."""

    client_address: str
    client_name: str
    sender: str
    recipient: str
    instance: str | None
    now: int


@dataclass(frozen=True, slots=True)
class Client:
    address: str
    name: str


@dataclass(eq=False, slots=True)
class Network:
    """A few clients in one /24 or one /64; `spare` are more addresses of that network."""

    clients: list[Client]
    spare: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Message:
    """What a client tries to deliver, once or more than once; `client` is a place in its network."""

    network: Network
    client: int
    senders: Sequence[str]
    sender: str
    recipients: tuple[str, ...]
    first_try: int
    last_try: int


@dataclass(frozen=True, slots=True)
class Population:
    """Who lives in a world beside the clients with neutral names.

    `names` belong to some of the clients, `addresses` to clients of their own. With `clients_stay`, clients are still
    there after the clock went back.

    unlike 1.37: a client that was last seen in the future and is not auto-whitelisted gains counts. There is none when
    clients go, and none when the first success makes an auto-whitelisted client of them. `addresses` always stay.
    """

    names: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    clients_stay: bool = False


class World:
    """Networks, messages on their way, and a clock, all moved by one random generator."""

    def __init__(self, rng: random.Random, population: Population) -> None:
        self.random = rng
        self.population = population
        self.now = FIRST_SECOND
        self.network_numbers = itertools.count()
        self.instance_numbers = itertools.count(1)
        self.networks = [self.new_network() for _ in range(NETWORKS)]
        self.waiting: list[Message] = []

    def deliveries(self) -> Iterator[Delivery]:
        """Deliveries without end."""
        while True:
            yield from self.attempt(self.retried_message() if self.chance(0.65) else self.new_message())

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    # Clients

    def new_network(self) -> Network:
        """A network that was not there before, two of five IPv6; some share a /16 or /48."""
        number = next(self.network_numbers)
        spare = self.ipv6_addresses(number) if number % 5 in (1, 4) else self.ipv4_addresses(number)
        network = Network([], spare)
        self.renew_clients(network)
        return network

    def ipv4_addresses(self, number: int) -> list[str]:
        """All addresses of a /24 in random order, but first .17, which a whitelist may name."""
        documentation = {0: "192.0.2", 2: "198.51.100", 3: "203.0.113"}
        prefix = documentation.get(number, f"{10 + number // 768}.{number % 3}.{number // 3 % 256}")
        others = [host for host in range(256) if host != 17]
        return [f"{prefix}.{host}" for host in [17, *self.random.sample(others, len(others))]]

    def ipv6_addresses(self, number: int) -> list[str]:
        """Addresses of a /64 in several spellings, first ::11, which a whitelist may name."""
        # unlike 1.37: no IPv4-mapped or IPv4-compatible addresses, which 1.37 mixes up with IPv4 in part.
        tail = f"{number % 3}:{number:x}"
        spellings = (
            *(f"2001:db8:{tail}:0:0:0:", f"2001:0db8:{tail}:0000:0:00:", f"2001:db8:{tail}::"),
            *(f"2001:DB8:{tail}::", f"2001:db8:{tail}::1:"),
        )
        hosts = [0x11, 0, *self.random.sample(range(0x12, 0x10000), 254)]
        return [self.random.choice(spellings) + self.random.choice((f"{host:x}", f"{host:04X}")) for host in hosts]

    def renew_clients(self, network: Network) -> None:
        """Give a network clients that nobody has seen; when its addresses are used up, another network's."""
        if len(network.spare) < CLIENTS_PER_NETWORK:
            network.spare = self.ipv4_addresses(next(self.network_numbers))
        addresses = [network.spare.pop(0) for _ in range(CLIENTS_PER_NETWORK)]
        network.clients = [Client(address, self.client_name()) for address in addresses]

    def client_name(self) -> str:
        if self.population.names and self.chance(0.15):
            return self.random.choice(self.population.names)
        return self.random.choice(NEUTRAL_NAMES)

    # Messages

    def attempt(self, message: Message) -> Iterator[Delivery]:
        """One try to deliver a message to all recipients, at times by a neighbour or with the sender spelled anew."""
        message.last_try = self.now
        client = message.network.clients[message.client]
        client = self.random.choice(message.network.clients) if self.chance(0.25) else client
        sender = self.random.choice(message.senders) if self.chance(0.25) else message.sender
        instance = self.instance()
        for recipient in message.recipients:
            spelled = recipient.swapcase() if self.chance(0.1) else recipient
            yield Delivery(client.address, client.name, sender, spelled, instance, self.now)
            if self.chance(0.1):
                self.now += 1

    def new_message(self) -> Message:
        self.pass_time()
        if self.chance(0.05):
            self.networks[self.random.randrange(NETWORKS)] = self.new_network()
        network = self.random.choice(self.networks[:3] if self.chance(0.5) else self.networks)
        if self.population.addresses and self.chance(0.15):
            network = Network([Client(self.random.choice(self.population.addresses), "unknown")])
        client = self.random.randrange(len(network.clients))
        senders = (self.random_sender(),) if self.chance(0.25) else self.random.choice(SENDERS)
        recipients = tuple(self.recipient() for _ in range(self.random.choice((1, 1, 1, 2, 3, 5))))
        message = Message(network, client, senders, self.random.choice(senders), recipients, self.now, self.now)
        self.waiting = [*self.waiting, message][-MESSAGES_WAITING:]
        return message

    def retried_message(self) -> Message:
        """A message that was tried before, mostly not long ago and often to the second when a limit is reached."""
        if not self.waiting:
            return self.new_message()
        message = self.random.choice(self.waiting[-8:] if self.chance(0.6) else self.waiting)
        since = self.random.choice((message.first_try, message.last_try))
        ahead = [since + limit for limit in LIMITS if since + limit >= self.now]
        if ahead and self.chance(0.4):
            self.now = self.random.choice(ahead[:3])
        else:
            self.pass_time()
        return message

    def random_sender(self) -> str:
        local_part = "".join(self.random.choices(SENDER_ALPHABET, k=self.random.randrange(12)))
        return ("prvs=" if self.chance(0.3) else "") + local_part + "@random.example"

    def recipient(self) -> str:
        if self.chance(0.4):
            return f"user{self.random.randrange(40)}@example.{self.random.choice(('org', 'net', 'com'))}"
        return self.random.choice(RECIPIENTS if self.chance(0.6) else LISTED_RECIPIENTS)

    def instance(self) -> str | None:
        """The name of one try; it belongs to the recipients of one message and never comes back.

        unlike 1.37: that remembers ten instances, so an older one must not come back, and its list begins with ten
        times "0", so "0" must not come at all.
        """
        number = next(self.instance_numbers)
        if number == 50:
            return ""
        if self.chance(0.02):
            return f"{number:x}.".ljust(LONGEST, "i") + "what is cut off"
        return None if self.chance(0.08) else f"{number:x}.{self.now:x}.0"

    # The clock

    def pass_time(self) -> None:
        """Move the clock: mostly some seconds or minutes on, rarely far, rarely back."""
        kind = self.random.random()
        if kind < 0.75:
            self.now += self.random.choice((0, 0, 1, 2, self.random.randrange(30)))
        elif kind < 0.90:
            self.now += self.random.randrange(10 * MINUTE)
        elif kind < 0.96:
            self.now += self.random.choice((HOUR - 1, HOUR, HOUR + 1, 7 * HOUR))
        elif kind < 0.97:
            self.now += self.random.choice((2 * DAY, 2 * DAY + 1, 10 * DAY, 40 * DAY))
        elif kind < 0.98:
            self.go_back(self.random.choice((10, 5 * MINUTE, 2 * HOUR, 3 * DAY)))

    def go_back(self, seconds: int) -> None:
        self.now -= seconds
        if not self.population.clients_stay:
            for network in dict.fromkeys([*self.networks, *(message.network for message in self.waiting)]):
                if network.spare:
                    self.renew_clients(network)
