# SPDX-License-Identifier: GPL-2.0-or-later
"""Memory that runs out: under a limit of the real server, and in each place where it may be met."""

from __future__ import annotations

import asyncio
import itertools
import resource
import selectors
import threading
from contextlib import ExitStack, suppress

import pytest

from postgrey_py.daemon.logs import Log
from postgrey_py.daemon.memory import COMPLAINT_SECONDS, Shortage, run_to_the_end
from postgrey_py.greylist.loglines import Level
from tests.daemon.conftest import StartServer
from tests.daemon.processes import GREYLISTED, many_open_files, status, stop_once, wait_until
from tests.parity.databases import TRIPLETS, dump_recovered
from tests.support.policy import PolicyClient, make_request
from tests.support.servers import PolicyServer

TOLD = "out of memory "
BEGUN = b"request=smtpd_access_policy\n" + b"name=value\n" * 5800


class Lines:
    """Keeps what is logged."""

    def __init__(self) -> None:
        self.lines: list[tuple[Level, str]] = []

    def write(self, lines: list[tuple[Level, str]]) -> int:
        self.lines += lines
        return 0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def leave_memory(server: PolicyServer, octets: int) -> None:
    """Let the running server have so much more than it has now."""
    size = int(status(server.pid)["VmSize"][0]) * 1024
    resource.prlimit(server.pid, resource.RLIMIT_AS, (size + octets, resource.RLIM_INFINITY))


def leave_all(server: PolicyServer) -> None:
    resource.prlimit(server.pid, resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class Mail:
    """Clients that send new mail, connect again when they are hung up on, and remember what was deferred."""

    def __init__(self, server: PolicyServer, clients: int = 3) -> None:
        self.server = server
        self.deferred: list[str] = []
        self.hung_up = 0
        self._stopping = threading.Event()
        self._threads = [threading.Thread(target=self._send, args=[number]) for number in range(clients)]

    def _send(self, number: int) -> None:
        sequence = itertools.count()
        while not self._stopping.is_set():
            with suppress(ConnectionError, TimeoutError), PolicyClient(self.server.port) as client:
                while not self._stopping.is_set():
                    recipient = f"user{next(sequence)}@example.org"
                    if client.ask(client_address=f"10.{number}.0.1", recipient=recipient) == GREYLISTED:
                        self.deferred.append(f"10.{number}.0.0/alice@example.com/{recipient}")
            self.hung_up += 1

    def wait_for(self, deferred: int) -> None:
        deferred += len(self.deferred)
        wait_until(lambda: len(self.deferred) >= deferred, 60)

    def __enter__(self) -> Mail:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join()


def crowd(server: PolicyServer, connections: ExitStack, number: int, octets: bytes) -> None:
    """So many connections that say this, as far as the server takes it."""
    for _ in range(number):
        with suppress(ConnectionError, TimeoutError):
            client = connections.enter_context(PolicyClient(server.port, timeout=2))
            client.send(octets)


@pytest.mark.parametrize("mebibytes", [4, 8])
def test_limit_of_memory_costs_connections_and_nothing_else(mebibytes: int, start: StartServer) -> None:
    server = start()
    with many_open_files(), Mail(server) as mail:
        mail.wait_for(500)
        leave_memory(server, mebibytes << 20)
        with ExitStack() as connections:
            for _ in range(4):
                crowd(server, connections, 100, BEGUN)
                crowd(server, connections, 50, make_request() * 40)
                crowd(server, connections, 200, b"")
        # It goes on with the same limit,
        mail.wait_for(200)
        leave_all(server)
        # and without.
        mail.wait_for(500)
    assert stop_once(server.process) == 0
    log = server.log()
    assert TOLD in log
    assert log.count(TOLD) <= 2
    assert "a bug" not in log
    stored = dump_recovered(server.dbdir)[TRIPLETS].records
    assert [key for key in mail.deferred if key not in stored] == []


def exhaust() -> None:
    raise MemoryError


class PoorSelector(selectors.DefaultSelector):
    """Finds no memory for what it has to tell, three times."""

    def __init__(self) -> None:
        super().__init__()
        self.failures = 3

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self.failures:
            self.failures -= 1
            exhaust()
        return super().select(timeout)


def test_loop_goes_on_after_memory_errors_of_its_own() -> None:
    met: list[str] = []
    seen: list[str] = []

    async def work() -> None:
        for name in "abc":
            asyncio.get_running_loop().call_soon(seen.append, name)
        await asyncio.sleep(0.01)
        seen.append("end")

    loop = asyncio.SelectorEventLoop(PoorSelector())
    run_to_the_end(loop, work(), met.append)
    loop.close()
    assert seen == ["a", "b", "c", "end"]
    assert met == ["in the event loop"] * 3


def test_other_errors_end_the_loop_and_everything_in_it() -> None:
    ended: list[str] = []

    async def other() -> None:
        try:
            await asyncio.sleep(1000)
        finally:
            ended.append("other")

    async def work() -> None:
        task = asyncio.ensure_future(other())
        await asyncio.sleep(0)
        assert not task.done()
        raise ValueError("mistake")

    loop = asyncio.new_event_loop()
    with pytest.raises(ValueError, match="mistake"):
        run_to_the_end(loop, work(), ended.append)
    loop.close()
    assert ended == ["other"]


def test_shortage_is_told_at_once_and_then_once_a_minute() -> None:
    lines, clock, relieved = Lines(), Clock(), []
    shortage = Shortage(Log(lines), clock, lambda: relieved.append(clock.now), lambda: True)
    for _ in range(100):
        shortage.met("for a request")
    clock.now += COMPLAINT_SECONDS
    shortage.met("for a new connection")
    assert len(relieved) == 101
    first, second = lines.lines
    assert first[0] is second[0] is Level.CRITICAL
    assert first[1].startswith("out of memory for a request: ")
    assert second[1].startswith("out of memory for a new connection (101 times by now): ")


def test_nothing_that_is_done_about_a_shortage_may_raise() -> None:
    class FullLog(Log):
        def line(self, level: Level, text: str) -> None:
            exhaust()

    Shortage(FullLog(Lines()), Clock(), exhaust, lambda: True).met("for a request")


def test_job_begins_again_where_memory_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("postgrey_py.daemon.memory.PAUSE_SECONDS", 0.0)
    shortage, begun = Shortage(Log(Lines()), Clock(), lambda: None, lambda: True), []

    async def job() -> None:
        begun.append(1)
        if len(begun) < 3:
            exhaust()

    asyncio.run(shortage.keep_doing(job))
    assert len(begun) == 3
