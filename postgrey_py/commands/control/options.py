# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of postgreyctl: a sub-command, its operands, and its options."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple

from postgrey_py.commandline import Parser
from postgrey_py.commands.command import add_common_options
from postgrey_py.commands.server_options import add_server_options
from postgrey_py.errors import UsageError

NAME = "postgreyctl"
TEXT, JSON = "text", "json"

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(?:\d{1,6}[smhdw])+", re.ASCII)

# What every sub-command takes.
_COMMON = {"command", "operands", "control", "dbdir", "server_options", "format"}


class Subcommand(NamedTuple):
    """A sub-command: what its help says, its operands, and the options that it has beside the common ones."""

    help: str
    operands: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


# What records are chosen by.
_CHOICE = ("client", "sender", "recipient", "older", "newer")

SUBCOMMANDS: Mapping[str, Subcommand] = {
    "allow": Subcommand(
        "let mail of a client, sender or recipient through for a while",
        options=("client", "sender", "recipient", "duration", "once", "comment"),
    ),
    "allowed": Subcommand("list what is allowed"),
    "clean-up": Subcommand("remove old records now"),
    "disallow": Subcommand("end an allowance", operands=("ID",)),
    "distrust": Subcommand("take a client off the auto-whitelist", operands=("CLIENT",)),
    "explain": Subcommand(
        "tell what becomes of a mail, and why",
        operands=("CLIENT", "SENDER", "RECIPIENT"),
        options=("name", "helo", "at", "line"),
    ),
    "export": Subcommand("print all records as lines of JSON"),
    "forget": Subcommand("remove triplets, and clients", options=(*_CHOICE, "yes")),
    "import": Subcommand("merge exported records with those of the server", operands=("FILE",), options=("yes",)),
    "pause": Subcommand("let all mail through", options=("duration",)),
    "pending": Subcommand("list mail that waits", options=(*_CHOICE, "limit")),
    "release": Subcommand("let mail that waits pass at its next try", options=(*_CHOICE, "yes")),
    "reload": Subcommand("read the whitelists again"),
    "resume": Subcommand("end a pause"),
    "status": Subcommand("tell whether all is well, and the numbers"),
    "trust": Subcommand("put a client on the auto-whitelist", operands=("CLIENT",)),
    "trusted": Subcommand("list the auto-whitelist", options=("client", "older", "newer", "limit")),
    "watch": Subcommand("show decisions as they happen", options=("client", "sender", "recipient", "action")),
}


@dataclass(frozen=True, slots=True)
class Options:
    """The sub-command, its operands, and all options; None where one is not given."""

    command: str
    operands: list[str]
    control: str | None
    dbdir: str | None
    server_options: str | None
    format: str
    action: str | None
    at: str | None
    client: str | None
    comment: str | None
    duration: int | None
    helo: str | None
    limit: int | None
    line: str | None
    name: str | None
    newer: int | None
    older: int | None
    once: bool | None
    recipient: str | None
    sender: str | None
    yes: bool | None


def make_options(**given: object) -> Options:
    """Return the options, if they fit the sub-command. Raises UsageError."""
    options = Options(**given)  # type: ignore[arg-type]
    command = SUBCOMMANDS.get(options.command)
    if command is None:
        raise UsageError(f"{options.command or 'nothing'}: no such command; known: {', '.join(SUBCOMMANDS)}")
    for field in fields(Options):
        if field.name not in (*_COMMON, *command.options) and getattr(options, field.name) is not None:
            raise UsageError(f"--{_OPTION_NAMES.get(field.name, field.name)}: {options.command} has no such option")
    expected = () if options.line is not None else command.operands
    if len(options.operands) != len(expected):
        wanted = " ".join(expected) or "nothing"
        raise UsageError(f"{options.command} is followed by {wanted}, not by {' '.join(options.operands) or 'nothing'}")
    return options


_OPTION_NAMES = {"duration": "for"}


def make_parser() -> Parser:
    """The parser of all options."""
    commands = "\n".join(f"  {name:10} {command.help}" for name, command in SUBCOMMANDS.items())
    parser = Parser(
        NAME, f"Ask a running Postgrey server, and give it orders.\n\n{commands}", usage=f"{NAME} command [option ...]"
    )
    parser.option("action", choices=("pass", "greylist"), help="only decisions with this action")
    parser.option("at", metavar="TIME", help="as at this time: 14:05, +15m, '2026-11-27 14:05', seconds since 1970")
    parser.option("client", metavar="CLIENT", help="this client: an address, a network, or a name")
    parser.option("comment", metavar="TEXT", help="a note to the allowance")
    parser.option("control", metavar="PATH", help="the server's control socket (default: as the server has it)")
    parser.option("dbdir", metavar="PATH", help="the directory of the server's database")
    parser.option(
        "for", dest="duration", type=read_duration, metavar="TIME", help="for so long: 90s, 15m, 1h, 2d, 1h30m"
    )
    parser.option("format", choices=(TEXT, JSON), default=TEXT, help="text (default) or JSON")
    parser.option("helo", metavar="NAME", help="what the client calls itself")
    add_common_options(parser)
    parser.option("limit", type=read_limit, metavar="N", help="show so many at most (default: 100)")
    parser.option("line", metavar="LINE", help="the mail of this line of the mail log")
    parser.option("name", metavar="NAME", help="the client's name, as Postfix has verified it (default: unknown)")
    parser.option("newer", type=read_duration, metavar="TIME", help="first seen no longer ago than this")
    parser.option("older", type=read_duration, metavar="TIME", help="first seen longer ago than this")
    parser.option("once", action="store_true", default=None, help="for a single mail")
    parser.option("recipient", metavar="RECIPIENT", help="this recipient: an address or a domain")
    parser.option("sender", metavar="SENDER", help="this sender: an address or a domain; <> for bounces")
    add_server_options(parser)
    parser.option("yes", action="store_true", default=None, help="do it without asking")
    parser.operand("command", nargs="?", default="", suggest=tuple(SUBCOMMANDS))
    parser.operand("operands", nargs="*")
    return parser


def read_duration(text: str) -> int:
    """Return the seconds of a duration such as 15m or 1h30m. Raises ArgumentTypeError."""
    if not _DURATION.fullmatch(text.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 90s, 15m, 1h, 2d or 1h30m")
    return sum(int(part[:-1]) * _UNITS[part[-1]] for part in re.findall(r"\d+[smhdw]", text))


def read_limit(text: str) -> int:
    """Return this number. Raises ArgumentTypeError."""
    if not re.fullmatch(r"\d{1,6}", text, re.ASCII):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to 999999")
    return int(text)
