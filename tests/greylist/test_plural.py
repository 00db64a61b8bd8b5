# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest

from postgrey_py.greylist.plural import counted


@pytest.mark.parametrize(
    ("number", "things", "text"),
    [
        (0, "triplets", "0 triplets"),
        (1, "triplets", "1 triplet"),
        (2, "entries", "2 entries"),
        (1, "entries", "1 entry"),
    ],
)
def test_nouns_go_with_their_number(number: int, things: str, text: str) -> None:
    assert counted(number, things) == text
