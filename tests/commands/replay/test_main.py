# SPDX-License-Identifier: GPL-2.0-or-later
"""`policy-test`: what it asks, over which connections, and what it says of the answers."""

from __future__ import annotations

import gzip
import re
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgrey_py.commands.replay import load
from postgrey_py.commands.replay.main import main
from tests.commands.calling import call
from tests.commands.generated_log import Generator
from tests.commands.policy_servers import RecordingServer, Request, Writable, dunno
from tests.commands.postfix_lines import ACCEPT, FROM, REJECT, SECONDS, TO, lines
from tests.commands.running import PERL_POLICY_TEST, POLICY_TEST, environment, run
from tests.support.servers import POSTGREY, PolicyServer, free_port


def ask(server: RecordingServer, log: str, *options: str) -> str:
    """What policy-test prints when all goes well."""
    outcome = run(POLICY_TEST, *options, server.service, log=log)
    assert (outcome.stderr, outcome.status) == ("", 0)
    return outcome.stdout


def without_year(request: Request) -> Request:
    """The request with its time as the log had it: the year is a guess."""
    moment = time.localtime(int(request["policy_test_time"]))
    return {**request, "policy_test_time": time.strftime("%m-%d %H:%M:%S", moment)}


def test_generated_log_makes_the_requests_that_perls_makes(tmp_path: Path) -> None:
    log = "".join(Generator(seed=6, wanted=4000).generate().lines)
    # Perl's takes all lines to be of this year, and leaves out those that then are in the future.
    (tmp_path / "InApril.pm").write_text(
        "package InApril; BEGIN { *CORE::GLOBAL::time = sub () { 1775000000 } } 1;", encoding="ascii"
    )
    with RecordingServer() as perls:
        perl = run(PERL_POLICY_TEST, perls.service, log=log, env={"PERL5OPT": f"-I{tmp_path} -MInApril"})
    with RecordingServer() as ours:
        output = ask(ours, log)
    instances = [request.pop("instance", None) for request in ours.requests]
    assert list(map(without_year, ours.requests)) == list(map(without_year, perls.requests))
    assert len(ours.requests) > 500
    assert None in instances
    assert len(set(instances)) > 100
    assert perl.stdout.startswith(f"{len(ours.requests)} requests in 0s")
    assert re.fullmatch(rf"{len(ours.requests)} requests in \d+\.\d\ds \(\d+ r/s\)\n", output)


@pytest.mark.parametrize("kind", ["inet", "unix"])
def test_requests_are_those_of_the_protocol(kind: str, tmp_path: Path) -> None:
    with RecordingServer(path=tmp_path / "socket" if kind == "unix" else None) as server:
        ask(server, lines(REJECT, ACCEPT, FROM, TO))
    expected = {
        "request": "smtpd_access_policy",
        "protocol_state": "RCPT",
        "protocol_name": "SMTP",
        "client_name": "mail.example.com",
        "client_address": "198.51.100.7",
        "sender": "alice@example.com",
        "recipient": "bob@example.org",
        "policy_test_time": str(SECONDS),
    }
    assert server.requests == [expected, {**expected, "instance": f"3F2504E0AB.{SECONDS:x}"}]
    assert server.connections == 1


def test_requests_are_spread_over_connections_and_tries_of_a_mail_stay_in_order() -> None:
    together = threading.Barrier(8)

    def wait_for_all(request: Request, number: int, stream: Writable) -> bool:
        if number == 1:
            together.wait(timeout=30)
        return dunno(request, number, stream)

    senders = [f"list-{number}@list{number % 200}.example.com" for number in range(400)]
    log = "".join(
        lines(REJECT.replace("alice@example.com", sender), stamp=f"2026-07-21T09:{n // 60:02}:{n % 60:02}Z")
        for n, sender in enumerate(senders)
    )
    with RecordingServer(wait_for_all) as server:
        output = ask(server, log, "--connections=8")
    assert output.startswith("400 requests in ")
    assert server.connections == 8
    assert Counter(request["sender"] for request in server.requests) == Counter(senders)
    for domain in {sender.partition("@")[2] for sender in senders}:
        tries = [request for request in server.requests if request["sender"].endswith(f"@{domain}")]
        times = [int(request["policy_test_time"]) for request in tries]
        assert times == sorted(times)


def test_rate_is_kept() -> None:
    with RecordingServer() as server:
        output = ask(server, lines(*[REJECT] * 41), "--rate=100")
    found = re.fullmatch(r"41 requests in (\d+\.\d\d)s \(\d+ r/s\)\n", output)
    assert found is not None
    # The last is due after 40 intervals; a slow machine takes longer.
    assert float(found[1]) >= 0.4


def test_latency_is_shown_in_percentiles() -> None:
    def hesitate(request: Request, number: int, stream: Writable) -> bool:
        if number == 20:
            time.sleep(0.3)
        return dunno(request, number, stream)

    with RecordingServer(hesitate) as server:
        count, latency = ask(server, lines(*[REJECT] * 20), "--latency").splitlines()
    names = ("50 %", "90 %", "95 %", "99 %", "99.9 %", "longest")
    pattern = "latency: " + ", ".join(rf"{re.escape(name)} (\d+\.\d\d) ms" for name in names)
    found = re.fullmatch(pattern, latency)
    assert found is not None
    milliseconds = list(map(float, found.groups()))
    assert milliseconds == sorted(milliseconds)
    assert milliseconds[-1] >= 300
    assert count.startswith("20 requests in ")


def test_latency_at_a_rate_counts_from_when_a_request_was_due() -> None:
    def hesitate(request: Request, number: int, stream: Writable) -> bool:
        if number == 1:
            time.sleep(0.5)
        return dunno(request, number, stream)

    with RecordingServer(hesitate) as server:
        output = ask(server, lines(*[REJECT] * 20), "--latency", "--rate=100")
    median = re.search(r"50 % (\d+\.\d\d) ms", output)
    assert median is not None
    # The first keeps all the others waiting, the last of which is due after 0.19 seconds.
    assert float(median[1]) >= 300


def test_verbose_prints_requests_and_answers() -> None:
    with RecordingServer() as server:
        output = ask(server, lines(REJECT.replace("alice", "al\xefce")), "--verbose")
    assert output.startswith("request=smtpd_access_policy\nprotocol_state=RCPT\n")
    assert "sender=al\\xefce@example.com\n" in output
    assert "\n\naction=DUNNO\n\n1 requests in " in output


def test_real_server_decides_at_the_time_of_the_log(tmp_path: Path) -> None:
    log = lines(REJECT, stamp="2026-07-21T09:00:00Z") + lines(REJECT, stamp="2026-07-21T09:05:01Z")
    with PolicyServer(POSTGREY, tmp_path / "db") as server:
        outcome = run(POLICY_TEST, "-v", f"inet:127.0.0.1:{server.port}", log=log)
    actions = re.findall(r"^action=(\S+)", outcome.stdout, re.MULTILINE)
    assert actions == ["DEFER_IF_PERMIT", "PREPEND"]


# Servers that close, and worse


def test_server_that_closes_after_each_answer_is_connected_anew() -> None:
    def answer_once(request: Request, number: int, stream: Writable) -> bool:
        return not dunno(request, number, stream)

    with RecordingServer(answer_once) as server:
        output = ask(server, lines(*[REJECT] * 30))
    assert output.startswith("30 requests in ")
    assert len(server.requests) == 30
    assert server.connections >= 30


def test_server_for_exim_is_tested_too(tmp_path: Path) -> None:
    log = "".join(lines(REJECT.replace("alice", f"alice-{letter}")) for letter in "abcdefgh")
    with PolicyServer(POSTGREY, tmp_path / "db", ["--exim"]) as server:
        outcome = run(POLICY_TEST, "--connections=3", f"inet:127.0.0.1:{server.port}", log=log)
    assert outcome.stdout.startswith("8 requests in ")
    assert (outcome.stderr, outcome.status) == ("", 0)


def hang_up(request: Request, number: int, stream: Writable) -> bool:
    return number < 3 and dunno(request, number, stream)


def hang_up_within(request: Request, number: int, stream: Writable) -> bool:
    stream.write(b"action=DU")
    return False


def talk_nonsense(request: Request, number: int, stream: Writable) -> bool:
    stream.write(b"220 mx.example.org ESMTP\n\n")
    return True


def talk_without_end(request: Request, number: int, stream: Writable) -> bool:
    while True:
        stream.write(b"action=" + b"x" * 65536)


@pytest.mark.parametrize(
    ("answer", "count", "message"),
    [
        (lambda request, number, stream: False, 0, "closed the connection instead of answering request 1"),
        (hang_up_within, 0, "closed the connection instead of answering request 1"),
        (talk_nonsense, 0, "answers '220 mx.example.org ESMTP': is it a policy server?"),
        (talk_without_end, 0, "sends without an end: is it a policy server?"),
    ],
)
def test_server_that_does_not_answer_is_an_error(answer: object, count: int, message: str) -> None:
    with RecordingServer(answer) as server:  # type: ignore[arg-type]
        outcome = run(POLICY_TEST, server.service, log=lines(*[REJECT] * 10))
    assert outcome.stderr == f"policy-test: {server.service} {message}\n"
    assert outcome.stdout.startswith(f"{count} requests in ")
    assert outcome.status == 1


# Servers that are none of policy


def speak_first(greeting: bytes) -> Iterator[str]:
    """A server that greets whoever connects, and then says nothing more; how policy-test names it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.sendall(greeting)
                while connection.recv(4096):
                    pass

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"inet:127.0.0.1:{listener.getsockname()[1]}"
        thread.join(timeout=30)


@pytest.mark.parametrize(
    ("greeting", "shown"),
    [
        (b"220 mx.example.org ESMTP Postfix\r\n", "'220 mx.example.org ESMTP Postfix'"),
        (b"220-mx.example.org ESMTP\r\n220 ready\r\n", "'220-mx.example.org ESMTP'"),
        (b"* OK IMAP4rev1\r\n", "'* OK IMAP4rev1'"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "'SSH-2.0-OpenSSH_9.2'"),
        (b"\x15\x03\x01\0\x02\x02\x16", r"'\x15\x03\x01\x00\x02\x02\x16'"),
        (b"x" * 100, f"'{'x' * 60}'"),
    ],
)
def test_server_of_another_protocol_is_told_at_once(greeting: bytes, shown: str) -> None:
    for service in speak_first(greeting):
        outcome = run(POLICY_TEST, service, log=lines(*[REJECT] * 10))
    assert re.fullmatch(
        rf"policy-test: {service} (answers|speaks unasked,) {re.escape(shown)}: is it a policy server\?\n",
        outcome.stderr,
    )
    assert outcome.status == 1


def test_server_that_never_answered_is_given_up_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "FIRST_ANSWER_SECONDS", 0.5)
    (tmp_path / "log").write_text(lines(REJECT))
    released = threading.Event()
    with RecordingServer(lambda request, number, stream: released.wait(30) and False) as server:
        outcome = call(main, server.service, str(tmp_path / "log"))
        released.set()
    assert outcome.stderr == f"policy-test: {server.service} does not answer within 0 seconds\n"
    assert outcome.status == 1


def test_server_that_has_answered_may_take_its_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "FIRST_ANSWER_SECONDS", 0.1)
    (tmp_path / "log").write_text(lines(REJECT, REJECT))

    def hesitate(request: Request, number: int, stream: Writable) -> bool:
        if number == 2:
            time.sleep(2)
        return dunno(request, number, stream)

    with RecordingServer(hesitate) as server:
        assert call(main, server.service, str(tmp_path / "log")).status == 0


@pytest.mark.parametrize("log", ["", "\n\n", lines(REJECT)])
def test_dead_port_is_an_error_whatever_the_log_has(log: str) -> None:
    service = f"inet:127.0.0.1:{free_port()}"
    outcome = run(POLICY_TEST, service, log=log)
    assert outcome.stderr == f"policy-test: {service} is not to be reached: Connection refused\n"
    assert outcome.status == 1


def test_empty_log_is_told() -> None:
    with RecordingServer() as server:
        outcome = run(POLICY_TEST, server.service, log="")
    assert server.connections == 1
    assert (outcome.stderr, outcome.status) == ("policy-test: the log is empty: standard input\n", 0)


def test_log_that_asks_nothing_is_told() -> None:
    with RecordingServer() as server:
        outcome = run(POLICY_TEST, server.service, log=lines("connect from x[192.0.2.1]"))
    message = "policy-test: nothing in the log tells of a mail that Postfix must have asked about (1 lines)\n"
    assert (outcome.stderr, outcome.status) == (message, 0)


@pytest.mark.parametrize("log", [b"hello\n\nworld\n", b"\x7fELF\n\n\0", b"<html>\n\n</html>\n"])
def test_what_is_no_log_is_an_error(log: bytes) -> None:
    with RecordingServer() as server:
        outcome = run(POLICY_TEST, server.service, log=log)
    assert outcome.stderr.startswith("policy-test: no line could be read, the first is standard input line 1: ")
    assert outcome.status == 1


def test_server_that_closes_between_requests_is_asked_again() -> None:
    with RecordingServer(hang_up) as server:
        assert ask(server, lines(*[REJECT] * 10)).startswith("10 requests in ")


def test_server_that_is_silent_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "ANSWER_SECONDS", 0.5)
    (tmp_path / "log").write_text(lines(REJECT))
    released = threading.Event()
    with RecordingServer(lambda request, number, stream: released.wait(30) and False) as server:
        outcome = call(main, server.service, str(tmp_path / "log"))
        released.set()
    assert outcome.stderr == f"policy-test: {server.service} does not answer within 0 seconds\n"
    assert outcome.status == 1


# As a command


@pytest.mark.parametrize(
    ("service", "message"),
    [
        ("inet:127.0.0.1:{port}", "is not to be reached: Connection refused\n"),
        ("inet:[::1]:{port}", "is not to be reached: "),
        ("inet:no..name:{port}", "is not to be reached: "),
        ("unix:/nonexistent/socket", "is not to be reached: No such file or directory\n"),
    ],
)
def test_service_that_is_not_there_is_told_in_one_line(service: str, message: str) -> None:
    service = service.format(port=free_port())
    outcome = run(POLICY_TEST, service, log=lines(REJECT))
    assert outcome.stderr.startswith(f"policy-test: {service} {message}")
    assert (outcome.stderr.count("\n"), outcome.status) == (1, 1)
    assert outcome.stdout.startswith("0 requests in ")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "inet:HOST:PORT or unix:PATH must be given"),
        ([f"unix:/{'a' * 107}"], "the path has 108 bytes, and a Unix socket's at most 107"),
        ([f"unix:{'ä' * 54}"], "the path has 108 bytes, and a Unix socket's at most 107"),
        (["localhost:10023"], "'localhost:10023' is neither inet:HOST:PORT nor unix:PATH"),
        (["inet:localhost"], "'inet:localhost' is neither"),
        (["inet:localhost:99999"], "'inet:localhost:99999' is neither"),
        (["unix:"], "'unix:' is neither"),
        (["--connections=0", "unix:x"], "'0' is not a whole number from 1 to 10000"),
        (["--rate=0", "unix:x"], "'0' is not a number of requests a second"),
        (["--rate=fast", "unix:x"], "'fast' is not a number of requests a second"),
    ],
)
def test_wrong_command_line_is_told_in_one_line(arguments: list[str], message: str) -> None:
    outcome = call(main, *arguments)
    assert (outcome.stdout, outcome.status) == ("", 2)
    assert message in outcome.stderr
    assert outcome.stderr.count("\n") == 1


def test_unreadable_lines_are_counted_in_one_line_at_the_end() -> None:
    with RecordingServer() as server:
        outcome = run(POLICY_TEST, server.service, log=lines(REJECT, REJECT.replace(" to=<", " too=<")))
    assert outcome.stdout.startswith("1 requests in ")
    assert outcome.stderr.startswith("policy-test: 1 line could not be read and was skipped: standard input line 2: ")
    assert outcome.status == 0


def test_log_that_breaks_off_while_the_server_thinks_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(lines(*[REJECT] * 100).encode("latin-1"))[:-8])
    released = threading.Event()
    with RecordingServer(lambda request, number, stream: released.wait(30) and False) as server:
        outcome = run(POLICY_TEST, server.service, tmp_path / "cut.gz")
        released.set()
    assert outcome.stderr.startswith(f"policy-test: can't read {tmp_path / 'cut.gz'} behind line 100: ")
    assert (outcome.stderr.count("\n"), outcome.status) == (1, 1)


def test_log_that_is_still_written_is_asked_about_at_once() -> None:
    with RecordingServer() as server:
        process = subprocess.Popen(
            [*POLICY_TEST, server.service], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
        )
        assert process.stdin is not None
        for number in range(1, 4):
            process.stdin.write(lines(REJECT).encode("latin-1"))
            process.stdin.flush()
            deadline = time.monotonic() + 30
            while len(server.requests) < number:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        output, _ = process.communicate(timeout=30)
    assert output.startswith(b"3 requests in ")


def test_it_stops_when_it_is_told() -> None:
    with RecordingServer() as server:
        process = subprocess.Popen(
            [*POLICY_TEST, server.service], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment()
        )
        assert process.stdin is not None
        process.stdin.write(lines(REJECT).encode("latin-1"))
        process.stdin.flush()
        deadline = time.monotonic() + 30
        while not server.requests:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert output.startswith((b"1 requests in ", b"0 requests in "))
    assert process.returncode == -signal.SIGINT
