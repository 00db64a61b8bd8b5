# SPDX-License-Identifier: GPL-2.0-or-later
"""Files become lines, lines become entries, and remarks say where the line stands."""

from __future__ import annotations

import pytest

from postgrey_py.errors import ListFileError
from postgrey_py.greylist.list_lines import (
    Entries,
    Line,
    decode_list,
    explain_white_space,
    find_strange_character,
    in_dns,
    quote,
    read_pattern,
    tidy,
    wildcard_pattern,
    without_comment,
)


def texts(octets: bytes) -> list[str]:
    return [line.text for line in decode_list(octets, "list")]


@pytest.mark.parametrize(
    ("octets", "lines"),
    [
        (b"", [""]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a\r", "b\r", ""]),
        (b"a\rb", ["a", "b"]),
        (b"\xef\xbb\xbfa", ["a"]),
        (b"\xff", ["\xff"]),
        ("a\n\xfc".encode("utf-16"), ["a", "\xc3\xbc"]),
        (b"\xfe\xff" + "a".encode("utf-16-be"), ["a"]),
        ("a".encode("utf-32"), ["a"]),
    ],
)
def test_octets_become_lines(octets: bytes, lines: list[str]) -> None:
    assert texts(octets) == lines


def test_lines_know_their_place() -> None:
    assert decode_list(b"a\nb", "list")[1] == Line("list", 2, "b")
    assert Line("list", 2, "b").remark("is odd") == "list line 2: is odd"


@pytest.mark.parametrize(
    ("octets", "message"),
    [
        (b"\x1f\x8b\x08", "is compressed (gzip)"),
        (b"BZh9", "is compressed (bzip2)"),
        (b"PK\x03\x04", "is an archive (zip)"),
        (b"\x7fELF", "is a program"),
        (b"\xff\xfea", "begins as UTF-16, but is not"),
        (b"a\0b\0", "looks like UTF-16 or UTF-32 without a byte-order mark"),
    ],
)
def test_what_is_no_text_is_an_error(octets: bytes, message: str) -> None:
    with pytest.raises(ListFileError, match=r"^list ") as caught:
        decode_list(octets, "list")
    assert message in str(caught.value)


def test_a_quarter_of_zeros_is_still_text() -> None:
    assert texts(b"abc\0") == ["abc\0"]


@pytest.mark.parametrize(("text", "entry"), [(" a # b", "a"), ("#", ""), ("\ta\x0b", "a"), ("\xa0a", "\xa0a")])
def test_comments_and_white_space_go(text: str, entry: str) -> None:
    assert without_comment(Line("list", 1, text)) == entry


@pytest.mark.parametrize(
    ("entry", "meant"),
    [
        ("a,", "a"),
        ("a;, ;", "a"),
        ('"a"', "a"),
        ("'<a>',", "a"),
        ('"', '"'),
        ('""', '""'),
        ('"a" "b"', '"a" "b"'),
        ("\xc2\xa0a\xe2\x80\x8b", "a"),
        ("\xe2\x80\x9ca\xe2\x80\x9d", "a"),
        ("a\xc2\xa0b", "a\xc2\xa0b"),
        ("", ""),
    ],
)
def test_what_can_not_be_meant_goes(entry: str, meant: str) -> None:
    assert tidy(entry) == meant


def test_long_text_is_cut_in_a_remark() -> None:
    assert quote("a" * 100) == "a" * 100
    assert quote("a" * 101) == "a" * 100 + "..."


@pytest.mark.parametrize(
    ("entry", "strange"),
    [
        ("example.com", None),
        ("a\xc2\xa0b", "an invisible character (U+00A0)"),
        ("a\xe2\x80\x8bb", "an invisible character (U+200B)"),
        ("a\x00b", "a control character (\\x00)"),
        ("a\x7f", "a control character (\\x7f)"),
        ("a\x80", None),
    ],
)
def test_characters_that_nobody_sees_are_found(entry: str, strange: str | None) -> None:
    assert find_strange_character(entry) == strange


@pytest.mark.parametrize(
    ("domain", "ascii_domain"),
    [("b\xc3\xbccher.example", "xn--bcher-kva.example"), ("example.com", "example.com"), ("\xff", None), ("a b", None)],
)
def test_domains_are_written_as_in_the_dns(domain: str, ascii_domain: str | None) -> None:
    assert in_dns(domain) == ascii_domain


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("/a/", None),
        ("/a/i", None),
        ("/", "there is no pattern between the slashes of /"),
        ("//", "there is no pattern between the slashes of //"),
        ("/a", "has no / at its end: write /a/"),
        ("/a b/", r"write \s for white space in a pattern"),
        ("/a/ b", "write a pattern alone, as /pattern/"),
        ("/a/x", "flags such as x are not known behind a pattern: write /a/"),
        ("/(/", "can't compile the pattern /(/"),
    ],
)
def test_patterns_stand_between_slashes(entry: str, problem: str | None) -> None:
    entries = Entries()
    read_pattern(Line("list", 3, entry), entry, entries, "a name")
    assert len(entries.patterns) == (problem is None)
    assert [problem in remark.text for remark in entries.remarks if problem] == ([] if problem is None else [True])
    assert all(not remark.is_in_force for remark in entries.remarks)


def test_a_comment_in_a_pattern_is_explained() -> None:
    entries = Entries()
    line = Line("list", 3, "/a#b/")
    read_pattern(line, without_comment(line), entries, "a name")
    assert [remark.text for remark in entries.remarks] == [
        "list line 3: /a has no / at its end, because # starts a comment: write \\x23 for a #"
    ]


@pytest.mark.parametrize(
    ("entry", "advice"),
    [
        ("example.com OK", ": write example.com alone, an action is not needed"),
        ("192.0.2.0 /24", ": write 192.0.2.0/24"),
        ("bob @example.com", ": write bob@example.com"),
        ("a.example b.example", ": write one entry a line"),
        ("two words", ""),
    ],
)
def test_white_space_inside_is_explained_where_that_is_clear(entry: str, advice: str) -> None:
    assert explain_white_space(entry) == advice


@pytest.mark.parametrize(("text", "pattern"), [("a*", "/^a.*$/"), ("*.b", r"/^.*\.b$/"), ("*@b-c", "/^.*@b-c$/")])
def test_wildcards_become_patterns(text: str, pattern: str) -> None:
    assert wildcard_pattern(text) == pattern
