# SPDX-License-Identifier: GPL-2.0-or-later
"""The lines of the report, character by character."""

from __future__ import annotations

import pytest

from postgrey_py.commands.logtime import LogClock
from postgrey_py.commands.report.history import Deferral, Mail
from postgrey_py.commands.report.listing import COLUMNS, ListingStyle, format_lines, in_order_of_address, rows, show
from postgrey_py.greylist.address import Address, parse_address

STAMP = "2026-03-02T09:00:00Z"


def deferral(client: str = "192.0.2.7", name: str = "mx.example", sender: str = "a@b", tries: int = 2) -> Deferral:
    address = parse_address(client)
    assert address is not None
    correspondents = f"{sender}/c@d"
    return Deferral(Mail(address, STAMP), address, client, name, correspondents, len(sender), STAMP, tries)


def network(address: Address) -> str:
    return address.text().rpartition(".")[0]


def listed(deferrals: list[Deferral], style: ListingStyle, checks: dict[int, str] | None = None) -> list[str]:
    return list(format_lines(deferrals, checks or {}, style, network))


@pytest.mark.parametrize(
    ("style", "line"),
    [
        (ListingStyle(), "      192.0.2.7 mx.example a@b c@d\n"),
        (ListingStyle(tab=True), "192.0.2.7\tmx.example\ta@b\tc@d\n"),
        (ListingStyle(show_time=True), f"{STAMP}       192.0.2.7 mx.example a@b c@d\n"),
        (ListingStyle(show_tries=True), "2       192.0.2.7 mx.example a@b c@d\n"),
        (ListingStyle(check_sender=True), "   MX       192.0.2.7 mx.example a@b c@d\n"),
        (
            ListingStyle(show_time=True, show_tries=True, check_sender=True, tab=True),
            f"{STAMP}\t2\tMX\t192.0.2.7\tmx.example\ta@b\tc@d\n",
        ),
    ],
)
def test_columns_of_a_line(style: ListingStyle, line: str) -> None:
    assert listed([deferral()], style, {0: "MX"}) == [line]


def test_no_column_is_empty() -> None:
    assert listed([deferral(name="", sender="")], ListingStyle(tab=True)) == ["192.0.2.7\tunknown\t<>\tc@d\n"]


def test_lines_grouped_by_client_have_one_head_for_each() -> None:
    lines = listed([deferral(), deferral(sender="x@b"), deferral("192.0.2.8")], ListingStyle(single_line=False))
    assert [line.split() for line in lines] == [
        ["mx.example", "192.0.2.7"],
        ["a@b", "c@d"],
        ["x@b", "c@d"],
        ["mx.example", "192.0.2.8"],
        ["a@b", "c@d"],
    ]


def test_separators_stand_between_addresses_and_between_subnets() -> None:
    clients = ["192.0.2.7", "192.0.2.7", "192.0.2.8", "192.0.3.8"]
    style = ListingStyle(tab=True, separate_by_ip="-\n", separate_by_subnet="=\n")
    lines = listed([deferral(client) for client in clients], style)
    assert [line if len(line) == 2 else line.split("\t")[0] for line in lines] == [
        *("=\n", "192.0.2.7", "192.0.2.7", "-\n", "192.0.2.8", "=\n", "192.0.3.8")
    ]


def test_clients_are_sorted_as_numbers() -> None:
    clients = ["::1", "192.0.2.10", "192.0.2.9"]
    ordered = in_order_of_address([deferral(client) for client in clients])
    assert [one.client_address for one in ordered] == ["192.0.2.9", "192.0.2.10", "::1"]


def test_mails_of_one_client_keep_their_order() -> None:
    ordered = in_order_of_address([deferral(sender="z@b"), deferral(sender="a@b")])
    assert [one.sender for one in ordered] == ["z@b", "a@b"]


def test_rows_have_all_columns() -> None:
    first, second = rows([deferral(), deferral(name="", sender="")], {1: "A/24"}, LogClock(1_800_000_000))
    assert tuple(first) == tuple(second) == COLUMNS
    assert (first["tries"], first["check_sender"], first["client_name"]) == (2, None, "mx.example")
    assert (second["check_sender"], second["client_name"], second["sender"]) == ("A/24", "", "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [("a b", "a b"), ("\xc3\xbc", "\xfc"), ("\xff", "\\xff"), ("a\x1b[2J", "a\\x1b[2J"), ("\x7f", "\\x7f")],
)
def test_text_of_the_log_is_safe_to_print(text: str, shown: str) -> None:
    assert show(text) == shown
