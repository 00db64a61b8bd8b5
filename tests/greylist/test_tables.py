# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from postgrey_py.greylist.tables import Records, Table


def test_a_dictionary_is_a_table() -> None:
    table: Table = {b"key": b"1,2"}
    assert Records(table, {}).triplets.get(b"key") == b"1,2"
    assert Records(table, {}).instances == ()
