# SPDX-License-Identifier: GPL-2.0-or-later
"""One run of the parity tests: its seed, its size, and what the branches came to."""

from __future__ import annotations

import os
import random
from collections import Counter

from tests.parity.branches import Branch
from tests.parity.option_sets import OptionSet
from tests.parity.traffic import Batch, make_traffic

SEED = int(os.environ.get("POSTGREY_PARITY_SEED") or random.SystemRandom().randrange(2**32))
REQUESTS = int(os.environ.get("POSTGREY_PARITY_REQUESTS") or 5000)

BRANCH_COUNTS: Counter[Branch] = Counter()


def traffic_for(option_set: OptionSet, requests: int = REQUESTS) -> list[Batch]:
    """The traffic of one option set: other than that of any other set, the same for the same seed."""
    own_seed = random.Random(f"{SEED} {option_set.name}").randrange(2**32)
    return make_traffic(own_seed, requests, option_set.population)
