# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of `postgreyreport`: the options of the original, in its spelling and with dashes, and our own.

What only some options need is imported when they are given: it would double the time that a start takes.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from postgrey_py.commandline import Parser
from postgrey_py.commands.command import add_common_options
from postgrey_py.commands.option_values import add_nameserver, add_network_sizes, whole_number
from postgrey_py.commands.server_arguments import ServerFields
from postgrey_py.commands.server_options import add_server_options
from postgrey_py.errors import PatternError
from postgrey_py.greylist.settings import PATHS, SECONDS_PER_DAY, Settings

if TYPE_CHECKING:
    from postgrey_py.commands.dns import Nameserver

FORMATS = ("text", "csv", "json")
PICTURES = (".svg", ".png")

# In the order in which they are tried; the first that is passed is shown, in capitals.
SENDER_CHECKS = ("mx", "mx/24", "a", "a/24")

GREYLIST_TEXT = "Greylisted"

_MAX_DELAY = 365 * SECONDS_PER_DAY


# A pattern as it is written, and what searches for it.
DebugPattern: TypeAlias = tuple[str, Callable[[bytes], Any]]


@dataclass(frozen=True, slots=True)
class Options:
    """The options and operands of the command."""

    check_sender: Sequence[str]
    dbdir: str | None
    debug_db: bool
    debug_re: Sequence[DebugPattern]
    delay: int | None
    files: Sequence[str]
    format: str | None
    greylist_text: str | None
    ipv4cidr: int | None
    ipv6cidr: int | None
    lookup_by_host: bool | None
    lookup_by_subnet: bool
    match_clients: Sequence[str]
    nameserver: Sequence[Nameserver]
    plot: str | None
    privacy: bool | None
    separate_by_ip: str
    separate_by_subnet: str
    server_options: str | None
    show_time: bool
    show_tries: bool
    single_line: bool
    skip_clients: Sequence[str]
    skip_dnsbl: Sequence[str]
    skip_pool: bool
    summary: bool
    tab: bool
    user: str | None
    verbose: bool

    def server_fields(self) -> ServerFields:
        """Return what of the server's settings is of use here, as far as it was given."""
        return ServerFields(
            dbdir=self.dbdir,
            delay=self.delay,
            greylist_action=None,
            # A pattern, which the server's is not; the report looks at its own option before it looks at the field.
            greylist_text=self.greylist_text,
            ipv4cidr=self.ipv4cidr,
            ipv6cidr=self.ipv6cidr,
            # Beside each other, `check_combination` refuses them.
            lookup_by_host=False if self.lookup_by_subnet else self.lookup_by_host,
            privacy=self.privacy,
        )


def make_parser() -> Parser:
    """The parser of the options; also what the manual and the shell completions are checked against."""
    parser = Parser(
        "postgreyreport",
        "List mail that was greylisted and never came back, from a mail log and postgrey's database.",
        usage="postgreyreport [option ...] [file ...]",
    )
    defaults = Settings()

    def flag(*names: str, help: str, **more: Any) -> None:
        parser.option(*_spellings(names), action="store_true", help=help, **more)

    def value(*names: str, metavar: str, help: str, **more: Any) -> None:
        parser.option(*_spellings(names), metavar=metavar, help=help, **more)

    value(
        "check-sender",
        type=_sender_checks,
        metavar="LIST",
        default=(),
        help=f"say whether the client is a mail server of the sender's domain: {','.join(SENDER_CHECKS)}",
        suggest=SENDER_CHECKS,
    )
    value("dbdir", metavar="PATH", help=f"directory of the database (default: {PATHS.dbdir})")
    flag("debug-db", help="print what the database has for clients that match --debug_re, and no report")
    value("debug-re", metavar="PATTERNS", type=_patterns, default=(), help="patterns of client names, with commas")
    value(
        "delay",
        metavar="N",
        type=whole_number(0, _MAX_DELAY),
        help=f"the --delay of the server, after which mail passes (default: {defaults.delay})",
    )
    parser.option("format", choices=FORMATS, help=f"how to print it (default: {FORMATS[0]})")
    value(
        "greylist-text",
        "return-string",
        metavar="TEXT",
        help=f"pattern of the text for greylisted mail (default: {GREYLIST_TEXT})",
    )
    add_common_options(parser)
    add_network_sizes(parser)
    flag(
        "lookup-by-host",
        default=None,
        help="the server runs with --lookup-by-host: search the database by client address (default: by both)",
    )
    flag(
        "lookup-by-subnet",
        help="the server runs with --lookup-by-subnet: search the database by client network (default: by both)",
    )
    value(
        "match-clients",
        metavar="FILE",
        action="append",
        default=[],
        help="report only clients that match an entry in FILE; repeatable",
    )
    add_nameserver(parser)
    value("plot", metavar="FILE", type=_picture, help="draw the summary into FILE, which ends in .svg or .png")
    flag("privacy", default=None, help="the server stores hashes")
    value("separate-by-ip", metavar="TEXT", type=_separator, default="", help="print TEXT before every new address")
    value("separate-by-subnet", metavar="TEXT", type=_separator, default="", help="print TEXT before every new network")
    add_server_options(parser)
    flag("show-time", help="show the time of the last try")
    flag("show-tries", help="show how often it was tried")
    flag("single-line", default=True, help="one line for each (default)")
    parser.option(
        *("nosingle_line", "nosingle-line", "no-single_line", "no-single-line"),
        dest="single_line",
        action="store_false",
        help="group the lines by client",
    )
    value(
        "skip-clients",
        metavar="FILE",
        action="append",
        default=[],
        help="do not report clients that match an entry in FILE; repeatable",
    )
    value(
        "skip-dnsbl",
        metavar="DOMAIN",
        action="append",
        default=[],
        help="do not report clients listed in the DNS blocklist DOMAIN; repeatable",
    )
    flag("skip-pool", help="do not report clients whose host name contains the last two parts of their address")
    flag("summary", help="print figures instead of the list")
    flag("tab", help="separate columns by tabs")
    value("user", "u", metavar="USER", help=f"run as this user (default for root: {PATHS.user})")
    flag("verbose", "v", help="say on standard error what is done")
    parser.operand("files", nargs="*")
    return parser


def _spellings(names: tuple[str, ...]) -> list[str]:
    """Every name with dashes, and as the original has it with underscores."""
    return [spelling for name in names for spelling in dict.fromkeys((name, name.replace("-", "_")))]


def _sender_checks(value: str) -> tuple[str, ...]:
    checks = tuple(value.lower().split(","))
    if unknown := [check for check in checks if check not in SENDER_CHECKS]:
        raise argparse.ArgumentTypeError(f"{unknown[0]!r} is none of {', '.join(SENDER_CHECKS)}")
    return checks


def _patterns(value: str) -> tuple[DebugPattern, ...]:
    """Each pattern as it is written, and what searches for it."""
    from postgrey_py.commands.patterns import compile_search

    try:
        return tuple(
            (pattern, compile_search(pattern.encode("utf-8", "surrogateescape"), "--debug_re", ignore_case=True))
            for pattern in value.split(",")
        )
    except PatternError as error:
        raise argparse.ArgumentTypeError(f"{value!r} is no regular expression: {error}") from error


def _picture(value: str) -> str:
    if not value.endswith(PICTURES):
        raise argparse.ArgumentTypeError(f"{value!r} ends neither in .svg nor in .png")
    return value


def _separator(value: str) -> str:
    # A shell has no easy way to write a line end.
    return value.replace(r"\n", "\n")
