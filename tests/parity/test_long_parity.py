# SPDX-License-Identifier: GPL-2.0-or-later
"""The parity of `test_parity`, on traffic that goes on for longer: a slow proof."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.parity.campaign import REQUESTS, SEED, traffic_for
from tests.parity.comparison import differences
from tests.parity.option_sets import OptionSet, option_sets
from tests.parity.replay import OURS, PERL, replay_side_by_side

LONGER = 4


@pytest.mark.proof
@pytest.mark.parametrize("option_set", option_sets(), ids=lambda option_set: option_set.name)
def test_long_traffic_has_the_same_outcome(tmp_path: Path, option_set: OptionSet) -> None:
    traffic = traffic_for(option_set, requests=LONGER * REQUESTS)
    arguments = option_set.arguments(tmp_path)
    perl, ours = replay_side_by_side((PERL, OURS), (arguments, arguments), traffic, tmp_path)
    found = differences(perl, ours, traffic)
    assert not found, "\n".join([f"POSTGREY_PARITY_SEED={SEED}, Perl first, then ours:", *found])
