# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from dataclasses import dataclass, field
from typing import cast

import pytest

from postgrey_py.daemon.engine import Engine
from postgrey_py.daemon.health import describe_list_failures, find_problems, find_warnings
from postgrey_py.greylist.overrides import NO_OVERRIDES, Overrides, Pause
from postgrey_py.greylist.settings import Settings


@dataclass
class Outage:
    is_down: bool = False
    reason: str = ""


@dataclass
class Lists:
    failures: int = 0


@dataclass
class Orders:
    overrides: Overrides = NO_OVERRIDES

    def in_force(self) -> Overrides:
        return self.overrides


@dataclass
class Parts:
    """The parts of a server that tell of its health."""

    outage: Outage = field(default_factory=Outage)
    whitelists: Lists = field(default_factory=Lists)
    orders: Orders = field(default_factory=Orders)
    settings: Settings = field(default_factory=Settings)


def engine(**parts: object) -> Engine:
    return cast("Engine", Parts(**parts))  # type: ignore[arg-type]


def test_server_that_does_its_work() -> None:
    assert find_problems(engine()) == find_warnings(engine()) == []
    assert describe_list_failures(engine()) is None


def test_outage_is_a_problem() -> None:
    found = find_problems(engine(outage=Outage(True, "the disk is full")))
    assert found == ["the database is down, mail passes without greylisting: the disk is full"]


def test_pause_and_training_are_warnings() -> None:
    paused = engine(orders=Orders(Overrides(pause=Pause(None, "root"))), settings=Settings(training=True))
    first, second = find_warnings(paused)
    assert first.startswith("greylisting is paused by root")
    assert second == "greylisting is in training (--training): all mail passes"


@pytest.mark.parametrize(("failures", "text"), [(1, "1 line or file of the lists not"), (3, "3 lines or files of the")])
def test_lists_that_are_not_in_force_are_a_warning(failures: int, text: str) -> None:
    (found,) = find_warnings(engine(whitelists=Lists(failures)))
    assert found.startswith(text)
    assert found.endswith("not in force: postgrey --check tells which, and why")
