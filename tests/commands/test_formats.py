# SPDX-License-Identifier: GPL-2.0-or-later
"""Text, times, CSV and JSON as tools print them."""

from __future__ import annotations

import json
import time

import pytest

from postgrey_py.commands.formats import Value, address_text, iso_time, printable, write_csv, write_json
from postgrey_py.greylist.address import parse_address


@pytest.mark.parametrize(
    ("octets", "text"),
    [
        (b"", ""),
        (b"a ~", "a ~"),
        (b"\x1f\x7f", r"\x1f\x7f"),
        ("\x80\x9f\xa1".encode(), r"\x80\x9f" + "\xa1"),
        (b"\xff", r"\xff"),
        ("\xfc\u4e00".encode(), "\xfc\u4e00"),
        (b"\n\t", r"\x0a\x09"),
    ],
)
def test_what_strangers_wrote_is_safe_to_print(octets: bytes, text: str) -> None:
    assert printable(octets) == text


@pytest.mark.parametrize("text", ["0.0.0.0", "192.0.2.7", "::", "2001:db8::7", "2001:db8:0:1::"])
def test_addresses_are_written_short(text: str) -> None:
    address = parse_address(text)
    assert address is not None
    assert address_text(address) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "1970-01-01T01:00:00+01:00"), (1_795_249_313, "2026-11-21T09:21:53+01:00"), (10**20, "1" + "0" * 20)],
)
def test_times_are_local_with_their_offset(monkeypatch: pytest.MonkeyPatch, seconds: int, text: str) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        assert iso_time(seconds) == text
    finally:
        monkeypatch.undo()
        time.tzset()


ROWS: list[dict[str, Value]] = [{"a": 1, "b": None}, {"a": True, "b": 'x "y",\n'}, {"a": False, "b": "\xfc"}]


def test_csv_has_a_head_and_quotes_what_it_must(capsys: pytest.CaptureFixture[str]) -> None:
    write_csv(["b", "a"], ROWS)
    assert capsys.readouterr().out == 'b,a\n,1\n"x ""y"",\n",yes\n\xfc,no\n'


def test_json_has_a_line_for_each_row(capsys: pytest.CaptureFixture[str]) -> None:
    write_json(ROWS)
    output = capsys.readouterr().out
    assert json.loads(output) == ROWS
    assert output.count("\n") == len(ROWS) + 2
    assert "\xfc" in output


@pytest.mark.parametrize("rows", [[], [{"a": 1}]])
def test_json_is_an_array_however_many_rows_there_are(
    rows: list[dict[str, Value]], capsys: pytest.CaptureFixture[str]
) -> None:
    write_json(rows)
    assert json.loads(capsys.readouterr().out) == rows
