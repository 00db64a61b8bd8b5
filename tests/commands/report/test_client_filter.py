# SPDX-License-Identifier: GPL-2.0-or-later
"""Which clients a report is about."""

from __future__ import annotations

from pathlib import Path

import pytest

from postgrey_py.commands.report.client_filter import ClientFilter, is_in_pool
from postgrey_py.errors import PostgreyError
from postgrey_py.greylist.address import Address, parse_address


def address(text: str) -> Address:
    parsed = parse_address(text)
    assert parsed is not None
    return parsed


HERE = address("192.0.2.7")


def make_filter(tmp_path: Path, skipped: str = "", matched: str = "", skips_pools: bool = False) -> ClientFilter:
    paths: dict[str, list[str]] = {"skipped": [], "matched": []}
    for name, text in (("skipped", skipped), ("matched", matched)):
        if text:
            (tmp_path / name).write_text(text)
            paths[name] = [str(tmp_path / name)]
    return ClientFilter(paths["skipped"], paths["matched"], skips_pools, pytest.fail)


def test_without_entries_everybody_is_wanted(tmp_path: Path) -> None:
    everybody = make_filter(tmp_path)
    assert not everybody.has_entries
    assert everybody.is_wanted("mail.example.com", HERE)


def test_only_matched_clients_are_wanted(tmp_path: Path) -> None:
    matching = make_filter(tmp_path, matched="example.com\n192.0.2.8\n")
    assert matching.has_entries
    assert matching.is_wanted("mail.example.com", HERE)
    assert matching.is_wanted("other.example.net", address("192.0.2.8"))
    assert not matching.is_wanted("other.example.net", HERE)


def test_who_is_skipped_is_not_wanted_though_matched(tmp_path: Path) -> None:
    both = make_filter(tmp_path, skipped="mail.example.com", matched="example.com")
    assert not both.is_wanted("mail.example.com", HERE)
    assert both.is_wanted("mx.example.com", HERE)


def test_pools_are_skipped_when_that_is_asked_for(tmp_path: Path) -> None:
    assert not make_filter(tmp_path, skips_pools=True).is_wanted("host-2-7.example.com", HERE)
    assert make_filter(tmp_path, skips_pools=False).is_wanted("host-2-7.example.com", HERE)


@pytest.mark.parametrize(
    ("name", "client", "expected"),
    [
        ("host-2-7.example.com", "192.0.2.7", True),
        ("host-2-8.example.com", "192.0.2.7", False),
        ("host-3-7.example.com", "192.0.2.7", False),
        # Both numbers are in one.
        ("27.example.com", "192.0.2.7", True),
        ("", "192.0.2.7", False),
        ("ip-0001-00ab.example.com", "2001:db8::1:ab", True),
        ("ip-1-ab.example.com", "2001:db8::1:ab", False),
    ],
)
def test_names_of_a_pool_have_the_last_two_numbers(name: str, client: str, expected: bool) -> None:
    assert is_in_pool(name, address(client)) is expected


def test_remarks_about_lines_are_told(tmp_path: Path) -> None:
    path = tmp_path / "clients"
    path.write_text("example.com\n*\n")
    said: list[str] = []
    ClientFilter([str(path)], [], skips_pools=False, say=said.append)
    assert said == [f"{path} line 2: * is no name: write /^/ to let every client pass"]


def test_a_file_that_is_missing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(PostgreyError, match=rf"^can't open {tmp_path}/missing: No such file"):
        ClientFilter([str(tmp_path / "missing")], [], skips_pools=False, say=pytest.fail)
