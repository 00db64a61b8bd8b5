# SPDX-License-Identifier: GPL-2.0-or-later
"""No line of a list, whatever bytes, does more than be skipped with a warning; and what Perl takes means the same."""

from __future__ import annotations

import os
import random
import subprocess
import sys

import pytest

from postgrey_py.errors import PatternError
from postgrey_py.greylist.patterns import TooSlowError, compile_pattern
from tests.fuzzing.patterns import ENDLESS, make_name, make_pattern
from tests.support.corpus import read_corpus
from tests.support.perl import ask_perl
from tests.support.servers import ROOT


def fuzz_lists(seed: int, seconds: int) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.fuzzing.patterns", str(seed), str(seconds)],
        capture_output=True,
        text=True,
        timeout=seconds + 120,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, f"seed {seed}: {done.stderr[-3000:]}"
    assert int(done.stdout) > seconds


def compare_with_perl(seed: int, patterns: int) -> None:
    """What both take matches alike. What only one of them takes is no matter."""
    rng = random.Random(seed)
    corpus = read_corpus("patterns")
    made: list[str] = []
    while len(made) < patterns:
        pattern = make_pattern(rng, corpus)
        # Perl warns of, or dies of, or takes for ever over some that are refused here.
        if len(pattern) < 200 and sum(pattern.count(repeat) for repeat in ENDLESS) < 4:
            made.append(pattern)
    compiled = {}
    for pattern in dict.fromkeys(made):
        try:
            compiled[pattern] = compile_pattern(pattern)
        except PatternError:
            continue
    names = [name[:60] for name in (make_name(rng) for _ in range(40)) if "\n" not in name]
    wrong = []
    for (pattern, ours), perls in zip(compiled.items(), ask_perl(list(compiled), names), strict=True):
        for name, theirs in zip(names, perls or (), strict=perls is not None):
            if not name.isascii() and "\\p" in pattern.lower():
                # A property switches Perl to Unicode, also for what else is in the pattern.
                continue
            try:
                found = ours.search(name) is not None
            except TooSlowError:
                continue
            if found != theirs:
                wrong.append((pattern, name, theirs))
    assert wrong == [], f"seed {seed}"
    assert len(compiled) > patterns / 20


def test_lists_for_a_moment() -> None:
    fuzz_lists(1, 3)


def test_patterns_mean_what_they_mean_to_perl() -> None:
    compare_with_perl(1, 2000)


@pytest.mark.proof
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_lists_for_a_minute(seed: int) -> None:
    fuzz_lists(seed, 20)


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(10, 15))
def test_many_patterns_mean_what_they_mean_to_perl(seed: int) -> None:
    compare_with_perl(seed, 5000)
