# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgrey_clients_dump`: the clients of the auto-whitelist."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from postgrey_py.commandline import Parser
from postgrey_py.commands.command import add_common_options, run_command
from postgrey_py.commands.dns import Nameserver
from postgrey_py.commands.formats import Value, address_text, iso_time, printable, write_csv, write_json
from postgrey_py.commands.names import add_name_options, names_of
from postgrey_py.commands.option_values import whole_number
from postgrey_py.commands.server_arguments import ServerFields
from postgrey_py.commands.server_options import add_server_options, settings_of
from postgrey_py.database.environment import CLIENTS
from postgrey_py.database.snapshot import open_snapshot
from postgrey_py.greylist.address import Address
from postgrey_py.greylist.keys import parse_client_key
from postgrey_py.greylist.records import parse_record
from postgrey_py.greylist.settings import PATHS, Settings

NAME = "postgrey_clients_dump"
MOST_COUNTED = 10**9
COLUMNS = ("address", "name", "count", "last_seen", "whitelisted")


class ClientRecord(NamedTuple):
    """A record of postgrey_clients.db.

    `text` is how the client is shown; `address` is None where that is not an address but, with --privacy, a hash.
    """

    text: str
    address: Address | None
    passes: int
    last_seen: int | None


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command."""

    all: bool
    dbdir: str | None
    format: str
    min_count: int | None
    nameserver: Sequence[Nameserver]
    no_resolve: bool
    server_options: str | None
    sort: str | None
    verbose: bool


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit status."""
    return run_command(f"{NAME}.8", make_parser(), Options, run, arguments)


def make_parser() -> Parser:
    """The parser of the command's options."""
    parser = Parser(
        NAME,
        "List the clients that are auto-whitelisted.",
        usage=f"{NAME} [option ...]",
    )
    parser.option("all", action="store_true", help="list all clients, also those with a lower count")
    parser.option("dbdir", metavar="PATH", help=f"directory of the database (default: {PATHS.dbdir})")
    parser.option("format", choices=("text", "csv", "json"), default="text", help="how to print them (default: text)")
    default_count = Settings().auto_whitelist_clients
    parser.option(
        "min-count",
        type=whole_number(0, MOST_COUNTED),
        metavar="N",
        help=f"the count from which on a client is whitelisted (default: {default_count})",
    )
    add_name_options(parser)
    add_server_options(parser)
    parser.option("sort", choices=("count", "last", "address"), help="order (default: that of the database)")
    parser.option("verbose", "v", action="store_true", help="say which options of the server are known")
    add_common_options(parser)
    return parser


def run(options: Options) -> None:
    """Print the clients. Raises PostgreyError."""
    wanted = ServerFields(dbdir=options.dbdir, auto_whitelist_clients=None)
    settings = settings_of(NAME, wanted, options.server_options, options.verbose)
    min_count = settings.auto_whitelist_clients if options.min_count is None else options.min_count
    if options.min_count is None and not min_count:
        # The server counts nobody, and trusts nobody.
        print(f"{NAME}: the auto-whitelist of the server is off (--auto-whitelist-clients=0)", file=sys.stderr)
        min_count = MOST_COUNTED
    clients = read_clients(settings.dbdir, 0 if options.all else min_count)
    sort_clients(clients, options.sort)
    addresses = [client.text for client in clients if client.address is not None]
    names = names_of(addresses, options.nameserver, not options.no_resolve, NAME)
    if options.format == "text":
        for client in clients:
            print(f"{names.get(client.text, client.text)} ({client.passes})")
    elif options.format == "csv":
        write_csv(COLUMNS, rows(clients, names, min_count))
    else:
        write_json(rows(clients, names, min_count))


def read_clients(dbdir: str, min_count: int) -> list[ClientRecord]:
    """The clients with at least this count, in the order of the database. Raises PostgreyError."""
    with open_snapshot(dbdir, [CLIENTS]) as snapshot:
        clients = (_client(key, value) for key, value in snapshot.clients)
        return [client for client in clients if client.passes >= min_count]


def sort_clients(clients: list[ClientRecord], order: str | None) -> None:
    """Sort in place: by count or by when it was seen last, the highest first; by address as a number."""
    if order == "count":
        clients.sort(key=lambda client: client.passes, reverse=True)
    elif order == "last":
        clients.sort(key=lambda client: -1 if client.last_seen is None else client.last_seen, reverse=True)
    elif order == "address":
        # IPv4 first, hashes last.
        clients.sort(key=_place)


def rows(clients: Sequence[ClientRecord], names: Mapping[str, str], min_count: int) -> Iterator[Mapping[str, Value]]:
    """Yield a row for each client, its values by COLUMNS."""
    for client in clients:
        yield {
            "address": client.text,
            "name": names.get(client.text),
            "count": client.passes,
            "last_seen": None if client.last_seen is None else iso_time(client.last_seen),
            "whitelisted": client.passes >= min_count,
        }


def _place(client: ClientRecord) -> tuple[int, int]:
    return (client.address.bits, client.address.value) if client.address else (sys.maxsize, 0)


def _client(key: bytes, value: bytes) -> ClientRecord:
    count, last_seen = parse_record(value)
    address = parse_client_key(key)
    return ClientRecord(address_text(address) if address else printable(key), address, count, last_seen)
