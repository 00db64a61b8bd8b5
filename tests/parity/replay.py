# SPDX-License-Identifier: GPL-2.0-or-later
"""Feed traffic to a server and keep all that it answered, logged and stored."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tests.parity.databases import Dump, dump_recovered
from tests.parity.traffic import CONNECTIONS, Batch
from tests.support.policy import PolicyClient
from tests.support.servers import PERL_POSTGREY, POSTGREY, PolicyServer

# What is logged between these belongs to the traffic; it is the log of requests that say nothing but this.
MARK = "ignoring garbage: <traffic {}>\nattribute missing: client_address\n"
BEGIN, END = MARK.format("begins"), MARK.format("ends")

# A zone whose name the C library takes from the variable itself, for the date in X-Greylist.
ENVIRONMENT = {"TZ": "XYZ-3"}


@dataclass(frozen=True, slots=True)
class Program:
    """A policy server that can be run.

    `read_log` turns its log into what is compared; `ask_all` sends it traffic, in order, and returns the replies.
    """

    command: Sequence[str]
    read_log: Callable[[str], str]
    ask_all: Callable[[int, Sequence[Batch]], list[str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is compared: replies and log lines in order, warnings about the whitelist files, and databases by name."""

    replies: tuple[str, ...]
    log: tuple[str, ...]
    warnings: tuple[str, ...]
    databases: dict[str, Dump]


def undouble_percent_signs(log: str) -> str:
    """The log of 1.37 with each `%` once, as it came (unlike 1.37 we do not double it)."""
    return log.replace("%%", "%")


def replay(program: Program, options: Sequence[str], traffic: Sequence[Batch], dbdir: Path) -> Outcome:
    """Start `program` on a new `dbdir`, ask everything in order, stop it, and return what came of it."""
    server = PolicyServer(program.command, dbdir, options, env=ENVIRONMENT)
    with server:
        mark_log(server, "begins", BEGIN)
        ask_all = ask_over_new_connections if "--exim" in options else program.ask_all
        replies = ask_all(server.port, traffic)
        mark_log(server, "ends", END)
    before, _, rest = server.log().partition(BEGIN)
    log = program.read_log(rest.partition(END)[0])
    warnings = [line for line in before.splitlines() if re.search(r" line \d+: ", line)]
    return Outcome(tuple(replies), tuple(log.splitlines()), tuple(warnings), dump_recovered(dbdir))


def replay_side_by_side(
    programs: tuple[Program, Program],
    options: tuple[Sequence[str], Sequence[str]],
    traffic: Sequence[Batch],
    directory: Path,
) -> tuple[Outcome, Outcome]:
    """The outcomes of two programs that get the same traffic at the same time."""
    with ThreadPoolExecutor(2) as pool:
        jobs = [
            pool.submit(replay, program, arguments, traffic, directory / f"db{number}")
            for number, (program, arguments) in enumerate(zip(programs, options, strict=True))
        ]
        return jobs[0].result(), jobs[1].result()


def mark_log(server: PolicyServer, word: str, logged: str) -> None:
    """Have the server log that the traffic begins or ends, and wait until it has."""
    with PolicyClient(server.port) as client:
        client.send(f"request=smtpd_access_policy\ntraffic {word}\n\n".encode("ascii"))
        client.read_reply()
    server.wait_for_log(logged)


def ask_one_by_one(port: int, traffic: Sequence[Batch]) -> list[str]:
    """Wait for the reply to each request before the next, as Postfix does."""
    singles = [Batch(batch.connection, (request,)) for batch in traffic for request in batch.requests]
    return ask_in_batches(port, singles)


def ask_in_batches(port: int, traffic: Sequence[Batch]) -> list[str]:
    """Send each batch whole on its connection and read its replies before the next, which keeps the order."""
    clients = [PolicyClient(port) for _ in range(CONNECTIONS)]
    replies = []
    for batch in traffic:
        client = clients[batch.connection]
        client.send(b"".join(request.octets for request in batch.requests))
        replies += [client.read_reply() for _ in batch.requests]
    for client in clients:
        client.close()
    return replies


def ask_over_new_connections(port: int, traffic: Sequence[Batch]) -> list[str]:
    """Send each request on a connection of its own, which the server must close."""
    replies = []
    for request in (request for batch in traffic for request in batch.requests):
        with PolicyClient(port) as client:
            client.send(request.octets)
            replies.append(client.read_reply())
            assert client.socket.recv(1) == b""
    return replies


# unlike 1.37: requests sent ahead are answered like any others. In 1.37 one inherits the attributes of the one before
# it, and loses those that came with an earlier read.
PERL = Program(PERL_POSTGREY, undouble_percent_signs, ask_one_by_one)
OURS = Program(POSTGREY, str, ask_in_batches)
