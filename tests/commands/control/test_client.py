# SPDX-License-Identifier: GPL-2.0-or-later
"""What the client says of servers that are not there, not for it, or not what they should be."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgrey_py.commands.control.client import Client
from postgrey_py.errors import PostgreyError


@contextlib.contextmanager
def server_that_says(path: Path, octets: bytes) -> Iterator[None]:
    """Something that answers the first line with these bytes, and hangs up."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1 << 16)
                connection.sendall(octets)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join()


def test_no_server_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(PostgreyError, match=r"^no server runs there: .*control: No such file") as caught:
        Client(str(tmp_path / "control"))
    assert "\n" not in str(caught.value)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(tmp_path / "dead"))
    with pytest.raises(PostgreyError, match=r"^no server runs there: .*Connection refused"):
        Client(str(tmp_path / "dead"))


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (b"", "hung up without an answer"),
        (b'{"item":{}}\n', "hung up without an answer"),
        (b"220 mail.example.com ESMTP\n", "this is no line of JSON"),
        (b'{"error":{"code":"refused","message":"there is no pause"}}\n', "^there is no pause$"),
        (b'{"result":7}\n', "hung up without an answer"),
    ],
)
def test_answer_that_is_none(tmp_path: Path, octets: bytes, message: str) -> None:
    path = tmp_path / "control"
    with (
        server_that_says(path, octets),
        contextlib.closing(Client(str(path))) as client,
        pytest.raises(PostgreyError, match=message),
    ):
        client.ask("resume", {})


def test_items_and_result(tmp_path: Path) -> None:
    path = tmp_path / "control"
    answer = b'{"item":{"a":1}}\n{"item":{"a":2}}\n{"result":{"count":2}}\n'
    with server_that_says(path, answer), contextlib.closing(Client(str(path))) as client:
        assert list(client.items("allowed", {})) == [{"a": 1}, {"a": 2}]


def test_refusal_is_told_though_nothing_could_be_sent(tmp_path: Path) -> None:
    path = tmp_path / "control"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        with contextlib.closing(Client(str(path))) as client:
            connection, _ = listener.accept()
            connection.sendall(b'{"error":{"code":"busy","message":"there are 16 connections"}}\n')
            connection.close()
            with pytest.raises(PostgreyError, match=r"^there are 16 connections$"):
                client.ask("status", {})
