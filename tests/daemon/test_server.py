# SPDX-License-Identifier: GPL-2.0-or-later
"""The real server from outside: where it listens, what it answers to whom, and how it obeys signals."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import stat
import subprocess
import time
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from postgrey_py.daemon.flood import LINES
from postgrey_py.greylist.settings import SECONDS_PER_DAY
from postgrey_py.protocol.reader import MAX_REQUEST_BYTES
from tests.daemon.conftest import StartServer
from tests.daemon.processes import many_open_files, status, stop_once, wait_until
from tests.parity.databases import CLIENTS, TRIPLETS, dump_recovered
from tests.support.policy import PolicyClient, ask, make_request
from tests.support.servers import POSTGREY, PolicyServer, free_port

GREYLISTED = "DEFER_IF_PERMIT 4.2.0 Greylisted, see http://postgrey.schweikert.ch/help/example.org.html"
DAY = 86400

MANY_CONNECTIONS = 2000


def end_of(client: PolicyClient) -> bytes:
    """What else comes until the server closes the connection."""
    octets = client.buffer
    try:
        while more := client.socket.recv(65536):
            octets += more
    except ConnectionResetError:
        pass
    return octets


def refused(dbdir: Path, *options: str) -> str:
    """The error message of a server that does not start."""
    server = PolicyServer(POSTGREY, dbdir, options)
    ended = subprocess.run(server.argv, capture_output=True, text=True, timeout=60, env=server.env)
    assert ended.returncode == 1
    lines = ended.stderr.splitlines()
    assert [line for line in lines if line.startswith("postgrey: ")] == lines[-1:]
    assert "Traceback" not in ended.stderr
    return lines[-1].removeprefix("postgrey: ")


def localhost() -> list[str]:
    return sorted({str(found[4][0]) for found in socket.getaddrinfo("localhost", None, type=socket.SOCK_STREAM)})


# Where it listens


@pytest.mark.parametrize(
    ("form", "hosts"),
    [
        ("{port}", localhost()),
        ("localhost:{port}", localhost()),
        ("127.0.0.1:{port}", ["127.0.0.1"]),
        ("[::1]:{port}", ["::1"]),
        ("::1:{port}", ["::1"]),
        ("*:{port}", ["127.0.0.1", "::1"]),
        (":{port}", ["127.0.0.1", "::1"]),
    ],
)
def test_every_form_of_inet_is_served(form: str, hosts: list[str], start: StartServer) -> None:
    port = free_port()
    server = start(f"--inet={form.format(port=port)}")
    for host in hosts:
        with PolicyClient(port, host=host) as client:
            assert client.ask() == GREYLISTED
    other = {"127.0.0.1", "::1"} - set(hosts)
    for host in other:
        with pytest.raises(ConnectionRefusedError):
            PolicyClient(port, host=host)
    assert stop_once(server.process) == 0


def test_several_listeners_are_served_at_once(start: StartServer, tmp_path: Path) -> None:
    port = free_port()
    server = start(f"--inet=[::1]:{port}", f"--unix={tmp_path / 's1'}", "-u", str(tmp_path / "s2"))
    with ExitStack() as connections:
        clients = [
            connections.enter_context(client)
            for client in (
                PolicyClient(server.port),
                PolicyClient(port, host="::1"),
                PolicyClient(path=str(tmp_path / "s1")),
                PolicyClient(path=str(tmp_path / "s2")),
            )
        ]
        for client in clients:
            client.send(make_request())
        assert [client.read_reply() for client in clients] == [GREYLISTED] * 4
    log = server.log()
    for name in (f"inet:127.0.0.1:{server.port}", f"inet:[::1]:{port}", f"unix:{tmp_path / 's1'}"):
        assert f"listening on {name}\n" in log


@pytest.mark.parametrize(
    ("options", "mode"), [((), 0o666), (("--socketmode=0600",), 0o600), (("--socketmode=0",), 0o666)]
)
def test_unix_socket_has_the_mode_asked_for(
    options: tuple[str, ...], mode: int, start: StartServer, tmp_path: Path
) -> None:
    path = tmp_path / "s"
    server = start(f"--unix={path}", *options)
    assert stat.S_IMODE(path.stat().st_mode) == mode
    with PolicyClient(path=str(path)) as client:
        assert client.ask() == GREYLISTED
    assert stop_once(server.process) == 0
    assert not path.exists()


def test_stale_socket_is_replaced(start: StartServer, tmp_path: Path) -> None:
    path = tmp_path / "s"
    start(f"--unix={path}").kill()
    assert path.is_socket()
    start(f"--unix={path}")
    with PolicyClient(path=str(path)) as client:
        assert client.ask() == GREYLISTED


def test_socket_of_a_live_server_is_left_alone(start: StartServer, tmp_path: Path) -> None:
    path = tmp_path / "s"
    start(f"--unix={path}")
    assert refused(tmp_path / "other", f"--unix={path}") == f"--unix={path}: another server listens there"
    with PolicyClient(path=str(path)) as client:
        assert client.ask() == GREYLISTED


@pytest.mark.parametrize("kind", ["file", "directory", "link"])
def test_what_is_no_socket_is_never_removed(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("something dear")
    elif kind == "directory":
        path.mkdir()
    else:
        (tmp_path / "dear").write_text("something dear")
        path.symlink_to(tmp_path / "dear")
    assert refused(tmp_path / "db", f"--unix={path}") == (
        f"--unix={path}: there is a file that is no socket; remove it or choose another path"
    )
    assert path.is_dir() if kind == "directory" else path.read_text() == "something dear"


def test_socket_in_a_missing_directory_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "missing" / "s"
    assert refused(tmp_path / "db", f"--unix={path}") == f"--unix={path}: can't listen there: No such file or directory"


def test_socket_path_that_is_too_long_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / ("s" * 120)
    message = refused(tmp_path / "db", f"--unix={path}")
    assert message.startswith(f"--unix={path}: can't listen there: ")


def test_port_in_use_is_an_error_and_nothing_stays_bound(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        path = tmp_path / "s"
        message = refused(tmp_path / "db", f"--unix={path}", f"--inet=127.0.0.1:{port}")
        assert message == f"--inet=127.0.0.1:{port}: can't listen on 127.0.0.1, port {port}: Address already in use"
        assert not path.exists()


def test_unknown_host_is_an_error(tmp_path: Path) -> None:
    message = refused(tmp_path / "db", "--inet=host.invalid:10023")
    assert message.startswith("--inet=host.invalid:10023: can't find host.invalid, port 10023: ")


# Requests, whichever way they come


def test_request_may_come_byte_by_byte(start: StartServer) -> None:
    server = start()
    with PolicyClient(server.port) as client:
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for octet in make_request():
            client.send(bytes([octet]))
        assert client.read_reply() == GREYLISTED
        for octet in make_request().replace(b"\n", b"\r\n"):
            client.send(bytes([octet]))
        assert client.read_reply() == GREYLISTED


def test_requests_sent_ahead_are_answered_in_order(start: StartServer) -> None:
    server = start("--greylist-text=%r")
    with PolicyClient(server.port) as client:
        domains = [f"domain{number}.example" for number in range(1000)]
        client.send(b"".join(make_request(recipient=f"bob@{domain}") for domain in domains))
        assert [client.read_reply() for _ in domains] == [f"DEFER_IF_PERMIT 4.2.0 {domain}" for domain in domains]


def test_line_ends_may_be_mixed(start: StartServer) -> None:
    server = start()
    with PolicyClient(server.port) as client:
        for ends in itertools.product((b"\n", b"\r\n"), repeat=3):
            lines = make_request().rstrip(b"\n").split(b"\n")
            request = b"".join(line + end for line, end in zip(lines, itertools.cycle(ends), strict=False))
            client.send(request + ends[0])
            assert client.read_reply() == GREYLISTED
    assert "garbage" not in server.log()


def test_garbage_lines_are_logged_and_the_rest_counts(start: StartServer) -> None:
    server = start()
    with PolicyClient(server.port) as client:
        client.send(b"no attribute\n=\n" + b"x" * 300 + b"\nbare\rreturn=1\n" + make_request())
        assert client.read_reply() == GREYLISTED
        assert client.ask() == GREYLISTED
    garbage = [line for line in server.log().splitlines() if line.startswith("ignoring garbage: ")]
    assert garbage == [
        "ignoring garbage: <no attribute>",
        "ignoring garbage: <=>",
        f"ignoring garbage: <{'x' * 100}>",
        "ignoring garbage: <bare%0Dreturn=1>",
    ]


@pytest.mark.parametrize("name", ["client_address", "client_name", "recipient", "sender"])
def test_missing_attribute_lets_mail_pass(name: str, start: StartServer) -> None:
    server = start()
    with PolicyClient(server.port) as client:
        assert client.ask(**{name: None}) == "DUNNO"
        assert client.ask() == GREYLISTED
    assert f"attribute missing: {name}\n" in server.log()


@pytest.mark.parametrize("request_type", ["junk_policy", "", None, "SMTPD_ACCESS_POLICY"])
def test_unrecognized_request_is_logged_and_the_connection_closed(request_type: str | None, start: StartServer) -> None:
    server = start()
    with PolicyClient(server.port) as client:
        # What was asked before is answered, what comes behind is not.
        client.send(make_request() + make_request(request=request_type) + make_request())
        assert client.read_reply() == GREYLISTED
        assert end_of(client) == b""
    log = server.wait_for_log(f"unrecognized request type: '{request_type or ''}'\n")
    assert log.count("action=greylist") == 1
    assert ask(server.port) == GREYLISTED


def test_unknown_client_address_lets_mail_pass(start: StartServer) -> None:
    """Postfix sends this when it can't find out, and 1.37 dies of it."""
    server = start()
    with PolicyClient(server.port) as client:
        for address in ("unknown", "", "192.0.2", "192.0.2.256", "localhost", "x" * 600):
            assert client.ask(client_address=address) == "DUNNO"
            assert f"can't parse client_address: {address[:512]}\n" in server.log()
        assert client.ask() == GREYLISTED


@pytest.mark.parametrize("test_time", ["", "tomorrow", "-5", "1e9", "17.5", "9" * 40])
def test_policy_test_time_that_is_no_number_is_garbage(test_time: str, start: StartServer) -> None:
    server = start()
    before = int(time.time())
    assert ask(server.port, policy_test_time=test_time) == GREYLISTED
    after = int(time.time())
    assert f"ignoring garbage: <policy_test_time={test_time}>\n" in server.log()
    assert stop_once(server.process) == 0
    (value,) = dump_recovered(server.dbdir)[TRIPLETS].records.values()
    first, last = value.split(",")
    assert first == last
    assert before <= int(first) <= after


def test_names_and_addresses_in_other_encodings_are_stored_as_they_came(start: StartServer) -> None:
    server = start()
    sender, recipient = "\xc3\x84rger@\xe4.example", "B\xd6B\xff@example.org"
    assert ask(server.port, sender=sender, recipient=recipient) == GREYLISTED
    server.stop()
    # Only ASCII letters are lower-cased.
    assert list(dump_recovered(server.dbdir)[TRIPLETS].records) == [
        "192.0.2.0/\xc3\x84rger@\xe4.example/b\xd6b\xff@example.org"
    ]


def test_exim_gets_one_answer_and_the_end(start: StartServer) -> None:
    server = start("--exim")
    for _ in range(3):
        with PolicyClient(server.port) as client:
            client.send(make_request() + make_request(sender=""))
            assert client.read_reply() == GREYLISTED
            assert end_of(client) == b""
    assert server.log().count("action=greylist") == 3


# Clients that behave badly


def test_endless_request_is_cut_off_and_others_are_served(start: StartServer) -> None:
    server = start()
    with PolicyClient(server.port) as other, PolicyClient(server.port) as client:
        client.send(make_request())
        assert client.read_reply() == GREYLISTED

        def send_without_end() -> None:
            for _ in range(10_000):
                client.send(b"name=value\n" * 100)
                assert other.ask() == GREYLISTED

        with pytest.raises(ConnectionError):
            send_without_end()
        assert other.ask() == GREYLISTED
    assert "closing a connection: more than 65536 bytes without a complete request\n" in server.log()


def test_request_of_almost_the_limit_is_answered(start: StartServer) -> None:
    server = start()
    with PolicyClient(server.port) as client:
        request = make_request()
        padding = b"name=value\n" * ((65536 - len(request)) // len(b"name=value\n"))
        client.send(padding + request)
        assert client.read_reply() == GREYLISTED
        assert client.ask() == GREYLISTED


def test_client_that_shuts_down_its_side_gets_its_answers(start: StartServer) -> None:
    server = start()
    with PolicyClient(server.port) as client:
        client.send(make_request() * 300 + b"request=smtpd_acc")
        client.socket.shutdown(socket.SHUT_WR)
        assert [client.read_reply() for _ in range(300)] == [GREYLISTED] * 300
        assert end_of(client) == b""


def test_client_that_never_reads_does_not_stop_others(start: StartServer) -> None:
    server = start()
    request = make_request()
    octets = request * 100
    with PolicyClient(server.port) as deaf, PolicyClient(server.port) as other:
        deaf.socket.setblocking(False)
        # Until the server does not listen any more, because it does not keep answers without end.
        sent, refusals = 0, 0
        while refusals < 20:
            assert sent < 100_000_000
            try:
                sent += deaf.socket.send(octets[sent % len(octets) :])
                refusals = 0
            except BlockingIOError:
                refusals += 1
                assert other.ask() == GREYLISTED
        # When the client reads at last, every answer is there.
        deaf.socket.settimeout(30)
        for _ in range(sent // len(request)):
            assert deaf.read_reply() == GREYLISTED
        assert other.ask() == GREYLISTED


def test_clients_that_vanish_do_no_harm(start: StartServer) -> None:
    server = start()
    for octets in (b"", b"\n", make_request()[:-1], make_request(), make_request() * 200):
        client = PolicyClient(server.port)
        client.send(octets)
        # Gone without a word: the server meets a reset when it reads or writes.
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        assert ask(server.port) == GREYLISTED
    server.stop()
    assert "Traceback" not in server.log()


# Many connections


def test_thousands_of_idle_connections_do_not_matter(start: StartServer) -> None:
    """Also where the server is started with the usual soft limit: it raises that itself."""
    with many_open_files() as limit, ExitStack() as connections:
        assert limit > MANY_CONNECTIONS + 200
        server = start(command=("prlimit", f"--nofile=256:{limit}", *POSTGREY))
        idle = [connections.enter_context(PolicyClient(server.port)) for _ in range(MANY_CONNECTIONS)]
        busy = connections.enter_context(PolicyClient(server.port))
        assert [busy.ask() for _ in range(100)] == [GREYLISTED] * 100
        for client in idle[::50]:
            assert client.ask() == GREYLISTED
        for client in idle:
            client.send(make_request())
        assert {client.read_reply() for client in idle} == {GREYLISTED}
        assert stop_once(server.process) == 0


# Signals


def write_list(path: Path, *lines: str) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


def is_whitelisted(server: PolicyServer, **attributes: str) -> bool:
    reply = ask(server.port, **attributes)
    assert reply in ("DUNNO", GREYLISTED)
    return reply == "DUNNO"


def reload(server: PolicyServer) -> None:
    """Send HUP, and wait until the lists are read."""
    reloads = server.log().count("HUP received")
    server.signal(signal.SIGHUP)
    wait_until(lambda: server.log().count("HUP received") > reloads)


def test_hup_puts_new_entries_in_force(start: StartServer, tmp_path: Path) -> None:
    clients, recipients = tmp_path / "clients", tmp_path / "recipients"
    write_list(clients, "old.example")
    write_list(recipients, "postmaster@")
    server = start(f"--whitelist-clients={clients}", f"--whitelist-recipients={recipients}")
    with PolicyClient(server.port) as connection:
        assert connection.ask(client_name="mx.old.example") == "DUNNO"
        assert connection.ask(client_name="mx.new.example") == GREYLISTED
        write_list(clients, "new.example")
        write_list(recipients, "abuse@")
        reload(server)
        wait_until(lambda: is_whitelisted(server, client_name="mx.new.example"))
        wait_until(lambda: is_whitelisted(server, recipient="abuse@example.org"))
        assert not is_whitelisted(server, client_name="mx.old.example")
        assert not is_whitelisted(server, recipient="postmaster@example.org")
        # The connection has been there all the time.
        assert connection.ask(client_name="mx.new.example") == "DUNNO"


def test_bad_lines_are_skipped_with_file_and_line(start: StartServer, tmp_path: Path) -> None:
    path = tmp_path / "clients"
    write_list(path, "good.example", "what is this", "/(unclosed/", "also-good.example")
    server = start(f"--whitelist-clients={path}")
    bad_lines = [f"{path} line 2: ", f"{path} line 3: "]
    assert all(server.log().count(text) == 1 for text in bad_lines)
    assert is_whitelisted(server, client_name="mx.also-good.example")

    write_list(path, "", "good.example", "/[z-a]/", "300.1.2.3", "best.example")
    reload(server)
    wait_until(lambda: is_whitelisted(server, client_name="mx.best.example"))
    assert is_whitelisted(server, client_name="mx.good.example")
    assert not is_whitelisted(server, client_name="mx.also-good.example")
    # Line 3 was bad before, too.
    assert [server.log().count(f"{path} line {number}: ") for number in (2, 3, 4)] == [1, 2, 1]


def test_file_that_can_no_longer_be_read_keeps_its_list(start: StartServer, tmp_path: Path) -> None:
    path = tmp_path / "clients"
    write_list(path, "old.example")
    server = start(f"--whitelist-clients={path}")
    path.unlink()
    reload(server)
    log = server.wait_for_log("the client whitelist stays as it was\n")
    assert f"can't open {path}: No such file or directory\n" in log
    assert is_whitelisted(server, client_name="mx.old.example")

    # A directory in its place can't be read by root either.
    path.mkdir()
    reload(server)
    server.wait_for_log(f"can't open {path}: Is a directory\n")
    assert is_whitelisted(server, client_name="mx.old.example")

    path.rmdir()
    write_list(path, "new.example")
    reload(server)
    wait_until(lambda: is_whitelisted(server, client_name="mx.new.example"))
    assert not is_whitelisted(server, client_name="mx.old.example")


def test_many_hups_in_a_row_do_no_harm(start: StartServer, tmp_path: Path) -> None:
    path = tmp_path / "clients"
    server = start(f"--whitelist-clients={path}")
    with PolicyClient(server.port) as client:
        for number in range(100):
            write_list(path, f"number{number}.example")
            server.signal(signal.SIGHUP)
            assert client.ask() == GREYLISTED
    wait_until(lambda: is_whitelisted(server, client_name="mx.number99.example"))


def test_usr1_cleans_up(start: StartServer) -> None:
    server = start()
    now = int(time.time())
    with PolicyClient(server.port) as client:
        for number in range(300):
            # Long ago, two days and more, and just now; each the first try, and a retry that makes a client of it.
            for age, name in ((40 * DAY, "old"), (3 * DAY, "seen-once"), (DAY, "young")):
                sender, address = f"{name}@example.com", f"10.{number // 200}.{number % 200}.{len(name)}"
                client.ask(client_address=address, sender=sender, policy_test_time=now - age)
                if name != "seen-once":
                    client.ask(client_address=address, sender=sender, policy_test_time=now - age + 300)
    server.signal(signal.SIGUSR1)
    log = server.wait_for_log("cleaning clients database finished.")
    assert [line for line in log.splitlines() if line.startswith("cleaning")] == [
        "cleaning up old entries...",
        "cleaning main database finished. before: 900, after: 300",
        "cleaning clients database finished. before: 600, after: 300",
    ]
    assert ask(server.port) == GREYLISTED
    assert stop_once(server.process) == 0
    databases = dump_recovered(server.dbdir)
    assert len(databases[TRIPLETS].records) == 301
    assert sum("/young@example.com/" in key for key in databases[TRIPLETS].records) == 300
    assert {key.rpartition(".")[2] for key in databases[CLIENTS].records} == {str(len("young"))}


def test_usr1_may_come_at_any_time(start: StartServer) -> None:
    server = start("--auto-whitelist-clients=0")
    with PolicyClient(server.port) as client:
        for _ in range(50):
            server.signal(signal.SIGUSR1)
            assert client.ask() == GREYLISTED
    server.wait_for_log("cleaning main database finished. before: 1, after: 1\n")
    assert "cleaning clients database" not in server.log()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("when", ["idle", "right after a request", "in the middle of a request", "at once"])
def test_one_signal_stops_it_with_open_connections(
    number: signal.Signals, when: str, start: StartServer, tmp_path: Path
) -> None:
    server = start(f"--unix={tmp_path / 's'}")
    with PolicyClient(server.port) as idle, PolicyClient(path=str(tmp_path / "s")) as client:
        if when == "idle":
            assert idle.ask() == client.ask() == GREYLISTED
        elif when == "right after a request":
            client.send(make_request() * 50)
            assert client.read_reply() == GREYLISTED
        elif when == "in the middle of a request":
            assert client.ask() == GREYLISTED
            client.send(make_request()[:-20])
        assert stop_once(server.process, number) == 0
    assert server.log().endswith("stopped\n")
    assert not (tmp_path / "s").exists()
    assert len(dump_recovered(server.dbdir)[TRIPLETS].records) == (0 if when == "at once" else 1)


def test_stop_during_a_clean_up(start: StartServer) -> None:
    server = start()
    old = int(time.time()) - 40 * DAY
    addresses = [f"10.{n % 100}.{n // 100}.1" for n in range(10_000)]
    with PolicyClient(server.port) as client:
        for first in range(0, len(addresses), 500):
            batch = addresses[first : first + 500]
            client.send(b"".join(make_request(client_address=a, policy_test_time=old) for a in batch))
            for _ in batch:
                client.read_reply()
    server.signal(signal.SIGUSR1)
    server.wait_for_log("cleaning up old entries...")
    assert stop_once(server.process) == 0
    assert "Traceback" not in server.log()
    assert start(dbdir=server.dbdir).stop() == 0


def test_foreground_server_has_its_name(start: StartServer) -> None:
    server = start()
    assert Path(f"/proc/{server.pid}/comm").read_text() == "postgrey\n"
    assert Path(f"/proc/{server.pid}/cmdline").read_bytes().startswith(b"postgrey --inet=127.0.0.1:")
    assert status(server.pid)["Umask"] == ["0077"]
    assert os.getsid(server.pid) == os.getsid(0)


# Times that requests bring


def test_a_test_time_far_ahead_is_not_stored(start: StartServer) -> None:
    """It would outlive every clean-up."""
    server = start()
    before = int(time.time())
    late = before + 2 * SECONDS_PER_DAY
    assert ask(server.port, policy_test_time=late) == GREYLISTED
    assert ask(server.port, policy_test_time=before + 3600, recipient="soon@example.org") == GREYLISTED
    assert f"ignoring garbage: <policy_test_time={late}>\n" in server.log()
    assert stop_once(server.process) == 0
    records = dump_recovered(server.dbdir)[TRIPLETS].records
    times = {key.rpartition("/")[2]: int(value.partition(",")[0]) for key, value in records.items()}
    assert times["soon@example.org"] == before + 3600
    assert before <= times["bob@example.org"] <= int(time.time())


def test_requests_can_be_kept_from_saying_what_time_it_is(start: StartServer) -> None:
    """Else whoever can connect whitelists himself in a moment."""
    server = start("--ignore-test-time", "--auto-whitelist-clients=1")
    now = int(time.time())
    for seconds in (0, 300, 4000, 8000):
        assert ask(server.port, policy_test_time=now + seconds).startswith("DEFER_IF_PERMIT ")
    assert server.log().count("ignoring garbage: <policy_test_time=") == 4
    assert stop_once(server.process) == 0
    assert dump_recovered(server.dbdir)[CLIENTS].records == {}


# What can be said without end


def test_garbage_of_one_request_is_one_line(start: StartServer) -> None:
    server = start()
    with PolicyClient(server.port) as client:
        client.send(b"".join(b"x%d\n" % number for number in range(9000)))
        assert client.ask() == GREYLISTED
    assert [line for line in server.log().splitlines() if "ignoring garbage" in line] == [
        "ignoring garbage: <x0> and 8999 more lines of this request"
    ]


@pytest.mark.parametrize(
    ("octets", "kind"),
    [
        (b"request=junk\n\n", "unrecognized request types"),
        (b"GET / HTTP/1.0\r\n\r\n", "unrecognized request types"),
        (b"x" * (MAX_REQUEST_BYTES + 1), "requests that are too long"),
    ],
)
def test_connections_that_ask_nothing_fill_no_log(octets: bytes, kind: str, start: StartServer) -> None:
    server = start()
    for _ in range(LINES + 200):
        with PolicyClient(server.port) as client:
            client.send(octets)
            with suppress(ConnectionResetError):
                assert client.socket.recv(1) == b""
    lines = server.log().splitlines()
    assert len(lines) < 2 * LINES + 20
    assert f"too many lines about {kind}: for a minute they are only counted" in lines
    assert ask(server.port) == GREYLISTED
