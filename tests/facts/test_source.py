# SPDX-License-Identifier: GPL-2.0-or-later
"""The contract of sources, as mypy checks it: a source of the least there can be. Its use is in test_parking."""

from __future__ import annotations

from postgrey_py.facts.source import GiveUp, Source, Tell
from postgrey_py.greylist.address import Address
from postgrey_py.greylist.decision import NO_FACTS, Facts, Question
from postgrey_py.greylist.request import Request

QUESTION = Question(Request("192.0.2.7", "", "a@b", "c@d", "", None), Address(0xC0000207, 32))


class Silent:
    """Knows nothing, and says so when it is told to."""

    def __init__(self) -> None:
        self.tells: dict[Question, Tell] = {}

    def ask(self, question: Question, tell: Tell) -> GiveUp:
        self.tells[question] = tell
        return lambda: self.tells.pop(question, None) and None


def test_a_source_returns_at_once_and_tells_later_or_never() -> None:
    told: list[Facts] = []
    silent = Silent()
    source: Source = silent
    give_up = source.ask(QUESTION, told.append)
    assert told == []
    silent.tells[QUESTION](NO_FACTS)
    assert told == [NO_FACTS]
    give_up()
    give_up()
    assert silent.tells == {}
