# SPDX-License-Identifier: GPL-2.0-or-later
"""The bar is for terminals, drawn when there is something new, and gone afterwards."""

from __future__ import annotations

import io
import sys
import time

import pytest

from postgrey_py.commands.progress import SECONDS_BETWEEN, WIDTH, ProgressBar


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def sit_at_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Replace standard error; to be called by the test itself, for pytest replaces it before each test too."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic", clock)
    return clock


def test_the_bar_fills_and_goes(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    terminal = sit_at_terminal(monkeypatch)
    with ProgressBar("looking") as bar:
        bar.show(1, 4)
        clock.now += SECONDS_BETWEEN
        bar.show(3, 4)
    first, second, gone = terminal.getvalue().split("\r")[1:]
    assert first == f"looking [{'#' * 10}{'.' * (WIDTH - 10)}] 1/4"
    assert second == f"looking [{'#' * 30}{'.' * (WIDTH - 30)}] 3/4"
    assert gone == "\033[K"


def test_it_is_not_drawn_too_often_but_at_the_end(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    terminal = sit_at_terminal(monkeypatch)
    with ProgressBar("looking") as bar:
        bar.show(1, 4)
        clock.now += SECONDS_BETWEEN * 0.9
        bar.show(2, 4)
        bar.show(4, 4)
    assert "2/4" not in terminal.getvalue()
    assert "4/4" in terminal.getvalue()


@pytest.mark.usefixtures("clock")
def test_without_progress_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = sit_at_terminal(monkeypatch)
    with ProgressBar("looking"):
        pass
    assert terminal.getvalue() == ""


def test_without_a_terminal_nothing_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    with ProgressBar("looking") as bar:
        bar.show(4, 4)
    assert stream.getvalue() == ""
