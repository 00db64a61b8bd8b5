# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postgrey_py.greylist.address import IPV4_BITS, IPV6_BITS, Address, parse_address
from postgrey_py.greylist.list_lines import Line
from postgrey_py.greylist.whitelists import REMEMBERED_ANSWERS, ClientList, RecipientList

untimed = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

# On no list here.
ELSEWHERE = "203.0.113.99"


def make_lines(entries: Sequence[str]) -> list[Line]:
    return [Line("/etc/whitelist", number, entry) for number, entry in enumerate(entries, start=1)]


def make_clients(*entries: str) -> ClientList:
    """A client whitelist of these lines, all of which can be used."""
    whitelist = ClientList(make_lines(entries))
    assert all(remark.is_in_force for remark in whitelist.remarks)
    return whitelist


def make_recipients(*entries: str) -> RecipientList:
    """A recipient whitelist of these lines, all of which can be used."""
    whitelist = RecipientList(make_lines(entries))
    assert all(remark.is_in_force for remark in whitelist.remarks)
    return whitelist


def warnings(whitelist: ClientList | RecipientList) -> tuple[str, ...]:
    return tuple(remark.text for remark in whitelist.remarks)


def lists_name(whitelist: ClientList, name: str) -> bool:
    return lists_address(whitelist, ELSEWHERE, name)


def lists_address(whitelist: ClientList, text: str, name: str = "unknown") -> bool:
    address = parse_address(text)
    assert address is not None, text
    return whitelist.match(name, address) is not None


def test_an_empty_whitelist_lists_nobody() -> None:
    assert not lists_name(ClientList(), "")
    assert not lists_name(ClientList(), "mail.example.com")
    assert not RecipientList().match("")
    assert not RecipientList().match("bob@example.org")


@pytest.mark.parametrize(
    ("entry", "listed", "unlisted"),
    [
        (
            "example.com",
            ("example.com", "mail.example.com", "a.b.example.com", "EXAMPLE.Com", ".example.com", "a..example.com"),
            ("", "com", "xexample.com", "example.com.", "example.com.net", "example-com", "example.comm"),
        ),
        ("Example.COM", ("example.com", "mail.example.com"), ("example.org",)),
        # unlike 1.37, which takes these for names that nobody has.
        (".example.com", (".example.com", "a..example.com", "a.example.com"), ("example.com", "xexample.com")),
        ("example.com.", ("example.com.", "a.example.com.", "example.com", "a.example.com"), ("example.com..", "com")),
        ("localhost", ("localhost", "a.localhost"), ("localhost.localdomain", "alocalhost")),
        ("com", ("com", "example.com"), ("example.comm",)),
        ("163.com", ("163.com", "m1.163.com"), ("1163.com",)),
        ("a_b-c.example", ("a_b-c.example", "x.a_b-c.example"), ("a_b_c.example",)),
        # Nothing in a domain has a meaning of its own.
        ("ex*mple.com", ("ex*mple.com", "a.ex*mple.com"), ("example.com", "exmple.com", "exxmple.com")),
        ("(example.com", ("(example.com",), ("example.com",)),
        # Bytes beyond ASCII have neither small nor capital letters.
        ("tr\xe9s.example", ("tr\xe9s.example", "TR\xe9S.EXAMPLE"), ("tr\xc9s.example", "tres.example")),
        ("TR\xc9S.example", ("tr\xc9s.example",), ("tr\xe9s.example",)),
        # These look like other things, but are not.
        ("/example.com", ("/example.com", "a./example.com"), ("example.com",)),
        ("example.com/", ("example.com/",), ("example.com",)),
        ("example.com:25", ("example.com:25",), ("example.com",)),
        ("user@example.com", ("user@example.com",), ("example.com",)),
    ],
)
def test_domains_list_themselves_and_their_subdomains(
    entry: str, listed: tuple[str, ...], unlisted: tuple[str, ...]
) -> None:
    # Of some of them there is something to tell.
    whitelist = ClientList(make_lines([entry]))
    assert [name for name in listed if not lists_name(whitelist, name)] == []
    assert [name for name in unlisted if lists_name(whitelist, name)] == []


# Dots at the ends mean more than to 1.37.
labels = st.text("aAb.-*+\xe9\xc9", min_size=1, max_size=6).filter(lambda label: not re.search(r"^\*?\.|\.$", label))


def as_octets(pattern: str) -> re.Pattern[bytes]:
    """A pattern as 1.37 compiles it: on bytes, no matter whether letters are small."""
    return re.compile(pattern.encode("latin-1"), re.IGNORECASE)


@untimed
@given(st.lists(labels, max_size=4), st.lists(labels, max_size=4).map(".".join))
def test_domains_are_found_as_by_patterns(entries: list[str], name: str) -> None:
    whitelist = ClientList(make_lines(entries))
    near = [
        f"{before}{entry}{behind}" for entry in entries for before in ("", "x", "x.", "@") for behind in ("", "x", ".")
    ]
    for candidate in [name, *near]:
        expected = any(
            as_octets(rf"(?:^|\.){re.escape(entry)}\Z").search(candidate.encode("latin-1")) for entry in entries
        )
        assert lists_name(whitelist, candidate) == expected, candidate


@pytest.mark.parametrize(
    ("entry", "listed", "unlisted"),
    [
        ("192.0.2.17", ("192.0.2.17",), ("192.0.2.16", "192.0.2.18", "2001:db8::c000:211")),
        ("192.0.2.17/32", ("192.0.2.17",), ("192.0.2.16",)),
        ("192.0.2.0/24", ("192.0.2.0", "192.0.2.255"), ("192.0.1.255", "192.0.3.0")),
        # An address with host bits stands for its network.
        ("192.0.2.17/24", ("192.0.2.0", "192.0.2.255"), ("192.0.3.17",)),
        ("198.51.100.128/25", ("198.51.100.128", "198.51.100.255"), ("198.51.100.127",)),
        ("10.0.0.0/8", ("10.0.0.0", "10.255.255.255"), ("9.255.255.255", "11.0.0.0")),
        ("10.0.0.0/08", ("10.1.2.3",), ("11.0.0.0",)),
        ("10.1.4.0/22", ("10.1.4.0", "10.1.7.255"), ("10.1.8.0", "10.1.3.255")),
        ("0.0.0.0/0", ("0.0.0.0", "192.0.2.1", "255.255.255.255"), ("::", "2001:db8::1")),
        ("128.0.0.0/1", ("128.0.0.0", "255.0.0.1"), ("127.255.255.255", "ffff::")),
        # Three numbers are a /24.
        ("203.0.113", ("203.0.113.0", "203.0.113.255"), ("203.0.112.255", "203.0.114.0")),
        ("1.2.3", ("1.2.3.4",), ("1.2.4.3", "1.2.30.4")),
        # unlike 1.37: two numbers are a /16.
        ("10.20", ("10.20.0.0", "10.20.0.1", "10.20.255.255"), ("10.0.0.20", "10.21.0.0", "10.19.255.255")),
        ("2001:db8:2:b::11", ("2001:db8:2:b::11", "2001:DB8:2:B:0:0:0:11"), ("2001:db8:2:b::12", "192.0.2.17")),
        ("2001:DB8:2:B::11", ("2001:db8:2:b::11",), ("2001:db8:2:b::1",)),
        ("2001:db8:1::/48", ("2001:db8:1::", "2001:db8:1:ffff:ffff:ffff:ffff:ffff"), ("2001:db8:2::", "2001:db8::1")),
        ("2001:db8:0:9::1/64", ("2001:db8:0:9::", "2001:db8:0:9:8::"), ("2001:db8:0:8::1",)),
        ("::1", ("::1",), ("::2", "0.0.0.1", "127.0.0.1")),
        ("::1/128", ("::1",), ("::",)),
        ("::192.0.2.17", ("::192.0.2.17",), ("192.0.2.17",)),
        # unlike 1.37: this is IPv6 only.
        ("::/0", ("::", "2001:db8::1", "ffff::"), ("0.0.0.0", "192.0.2.1", "::ffff:192.0.2.1")),
        # unlike 1.37: an IPv4-mapped address is the IPv4 address that it carries, in the list and in the request.
        ("192.0.2.17", ("::ffff:192.0.2.17", "::FFFF:C000:211"), ("::ffff:192.0.2.18",)),
        ("::ffff:192.0.2.17", ("192.0.2.17", "::ffff:192.0.2.17"), ("192.0.2.18",)),
        ("::ffff:192.0.2.0/120", ("192.0.2.0", "192.0.2.255"), ("192.0.3.0", "2001:db8::1")),
        ("::ffff:0:0/96", ("0.0.0.0", "255.255.255.255"), ("::", "2001:db8::1")),
        ("::fffe:0:0/95", ("::fffe:192.0.2.17",), ("192.0.2.17",)),
    ],
)
def test_addresses_and_networks(entry: str, listed: tuple[str, ...], unlisted: tuple[str, ...]) -> None:
    whitelist = make_clients(entry)
    assert [text for text in listed if not lists_address(whitelist, text)] == []
    assert [text for text in unlisted if lists_address(whitelist, text)] == []


def test_a_name_is_not_taken_for_an_address() -> None:
    assert not lists_name(make_clients("192.0.2.17", "10.20", "2001:db8::/32"), "192.0.2.17")
    assert not lists_name(make_clients("192.0.2.17", "10.20", "2001:db8::/32"), "mx.10.20")


networks = st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 32)).map(ipaddress.ip_interface) | st.tuples(
    st.integers(1, 2**16 - 1).map(lambda high: high << 112), st.integers(0, 128)
).map(ipaddress.ip_interface)


@untimed
@given(st.lists(networks, min_size=1, max_size=5), st.data())
def test_networks_contain_what_the_standard_library_says(
    entries: list[ipaddress.IPv4Interface | ipaddress.IPv6Interface], data: st.DataObject
) -> None:
    whitelist = make_clients(*(str(entry) for entry in entries))
    entry = data.draw(st.sampled_from(entries))
    # An address that differs from an entry's in one bit, or in none.
    bit = data.draw(st.integers(0, entry.max_prefixlen))
    value = int(entry.ip) ^ (1 << bit) % (1 << entry.max_prefixlen)
    bits = IPV4_BITS if entry.version == 4 else IPV6_BITS
    ip = ipaddress.IPv4Address(value) if entry.version == 4 else ipaddress.IPv6Address(value)
    assert (whitelist.match("unknown", Address(value, bits)) is not None) == any(ip in some.network for some in entries)


@pytest.mark.parametrize(
    ("entry", "listed", "unlisted"),
    [
        (r"/example/", ("example", "an.EXAMPLE.com"), ("exampl",)),
        (r"/^dialup\d+\.isp\.example$/", ("dialup17.isp.example", "DIALUP1.ISP.Example"), ("x.dialup17.isp.example",)),
        (r"/(?:^|\.)pool(?:-[a-f\d]{2}){2}\./", ("mx.pool-0a-1F.example", "POOL-0a-1f."), ("pool-0a.example",)),
        (r"/^mx.*\.example\.com$/", ("mx.example.com", "mx1.a.example.com"), ("mx1example.com",)),
        (r"/a|b/", ("a", "xbx"), ("", "c")),
        (r"/^$/", ("",), ("x",)),
        (r"/.*/", ("", "x"), ()),
        (r"/^\w+\.example$/", ("a_1.example",), ("a-1.example", "\xe9.example", "\xb2.example")),
        (r"/^\S+\bmail\b/", ("x.mail.example",), ("mail", "xmail.example")),
        (r"/^\d$/", ("7",), ("\xb2", "77")),
        (r"/^a{2,3}$/", ("aa", "AAA"), ("a", "aaaa")),
        (r"/^[[:alpha:]]+$/", ("abc", "ABC"), ("a1", "", "\xe9")),
        (r"/^[[:digit:]][[:alnum:]]$/", ("1a", "22"), ("a1",)),
        (r"/^(?i)mail$/", ("MAIL",), ("mails",)),
        (r"/^(?-i:MAIL)$/", ("MAIL",), ("mail",)),
        (r"/^a++b$/", ("aab",), ("aa",)),
        (r"/^(?>a|ab)c$/", ("ac",), ("abc",)),
        (r"/^(?=mx)\w+$/", ("mx1",), ("nx1",)),
        (r"/^(?!dsl-)\w/", ("mail",), ("dsl-1",)),
        (r"/(?<=mx)\d/", ("mx1",), ("ms1",)),
        (r"/(?<!mx)\d$/", ("ms1",), ("mx1",)),
        (r"/^(.)\1\z/", ("aa", "Bb"), ("ab",)),
        (r"/^(?<one>.)-\g<one>$/", ("a-a",), ("a-b",)),
        (r"/^(?P<one>.)-(?P=one)$/", ("a-a",), ("a-b",)),
        (r"/\Amail\z/", ("mail",), ("mails", "xmail")),
        (r"/\.example\Z/", ("a.example",), ("a.examples",)),
        (r"/^\x61\056b$/", ("a.b",), ("axb",)),
        (r"/^a\/b$/", ("a/b",), ("a",)),
        (r"/^\.$/", (".",), ("x",)),
        (r"/\@/", ("a@b",), ("ab",)),
        (r"///", ("/", "a/b"), ("a",)),
        (r"/\//", ("/",), ("a",)),
        ("/\xe9/", ("caf\xe9",), ("cafe", "CAF\xc9")),
    ],
)
def test_patterns_are_searched_in_the_name(entry: str, listed: tuple[str, ...], unlisted: tuple[str, ...]) -> None:
    # Alone, and among others, which may be tried in one go with it.
    for whitelist in (make_clients(entry), make_clients(r"/^(other)\.$/", entry, r"/^(((another))|x)\.$/")):
        assert [name for name in listed if not lists_name(whitelist, name)] == []
        assert [name for name in unlisted if lists_name(whitelist, name)] == []


PATTERNS = [
    *(r"^a|b$", r"(a)(b)", r"(x)\1", r"(?P<n>a)b(?P=n)", r"(?i:B)", r"^(?-i)B", r"a||b", r"[ab]{2}", r"a(?=b)"),
    *(r"(?|(a)b|(b)x)\1", r"\bx", r"a{,2}x", r"(?:^|x)$", r"^[^ab]+$", r"(a)?(?(1)b|x)", r"\x61x", r"|", r"x|"),
]


@untimed
@given(
    st.lists(st.sampled_from(PATTERNS) | st.text("()[]{}|\\ab12,?*+^$:-", min_size=1, max_size=6), max_size=6),
    st.text("abxABX|1", max_size=6),
)
def test_patterns_mean_the_same_among_others_as_alone(patterns: list[str], name: str) -> None:
    each = [(f"/{pattern}/", ClientList(make_lines([f"/{pattern}/"]))) for pattern in patterns]
    alone = {entry: whitelist for entry, whitelist in each if not whitelist.remarks}
    together = make_clients(*alone)
    assert lists_name(together, name) == any(lists_name(whitelist, name) for whitelist in alone.values())


def test_patterns_do_not_see_addresses() -> None:
    whitelist = make_clients("/^192\\.0\\.2\\./")
    assert not lists_address(whitelist, "192.0.2.17")
    assert lists_name(whitelist, "192.0.2.example")


def test_name_and_address_are_both_looked_for() -> None:
    whitelist = make_clients("example.com", "192.0.2.0/24", "/^mx/", "2001:db8::/32")
    assert lists_address(whitelist, ELSEWHERE, name="example.com")
    assert lists_address(whitelist, "192.0.2.1", name="example.org")
    assert lists_address(whitelist, "2001:db8::1", name="")
    assert lists_address(whitelist, ELSEWHERE, name="mx.example.org")
    assert not lists_address(whitelist, ELSEWHERE, name="example.org")


@pytest.mark.parametrize("text", ["", "   ", "\t\r", "#", "# comment", "  # example.com", "\x0c\x0b"])
def test_comments_and_empty_lines_say_nothing(text: str) -> None:
    clients, recipients = ClientList(make_lines([text])), RecipientList(make_lines([text]))
    assert clients.remarks == recipients.remarks == ()
    assert not lists_name(clients, "")
    assert not lists_name(clients, "example.com")
    assert not recipients.match("")
    assert not recipients.match("bob@example.com")


@pytest.mark.parametrize("form", ["{}", "  {}", "{}\t ", "{}\r", "\t{} # comment", "{}# comment", "{}#", "\x0c{}\x0b"])
def test_white_space_and_comments_around_an_entry_go(form: str) -> None:
    clients = make_clients(*(form.format(entry) for entry in ("example.com", "192.0.2.0/24", r"/^mx\d$/")))
    assert lists_name(clients, "example.com")
    assert lists_address(clients, "192.0.2.1")
    assert lists_name(clients, "mx1")
    recipients = make_recipients(*(form.format(entry) for entry in ("example.com", "bob@", r"/^mx\d$/")))
    assert recipients.match("alice@example.com")
    assert recipients.match("bob@example.org")
    assert recipients.match("mx1")


def test_a_comment_starts_inside_a_pattern_too() -> None:
    whitelist = ClientList(make_lines(["/mail#[0-9]/"]))
    # What is left looks like a domain.
    assert lists_name(whitelist, "/mail")
    assert not lists_name(whitelist, "mail#1")


# No white space to 1.37, which takes a file for bytes: a no-break space, a next-line character.
@pytest.mark.parametrize("octet", ["\xa0", "\x85", "\x1c", "\x00"])
def test_only_ascii_white_space_separates(octet: str) -> None:
    assert lists_name(ClientList(make_lines([f"a{octet}b"])), f"a{octet}b")
    assert lists_name(make_clients(f"/^a{octet}b$/"), f"a{octet}b")
    assert RecipientList(make_lines([f"a{octet}b"])).match(f"x@a{octet}b")


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("two words", "doesn't look like a hostname"),
        ("/a pattern/", "doesn't look like a hostname"),
        ("192.0.2.0 /24", "doesn't look like a hostname"),
        ("a\x0bb", "doesn't look like a hostname"),
        # unlike 1.37, which says nothing.
        ("192.0.2.256", "192.0.2.256 is not a valid address or network"),
        ("192.0.2.0/33", "192.0.2.0/33 is not a valid address or network"),
        ("192.0.2.017", "192.0.2.017 is not a valid address or network"),
        ("10.20.300", "10.20.300 is not a valid address or network"),
        ("10.300", "10.300 is not a valid address or network"),
        ("2001:db8::g", "2001:db8::g is not a valid address or network"),
        ("2001:db8::/129", "2001:db8::/129 is not a valid address or network"),
        ("2001:db8::/", "2001:db8::/ is not a valid address or network"),
        ("2001:db8::/x", "2001:db8::/x is not a valid address or network"),
        ("2001:db8::/ffff::", "2001:db8::/ffff:: is not a valid address or network"),
        ("2001:db8::/+1", "2001:db8::/+1 is not a valid address or network"),
        ("2001:db8::/\xb2", "2001:db8::/\xb2 is not a valid address or network"),
        (f"2001:db8::/{'9' * 400}", f"2001:db8::/{'9' * 400} is not a valid address or network"),
        (f"2001:db8::/{'9' * 5000}", f"2001:db8::/{'9' * 89}... is longer than any name"),
        ("fe80::1%eth0", "fe80::1%eth0 is not a valid address or network"),
        ("a:b:c", "a:b:c is not a valid address or network"),
        ("::1::", "::1:: is not a valid address or network"),
        ("10", "10 is no network: write two to four numbers, or all four and /mask"),
        (".", ". is no network: write two to four numbers, or all four and /mask"),
        ("1.2.3.4.5", "1.2.3.4.5 is no network: write two to four numbers, or all four and /mask"),
        ("1.2.3.", "1.2.3. is no network: write two to four numbers, or all four and /mask"),
        ("1.2.3.4/", "1.2.3.4/ is no network: write two to four numbers, or all four and /mask"),
        ("1.2.3.4/240", "1.2.3.4/240 is no network: write two to four numbers, or all four and /mask"),
        ("10/8", "10/8 is no network: write two to four numbers, or all four and /mask"),
        ("10.20.30/24", "10.20.30/24 is no network: write all four numbers before the mask"),
        ("10.20/16", "10.20/16 is no network: write all four numbers before the mask"),
    ],
)
def test_a_client_entry_that_means_nothing_is_told_with_file_and_line(entry: str, problem: str) -> None:
    whitelist = ClientList(make_lines(["# first", f"  {entry}  # comment", "good.example"]))
    (warning,) = warnings(whitelist)
    assert warning.startswith(f"/etc/whitelist line 2: {problem}")
    assert lists_name(whitelist, "good.example")
    assert not lists_name(whitelist, "")
    assert not lists_name(whitelist, entry)
    assert not lists_address(whitelist, "10.20.30.40")


@pytest.mark.parametrize(
    "pattern", ["(", ")", "[a", "a**", "(?<x", "\\", "a{2,1}", "(?z)", "(?P<n>a)(?P<n", "*", r"(a)\2", r"\p{nonsense}"]
)
def test_a_pattern_that_does_not_compile_is_told_with_file_and_line(pattern: str) -> None:
    lines = make_lines(["/^good$/", f"/{pattern}/", "/^(better)$/"])
    for whitelist in (ClientList(lines), RecipientList(lines)):
        (warning,) = warnings(whitelist)
        assert warning.startswith(f"/etc/whitelist line 2: can't compile the pattern /{pattern}/: ")
    assert lists_name(ClientList(lines), "good")
    assert lists_name(ClientList(lines), "better")
    assert RecipientList(lines).match("better")


def test_every_bad_line_is_told_in_order() -> None:
    lines = [
        Line("/etc/one", 7, "a b"),
        Line("/etc/one", 8, "a"),
        Line("/etc/two", 1, "10"),
        Line("/etc/two", 2, "/(/"),
    ]
    assert [warning.partition(":")[0] for warning in warnings(ClientList(lines))] == [
        "/etc/one line 7",
        "/etc/two line 1",
        "/etc/two line 2",
    ]


latin1_lines = st.binary(max_size=30).map(lambda octets: octets.decode("latin-1").replace("\n", ""))
tricky_lines = st.text("01 ./:#fx()[]{}*+?\\|^$@-\xb2%", max_size=20)
names = st.binary(max_size=20).map(lambda octets: octets.decode("latin-1"))


@untimed
@given(st.lists(latin1_lines | tricky_lines | tricky_lines.map(lambda text: f"/{text}/"), max_size=5), names)
def test_any_lines_make_a_whitelist(entries: list[str], name: str) -> None:
    clients, recipients = ClientList(make_lines(entries)), RecipientList(make_lines(entries))
    assert lists_name(clients, name) in (True, False)
    assert recipients.match(name) in (None, *make_lines(entries))
    for warning in (*warnings(clients), *warnings(recipients)):
        assert re.match(r"/etc/whitelist line [1-5]: .", warning)


@pytest.mark.parametrize(
    ("entry", "listed", "unlisted"),
    [
        # Domains.
        (
            "example.org",
            (
                *("bob@example.org", "bob@mx.example.org", "BOB@Example.ORG", "@example.org", "a@b@example.org"),
                # Without @ too, behind a dot.
                "mx.example.org",
            ),
            (
                *("", "example.org", "bob@xexample.org", "bob@example.org.", "example.org@example.net"),
                *("bob@example.organic", "bob@example.net"),
            ),
        ),
        # unlike 1.37, as for clients.
        (".example.org", ("bob@.example.org", "bob@a..example.org", "bob@a.example.org"), ("bob@example.org",)),
        ("org", ("bob@org", "bob@example.org", "example.org"), ("org", "bob@example.com")),
        ("ex.mple", ("bob@ex.mple",), ("bob@exxmple",)),
        # A dot before the @ begins no domain that reaches behind it.
        ("b@c", ("b@c", "b+x@c"), ("a.b@c",)),
        # user@domain, with and without extension.
        (
            "bob@example.org",
            (
                *("bob@example.org", "BOB@EXAMPLE.org", "bob+list@example.org", "bob+a+b@example.org"),
                *("bob++@example.org", "bob++a@example.org", "bob+a+@example.org", "bob+++a+@example.org"),
            ),
            (
                *("bob@mx.example.org", "xbob@example.org", "bob+@example.org", "bob-list@example.org", "bob"),
                *("bob@example.org.", "bob@example.com", "bob@x@example.org"),
            ),
        ),
        (
            "bob+list@example.org",
            ("bob+list@example.org", "bob+list+x@example.org"),
            ("bob@example.org", "bob+x@example.org"),
        ),
        ("bob@one@example.org", ("bob@one@example.org", "bob+x@one@example.org"), ("bob@example.org", "bob@one")),
        # user@ at any domain.
        (
            "postmaster@",
            ("postmaster@example.org", "POSTMASTER@", "postmaster+x@example.org", "postmaster@a@b"),
            ("postmaster", "xpostmaster@example.org", "postmaster+@example.org", "a@postmaster@b"),
        ),
        # Without a user.
        # unlike 1.37, for which nobody has such an address.
        ("@example.org", ("@example.org", "+x@example.org", "bob@example.org"), ("bob@mx.example.org",)),
        ("@", ("@example.org", "@", "+x@", "+x@example.org"), ("bob@example.org", "", "+@", "+")),
        # Patterns, on the whole address.
        (r"/^test\d+@/", ("test1@example.org", "TEST22@x"), ("xtest1@example.org", "test@example.org")),
        (r"/\.org$/", ("bob@example.org", "x.org"), ("bob@example.com",)),
        (r"/^bob@example\.org$/", ("Bob@example.org",), ("bob@example.orgs",)),
        (r"/^(.)\1@/", ("aa@b",), ("ab@b",)),
        # Bytes beyond ASCII.
        ("ren\xe9@example.org", ("ren\xe9@example.org", "REN\xe9@example.org"), ("ren\xc9@example.org",)),
        # Not networks here.
        ("192.0.2.1", ("bob@192.0.2.1",), ("bob@[192.0.2.1]",)),
        ("10", ("bob@10",), ("bob@100",)),
        ("a:b:c", ("bob@a:b:c",), ("bob@a",)),
    ],
)
def test_recipient_entries(entry: str, listed: tuple[str, ...], unlisted: tuple[str, ...]) -> None:
    whitelist = RecipientList(make_lines([entry]))
    assert [recipient for recipient in listed if not whitelist.match(recipient)] == []
    assert [recipient for recipient in unlisted if whitelist.match(recipient)] == []


def recipient_pattern(entry: str) -> re.Pattern[bytes]:
    """The pattern that 1.37 makes of an entry for recipients."""
    user, at, domain = entry.partition("@")
    if not at:
        return as_octets(rf"[@.]{re.escape(entry)}\Z")
    if not domain:
        return as_octets(rf"^{re.escape(user)}(?:\+[^@]+)?@")
    return as_octets(rf"^{re.escape(user)}(?:\+[^@]+)?@{re.escape(domain)}\Z")


@untimed
@given(
    st.lists(
        # Dots and signs at the ends mean more than to 1.37.
        st.text("aB.+@\xe9", min_size=1, max_size=5).filter(lambda entry: not re.search(r"^[.@]|@\.|\.$", entry)),
        max_size=4,
    ),
    st.text("aB.+@\xc9", max_size=8),
)
def test_recipients_are_found_as_by_patterns(entries: list[str], recipient: str) -> None:
    whitelist = RecipientList(make_lines(entries))
    near = [
        f"{before}{entry.partition('@')[0]}{extension}{at}{entry.partition('@')[2]}{behind}"
        for entry in entries
        for before in ("", "a", "a.", "a@")
        for extension in ("", "+", "+a", "+@", "++")
        for at in ("", "@")
        for behind in ("", "a", ".a")
    ]
    patterns = [recipient_pattern(entry) for entry in entries]
    for candidate in [recipient, *near]:
        expected = any(pattern.search(candidate.encode("latin-1")) for pattern in patterns)
        assert (whitelist.match(candidate) is not None) == expected, candidate


@pytest.mark.parametrize("entry", ["two words", "/a pattern/", "bob @example.com", "a\tb"])
def test_a_recipient_entry_with_white_space_is_told_with_file_and_line(entry: str) -> None:
    whitelist = RecipientList(make_lines(["", entry, "example.org"]))
    (warning,) = warnings(whitelist)
    assert warning.startswith("/etc/whitelist line 2: doesn't look like an address")
    assert whitelist.match("bob@example.org")
    assert not whitelist.match(entry)


def test_answers_are_remembered_within_bounds_and_stay_the_same() -> None:
    clients, recipients = make_clients("example.com", "192.0.2.0/24"), make_recipients("example.org")
    for number in range(2 * REMEMBERED_ANSWERS):
        listed = number % 3 == 0
        assert lists_name(clients, f"n{number}.example.{'com' if listed else 'net'}") == listed
        assert (recipients.match(f"n{number}@example.{'org' if listed else 'net'}") is not None) == listed
    for whitelist in (clients, recipients):
        assert whitelist._remembered.cache_info().currsize <= REMEMBERED_ANSWERS
    # The same name at another address is another client.
    assert lists_address(clients, "192.0.2.1", name="n1.example.net")
    assert not lists_address(clients, ELSEWHERE, name="n1.example.net")
    # The same number is another address in IPv6.
    assert clients.match("n1.example.net", Address(0xC0000201, IPV4_BITS))
    assert not clients.match("n1.example.net", Address(0xC0000201, IPV6_BITS))
