# SPDX-License-Identifier: GPL-2.0-or-later
"""The probe against servers of every kind: ours, Perl's, and sockets that do not behave."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from postgrey_py.commands.check.probe import Answer, ProbeError, Service, probe, read_answer
from postgrey_py.commands.check.thresholds import State
from tests.commands.policy_servers import RecordingServer
from tests.parity.databases import TRIPLETS, dump_recovered
from tests.support.servers import PERL_POSTGREY, POSTGREY, PolicyServer, free_port


@contextmanager
def listening(path: Path, answer: Callable[[socket.socket], None] | None) -> Iterator[Service]:
    """A Unix socket at which each connection is accepted and handed to `answer`; without it none is accepted."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen(0)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    if answer is not None:
                        answer(connection)

        thread = threading.Thread(target=serve)
        if answer is not None:
            thread.start()
        yield Service(str(path))
        listener.shutdown(socket.SHUT_RDWR)
        if answer is not None:
            thread.join()


def test_our_server_answers_and_keeps_nothing(tmp_path: Path) -> None:
    with PolicyServer(POSTGREY, tmp_path / "db") as server:
        before = dump_recovered(server.dbdir)
        answer = probe(Service(None, "127.0.0.1", server.port), 10)
        assert (answer.outage, 0 < answer.latency < 10) == (0, True)
        server.stop()
        assert dump_recovered(server.dbdir) == before
        assert "action=" not in server.log()
        assert "garbage" not in server.log()


@pytest.mark.parametrize(
    "options", [["--exim"], ["--auto-whitelist-clients=0"], ["--training"], ["--ignore-test-time"]]
)
def test_options_of_the_server_do_not_matter(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "clients").write_text("192.0.2.0/24\n/./\n")
    (tmp_path / "recipients").write_text("/./\n")
    lists = [f"--whitelist-clients={tmp_path}/clients", f"--whitelist-recipients={tmp_path}/recipients"]
    with PolicyServer(POSTGREY, tmp_path / "db", [*options, *lists]) as server:
        assert probe(Service(None, "127.0.0.1", server.port), 10).outage == 0


def test_perl_postgrey_defers_the_probe_and_forgets_it(tmp_path: Path) -> None:
    with PolicyServer(PERL_POSTGREY, tmp_path / "db") as server:
        for _ in range(3):
            answer = probe(Service(None, "127.0.0.1", server.port), 30)
            assert (answer.outage, answer.passed) == (None, False)
        server.stop()
    # A record of 1970: of those the clean-up leaves none.
    assert list(dump_recovered(tmp_path / "db")[TRIPLETS].records.values()) == ["1,1"]


def test_who_lets_the_probe_pass_is_asked_once_more(tmp_path: Path) -> None:
    with RecordingServer(path=tmp_path / "s") as server:
        assert probe(Service(str(tmp_path / "s")), 10)[1:] == (None, True)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (b"action=DUNNO\npostgrey_outage=0\n\n", Answer(0.5, 0, True)),
        (b"action=DUNNO\npostgrey_outage=34\n\n", Answer(0.5, 34, True)),
        (b"action=DUNNO\n\n", Answer(0.5, None, True)),
        (b"action=DUNNO because\n\n", Answer(0.5, None, True)),
        (b"action=DEFER_IF_PERMIT 4.2.0 Greylisted\n\n", Answer(0.5, None, False)),
        (b"action=450 later\r\n\r\n", Answer(0.5, None, False)),
        (b"action=DUNNO\npostgrey_outage=-1\n\n", Answer(0.5, None, True)),
        (b"action=DUNNO\npostgrey_outage=\xb2\n\n", Answer(0.5, None, True)),
    ],
)
def test_replies(reply: bytes, answer: Answer) -> None:
    assert read_answer(reply, 0.5) == answer


@pytest.mark.parametrize("reply", [b"\n\n", b"220 mail.example.com ESMTP\n\n", b"\xff\xfe=\n\n"])
def test_what_is_no_reply_is_told(reply: bytes) -> None:
    with pytest.raises(ProbeError, match="answers, but not as a policy server does"):
        read_answer(reply, 0.5)


def test_nobody_is_there(tmp_path: Path) -> None:
    for service in (Service(None, "127.0.0.1", free_port()), Service(str(tmp_path / "s"))):
        with pytest.raises(ProbeError, match="not running: nobody listens at") as caught:
            probe(service, 10)
        assert caught.value.state is State.CRITICAL


def test_socket_that_is_left_over_is_nobody(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
    with pytest.raises(ProbeError, match="not running"):
        probe(Service(str(tmp_path / "s")), 10)


def test_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(ProbeError, match="can't be used: AF_UNIX path too long") as caught:
        probe(Service(str(tmp_path / ("s" * 200))), 10)
    assert caught.value.state is State.UNKNOWN


def test_name_that_is_none() -> None:
    with pytest.raises(ProbeError, match="can't find") as caught:
        probe(Service(None, "\udcff", 1), 10)
    assert caught.value.state is State.UNKNOWN


def test_server_that_is_stuck(tmp_path: Path) -> None:
    # The system accepts what the server does not.
    with (
        listening(tmp_path / "s", None) as service,
        pytest.raises(ProbeError, match=r"runs at .*, but does not answer"),
    ):
        probe(service, 0.2)


def test_server_whose_queue_is_full(tmp_path: Path) -> None:
    with listening(tmp_path / "s", None) as service, socket.socket(socket.AF_UNIX) as first:
        first.connect(str(tmp_path / "s"))
        with pytest.raises(ProbeError, match=r"runs at .*, but accepts no connection"):
            probe(service, 0.2)


@pytest.mark.parametrize(
    ("octets", "message"),
    [(b"", "answers with nothing"), (b"action=DUN", "answers with nothing"), (b"x" * 9000, "answers with too much")],
)
def test_server_that_hangs_up(octets: bytes, message: str, tmp_path: Path) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        connection.sendall(octets)

    with listening(tmp_path / "s", answer) as service, pytest.raises(ProbeError, match=message):
        probe(service, 10)


def test_reply_that_comes_in_pieces(tmp_path: Path) -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        for octet in b"action=DUNNO\npostgrey_outage=5\n\n":
            connection.sendall(bytes([octet]))

    with listening(tmp_path / "s", answer) as service:
        assert probe(service, 10).outage == 5
