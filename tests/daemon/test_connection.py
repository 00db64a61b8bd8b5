# SPDX-License-Identifier: GPL-2.0-or-later
"""One connection of the real server: how far it is listened to while it does not get, or not read, its answers."""

from __future__ import annotations

import fcntl
import socket
import sys
import termios
from contextlib import suppress
from pathlib import Path

import pytest

from postgrey_py.daemon.connection import MOST_OWED
from postgrey_py.daemon.reception import INPUT_BYTES
from tests.daemon.conftest import StartServer
from tests.daemon.processes import GREYLISTED
from tests.support.policy import PolicyClient, make_request
from tests.support.servers import PolicyServer


def send_until_refused(client: PolicyClient, octets: bytes, most: int) -> int:
    """Send these again and again until nothing more is taken for a moment; returns how many bytes that were."""
    client.socket.settimeout(0.2)
    sent = 0
    with suppress(TimeoutError):
        while sent < most:
            sent += client.socket.send(octets[sent % len(octets) :])
    client.socket.settimeout(30)
    return sent


def unread(server: PolicyServer, client: PolicyClient) -> int:
    """How many bytes of this client the server has not read, as the system counts them on both sides."""
    unsent = int.from_bytes(fcntl.ioctl(client.socket, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
    host, port = client.socket.getsockname()
    wanted = f"{socket.inet_aton(host)[::-1].hex().upper()}:{port:04X}"
    with open(f"/proc/{server.pid}/net/tcp") as lines:
        for line in lines:
            words = line.split()
            if words[2] == wanted and words[1].endswith(f":{server.port:04X}"):
                return unsent + int(words[4].split(":")[1], 16)
    raise AssertionError(wanted)


def test_who_asks_without_end_is_not_listened_to_while_the_disk_is_slow(
    start: StartServer, slow_disk: dict[str, str]
) -> None:
    server = start(env=slow_disk)
    number = 2000
    requests = [make_request(sender=f"alice{n}@example.com") for n in range(number)]
    with PolicyClient(server.port) as client, PolicyClient(server.port) as other:
        client.send(b"".join(requests))
        # One more turn's input may have come than what made it too much.
        taken = (MOST_OWED + INPUT_BYTES // len(requests[0]) + 2) * len(requests[0])
        # When this is answered, it has been looked whether there is more to read.
        assert other.ask(recipient=None) == "DUNNO"
        assert unread(server, client) >= sum(map(len, requests)) - taken
        # Who leaves no record is answered meanwhile.
        assert other.ask(recipient=None) == "DUNNO"
        # It is heard again when it got its answers, and nothing is lost.
        assert {client.read_reply() for _ in range(number)} == {GREYLISTED}
        assert client.ask() == GREYLISTED


@pytest.mark.parametrize("sent_at_once", [1, 7, 60])
def test_who_does_not_read_is_not_listened_to(sent_at_once: int, start: StartServer) -> None:
    server = start()
    request = make_request()
    with PolicyClient(server.port) as deaf, PolicyClient(server.port) as other:
        sent = send_until_refused(deaf, request * sent_at_once, 200 << 20)
        assert sent < 100 << 20
        assert other.ask() == GREYLISTED
        for _ in range(sent // len(request)):
            assert deaf.read_reply() == GREYLISTED
        # The last one was not whole.
        deaf.send((request * sent_at_once)[sent % len(request) : len(request)] if sent % len(request) else request)
        assert deaf.read_reply() == GREYLISTED


def test_who_has_shut_down_its_side_gets_what_it_reads_late(start: StartServer) -> None:
    server = start()
    request = make_request()
    with PolicyClient(server.port) as deaf, PolicyClient(server.port) as other:
        sent = send_until_refused(deaf, request * 10, 200 << 20)
        deaf.socket.shutdown(socket.SHUT_WR)
        assert other.ask() == GREYLISTED
        for _ in range(sent // len(request)):
            assert deaf.read_reply() == GREYLISTED
        assert deaf.socket.recv(1) == b""
        assert deaf.buffer == b""


def test_limits_hold_on_a_unix_socket_too(start: StartServer, tmp_path: Path) -> None:
    path = f"{tmp_path}/s"
    server = start(f"--unix={path}")
    request = make_request()
    with PolicyClient(path=path) as deaf, PolicyClient(path=path) as other:
        sent = send_until_refused(deaf, request * 10, 200 << 20)
        assert sent < 100 << 20
        assert other.ask() == GREYLISTED
        for _ in range(sent // len(request)):
            assert deaf.read_reply() == GREYLISTED
    assert "Traceback" not in server.log()
