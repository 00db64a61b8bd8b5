# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of months in other languages."""

from __future__ import annotations

import pytest

from postgrey_py.commands.months import months_of


def in_utf8(text: str) -> str:
    return text.encode().decode("latin-1")


@pytest.mark.parametrize(
    ("name", "months"),
    [
        ("Okt", (10,)),
        ("OKT", (10,)),
        (in_utf8("août"), (8,)),
        (in_utf8("Mär"), (3,)),
        ("M\xe4r", (3,)),
        ("lis", (10, 11)),
        ("déc.".encode("iso8859-1").decode("latin-1"), (12,)),
        (in_utf8("ноя"), (11,)),
        ("ноя".encode("koi8-u").decode("latin-1"), (11,)),
        (in_utf8("10月"), (10,)),
        (in_utf8("1월"), (1,)),
        (in_utf8("13月"), ()),
        (in_utf8("0月"), ()),
        ("Th12", (12,)),
        ("10", ()),
        ("Xyz", ()),
        ("", ()),
    ],
)
def test_months_by_name(name: str, months: tuple[int, ...]) -> None:
    assert months_of(name) == months
