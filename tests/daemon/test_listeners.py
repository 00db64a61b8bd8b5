# SPDX-License-Identifier: GPL-2.0-or-later
"""The sockets that the server listens on: each address once, whatever it is called."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from postgrey_py.daemon.listeners import bind_listeners, close_listeners, describe_listener
from postgrey_py.daemon.systemd import PassedSocket
from postgrey_py.errors import StartupError
from postgrey_py.greylist.settings import Settings
from tests.daemon.conftest import StartDaemon, StartServer
from tests.daemon.processes import refusal
from tests.support.policy import PolicyClient
from tests.support.servers import free_port

V4, V6 = "inet:127.0.0.1:{p}", "inet:[::1]:{p}"
# All that localhost has here.
LOCAL = "localhost"
ALL4, ALL6 = "inet:0.0.0.0:{p}", "inet:[::]:{p}"


def expand(expected: Sequence[str], port: int) -> list[str]:
    """The expected places with this port, and with the addresses of localhost."""
    local = [V6 if entry[0] == socket.AF_INET6 else V4 for entry in socket.getaddrinfo("localhost", None)]
    names = [name for place in expected for name in (local if place == LOCAL else [place])]
    return [name.format(p=port) for name in dict.fromkeys(names)]


def places(inet: Sequence[str], unix: Sequence[str] = (), passed: Sequence[PassedSocket] = ()) -> list[str]:
    """Where a server with these options would listen."""
    listeners = bind_listeners(Settings(inet=tuple(inet), unix=tuple(unix)), None, passed)
    try:
        return [describe_listener(listener) for listener in listeners]
    finally:
        close_listeners(listener for listener in listeners if listener not in passed)


@pytest.mark.parametrize(
    ("specs", "expected"),
    [
        # The same by another name.
        (["127.0.0.1:{p}", "127.0.0.1:{p}"], [V4]),
        (["127.0.0.1:{p}", "127.1:{p}", "0x7f000001:{p}", "2130706433:{p}"], [V4]),
        (["127.0.0.1:{p}", "::ffff:127.0.0.1:{p}", "[::FFFF:7f00:1]:{p}"], [V4]),
        (["[::1]:{p}", "::1:{p}", "[0:0:0:0:0:0:0:1]:{p}", "[::0001]:{p}"], [V6]),
        # Of a name with several addresses, what is not there yet.
        (["{p}", "127.0.0.1:{p}"], [LOCAL, V4]),
        (["127.0.0.1:{p}", "{p}"], [V4, LOCAL]),
        (["{p}", "localhost:{p}", "LOCALHOST:{p}", "[::1]:{p}"], [LOCAL, V6]),
        # A wildcard covers the particular ones, whichever comes first.
        (["*:{p}", "127.0.0.1:{p}"], [ALL4, ALL6]),
        (["127.0.0.1:{p}", ":{p}"], [ALL4, ALL6]),
        (["{p}", "*:{p}", "0.0.0.0:{p}", "[::]:{p}"], [ALL4, ALL6]),
        (["0.0.0.0:{p}", "127.0.0.1:{p}"], [ALL4]),
        (["0.0.0.0:{p}", "[::ffff:0.0.0.0]:{p}"], [ALL4]),
        (["[::]:{p}", "[::1]:{p}"], [ALL6]),
        # But not those of the other family.
        (["0.0.0.0:{p}", "[::1]:{p}"], [ALL4, V6]),
        (["[::]:{p}", "127.0.0.1:{p}"], [ALL6, V4]),
        (["[::]:{p}", "{p}", "127.0.0.1:{p}"], [ALL6, V4]),
    ],
)
def test_an_address_is_listened_on_once(specs: list[str], expected: list[str]) -> None:
    port = free_port()
    found = places([spec.format(p=port) for spec in specs])
    assert sorted(found) == sorted(expand(expected, port))


def test_each_port_0_is_another() -> None:
    assert len(set(places(["127.0.0.1:0", "127.0.0.1:0"]))) == 2
    assert len(set(places(["0.0.0.0:0", "127.0.0.1:0"]))) == 2


@pytest.mark.parametrize("second", ["{d}/s", "{d}/../{n}/s", "{d}//s", "{d}/link/s", "{d}/symlink", "{d}/chain"])
def test_a_path_is_listened_on_once(second: str, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "symlink").symlink_to("s")
    (tmp_path / "chain").symlink_to("link/symlink")
    first = str(tmp_path / "s")
    assert places([], [first, second.format(d=tmp_path, n=tmp_path.name)]) == [f"unix:{first}"]


def test_two_paths_are_two(tmp_path: Path) -> None:
    assert len(places([], [str(tmp_path / "s"), str(tmp_path / "t")])) == 2


# Sockets that were passed


@pytest.fixture
def passed() -> Callable[..., PassedSocket]:
    """A function that makes a socket as a service manager does."""

    def make(host: str, port: int, v6only: int = 0) -> PassedSocket:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        made = socket.socket(family)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((host, port))
        made.listen()
        return PassedSocket(fileno=made.detach())

    return make


@pytest.mark.parametrize(
    ("host", "v6only", "specs", "expected"),
    [
        ("127.0.0.1", 0, ["127.0.0.1:{p}"], [V4]),
        ("127.0.0.1", 0, ["{p}"], [V4, LOCAL]),
        ("127.0.0.1", 0, ["::ffff:127.0.0.1:{p}"], [V4]),
        ("0.0.0.0", 0, ["127.0.0.1:{p}", "0.0.0.0:{p}"], [ALL4]),
        ("0.0.0.0", 0, ["*:{p}"], [ALL4, ALL6]),
        # As systemd makes one for ListenStream=PORT.
        ("::", 0, ["*:{p}", "{p}", "127.0.0.1:{p}"], [ALL6]),
        ("::", 1, ["*:{p}", "{p}"], [ALL6, ALL4]),
        ("::", 1, ["{p}", "127.0.0.1:{p}"], [ALL6, V4]),
    ],
)
def test_a_passed_socket_stands_for_its_addresses(
    host: str, v6only: int, specs: list[str], expected: list[str], passed: Callable[..., PassedSocket]
) -> None:
    port = free_port()
    with passed(host, port, v6only) as listener:
        found = places([spec.format(p=port) for spec in specs], passed=[listener])
    assert found == expand(expected, port)


def test_a_passed_socket_that_has_a_part_is_told(passed: Callable[..., PassedSocket]) -> None:
    port = free_port()
    with passed("127.0.0.1", port) as listener, pytest.raises(StartupError) as refused:
        places([f"*:{port}"], passed=[listener])
    assert str(refused.value) == (
        f"--inet=*:{port}: the service manager's socket has port {port} of 127.0.0.1 already;"
        " let that one listen on all addresses, or name the others here"
    )


def test_a_passed_unix_socket_has_one_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(str(tmp_path / "s"))
        made.listen()
        with PassedSocket(fileno=os.dup(made.fileno())) as listener:
            assert len(places([], [str(tmp_path / "link" / "s")], passed=[listener])) == 1


def test_an_abstract_socket_is_told_as_systemd_writes_it() -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(f"\0postgrey-test-{os.getpid()}")
        assert describe_listener(made) == f"unix:@postgrey-test-{os.getpid()}"


# What can't be had


def test_port_in_use_is_told(daemonize: StartDaemon) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        daemon = daemonize(f"--inet=127.0.0.1:{port}")
        assert refusal(daemon) == (
            f"postgrey: --inet=127.0.0.1:{port}: can't listen on 127.0.0.1, port {port}: Address already in use"
        )
    assert not daemon.pidfile.exists()


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ("192.0.2.1:10023", "can't listen on 192.0.2.1, port 10023: Cannot assign requested address"),
        ("nowhere.invalid:10023", "can't find nowhere.invalid, port 10023: "),
        ("127.0.0.1:no-such-service", "can't find 127.0.0.1, port no-such-service: "),
        ("a..b:10023", "can't find a..b, port 10023: that is no host name"),
    ],
)
def test_what_can_not_be_had_is_told_without_numbers_of_errors(spec: str, reason: str) -> None:
    with pytest.raises(StartupError) as refused:
        places([spec])
    assert str(refused.value).startswith(f"--inet={spec}: {reason}")
    assert "Errno" not in str(refused.value)


def test_server_with_many_names_serves(start: StartServer) -> None:
    port = free_port()
    server = start(f"--inet={port}", f"--inet=127.0.0.1:{port}", f"--inet=:{port}")
    # Beside the port that the helper waits for.
    server.wait_for_log(f"listening on inet:[::]:{port}\n")
    for host in ("127.0.0.1", "::1"):
        with PolicyClient(port, host=host) as client:
            assert client.ask()
    assert server.stop() == 0
    assert server.log().count(f":{port}\n") == 2
