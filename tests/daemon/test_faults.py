# SPDX-License-Identifier: GPL-2.0-or-later
"""Every error of the system at every call on every file of dbdir: nothing that was answered is lost.

Each round: mail is deferred; calls begin to fail, while mail goes on, checkpoints are asked for and the server is
killed and started again; they end to fail; greylisting comes back by itself, everything that was ever answered with a
deferral is known, and nothing is left of repairs.
"""

from __future__ import annotations

import contextlib
import itertools
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.daemon.conftest import StartServer
from tests.daemon.processes import stop_once, wait_until
from tests.parity.databases import TRIPLETS, dump_recovered, verify
from tests.support.faults import Faults
from tests.support.policy import PolicyClient, make_request
from tests.support.servers import PolicyServer

ERRORS = ("EIO", "ENOSPC", "EDQUOT", "EFBIG", "EROFS", "EMFILE", "ENOMEM")
CALLS = ("open", "read", "write", "fsync", "rename")
FILES = ("postgrey.db", "postgrey_clients.db", "log.0*", "__db.*", "postgrey.lock,db/")

EVERY = "postgrey*.db*,log.0*,__db.*,postgrey.lock,db/,repair.trying,repair.returning,repair.done,repair.trial"

# Longer than the server ever waits between two tries to open its database, by far.
MINUTES = 200.0

DELAY = 300
BATCH = 50


@dataclass(frozen=True)
class Fault:
    """What fails."""

    error: str
    calls: str
    files: str
    more: str = ""

    def __str__(self) -> str:
        return "-".join(filter(None, (self.error, self.calls, self.files, self.more))).replace("/", "")


ALL = [Fault(*values) for values in itertools.product(ERRORS, CALLS, FILES)]

# One of each error, of each call on each file, and what has lost something once.
SOME = [
    *(Fault(ERRORS[n % len(ERRORS)], call, file) for n, (call, file) in enumerate(itertools.product(CALLS, FILES))),
    Fault("EIO", "write", "*.db"),
    Fault("EIO", "write", "log.0*", "short"),
    Fault("ENOSPC", "write,allocate", EVERY),
    Fault("EIO", "read,write,fsync", EVERY),
    Fault("EROFS", "open,write,rename,unlink", EVERY),
    Fault("EIO", "unlink", EVERY),
    Fault("ENOMEM", "mmap", EVERY),
    Fault("EIO", "mmap", "__db.*"),
    Fault("EMFILE", "open", EVERY),
]

LASTING = [
    Fault("EIO", "write,fsync", "log.0*"),
    Fault("ENOSPC", "write,allocate", EVERY),
    Fault("EIO", "read,write,fsync", EVERY),
]


class Mail:
    """Mail to a server that comes and goes; remembers all that was deferred."""

    def __init__(self) -> None:
        self.deferred: list[tuple[str, str]] = []
        self._numbers = itertools.count()

    def send(self, server: PolicyServer) -> int:
        """A batch of new mail, every one answered; returns how many were deferred."""
        network = next(self._numbers)
        with PolicyClient(server.port, timeout=60) as client:
            address = f"10.{network // 250}.{network % 250}.1"
            recipients = [f"user{n}@example.org" for n in range(BATCH)]
            client.send(b"".join(make_request(client_address=address, recipient=r) for r in recipients))
            deferred = [(address, r) for r in recipients if client.read_reply() != "DUNNO"]
        self.deferred += deferred
        return len(deferred)

    def triplets(self) -> list[str]:
        """The keys under which they are stored."""
        return [f"{address.rpartition('.')[0]}.0/alice@example.com/{r}" for address, r in self.deferred]


def wait_for_greylisting(server: PolicyServer, mail: Mail) -> None:
    wait_until(lambda: mail.send(server) == BATCH, 90)


def left_overs(dbdir: Path) -> list[str]:
    """What is there beside the files of a database."""
    known = ("postgrey.db", "postgrey_clients.db", "postgrey.lock", "postgrey.control", "postgrey.history")
    names = [path.name for path in dbdir.iterdir()]
    return [name for name in names if name not in known and not name.startswith(("log.0", "__db.0"))]


def start_while_it_fails(start: StartServer, dbdir: Path, env: dict[str, str]) -> PolicyServer | None:
    """A server, or None where it has refused to start, in one line."""
    with contextlib.suppress(AssertionError):
        return start(dbdir=dbdir, env=env)
    return None


def words(server: PolicyServer) -> str:
    """The log but for what it says of mail."""
    return "\n".join(line for line in server.log().splitlines() if not line.startswith("action="))


def run_round(fault: Fault, seconds: float, faults: Faults, start: StartServer, tmp_path: Path) -> None:
    dbdir = tmp_path / "db"
    server = start(dbdir=dbdir, env=faults.env)
    mail = Mail()
    for _ in range(10):
        assert mail.send(server) == BATCH

    # It runs while this fails.
    faults.begin(fault.error, fault.calls, fault.files, fault.more)
    server.signal(signal.SIGUSR1)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        mail.send(server)
        time.sleep(0.05)
    faults.end()
    wait_for_greylisting(server, mail)
    assert left_overs(dbdir) == [], words(server)

    # It is killed while this fails, and started.
    faults.begin(fault.error, fault.calls, fault.files, fault.more)
    server.signal(signal.SIGUSR1)
    for _ in range(5):
        mail.send(server)
    server.kill()
    while_it_fails = start_while_it_fails(start, dbdir, faults.env)
    if while_it_fails is not None:
        for _ in range(5):
            mail.send(while_it_fails)
        while_it_fails.kill()
    faults.end()

    # It is started when this is over, fails while it runs, and is killed when that is over, before it has noticed.
    server = start(dbdir=dbdir, env=faults.env)
    assert mail.send(server) == BATCH
    faults.begin(fault.error, fault.calls, fault.files, fault.more)
    server.signal(signal.SIGUSR1)
    mail.send(server)
    time.sleep(0.2)
    faults.end()
    server.kill()

    server = start(dbdir=dbdir, env=faults.env)
    assert mail.send(server) == BATCH
    with PolicyClient(server.port) as client:
        for address, recipient in mail.deferred[:: len(mail.deferred) // 100]:
            now = int(time.time()) + DELAY + 60
            assert client.ask(client_address=address, recipient=recipient, policy_test_time=now).startswith(
                ("PREPEND", "DUNNO")
            )
    assert "Traceback" not in server.log(), words(server)
    assert "a bug" not in server.log()
    assert stop_once(server.process) == 0
    stored = dump_recovered(dbdir)[TRIPLETS].records
    assert [key for key in mail.triplets() if key not in stored] == [], words(server)
    verify(dbdir)
    assert left_overs(dbdir) == [], words(server)


@pytest.mark.parametrize("fault", SOME, ids=str)
def test_passing_fault_loses_nothing(fault: Fault, faults: Faults, start: StartServer, tmp_path: Path) -> None:
    run_round(fault, 2.0, faults, start, tmp_path)


@pytest.mark.proof
@pytest.mark.parametrize("fault", ALL, ids=str)
def test_every_fault_loses_nothing(fault: Fault, faults: Faults, start: StartServer, tmp_path: Path) -> None:
    run_round(fault, 8.0, faults, start, tmp_path)


@pytest.mark.proof
@pytest.mark.timeout(600)
@pytest.mark.parametrize("fault", LASTING, ids=str)
def test_fault_that_lasts_for_minutes_loses_nothing(
    fault: Fault, faults: Faults, start: StartServer, tmp_path: Path
) -> None:
    run_round(fault, MINUTES, faults, start, tmp_path)
