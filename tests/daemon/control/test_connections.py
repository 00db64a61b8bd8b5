# SPDX-License-Identifier: GPL-2.0-or-later
"""The control socket of a real server: who may use it, and what becomes of bad messages."""

from __future__ import annotations

import asyncio
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgrey_py.daemon.control import connections
from postgrey_py.daemon.control.connections import MOST_CONNECTIONS, ControlConnections, Send
from postgrey_py.daemon.logs import Log, StderrSink
from postgrey_py.protocol.control import Call
from tests.daemon.conftest import StartServer
from tests.daemon.processes import wait_until
from tests.support.control import ControlClient
from tests.support.policy import ask

NOBODY = 65534


def test_socket_is_for_its_owner_alone_and_goes_with_the_server(start: StartServer) -> None:
    server = start()
    path = server.dbdir / "postgrey.control"
    status = path.stat()
    assert stat.S_ISSOCK(status.st_mode)
    assert stat.S_IMODE(status.st_mode) == 0o600
    with ControlClient(server.dbdir) as client:
        assert client.result("status")["healthy"]
        server.stop()
    assert not path.exists()


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that everybody may enter, which those of pytest are not."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        yield directory


def test_stranger_gets_nothing_even_where_the_file_lets_him(start: StartServer, open_directory: Path) -> None:
    path = open_directory / "control"
    start(f"--control={path}")
    path.chmod(0o666)
    script = (
        "import os, socket, sys\n"
        f"os.setgroups([]); os.setgid({NOBODY}); os.setuid({NOBODY})\n"
        "s = socket.socket(socket.AF_UNIX); s.settimeout(20); s.connect(sys.argv[1])\n"
        "print(s.makefile().read())\n"
    )
    told = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, timeout=60)
    assert '"not-allowed"' in told.stdout, told
    assert "healthy" not in told.stdout


def test_no_socket_where_none_is_wanted(start: StartServer) -> None:
    server = start("--control=none")
    assert not (server.dbdir / "postgrey.control").exists()
    assert ask(server.port) != ""


def test_server_goes_on_where_the_socket_can_not_be(start: StartServer, tmp_path: Path) -> None:
    path = tmp_path / "missing" / "control"
    server = start(f"--control={path}")
    assert f"--control={path}: can't listen there" in server.log()
    assert ask(server.port) != ""


def test_what_another_server_left_is_replaced_and_a_file_is_not(start: StartServer, tmp_path: Path) -> None:
    dead = tmp_path / "dead"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(dead))
    file = tmp_path / "file"
    file.write_text("x")
    first = start(f"--control={dead}")
    assert first.log().count("--control") == 0
    second = start(f"--control={file}", dbdir=tmp_path / "db2")
    assert "there is a file that is no socket" in second.log()
    assert file.read_text() == "x"


@pytest.mark.parametrize(
    ("octets", "code"),
    [
        (b"hello\n", "bad-message"),
        (b"\n", "bad-message"),
        (b"\xff\xfe\x00\n", "bad-message"),
        (b'{"version":2,"command":"status"}\n', "bad-version"),
        (b'{"version":1,"command":"drop"}\n', "unknown-command"),
        (b'{"version":1,"command":"status","arguments":{"all":true}}\n', "bad-argument"),
        (b'{"version":1,"command":"pause","arguments":{"seconds":"1h"}}\n', "bad-argument"),
        (b'{"version":1,"command":"pause","arguments":{"seconds":-1}}\n', "bad-argument"),
        (b'{"version":1,"command":"pause","arguments":{"seconds":0}}\n', "bad-argument"),
        (b'{"version":1,"command":"pause","arguments":{"seconds":1e3}}\n', "bad-argument"),
        (b'{"version":1,"command":"pause","arguments":{"seconds":true}}\n', "bad-argument"),
        (b'{"version":1,"command":"allow","arguments":{"seconds":5,"sender":"\\ud800"}}\n', "bad-argument"),
        (b'{"version":1,"command":"allow","arguments":{"seconds":5,"sender":"a\\nb"}}\n', "bad-argument"),
        (b'{"version":1,"command":"allow","arguments":{"seconds":5}}\n', "refused"),
        (b'{"version":1,"command":"allow","arguments":{"sender":"example.com"}}\n', "bad-argument"),
        (b'{"version":1,"command":"disallow","arguments":{"number":7}}\n', "refused"),
        (b'{"version":1,"command":"resume"}\n', "refused"),
        (b'{"version":1,"command":"watch","arguments":{"action":"drop"}}\n', "bad-argument"),
        (b'{"version":1,"command":"watch","arguments":{"client":"192.0.2.0/99"}}\n', "refused"),
    ],
)
def test_bad_message_gets_an_error_and_nothing_else_happens(start: StartServer, octets: bytes, code: str) -> None:
    server = start()
    with ControlClient(server.dbdir) as client:
        client.send(octets)
        error = client.read()["error"]
        assert error["code"] == code, error
        status = client.result("status")
    assert status["pause"] is None
    assert status["allowances"] == []
    assert "bug" not in server.log()


def test_message_that_is_too_long_ends_the_connection(start: StartServer) -> None:
    server = start()
    with ControlClient(server.dbdir) as client:
        client.send(b" " * 70_000 + b"\n")
        assert client.read()["error"]["code"] == "too-long"
        with pytest.raises(ConnectionError):
            client.read()


def test_connections_beyond_the_limit_are_refused_until_others_have_gone(start: StartServer) -> None:
    server = start()
    clients = [ControlClient(server.dbdir) for _ in range(MOST_CONNECTIONS)]
    for client in clients:
        client.result("allowed")
    with ControlClient(server.dbdir) as another:
        assert another.read()["error"]["code"] == "busy"
    for client in clients:
        client.close()

    def is_served() -> bool:
        with ControlClient(server.dbdir) as client:
            return "result" in client.ask("allowed")

    wait_until(is_served)


def test_who_says_no_more_still_gets_the_answer(start: StartServer) -> None:
    server = start()
    with ControlClient(server.dbdir) as client:
        client.send(b'{"version":1,"command":"clean-up"}\n')
        client.socket.shutdown(socket.SHUT_WR)
        assert client.read()["result"] == {
            "triplets": {"before": 0, "after": 0},
            "clients": {"before": 0, "after": 0},
        }


def test_stop_does_not_wait_for_who_watches(start: StartServer) -> None:
    server = start()
    with ControlClient(server.dbdir) as client:
        client.send(b'{"version":1,"command":"watch"}\n')
        assert server.stop() == 0
        with pytest.raises(ConnectionError):
            client.read()


def test_who_waits_is_sent_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "LIFE_SECONDS", 0.0)
    path = str(tmp_path / "control")

    async def talk() -> list[bytes]:
        enough = asyncio.Event()

        async def answer(_call: Call, _user: str, _send: Send) -> object:
            await enough.wait()
            return {"done": True}

        served = ControlConnections(answer, Log(StderrSink()))
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(path)
            await served.start(listener)
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b'{"version":1,"command":"status"}\n')
            lines = [await asyncio.wait_for(reader.readline(), 30) for _ in range(2)]
            enough.set()
            while not lines[-1].startswith(b'{"result"'):
                lines.append(await asyncio.wait_for(reader.readline(), 30))
            writer.close()
            await served.close()
        return lines

    *signs, result = asyncio.run(talk())
    assert set(signs) == {b'{"item":{}}\n'}
    assert result == b'{"result":{"done":true}}\n'
