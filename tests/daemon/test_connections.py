# SPDX-License-Identifier: GPL-2.0-or-later
"""The accounts of connections: who holds how much, who is the greediest, and who has been idle for longest."""

from __future__ import annotations

import pytest

from postgrey_py.daemon.connections import Connections

NAMES = "abcdef"


@pytest.fixture
def connections() -> Connections[str]:
    """Six that are set up, in the order of their names."""
    connections: Connections[str] = Connections()
    for name in NAMES:
        connections.expect(name)
    for name in NAMES:
        connections.enter(name)
    return connections


def always(_: str) -> bool:
    return True


def idle_ones(connections: Connections[str]) -> str:
    """All, in the order in which they would be closed for others."""
    found: list[str] = []
    while (name := connections.find_idle(lambda name: name not in found)) is not None:
        found.append(name)
    return "".join(found)


def test_accepted_ones_count_before_they_are_set_up() -> None:
    connections: Connections[str] = Connections()
    connections.expect("a")
    assert len(connections.open) == 1
    assert connections.find_idle(always) is None
    connections.forget("a")
    assert len(connections.open) == 0


def test_the_one_that_asked_the_longest_ago_goes_first(connections: Connections[str]) -> None:
    assert idle_ones(connections) == "abcdef"
    for name in "cafe":
        connections.touch(name)
    assert idle_ones(connections) == "bdcafe"


def test_who_has_begun_a_request_goes_last_and_who_began_first_before_the_others(connections: Connections[str]) -> None:
    for name, octets in (("b", 10), ("a", 20), ("b", 30)):
        connections.hold(name, octets)
    assert idle_ones(connections) == "cdefba"
    # Now it has asked.
    connections.hold("b", 0)
    assert idle_ones(connections) == "cdefba"
    connections.touch("c")
    assert idle_ones(connections) == "defbca"


def test_who_may_not_go_is_passed_over(connections: Connections[str]) -> None:
    connections.hold("b", 10)
    assert connections.find_idle(lambda name: name in "bd") == "d"
    assert connections.find_idle(lambda name: name == "b") == "b"
    assert connections.find_idle(lambda _: False) is None


def test_who_is_leaving_or_gone_has_no_place(connections: Connections[str]) -> None:
    connections.hold("a", 10)
    connections.leave("a")
    connections.leave("b")
    connections.forget("c")
    assert (len(connections.open), connections.leaving, connections.total) == (3, 2, 0)
    assert idle_ones(connections) == "def"
    connections.forget("a")
    assert (len(connections.open), connections.leaving) == (3, 1)
    assert sorted(connections.open) == ["d", "e", "f"]


def test_what_was_asked_by_who_is_gone_counts_until_it_is_answered(connections: Connections[str]) -> None:
    connections.forget("a")
    connections.hold("a", 500)
    assert connections.total == 500
    assert connections.find_idle(lambda name: name == "a") is None
    assert connections.find_greediest(100) == ["a"]
    connections.hold("a", 0)
    assert connections.total == 0
    assert idle_ones(connections) == "bcdef"


def test_nothing_is_closed_within_the_budget(connections: Connections[str]) -> None:
    for name in NAMES:
        connections.hold(name, 100)
    assert connections.find_greediest(600) == []


@pytest.mark.parametrize(
    ("held", "budget", "closed"),
    [
        ((10, 20, 30, 40, 50, 60), 209, "f"),
        # An eighth is free again then.
        ((10, 20, 30, 40, 50, 60), 160, "fe"),
        ((1, 1, 1, 1, 1000, 1), 100, "e"),
        ((100, 99, 98, 97, 96, 95), 0, "abcdef"),
        # Who holds a little is not asked to pay for who holds much.
        ((1, 2000, 1, 2000, 1, 2000), 3000, "bd"),
    ],
)
def test_the_greediest_go_until_the_others_fit(
    held: tuple[int, ...], budget: int, closed: str, connections: Connections[str]
) -> None:
    for name, octets in zip(NAMES, held, strict=True):
        connections.hold(name, octets)
    assert "".join(connections.find_greediest(budget)) == closed


def test_the_last_account_is_what_counts(connections: Connections[str]) -> None:
    for octets in (5, 500, 50):
        connections.hold("a", octets)
    assert connections.total == 50


def test_who_waits_for_newcomers_hears_of_the_last_one(connections: Connections[str]) -> None:
    called: list[int] = []
    connections.call_when_nobody_is_new(lambda: called.append(1))
    for name in "abcd":
        connections.drop_newcomer(name)
    connections.forget("e")
    assert called == []
    connections.drop_newcomer("f")
    assert called == [1]
    connections.call_when_nobody_is_new(lambda: called.append(2))
    assert called == [1, 2]
