# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgrey-search`: the triplets of a recipient, a sender or a client, as a rule those that have not passed yet."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from postgrey_py.commandline import Parser
from postgrey_py.commands.command import add_common_options, run_command
from postgrey_py.commands.formats import NOBODY, Value, address_text, iso_time, printable, write_csv, write_json
from postgrey_py.commands.names import add_name_options, names_of
from postgrey_py.commands.option_values import add_network_sizes, whole_number
from postgrey_py.database.environment import TRIPLETS
from postgrey_py.database.snapshot import open_snapshot
from postgrey_py.errors import UsageError
from postgrey_py.greylist.keys import IPV4_BITS, Address, parse_address
from postgrey_py.greylist.records import parse_record
from postgrey_py.greylist.settings import PATHS, Settings

NAME = "postgrey-search"
PENDING, PASSED, ALL = "pending", "passed", "all"
COLUMNS = ("first_seen", "last_seen", "client", "name", "sender", "recipient", "state")

MOST_SECONDS = 10**9

_DEFAULT_DELAY = Settings().delay
_HOST_MASK = re.compile(rb"(32|128)/(?=.*/)", re.DOTALL)


class Key(NamedTuple):
    """The key of a triplet in its parts; what strangers wrote is safe to print.

    `network` is the address of the client if `is_host`, or else of its network.
    """

    network: bytes
    is_host: bool
    sender: str
    recipient: str


class Triplet(NamedTuple):
    """A record of postgrey.db. `client` is `address` as it is shown."""

    key: Key
    address: Address | None
    client: str
    first_seen: int
    last_seen: int


@dataclass(frozen=True, slots=True)
class Query:
    """Which triplets are wanted; None is any."""

    recipient: re.Pattern[str] | None
    sender: re.Pattern[str] | None
    client: Client | re.Pattern[str] | None
    state: str
    delay: int

    def accepts_key(self, key: Key) -> bool:
        """Whether sender and recipient are wanted: looked at first, as that sorts most out for the least work."""
        return _matches(self.recipient, key.recipient) and _matches(self.sender, key.sender)

    def accepts(self, triplet: Triplet) -> bool:
        """Whether state and address of the client are wanted."""
        if self.state != ALL and self.state_of(triplet) != self.state:
            return False
        return not isinstance(self.client, Client) or self.client.owns(triplet)

    def accepts_name(self, triplet: Triplet, name: str | None) -> bool:
        """Whether the client is wanted, given its name."""
        if not isinstance(self.client, re.Pattern):
            return True
        return _matches(self.client, triplet.client) or (name is not None and _matches(self.client, name))

    def state_of(self, triplet: Triplet) -> str:
        """Whether this mail has passed."""
        return PASSED if triplet.last_seen - triplet.first_seen >= self.delay else PENDING


class Client(NamedTuple):
    """A client, or all clients of a network of `bits` bits. Keys by subnet are of networks of `key_bits`."""

    address: Address
    bits: int
    key_bits: int

    def owns(self, triplet: Triplet) -> bool:
        """Whether the triplet is of this client or network, or may be, as far as its key tells."""
        if triplet.address is None or triplet.address.bits != self.address.bits:
            return False
        bits = self.bits if triplet.key.is_host else min(self.bits, self.key_bits)
        host_bits = self.address.bits - bits
        return triplet.address.value >> host_bits == self.address.value >> host_bits


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit status."""
    return run_command(f"{NAME}.1", make_parser(), run, arguments)


def make_parser() -> Parser:
    """The parser of the command's options."""
    parser = Parser(
        NAME,
        "Find mail that is held up by greylisting, by its recipient, its sender or its client.",
        usage=f"{NAME} [option ...] [RECIPIENT-PATTERN]",
    )
    parser.option(
        "client",
        metavar="CLIENT",
        help="mail of this client: an address, a network (ADDRESS/BITS), or a pattern of its address or name",
    )
    parser.option(
        "dbdir", metavar="PATH", default=PATHS.dbdir, help=f"directory of the database (default: {PATHS.dbdir})"
    )
    parser.option(
        "delay",
        metavar="N",
        type=whole_number(0, MOST_SECONDS),
        default=_DEFAULT_DELAY,
        help=f"the --delay of the server, after which mail passes (default: {_DEFAULT_DELAY})",
    )
    parser.option(
        "format", choices=("text", "long", "csv", "json"), default="text", help="how to print it (default: text)"
    )
    add_network_sizes(parser)
    add_name_options(parser)
    parser.option(
        "recipient", metavar="PATTERN", type=_pattern, help="mail to these recipients, as the argument says it"
    )
    parser.option("sender", metavar="PATTERN", type=_pattern, help="mail from these senders")
    parser.option(
        "state", choices=(PENDING, PASSED, ALL), default=PENDING, help=f"mail in this state (default: {PENDING})"
    )
    add_common_options(parser)
    parser.add_argument("patterns", nargs="*", type=_pattern, help=argparse.SUPPRESS)
    return parser


def run(options: argparse.Namespace) -> None:
    """Print what is found. Raises PostgreyError."""
    query = _query(options)
    with open_snapshot(options.dbdir, [TRIPLETS]) as snapshot:
        names: Mapping[str, str] = {}
        if not options.no_resolve:
            # The names must be known first. Going over the database twice is better than to have all of it in memory.
            clients = {triplet.client: triplet.address for triplet in find(snapshot.triplets, query)}
            names = names_of([client for client, address in clients.items() if address is not None], options, NAME)
        found = (
            triplet
            for triplet in find(snapshot.triplets, query)
            if query.accepts_name(triplet, names.get(triplet.client))
        )
        if options.format == "csv":
            write_csv(COLUMNS, rows(found, names, query))
        elif options.format == "json":
            write_json(rows(found, names, query))
        else:
            _write_text(found, names, query, is_long=options.format == "long")
        if hashed := sum(1 for key, _ in snapshot.triplets if b"/" not in key):
            print(f"{NAME}: hashes (--privacy), in which nothing can be found: {hashed} records", file=sys.stderr)


def find(records: Iterable[tuple[bytes, bytes]], query: Query) -> Iterator[Triplet]:
    """The triplets among these records that the query accepts, apart from names."""
    for octets, value in records:
        key = split_key(octets)
        if key is not None and query.accepts_key(key):
            triplet = _triplet(key, value)
            if query.accepts(triplet):
                yield triplet


def split_key(octets: bytes) -> Key | None:
    """The parts of a key, or None where it has none because it is a hash.

    A sender may have slashes in it, and a recipient too; what is before an `@` belongs to it, and no domain has one.
    """
    network, _, rest = octets.partition(b"/")
    mask = _HOST_MASK.match(rest)
    if mask:
        rest = rest[mask.end() :]
    # Without a sender the first slash is the one that counts.
    at = 0 if rest.startswith(b"/") else max(rest.find(b"@"), 0)
    slash = rest.find(b"/", at)
    if slash < 0:
        slash = rest.rfind(b"/")
    if slash < 0:
        return None
    return Key(network, mask is not None, printable(rest[:slash]), printable(rest[slash + 1 :]))


def _triplet(key: Key, value: bytes) -> Triplet:
    first_seen, last_seen = parse_record(value)
    address = parse_address(key.network.decode("latin-1"))
    client = address_text(address) if address else printable(key.network)
    return Triplet(key, address, client, first_seen, first_seen if last_seen is None else last_seen)


def rows(triplets: Iterable[Triplet], names: Mapping[str, str], query: Query) -> Iterator[Mapping[str, Value]]:
    """What is to say of each triplet, by COLUMNS."""
    for triplet in triplets:
        yield {
            "first_seen": iso_time(triplet.first_seen),
            "last_seen": iso_time(triplet.last_seen),
            "client": triplet.client,
            "name": names.get(triplet.client),
            "sender": triplet.key.sender,
            "recipient": triplet.key.recipient,
            "state": query.state_of(triplet),
        }


def _write_text(triplets: Iterable[Triplet], names: Mapping[str, str], query: Query, is_long: bool) -> None:
    columns = ("Date", "Last seen", "State", "Host", "Sender", "Recipient") if is_long else ("Date", "Host", "Sender")
    layout = "{:19} {:19} {:7} {:40} {:40} {}" if is_long else "{:19} {:40} {}"
    print(layout.format(*columns))
    print(layout.format(*("-" * width for width in ((19, 19, 7, 40, 40, 29) if is_long else (19, 40, 29)))))
    for triplet in triplets:
        first_seen, host = _date(triplet.first_seen), names.get(triplet.client, triplet.client)
        sender = triplet.key.sender or NOBODY
        if is_long:
            last_seen, state = _date(triplet.last_seen), query.state_of(triplet)
            print(layout.format(first_seen, last_seen, state, host, sender, triplet.key.recipient))
        else:
            print(layout.format(first_seen, host, sender))


def _date(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, OSError, ValueError):
        return str(seconds)


def _query(options: argparse.Namespace) -> Query:
    """Raises UsageError."""
    recipients = [*options.patterns, *([options.recipient] if options.recipient else [])]
    if len(recipients) > 1:
        raise UsageError(f"{recipients[1].pattern}: one pattern of the recipient, please; is there a quote missing?")
    if not recipients and options.client is None and options.sender is None:
        raise UsageError("what is to be found? Name a pattern of the recipient, --client or --sender")
    recipient = recipients[0] if recipients else None
    client = _client(options.client, options) if options.client is not None else None
    return Query(recipient, options.sender, client, options.state, options.delay)


def _matches(pattern: re.Pattern[str] | None, text: str) -> bool:
    return pattern is None or pattern.search(text) is not None


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text, re.IGNORECASE)
    except re.error as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a regular expression: {error}") from error


def _client(text: str, options: argparse.Namespace) -> Client | re.Pattern[str]:
    """The clients that --client asks for. Raises UsageError."""
    host, slash, size = text.partition("/")
    address = parse_address(host)
    try:
        if address is None:
            return _pattern(text)
        bits = whole_number(0, address.bits)(size) if slash else address.bits
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"--client: {error}") from error
    return Client(address, bits, options.ipv4cidr if address.bits == IPV4_BITS else options.ipv6cidr)
