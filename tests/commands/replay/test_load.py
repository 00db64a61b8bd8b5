# SPDX-License-Identifier: GPL-2.0-or-later
"""Questions over some connections, each with one under way; more of it is in test_main."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from postgrey_py.commands.replay.load import Load, Service
from postgrey_py.errors import PostgreyError
from tests.commands.policy_servers import Answer, RecordingServer, Request, Writable, dunno
from tests.support.policy import make_request
from tests.support.servers import free_port


def service_of(server: RecordingServer) -> Service:
    _, host, port = server.service.split(":")
    return Service(server.service, None, host, int(port))


def run(service: Service, connections: int, ask: Callable[[Load], Awaitable[None]]) -> list[tuple[bytes, bytes]]:
    """Load the service; returns questions and answers in the order of the answers."""
    answers: list[tuple[bytes, bytes]] = []

    async def main() -> None:
        load = Load(service, connections, lambda question, answer: answers.append((question, answer)))
        try:
            await ask(load)
            await load.finish()
            assert len(load.latencies) == len(answers)
            assert all(seconds >= 0 for seconds in load.latencies)
        finally:
            load.close()

    asyncio.run(main())
    return answers


def ask_each(*senders: str) -> Callable[[Load], Awaitable[None]]:
    async def ask(load: Load) -> None:
        for number, sender in enumerate(senders):
            await load.ask(make_request(sender=sender), number)

    return ask


def fail(answer: Answer) -> str:
    with RecordingServer(answer) as server:
        with pytest.raises(PostgreyError) as caught:
            run(service_of(server), 1, ask_each("a@example.com"))
        return str(caught.value).removeprefix(f"{server.service} ")


def test_questions_of_one_choice_are_asked_in_order() -> None:
    async def ask(load: Load) -> None:
        for number in range(20):
            await load.ask(make_request(sender=f"{number}@example.com"), choice=7)

    with RecordingServer() as server:
        answers = run(service_of(server), 3, ask)
        assert [request["sender"] for request in server.requests] == [f"{n}@example.com" for n in range(20)]
        assert server.connections == 1
    assert {answer for _, answer in answers} == {b"action=DUNNO\n\n"}


def test_connections_are_opened_when_they_are_needed() -> None:
    with RecordingServer() as server:
        run(service_of(server), 5, ask_each("a@example.com", "b@example.com"))
        assert server.connections == 2


def test_without_questions_one_connection_shows_that_the_service_is_there() -> None:
    async def ask(load: Load) -> None:
        await load.open()

    with RecordingServer() as server:
        assert run(service_of(server), 5, ask) == []


def test_a_service_that_closes_after_each_answer_is_asked_again() -> None:
    def once(request: Request, number: int, stream: Writable) -> bool:
        dunno(request, number, stream)
        return False

    with RecordingServer(once) as server:
        assert len(run(service_of(server), 1, ask_each("a@example.com", "b@example.com", "c@example.com"))) == 3


def test_a_latency_may_begin_before_the_question_is_sent() -> None:
    async def ask(load: Load) -> None:
        await load.ask(make_request(), 0, due=0.0)
        await load.finish()
        assert load.latencies[0] > 0

    with RecordingServer() as server:
        run(service_of(server), 1, ask)


def say(octets: bytes) -> Answer:
    def answer(_: Request, __: int, stream: Writable) -> bool:
        stream.write(octets)
        return True

    return answer


@pytest.mark.parametrize(
    ("octets", "problem"),
    [
        (b"220 mx ESMTP\r\n", "answers '220 mx ESMTP': is it a policy server?"),
        (b"action=DUNNO\n\nmore", "sends 'more' behind an answer: is it a policy server?"),
        (b"action=" + b"x" * 70_000, "sends without an end: is it a policy server?"),
    ],
)
def test_what_is_no_policy_server_is_told(octets: bytes, problem: str) -> None:
    assert fail(say(octets)) == problem


def test_a_service_that_hangs_up_is_told() -> None:
    assert fail(lambda *_: False) == "closed the connection instead of answering request 1"


def test_a_service_that_is_not_there_is_told() -> None:
    service = Service("inet:here", None, "127.0.0.1", free_port())
    with pytest.raises(PostgreyError, match=r"^inet:here is not to be reached: Connection refused$"):
        run(service, 1, ask_each("a@example.com"))
