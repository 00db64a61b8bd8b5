# SPDX-License-Identifier: GPL-2.0-or-later
"""What many connections together make the real server hold: bounded, and others are served meanwhile."""

from __future__ import annotations

import socket
from contextlib import ExitStack, suppress

import pytest

from postgrey_py.daemon.connection import MOST_OWED
from postgrey_py.daemon.connections import BUDGET_BYTES
from postgrey_py.daemon.reception import SLOT_BYTES
from tests.daemon.conftest import StartServer
from tests.daemon.processes import GREYLISTED, many_open_files, status
from tests.support.policy import PolicyClient, make_request
from tests.support.servers import PolicyServer

# What the memory of Python may take beyond what is counted.
SLACK = 1.5

MANY = 600
BEGUN = b"request=smtpd_access_policy\n" + b"name=value\n" * 5800


def peak(server: PolicyServer) -> int:
    """The most memory that the server has had, in bytes."""
    return int(status(server.pid)["VmHWM"][0]) * 1024


def is_open(client: PolicyClient) -> bool:
    """Whether the server has not closed this connection, on which it has nothing to say."""
    client.socket.setblocking(False)
    try:
        return bool(client.socket.recv(1))
    except BlockingIOError:
        return True
    except ConnectionError:
        return False


def warm_up(server: PolicyServer, connections: ExitStack) -> PolicyClient:
    """A client whose requests have made the server take the memory that it always takes."""
    client = connections.enter_context(PolicyClient(server.port))
    for _ in range(200):
        assert client.ask() == GREYLISTED
    return client


def send_as_far_as_taken(client: PolicyClient, octets: bytes) -> None:
    with suppress(ConnectionError):
        client.send(octets)


def test_unfinished_requests_have_a_common_limit(start: StartServer) -> None:
    server = start()
    with many_open_files(), ExitStack() as connections:
        other = warm_up(server, connections)
        clients = [connections.enter_context(PolicyClient(server.port)) for _ in range(MANY)]
        before = peak(server)
        for number, client in enumerate(clients):
            send_as_far_as_taken(client, BEGUN)
            if number % 10 == 0:
                assert other.ask() == GREYLISTED
        # Everything that came before has been looked at when this is answered.
        assert [other.ask() for _ in range(3)] == [GREYLISTED] * 3
        assert peak(server) - before < SLACK * BUDGET_BYTES
        left = sum(map(is_open, clients))
        assert BUDGET_BYTES // 2 < left * len(BEGUN) <= BUDGET_BYTES
        # One that holds nothing stays.
        assert is_open(other)
    log = server.log()
    assert " with the most of 16" in log
    assert " KiB of unfinished and unanswered requests and unread answers: 127.0.0.1 (" in log
    assert "Traceback" not in log


def test_those_with_little_are_spared(start: StartServer) -> None:
    server = start()
    with many_open_files(), ExitStack() as connections:
        modest = [connections.enter_context(PolicyClient(server.port)) for _ in range(50)]
        request = make_request()
        for client in modest:
            client.send(request[:100])
        for _ in range(MANY):
            send_as_far_as_taken(connections.enter_context(PolicyClient(server.port)), BEGUN)
        server.wait_for_log(" with the most of 16")
        for client in modest:
            client.send(request[100:])
        assert {client.read_reply() for client in modest} == {GREYLISTED}


def test_trickling_connections_have_the_same_limit(start: StartServer) -> None:
    server = start()
    with many_open_files(), ExitStack() as connections:
        other = warm_up(server, connections)
        clients = [connections.enter_context(PolicyClient(server.port)) for _ in range(MANY)]
        before = peak(server)
        step = 8000
        for begin in range(0, len(BEGUN), step):
            for client in clients:
                send_as_far_as_taken(client, BEGUN[begin : begin + step])
            assert other.ask() == GREYLISTED
        assert peak(server) - before < SLACK * BUDGET_BYTES
        assert 0 < sum(map(is_open, clients)) * len(BEGUN) <= BUDGET_BYTES


@pytest.mark.parametrize("end", ["shut down", "closed", "reset"])
def test_what_was_begun_is_forgotten_with_its_connection(end: str, start: StartServer) -> None:
    server = start()
    with many_open_files(), ExitStack() as connections:
        other = warm_up(server, connections)
        before = peak(server)
        for number in range(MANY):
            client = connections.enter_context(PolicyClient(server.port))
            client.send(BEGUN)
            if end == "shut down":
                client.socket.shutdown(socket.SHUT_WR)
            else:
                if end == "reset":
                    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                client.close()
            if number % 10 == 0:
                assert other.ask() == GREYLISTED
        assert other.ask() == GREYLISTED
        assert peak(server) - before < BUDGET_BYTES
    assert " with the most of " not in server.log()


def test_answers_that_nobody_reads_have_the_same_limit(start: StartServer) -> None:
    """Each request makes a long answer; the windows are small, so that the answers stay in the server."""
    server = start("--greylist-text=" + "x" * 8000)
    request = make_request()
    with ExitStack() as connections:
        other = connections.enter_context(PolicyClient(server.port))
        reply = other.ask()
        before = peak(server)
        deaf = []
        for _ in range(100):
            client = PolicyClient.__new__(PolicyClient)
            client.buffer = b""
            client.socket = connections.enter_context(socket.socket())
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            client.socket.connect(("127.0.0.1", server.port))
            deaf.append(client)
        for client in deaf:
            client.socket.setblocking(False)
            with suppress(BlockingIOError, ConnectionError):
                for _ in range(200):
                    client.socket.send(request * 10)
            assert other.ask() == reply
        # Long pieces that come and go leave holes.
        assert peak(server) - before < 2 * SLACK * BUDGET_BYTES
        assert other.ask() == reply
    assert " with the most of 16" in server.log()


def test_requests_that_wait_for_the_disk_have_the_same_limit(start: StartServer, slow_disk: dict[str, str]) -> None:
    """Each connection asks without waiting for answers, and the disk takes seconds for them."""
    server = start(env=slow_disk)
    request = make_request()
    with many_open_files(), ExitStack() as connections:
        other = connections.enter_context(PolicyClient(server.port))
        before = peak(server)
        # Each connection is listened to until it is owed more than this.
        assert 300 * MOST_OWED * SLOT_BYTES > BUDGET_BYTES
        hasty = [connections.enter_context(PolicyClient(server.port)) for _ in range(300)]
        for client in hasty:
            client.socket.setblocking(False)
            with suppress(BlockingIOError, ConnectionError):
                for _ in range(20):
                    client.socket.send(request * 40)
        assert other.ask() == GREYLISTED
        assert peak(server) - before < SLACK * BUDGET_BYTES
    assert "Traceback" not in server.log()


def test_requests_of_connections_that_are_gone_count_too(start: StartServer, slow_disk: dict[str, str]) -> None:
    server = start(env=slow_disk)
    request = make_request()
    with many_open_files(), ExitStack() as connections:
        other = connections.enter_context(PolicyClient(server.port))
        before = peak(server)
        for _ in range(600):
            with PolicyClient(server.port) as client:
                send_as_far_as_taken(client, request * 100)
        assert other.ask() == GREYLISTED
        assert peak(server) - before < SLACK * BUDGET_BYTES
