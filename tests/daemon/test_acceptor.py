# SPDX-License-Identifier: GPL-2.0-or-later
"""The real server when descriptors run out: the longest idle connection goes, never one that waits for an answer."""

from __future__ import annotations

import resource
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from postgrey_py.daemon.acceptor import ACCEPTED_AT_ONCE
from postgrey_py.daemon.connection import FIRST_REQUEST_SECONDS
from postgrey_py.daemon.server import RESERVED_DESCRIPTORS
from tests.daemon.conftest import StartServer
from tests.daemon.processes import GREYLISTED, stop_once
from tests.daemon.test_reception import is_open
from tests.support.policy import PolicyClient, make_request
from tests.support.servers import POSTGREY, PolicyServer

LIMIT = 100
MOST = LIMIT - RESERVED_DESCRIPTORS
CROWD = ACCEPTED_AT_ONCE + 10
FEW_FILES = ("prlimit", f"--nofile={LIMIT}:{LIMIT}", *POSTGREY)


@contextmanager
def connected(server: PolicyServer, number: int) -> Iterator[list[PolicyClient]]:
    """So many connections, which have asked one after the other."""
    with ExitStack() as connections:
        clients = []
        for _ in range(number):
            clients.append(connections.enter_context(PolicyClient(server.port)))
            assert clients[-1].ask() == GREYLISTED
        yield clients


def test_longest_idle_connection_makes_room(start: StartServer) -> None:
    server = start(command=FEW_FILES)
    with connected(server, MOST) as clients:
        # The first one is not the longest idle any more, nor is the third.
        for client in (clients[0], clients[2]):
            assert client.ask() == GREYLISTED
        with PolicyClient(server.port) as newcomer:
            assert newcomer.ask() == GREYLISTED
            assert [number for number, client in enumerate(clients) if not is_open(client)] == [1]
            with PolicyClient(server.port) as another:
                assert another.ask() == GREYLISTED
                assert [number for number, client in enumerate(clients) if not is_open(client)] == [1, 3]
                assert newcomer.ask() == GREYLISTED
    assert server.log().count("closed 1 idle connection to make room: 127.0.0.1 (1)\n") == 2
    assert "others have to wait" not in server.log()


def test_connections_that_never_ask_make_room(start: StartServer) -> None:
    server = start(command=FEW_FILES)
    with ExitStack() as connections:
        for _ in range(3 * MOST):
            connections.enter_context(PolicyClient(server.port))
        with PolicyClient(server.port) as client:
            assert client.ask() == GREYLISTED
            assert is_open(client)


def test_older_idle_ones_go_before_one_that_has_not_asked_yet(start: StartServer) -> None:
    server = start(command=FEW_FILES)
    with connected(server, MOST - 1) as clients, PolicyClient(server.port) as silent:
        # It has had time enough to ask, and is not spared for its youth.
        time.sleep(1.2 * FIRST_REQUEST_SECONDS)
        with PolicyClient(server.port) as newcomer:
            assert newcomer.ask() == GREYLISTED
            assert [is_open(client) for client in (*clients[:2], silent)] == [False, True, True]
            for client in clients[1:]:
                client.socket.setblocking(True)
                assert client.ask() == GREYLISTED
            with PolicyClient(server.port) as another:
                assert another.ask() == GREYLISTED
                assert [is_open(client) for client in (*clients[1:], silent)] == [True] * (MOST - 2) + [False]


def test_who_has_begun_a_request_goes_only_when_nobody_is_idle(start: StartServer) -> None:
    server = start(command=FEW_FILES)
    half = make_request()[:50]
    with connected(server, MOST) as clients, ExitStack() as newcomers:
        for client in clients[:-2]:
            client.send(half)
        # When these are answered, the others' halves have been read.
        for client in clients[-2:]:
            assert client.ask() == GREYLISTED
        for expected in (MOST - 2, MOST - 1, 0, 1):
            newcomer = newcomers.enter_context(PolicyClient(server.port))
            assert newcomer.ask() == GREYLISTED
            newcomer.send(half)
            assert not is_open(clients[expected])
        assert all(is_open(client) for client in clients[2:-2])
    assert server.log().count("closed 1 idle connection to make room: 127.0.0.1 (1)\n") == 4


def test_nobody_who_waits_for_an_answer_is_closed(start: StartServer, slow_disk: dict[str, str]) -> None:
    server = start(command=FEW_FILES, env=slow_disk)
    with ExitStack() as connections:
        clients = [connections.enter_context(PolicyClient(server.port)) for _ in range(MOST)]
        for number, client in enumerate(clients):
            client.send(make_request(sender=f"alice{number}@example.com"))
        newcomers = [connections.enter_context(PolicyClient(server.port)) for _ in range(10)]
        for number, client in enumerate(newcomers):
            client.send(make_request(sender=f"carol{number}@example.com"))
        assert [client.read_reply() for client in clients] == [GREYLISTED] * MOST
        # They waited in the queue; now others are idle.
        assert [client.read_reply() for client in newcomers] == [GREYLISTED] * 10
    log = server.log()
    assert log.count(f"{MOST} connections are open, others have to wait: no more files may be open\n") == 1


def test_requests_that_came_with_their_connections_are_all_answered(start: StartServer) -> None:
    """A crowd connects, and each has asked before it is accepted: nobody of them is idle until he was answered."""
    server = start(command=FEW_FILES)
    with ExitStack() as connections:
        server.signal(signal.SIGSTOP)
        clients = [connections.enter_context(PolicyClient(server.port)) for _ in range(CROWD)]
        for client in clients:
            client.send(make_request())
        server.signal(signal.SIGCONT)
        assert [client.read_reply() for client in clients] == [GREYLISTED] * CROWD


def test_crowd_that_asks_a_little_later_is_answered(start: StartServer) -> None:
    server = start(command=FEW_FILES)
    with ExitStack() as connections:
        clients = [connections.enter_context(PolicyClient(server.port)) for _ in range(CROWD)]
        for client in clients:
            client.send(make_request())
        assert [client.read_reply() for client in clients] == [GREYLISTED] * CROWD


def test_places_that_become_free_are_taken_at_once(start: StartServer, slow_disk: dict[str, str]) -> None:
    server = start(command=FEW_FILES, env=slow_disk)
    with ExitStack() as connections:
        clients = [connections.enter_context(PolicyClient(server.port)) for _ in range(MOST)]
        for client in clients:
            client.send(make_request())
        waiting = connections.enter_context(PolicyClient(server.port))
        waiting.send(make_request(recipient=None))
        server.wait_for_log("others have to wait")
        for client in clients:
            client.close()
        # It does not wait for the disk.
        assert waiting.read_reply() == "DUNNO"
        assert server.log().count("others have to wait") == 1


def test_limit_that_was_lowered_while_running_makes_room_too(start: StartServer) -> None:
    """The system refuses another descriptor, wherever we have thought that the limit is."""
    server = start(command=("prlimit", "--nofile=300:300", *POSTGREY))
    with connected(server, 100) as clients:
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (100, 300))
        with PolicyClient(server.port) as newcomer:
            # What is above the limit must go before anything below can be used again.
            assert newcomer.ask() in (GREYLISTED, "DUNNO")
        assert is_open(clients[-1])
    assert "idle connection" in server.log()


@pytest.mark.parametrize("number", [1, 50])
def test_exim_and_a_stop_are_as_before(number: int, start: StartServer) -> None:
    server = start("--exim", command=FEW_FILES)
    for _ in range(number):
        with PolicyClient(server.port) as client:
            assert client.ask() == GREYLISTED
            client.socket.settimeout(20)
            assert client.socket.recv(1) == b""
    with PolicyClient(server.port) as last:
        assert last.socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        assert stop_once(server.process) == 0
