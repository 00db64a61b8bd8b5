# SPDX-License-Identifier: GPL-2.0-or-later
"""`policy-test`: ask a policy server what Postfix must have asked it, from a mail log, and measure how fast it is."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import re
import sys
import time
import zlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from postgrey_py.commandline import Parser
from postgrey_py.commands.command import add_common_options, run_command
from postgrey_py.commands.formats import printable
from postgrey_py.commands.logfiles import LogText, open_log_files
from postgrey_py.commands.logorder import TimeWatch, in_order_of_time
from postgrey_py.commands.logtime import LogClock
from postgrey_py.commands.option_values import whole_number
from postgrey_py.commands.replay.deliveries import Delivery, DeliveryReader
from postgrey_py.commands.replay.load import Load, Service
from postgrey_py.errors import UsageError
from postgrey_py.greylist.keys import rewrite_sender

MAX_CONNECTIONS = 10_000
# What fits into struct sockaddr_un.
MAX_UNIX_PATH_BYTES = 107
PERCENTILES = (50, 90, 95, 99, 99.9)

# How many requests are made of the log before answers are looked at: more would make them seem late.
_REQUESTS_AT_A_TIME = 8


@dataclass(frozen=True, slots=True)
class Options:
    """The options and operands of the command."""

    connections: int
    files: Sequence[str]
    latency: bool
    rate: float | None
    service: str | None
    verbose: bool


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit status: 0, 1 after an error, 2 for a wrong command line."""
    return run_command("policy-test.8", make_parser(), Options, run, arguments)


def make_parser() -> Parser:
    """The parser of the command's options."""
    parser = Parser(
        "policy-test",
        "Turn a Postfix log into requests to a policy server.",
        usage="policy-test [option ...] (inet:HOST:PORT | unix:PATH) [file ...]",
    )
    parser.option(
        "connections",
        type=whole_number(1, MAX_CONNECTIONS),
        metavar="N",
        default=1,
        help="ask over N connections at a time (default: 1)",
    )
    add_common_options(parser)
    parser.option("latency", action="store_true", help="say how long answers took")
    parser.option("rate", type=_rate, metavar="N", help="ask N times a second (default: as fast as it is answered)")
    parser.option("verbose", "v", action="store_true", help="print requests and answers")
    parser.operand("service", nargs="?", suggest=("inet:", "unix:"))
    parser.operand("files", nargs="*")
    return parser


def run(options: Options) -> None:
    """Do what the command line asks for. Raises PostgreyError."""
    if options.service is None:
        raise UsageError("inet:HOST:PORT or unix:PATH must be given")
    service = parse_service(options.service)
    clock = LogClock(time.time())
    watch = TimeWatch(clock)
    log = LogText(in_order_of_time(open_log_files(options.files), clock), watch.look)
    count = asyncio.run(_replay(log, clock, service, options))
    said = (log.emptiness, log.complaint(), watch.complaint())
    complaints = [complaint for complaint in said if complaint is not None]
    if not count and log.emptiness is None:
        complaints.append(f"nothing in the log tells of a mail that Postfix must have asked about ({log.total} lines)")
    for complaint in complaints:
        sys.stdout.flush()
        print(f"policy-test: {complaint}", file=sys.stderr)


def parse_service(text: str) -> Service:
    """The service that Postfix writes as `text`. Raises UsageError."""
    if text.startswith("unix:") and text != "unix:":
        length = len(os.fsencode(text.removeprefix("unix:")))
        if length > MAX_UNIX_PATH_BYTES:
            raise UsageError(
                f"{text!r}: the path has {length} bytes, and a Unix socket's at most {MAX_UNIX_PATH_BYTES}"
            )
        return Service(text, text.removeprefix("unix:"))
    found = re.fullmatch(r"inet:(.+):(\d{1,5})", text, re.ASCII)
    if found is None or not 0 < int(found[2]) < 65536:
        raise UsageError(f"{text!r} is neither inet:HOST:PORT nor unix:PATH")
    return Service(text, None, found[1].removeprefix("[").removesuffix("]"), int(found[2]))


def format_request(delivery: Delivery) -> bytes:
    """The request about a delivery, in the policy delegation protocol of Postfix."""
    instance = "" if delivery.instance is None else f"instance={delivery.instance}\n"
    return (
        "request=smtpd_access_policy\nprotocol_state=RCPT\nprotocol_name=SMTP\n"
        f"client_address={delivery.client_address}\nclient_name={delivery.client_name}\n"
        f"sender={delivery.sender}\nrecipient={delivery.recipient}\n{instance}policy_test_time={delivery.time}\n\n"
    ).encode("latin-1")


async def _replay(log: LogText, clock: LogClock, service: Service, options: Options) -> int:
    """Ask about everything in the log; return the number of requests.

    It is printed too, also when the service fails.
    """
    load = Load(service, options.connections, _print_exchange if options.verbose else None)
    start = time.perf_counter()
    try:
        await _ask_about(log, clock, load, options.rate, is_live=not options.files)
        await load.finish()
        if not load.latencies:
            # What is no log is the worse problem.
            log.complaint()
            await load.open()
    finally:
        elapsed = time.perf_counter() - start
        load.close()
        count = len(load.latencies)
        print(f"{count} requests in {elapsed:.2f}s ({count / elapsed:.0f} r/s)")
        if options.latency and count:
            print(_format_latencies(load.latencies))
    return count


async def _ask_about(log: LogText, clock: LogClock, load: Load, rate: float | None, is_live: bool) -> None:
    reader = DeliveryReader(log, clock)
    start, count = time.perf_counter(), 0
    blocks = log.blocks()
    while block := next(blocks, b""):
        for delivery in reader.read(block):
            due = None
            if rate is not None:
                due = start + count / rate
                await load.wait(asyncio.sleep(due - time.perf_counter()))
            count += 1
            # The tries of one mail must be asked about in their order.
            choice = zlib.crc32(f"{rewrite_sender(delivery.sender)}/{delivery.recipient}".lower().encode("utf-8"))
            await load.ask(format_request(delivery), choice, due)
            if count % _REQUESTS_AT_A_TIME == 0:
                await asyncio.sleep(0)
        if is_live:
            await load.wait(_until_readable(sys.stdin.fileno()))


async def _until_readable(descriptor: int) -> None:
    """Return when reading will not block, so that nobody has to wait for a log that is still being written."""
    loop = asyncio.get_running_loop()
    is_readable = asyncio.Event()
    try:
        loop.add_reader(descriptor, is_readable.set)
    except OSError:
        # A regular file never blocks.
        return
    try:
        await is_readable.wait()
    finally:
        loop.remove_reader(descriptor)


def _print_exchange(request: bytes, answer: bytes) -> None:
    for line in (request + answer).split(b"\n")[:-1]:
        print(printable(line))


def _format_latencies(latencies: array[float]) -> str:
    """The percentiles of these seconds in one line."""
    ordered = sorted(latencies)
    shown = [(f"{percent:g} %", ordered[math.ceil(len(ordered) * percent / 100) - 1]) for percent in PERCENTILES]
    shown.append(("longest", ordered[-1]))
    return "latency: " + ", ".join(f"{name} {seconds * 1000:.2f} ms" for name, seconds in shown)


def _rate(text: str) -> float:
    if not re.fullmatch(r"\d{1,9}(?:\.\d{1,9})?", text, re.ASCII) or not float(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of requests a second")
    return float(text)
