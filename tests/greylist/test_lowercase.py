# SPDX-License-Identifier: GPL-2.0-or-later
"""Capital letters of ASCII become small ones, and nothing else changes."""

from __future__ import annotations

import pytest

from postgrey_py.greylist.lowercase import ascii_lower


@pytest.mark.parametrize(
    ("text", "lowered"),
    [
        ("", ""),
        ("@AZ[`az{", "@az[`az{"),
        ("\xc4A", "\xc4a"),
        # Bytes that Python's lower() would change where they are letters of Latin-1.
        ("\xd6\xd7\xde\xdf", "\xd6\xd7\xde\xdf"),
        ("\x7f\x80", "\x7f\x80"),
    ],
)
def test_only_ascii_letters_become_small(text: str, lowered: str) -> None:
    assert ascii_lower(text) == lowered
