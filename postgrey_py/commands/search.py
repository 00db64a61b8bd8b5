# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgrey-search`: the triplets of a recipient, a sender or a client, as a rule those that have not passed yet.

What became of the mail of a triplet is the business of `standing`.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain

from postgrey_py.commandline import Parser
from postgrey_py.commands.command import add_common_options, run_command
from postgrey_py.commands.dns import Nameserver
from postgrey_py.commands.formats import NOBODY, Value, iso_time, write_csv, write_json
from postgrey_py.commands.names import add_name_options, names_of
from postgrey_py.commands.option_values import add_network_sizes, whole_number
from postgrey_py.commands.server_arguments import ServerFields
from postgrey_py.commands.server_options import add_server_options, settings_of
from postgrey_py.commands.standing import PENDING, STATES, Standing, Standings
from postgrey_py.commands.triplet_search import ALL, ORDERS, ClientRange, Query, Search, Triplet
from postgrey_py.commands.user_patterns import UserPattern, user_pattern
from postgrey_py.database.snapshot import open_snapshot
from postgrey_py.errors import UsageError
from postgrey_py.greylist.address import parse_address
from postgrey_py.greylist.settings import PATHS, Settings
from postgrey_py.listfiles import read_list_files

NAME = "postgrey-search"
COLUMNS = ("first_seen", "last_seen", "client", "name", "sender", "recipient", "state", "reason")

MOST_SECONDS = 10**9
MOST_COUNTED = 10**9


@dataclass(frozen=True, slots=True)
class Options:
    """The options and operands of the command."""

    auto_whitelist_clients: int | None
    client: str | None
    dbdir: str | None
    delay: int | None
    format: str
    ipv4cidr: int | None
    ipv6cidr: int | None
    nameserver: Sequence[Nameserver]
    no_resolve: bool
    patterns: Sequence[UserPattern]
    recipient: UserPattern | None
    sender: UserPattern | None
    server_options: str | None
    sort: str
    state: str
    verbose: bool
    whitelist_clients: list[str] | None
    whitelist_recipients: list[str] | None

    def server_fields(self) -> ServerFields:
        """Return what of the server's settings is of use here, as far as it was given."""
        return ServerFields(
            auto_whitelist_clients=self.auto_whitelist_clients,
            dbdir=self.dbdir,
            delay=self.delay,
            ipv4cidr=self.ipv4cidr,
            ipv6cidr=self.ipv6cidr,
            whitelist_clients=self.whitelist_clients,
            whitelist_recipients=self.whitelist_recipients,
        )


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit status."""
    return run_command(f"{NAME}.1", make_parser(), Options, run, arguments)


def make_parser() -> Parser:
    """The parser of the command's options."""
    parser = Parser(
        NAME,
        "Find mail that is held up by greylisting, by its recipient, its sender or its client.",
        usage=f"{NAME} [option ...] [RECIPIENT-PATTERN]",
    )
    defaults = Settings()
    parser.option(
        "auto-whitelist-clients",
        metavar="N",
        type=whole_number(0, MOST_COUNTED),
        help=f"the server's option of this name (default: {defaults.auto_whitelist_clients})",
    )
    parser.option(
        "client",
        metavar="CLIENT",
        help="mail of this client: an address, a network (ADDRESS/BITS), or a pattern of its address or name",
    )
    parser.option("dbdir", metavar="PATH", help=f"directory of the database (default: {PATHS.dbdir})")
    parser.option(
        "delay",
        metavar="N",
        type=whole_number(0, MOST_SECONDS),
        help=f"the --delay of the server, after which mail passes (default: {defaults.delay})",
    )
    parser.option(
        "format", choices=("text", "long", "csv", "json"), default="text", help="how to print it (default: text)"
    )
    add_network_sizes(parser)
    add_name_options(parser)
    parser.option(
        "recipient", metavar="PATTERN", type=user_pattern, help="mail to these recipients, as the argument says it"
    )
    parser.option("sender", metavar="PATTERN", type=user_pattern, help="mail from these senders")
    add_server_options(parser)
    parser.option(
        "sort", choices=ORDERS, default=ORDERS[0], help="order by time, or as the database has it (default: first)"
    )
    parser.option("state", choices=(*STATES, ALL), default=PENDING, help=f"mail in this state (default: {PENDING})")
    parser.option("verbose", "v", action="store_true", help="say which options of the server are known")
    parser.option("whitelist-clients", metavar="FILE", action="append", help="the server's option; repeatable")
    parser.option("whitelist-recipients", metavar="FILE", action="append", help="the server's option; repeatable")
    add_common_options(parser)
    parser.operand("patterns", nargs="*", type=user_pattern)
    return parser


def run(options: Options) -> None:
    """Print what is found. Raises PostgreyError."""
    settings = settings_of(NAME, options.server_fields(), options.server_options, options.verbose)
    query = _query(options, settings)
    # The lists that the server reads by default need not be there.
    clients, complaints = read_list_files(
        settings.whitelist_clients, is_named=settings.whitelist_clients != Settings().whitelist_clients
    )
    recipients, more = read_list_files(
        settings.whitelist_recipients, is_named=settings.whitelist_recipients != Settings().whitelist_recipients
    )
    for complaint in (*complaints.values(), *more.values()):
        _say(complaint)
    with open_snapshot(settings.dbdir) as snapshot:
        standings = Standings(settings, snapshot.clients, clients, recipients)
        search = Search(query, options.state, standings, settings)
        search.read(snapshot.triplets, can_change=not options.no_resolve)
    names = names_of(search.addresses, options.nameserver, not options.no_resolve, NAME)
    found = search.results(names, options.sort)
    if options.format == "csv":
        write_csv(COLUMNS, rows(found, names))
    elif options.format == "json":
        write_json(rows(found, names))
    else:
        _write_text(found, names, search, is_long=options.format == "long")
    sys.stdout.flush()
    for complaint in (*search.complaints(), *query.complaints()):
        _say(complaint)


def rows(found: Iterable[tuple[Triplet, Standing]], names: Mapping[str, str]) -> Iterator[Mapping[str, Value]]:
    """Yield a row for each triplet, its values by COLUMNS."""
    for triplet, standing in found:
        yield {
            "first_seen": iso_time(triplet.first_seen),
            "last_seen": iso_time(triplet.last_seen),
            "client": triplet.client,
            "name": names.get(triplet.client),
            "sender": triplet.sender,
            "recipient": triplet.recipient,
            "state": standing.state,
            "reason": standing.reason,
        }


# The template of a line of text, and the headings over it with the lengths of the strokes below them.
_SHORT: tuple[str, dict[str, int]] = ("{:19} {:40} {}", {"Date": 19, "Host": 40, "Sender": 29})
_LONG: tuple[str, dict[str, int]] = (
    "{:19} {:19} {:11} {:40} {:40} {}",
    {"Date": 19, "Last seen": 19, "State": 11, "Host": 40, "Sender": 40, "Recipient": 29},
)


def _write_text(
    found: Iterator[tuple[Triplet, Standing]], names: Mapping[str, str], search: Search, is_long: bool
) -> None:
    first = next(found, None)
    if first is None:
        print(_nothing(search))
        return
    template, columns = _LONG if is_long else _SHORT
    print(template.format(*columns))
    print(template.format(*("-" * width for width in columns.values())))
    for triplet, standing in chain([first], found):
        first_seen, host = _date(triplet.first_seen), names.get(triplet.client, triplet.client)
        sender = triplet.sender or NOBODY
        if is_long:
            reason = f" ({standing.reason})" if standing.reason else ""
            fields = (_date(triplet.last_seen), standing.state, host, sender, triplet.recipient + reason)
            print(template.format(first_seen, *fields))
        else:
            print(template.format(first_seen, host, sender))


def _nothing(search: Search) -> str:
    """The line that stands for an empty list."""
    others = ", ".join(f"{search.others[state]} {state}" for state in STATES if search.others[state])
    hint = f"; {others}: see --state={ALL}" if others else ""
    return f"nothing {'found' if search.state == ALL else search.state}{hint}"


def _date(seconds: int) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, OSError, ValueError):
        return str(seconds)


def _query(options: Options, settings: Settings) -> Query:
    """Raises UsageError."""
    recipients = [*options.patterns, *([options.recipient] if options.recipient else [])]
    if len(recipients) > 1:
        raise UsageError(f"{recipients[1].text}: one pattern of the recipient, please; is there a quote missing?")
    if not recipients and options.client is None and options.sender is None:
        raise UsageError("what is to be found? Name a RECIPIENT-PATTERN, --client or --sender")
    client = _client(options.client, settings) if options.client is not None else None
    return Query(recipients[0] if recipients else None, options.sender, client)


def _client(text: str, settings: Settings) -> ClientRange | UserPattern:
    """The clients that --client asks for. Raises UsageError."""
    host, slash, size = text.partition("/")
    address = parse_address(host)
    try:
        if address is None:
            return user_pattern(text)
        bits = whole_number(0, address.bits)(size) if slash else address.bits
    except argparse.ArgumentTypeError as error:
        raise UsageError(f"--client: {error}") from error
    return ClientRange(address, bits, settings.network_bits(address.bits))


def _say(text: str) -> None:
    print(f"{NAME}: {text}", file=sys.stderr)
