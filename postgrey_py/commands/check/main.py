# SPDX-License-Identifier: GPL-2.0-or-later
"""The `postgrey-check` command: ask a policy server and its control socket, print one line, exit with the state."""

from __future__ import annotations

import argparse
import contextlib
import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from postgrey_py.commandline import Parser
from postgrey_py.commands.check.findings import Finding, Judge
from postgrey_py.commands.check.probe import ProbeError, Service, probe
from postgrey_py.commands.check.thresholds import METRICS, Range, State, read_thresholds
from postgrey_py.commands.command import Statuses, add_common_options, run_command
from postgrey_py.commands.control.client import Client, find_socket
from postgrey_py.commands.option_values import whole_number
from postgrey_py.commands.server_options import add_server_options
from postgrey_py.errors import PostgreyError, UsageError
from postgrey_py.greylist.settings import NO_CONTROL

NAME = "postgrey-check"

# Postfix waits 100 seconds for an answer, and has it within a few milliseconds.
WARNING = "latency=1"
CRITICAL = "latency=5,outage=0"
TIMEOUT = 10
_MOST_SECONDS = 600

# What the rest of the work takes once the answers are there.
_SPARE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Options:
    """The options of the command."""

    control: str | None
    critical: dict[str, Range]
    dbdir: str | None
    inet: Service | None
    server_options: str | None
    timeout: int
    unix: Service | None
    warning: dict[str, Range]


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit status: that of the state, 3 for a wrong command line too."""
    statuses = Statuses(State.UNKNOWN, State.UNKNOWN, to_output=True)
    return run_command(f"{NAME}.1", make_parser(), Options, run, arguments, statuses)


def make_parser() -> Parser:
    """The parser of the command's options."""
    parser = Parser(
        NAME,
        "Tell a monitoring system whether a greylisting server works: 0 OK, 1 WARNING, 2 CRITICAL, 3 UNKNOWN.",
        usage=f"{NAME} (--inet=[HOST:]PORT | --unix=PATH) [option ...]",
    )
    metrics = ", ".join(METRICS)
    parser.option("control", metavar="PATH", help="the server's control socket (default: as the server has it)")
    parser.option(
        "critical",
        "c",
        type=read_thresholds,
        metavar="METRIC=RANGE,...",
        default={},
        help=f"CRITICAL outside of these ranges: {metrics} (default: {CRITICAL})",
    )
    parser.option("dbdir", metavar="PATH", help="the directory of the server's database")
    add_common_options(parser)
    parser.option("inet", type=_inet, metavar="[HOST:]PORT", help="ask the server that listens here")
    add_server_options(parser)
    parser.option(
        "timeout",
        "t",
        type=whole_number(1, _MOST_SECONDS),
        metavar="SECONDS",
        default=TIMEOUT,
        help=f"give up after so long (default: {TIMEOUT})",
    )
    parser.option("unix", type=_unix, metavar="PATH", help="ask the server that listens on this Unix socket")
    parser.option(
        "warning",
        "w",
        type=read_thresholds,
        metavar="METRIC=RANGE,...",
        default={},
        help=f"WARNING outside of these ranges (default: {WARNING})",
    )
    return parser


def _inet(text: str) -> Service:
    found = re.fullmatch(r"(?:(.+):)?(\d{1,5})", text, re.ASCII)
    if found is None or not 0 < int(found[2]) < 65536:
        raise argparse.ArgumentTypeError(f"{text!r} is no [HOST:]PORT")
    return Service(None, (found[1] or "localhost").removeprefix("[").removesuffix("]"), int(found[2]))


def _unix(text: str) -> Service:
    if not text:
        raise argparse.ArgumentTypeError("the path is empty")
    return Service(text)


def run(options: Options) -> int:
    """Check the server, and print what is found; returns the state. Raises UsageError."""
    service = options.inet or options.unix
    if service is None or (options.inet and options.unix):
        raise UsageError("one of --inet and --unix must be given")
    judge = Judge(read_thresholds(WARNING) | options.warning, read_thresholds(CRITICAL) | options.critical)
    findings: list[Finding] = []
    # A look-up of a name, say, can't be given up in the thread that waits for it.
    thread = threading.Thread(target=lambda: _check(options, service, judge, findings), daemon=True)
    thread.start()
    thread.join(options.timeout + _SPARE_SECONDS)
    if thread.is_alive():
        findings.append(Finding(f"no answer within {options.timeout} s", State.CRITICAL))
    state, line = judge.format_line(list(findings))
    print(line)
    return state


def _check(options: Options, service: Service, judge: Judge, findings: list[Finding]) -> None:
    """Ask both sockets, and add what is found."""
    try:
        findings += judge.find_in_answer(probe(service, options.timeout))
        findings += _ask_control(options, judge)
    except ProbeError as error:
        findings.append(Finding(str(error), error.state))
    except Exception as error:  # noqa: BLE001 - nobody else hears of it: the thread ends with it
        findings.append(Finding(f"a bug: {error!r}", State.UNKNOWN))


def _ask_control(options: Options, judge: Judge) -> list[Finding]:
    """Return what the server tells of itself; that it tells nothing matters only to who has asked for it."""
    if options.control == NO_CONTROL:
        return []
    try:
        with contextlib.closing(
            Client(find_socket(NAME, options.control, options.dbdir, options.server_options))
        ) as client:
            return judge.find_in_status(client.ask("status", {}))
    except PostgreyError as error:
        if options.control is None and not judge.wants_status():
            return []
        return [Finding(str(error), State.UNKNOWN)]
