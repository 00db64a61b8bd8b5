# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from postgrey_py.commands.check.findings import Finding, Judge, Value
from postgrey_py.commands.check.probe import Answer
from postgrey_py.commands.check.thresholds import State, read_thresholds

JUDGE = Judge(read_thresholds("latency=1,deferred=20:60"), read_thresholds("latency=5,outage=0,deferred=~:90"))


def make_status(deferred: int = 0, passed: int = 0, **fields: Any) -> dict[str, Any]:
    """What of a status the findings are made of."""
    decisions = [
        {"action": "greylist", "reason": "new", "count": deferred},
        {"action": "pass", "reason": "triplet found", "count": passed},
    ]
    return {
        "problems": [],
        "warnings": [],
        "outage": {"down": False},
        "last_hour": {"decisions": decisions},
        **fields,
    }


@pytest.mark.parametrize(
    ("latency", "state"), [(0.002, State.OK), (1.0, State.OK), (1.5, State.WARNING), (6.0, State.CRITICAL)]
)
def test_latency(latency: float, state: State) -> None:
    found = JUDGE.find_in_answer(Answer(latency, 0, True))
    assert found[0] == Finding(f"answers within {1000 * latency:.1f} ms", state, Value("latency", latency))
    assert found[1] == Finding("its database is up", State.OK, Value("outage", 0))


def test_outage() -> None:
    text = "its database has been down for 12 s, mail passes without greylisting"
    assert JUDGE.find_in_answer(Answer(0.1, 12, True))[1] == Finding(text, State.CRITICAL, Value("outage", 12))


def test_of_another_server_only_an_answer_that_lets_mail_pass_is_odd() -> None:
    assert [one.state for one in JUDGE.find_in_answer(Answer(0.1, None, False))] == [State.OK]
    assert [one.state for one in JUDGE.find_in_answer(Answer(0.1, None, True))] == [State.OK, State.WARNING]


@pytest.mark.parametrize(
    ("deferred", "passed", "state"),
    [(10, 10, State.OK), (1, 19, State.WARNING), (14, 6, State.WARNING), (19, 1, State.CRITICAL), (19, 0, State.OK)],
)
def test_share_deferred_is_judged_where_there_is_enough_mail(deferred: int, passed: int, state: State) -> None:
    assert JUDGE.find_in_status(make_status(deferred, passed))[0].state is state


def test_warnings_are_told_and_judged_only_where_that_is_wanted() -> None:
    status = make_status(warnings=["greylisting is paused by root: all mail passes"])
    assert JUDGE.find_in_status(status) == [Finding(status["warnings"][0], State.OK, Value("warnings", 1))]
    assert Judge(read_thresholds("warnings=0"), {}).find_in_status(status)[0].state is State.WARNING


def test_problem_is_critical_unless_it_is_an_outage_which_has_its_threshold() -> None:
    assert JUDGE.find_in_status(make_status(problems=["the roof burns"]))[0].state is State.CRITICAL
    down = make_status(problems=["the database is down"], outage={"down": True})
    assert all(one.state is State.OK for one in JUDGE.find_in_status(down))


def test_line_tells_the_worst_first_and_ends_with_performance_data() -> None:
    found = [*JUDGE.find_in_answer(Answer(0.0015, 7, True)), *JUDGE.find_in_status(make_status(10, 30))]
    state, line = JUDGE.format_line(found)
    assert state is State.CRITICAL
    assert line == (
        "POSTGREY CRITICAL - its database has been down for 7 s, mail passes without greylisting;"
        " answers within 1.5 ms; 25 % of 40 decisions in the last hour deferred"
        " | latency=0.0015s;1;5;0 outage=7s;;0;0 deferred=25%;20:60;~:90;0;100 warnings=0;;;0"
    )


def test_line_is_one_line_whatever_the_server_says() -> None:
    _, line = JUDGE.format_line([Finding("a | b\nc\x1b[31m \udcff", State.UNKNOWN)])
    assert line == "POSTGREY UNKNOWN - a / b\\x0ac\\x1b[31m \\xff"


def test_status_is_wanted_by_thresholds_that_need_it() -> None:
    assert JUDGE.wants_status()
    assert not Judge(read_thresholds("latency=1"), read_thresholds("outage=0")).wants_status()
