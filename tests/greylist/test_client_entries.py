# SPDX-License-Identifier: GPL-2.0-or-later
"""One line of a list of clients: where its entry goes, and what is said about it. Whole lists are in test_spellings."""

from __future__ import annotations

import pytest

from postgrey_py.greylist.client_entries import read_client_line
from postgrey_py.greylist.list_lines import MAX_ENTRY_CHARACTERS, Entries, Line


def read(text: str) -> Entries:
    entries = Entries()
    assert read_client_line(Line("clients", 7, text), entries)
    return entries


@pytest.mark.parametrize("text", ["", "  \t", "# example.com", " ,;", '""  # quotes'])
def test_a_line_without_entry_says_nothing(text: str) -> None:
    entries = Entries()
    if text.startswith('"'):
        assert read_client_line(Line("clients", 1, text), entries)
    else:
        assert not read_client_line(Line("clients", 1, text), entries)
        assert entries == Entries()


@pytest.mark.parametrize(
    ("text", "names", "below"),
    [
        ("Example.COM", {"example.com"}, set()),
        ("example.com.", {"example.com", "example.com."}, set()),
        (".example.com", {".example.com"}, {"example.com"}),
        ("*.Example.com", {"*.example.com"}, {"example.com"}),
        ("host_1", {"host_1"}, set()),
        # What is meant, and what 1.37 takes it for.
        ("<example.com>,", {"example.com", "<example.com>,"}, set()),
        ("b\xc3\xbccher.example", {"xn--bcher-kva.example", "b\xc3\xbccher.example"}, set()),
    ],
)
def test_a_domain_is_a_name_or_what_is_below_it(text: str, names: set[str], below: set[str]) -> None:
    entries = read(text)
    assert (set(entries.names), set(entries.below), entries.remarks) == (names, below, [])


def test_the_first_line_of_an_entry_is_the_one_that_is_named() -> None:
    entries = Entries()
    for number in (1, 2):
        read_client_line(Line("clients", number, "example.com"), entries)
    assert entries.names["example.com"].number == 1


@pytest.mark.parametrize(
    ("text", "networks"),
    [
        ("192.0.2.7", {(32, 32): {0xC0000207}}),
        ("192.0.2", {(32, 24): {0xC00002}}),
        ("192.0.2.6-192.0.2.8", {(32, 31): {0xC0000206 >> 1}, (32, 32): {0xC0000208}}),
        ("2001:db8::/32", {(128, 32): {0x20010DB8}}),
    ],
)
def test_networks_are_kept_by_size(text: str, networks: dict[tuple[int, int], set[int]]) -> None:
    entries = read(text)
    assert {size: set(values) for size, values in entries.networks.items()} == networks
    assert not entries.names


def test_a_network_with_bits_of_a_host_is_in_force_with_a_hint() -> None:
    (remark,) = read("192.0.2.7/24").remarks
    assert remark.is_in_force
    assert remark.text == "clients line 7: 192.0.2.7/24 is taken as 192.0.2.0/24"


def test_a_pattern_for_addresses_is_in_force_with_a_hint() -> None:
    entries = read(r"/^192\.0\.2\./")
    assert [remark.is_in_force for remark in entries.remarks] == [True]
    assert "write 192.0.2.0/24 for a network" in entries.remarks[0].text
    assert len(entries.patterns) == 1


def test_the_longest_entry_is_taken_and_one_character_more_is_not() -> None:
    longest = "a" * MAX_ENTRY_CHARACTERS
    assert read(longest).names.keys() == {longest}
    entries = read(longest + "a")
    assert entries.names == {}
    assert entries.remarks[0].text.endswith("... is longer than any name")


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("*", "write /^/ to let every client pass"),
        ("!example.com", "leave the line out"),
        ("include:_spf.example.com", "write the networks themselves"),
        ("https://example.com/x", "write example.com"),
        ("alice@example.com", "such as example.com"),
        ("alice@", "such as example.com"),
        ("mx.example.com[192.0.2.7]", "write mx.example.com, or the address"),
        ("mx.example.com:25", "write mx.example.com"),
        ("example.com/24", "write example.com, or a network in numbers"),
        ("mx*.example.com", r"write /^mx.*\.example\.com$/"),
        ("mx.example.com;mx2", "write mx.example.com"),
        ("a\x01b", r"a control character (\x01) in it: type it anew"),
    ],
)
def test_what_no_client_is_called_is_refused_with_a_remedy(text: str, remedy: str) -> None:
    (remark,) = read(text).remarks
    assert not remark.is_in_force
    assert remark.text.startswith("clients line 7: ")
    assert remark.text.endswith(remedy)
