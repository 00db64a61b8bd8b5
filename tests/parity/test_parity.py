# SPDX-License-Identifier: GPL-2.0-or-later
"""The same random traffic through Perl Postgrey and through ours gives the same replies, log and databases."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from tests.parity.branches import Branch, BranchCounter
from tests.parity.campaign import BRANCH_COUNTS, SEED, traffic_for
from tests.parity.comparison import differences
from tests.parity.option_sets import OptionSet, option_sets
from tests.parity.replay import OURS, PERL, Outcome, replay_side_by_side

OPTION_SETS = option_sets()
OFTEN = 20


class Campaign:
    """Runs each option set once, however many tests ask for it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.outcomes = cache(self.run)

    def run(self, option_set: OptionSet) -> tuple[Outcome, Outcome]:
        directory = self.directory / option_set.name
        directory.mkdir()
        arguments = option_set.arguments(directory)
        return replay_side_by_side((PERL, OURS), (arguments, arguments), traffic_for(option_set), directory)


@pytest.fixture(scope="module")
def campaign(tmp_path_factory: pytest.TempPathFactory) -> Campaign:
    return Campaign(tmp_path_factory.mktemp("parity"))


@pytest.mark.parametrize("option_set", OPTION_SETS, ids=lambda option_set: option_set.name)
def test_same_traffic_has_the_same_outcome(campaign: Campaign, option_set: OptionSet) -> None:
    perl, ours = campaign.outcomes(option_set)
    found = differences(perl, ours, traffic_for(option_set))
    assert not found, "\n".join([f"POSTGREY_PARITY_SEED={SEED}, Perl first, then ours:", *found])


def test_every_branch_is_hit_often(campaign: Campaign) -> None:
    BRANCH_COUNTS.clear()
    for option_set in OPTION_SETS:
        if option_set.logs_actions:
            counter = BranchCounter()
            counter.follow(campaign.outcomes(option_set)[0], traffic_for(option_set))
            BRANCH_COUNTS.update(counter.counts)
    rare = {branch.value: BRANCH_COUNTS[branch] for branch in Branch if BRANCH_COUNTS[branch] < OFTEN}
    assert not rare, f"POSTGREY_PARITY_SEED={SEED}"
