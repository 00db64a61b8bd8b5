# SPDX-License-Identifier: GPL-2.0-or-later
"""How people write entries that 1.37 takes for names which never come: each works as meant, or is told of."""

from __future__ import annotations

from pathlib import Path

import pytest

from postgrey_py.greylist.address import parse_address
from postgrey_py.greylist.list_lines import Line, decode_list
from postgrey_py.greylist.whitelists import ClientList, RecipientList
from tests.support.policy import PolicyClient
from tests.support.servers import PERL_POSTGREY, PolicyServer

ELSEWHERE = "203.0.113.99"


def in_utf8(text: str) -> str:
    return text.encode().decode("latin-1")


def clients(entry: str) -> ClientList:
    return ClientList([Line("/etc/clients", 1, "first.example"), Line("/etc/clients", 2, entry)])


def recipients(entry: str) -> RecipientList:
    return RecipientList([Line("/etc/recipients", 1, "first@example"), Line("/etc/recipients", 2, entry)])


def lists(whitelist: ClientList, client: str) -> bool:
    """Whether a client with this name, or with this address and no name, is listed."""
    address = parse_address(client)
    if address is None:
        elsewhere = parse_address(ELSEWHERE)
        assert elsewhere is not None
        found = whitelist.match(client, elsewhere)
    else:
        found = whitelist.match("unknown", address)
    assert found is None or found.number == 2
    return found is not None


WORKING_CLIENTS = [
    ("*.example.com", ["mail.example.com", "a.b.example.com"], ["example.com", "badexample.com"]),
    (".example.com", ["mail.example.com"], ["example.com", "badexample.com"]),
    ("*.Example.COM.", ["mail.example.com"], ["example.com"]),
    ("example.com.", ["example.com", "mail.example.com"], ["example.com.net"]),
    ("example.com,", ["example.com", "mail.example.com"], ["example.org"]),
    ("example.com;", ["example.com"], ["example.org"]),
    ("example.com , # comment", ["example.com"], ["example.org"]),
    ('"example.com"', ["example.com"], ["example.org"]),
    ("'example.com',", ["example.com"], ["example.org"]),
    ("`example.com`", ["example.com"], ["example.org"]),
    (in_utf8("“example.com”"), ["example.com"], ["example.org"]),
    (in_utf8("„example.com“,"), ["example.com"], ["example.org"]),
    ("<example.com>", ["example.com"], ["example.org"]),
    ("192.0.2.0-192.0.2.255", ["192.0.2.0", "192.0.2.255"], ["192.0.3.0", "192.0.1.255"]),
    ("192.0.2.5-192.0.2.9", ["192.0.2.5", "192.0.2.7", "192.0.2.9"], ["192.0.2.4", "192.0.2.10"]),
    ("192.0.2.5-9", ["192.0.2.5", "192.0.2.9"], ["192.0.2.4", "192.0.2.10"]),
    ("192.0.0.0-192.0.2.255,", ["192.0.1.7"], ["192.0.3.0"]),
    ("2001:db8::1-2001:db8::ff", ["2001:db8::1", "2001:db8::80", "2001:db8::ff"], ["2001:db8::100", "2001:db8::"]),
    ("[192.0.2.7]", ["192.0.2.7"], ["192.0.2.8"]),
    ("[192.0.2.0]/24", ["192.0.2.8"], ["192.0.3.8"]),
    ("[192.0.2.0/24]", ["192.0.2.8"], ["192.0.3.8"]),
    ("[2001:db8::7]", ["2001:db8::7"], ["2001:db8::8"]),
    ("[2001:db8::]/32", ["2001:db8:1::7"], ["2001:db9::8"]),
    ("[IPv6:2001:db8::7]", ["2001:db8::7"], ["2001:db8::8"]),
    ("ip4:192.0.2.0/24", ["192.0.2.8"], ["192.0.3.8"]),
    ("+ip4:192.0.2.7", ["192.0.2.7"], ["192.0.2.8"]),
    ("ip6:2001:db8::/32", ["2001:db8:1::7"], ["2001:db9::8"]),
    ("ipv6:2001:db8::/32", ["2001:db8:1::7"], ["2001:db9::8"]),
    ("192.0.2.0/255.255.255.0", ["192.0.2.8"], ["192.0.3.8"]),
    ("10.0.0.0/255.0.0.0", ["10.1.2.3"], ["11.0.0.1"]),
    ("192.0.2.*", ["192.0.2.8"], ["192.0.3.8"]),
    ("192.0.*.*", ["192.0.7.8"], ["192.1.3.8"]),
    ("10.*", ["10.7.7.8"], ["11.1.3.8"]),
    ("/pattern/i", ["a.pattern.example"], ["example"]),
    ("/^mx\\d\\./,", ["mx1.example"], ["amx1.example"]),
    (
        in_utf8("münchen.example"),
        ["xn--mnchen-3ya.example", "mail.xn--mnchen-3ya.example", in_utf8("münchen.example")],
        ["munchen.example"],
    ),
    (in_utf8("*.münchen.example"), ["mail.xn--mnchen-3ya.example"], ["xn--mnchen-3ya.example"]),
    (in_utf8("\ufeffexample.com"), ["example.com"], ["example.org"]),
    (in_utf8("\u00a0example.com\u00a0"), ["example.com"], ["example.org"]),
    (in_utf8("example.com\u200b"), ["example.com"], ["example.org"]),
    (in_utf8("\u2009 192.0.2.7 \u3000"), ["192.0.2.7"], ["192.0.2.8"]),
    ("\fexample.com\v", ["example.com"], ["example.org"]),
    ("\texample.com\t\r", ["example.com"], ["example.org"]),
    ("EXAMPLE.COM", ["example.com"], ["example.org"]),
    ("_dmarc.example.com", ["a._dmarc.example.com"], ["example.com"]),
]


@pytest.mark.parametrize(("entry", "listed", "unlisted"), WORKING_CLIENTS)
def test_what_is_clearly_meant_works_for_clients(entry: str, listed: list[str], unlisted: list[str]) -> None:
    whitelist = clients(entry)
    assert whitelist.remarks == ()
    assert whitelist.in_force == 2
    assert [client for client in listed if not lists(whitelist, client)] == []
    assert [client for client in unlisted if lists(whitelist, client)] == []


TOLD_CLIENTS = [
    ("@example.com", "write the names of these, such as example.com"),
    ("alice@example.com", "write the names of these, such as example.com"),
    ("/pattern", "write /pattern/"),
    ("/pat/tern", "write /pat/tern/"),
    ("/pattern/x", "write /pattern/"),
    ("/pattern/gi", "write /pattern/"),
    ("/a#b/", "write \\x23 for a #"),
    ("/a # b/", "write \\x23 for a #"),
    ("//", "there is no pattern between the slashes of //: write /pattern/"),
    ("/", "there is no pattern"),
    ("//i", "there is no pattern"),
    ("/a pattern/", "write \\s for white space in a pattern"),
    ("/pattern/ OK", "write a pattern alone"),
    ("example.com OK", "write example.com alone"),
    ("192.0.2.0/24 permit", "write 192.0.2.0/24 alone"),
    ("example.com DUNNO", "write example.com alone"),
    ("example.com example.org", "write one entry a line"),
    ("192.0.2.0 /24", "write 192.0.2.0/24"),
    ("192.0.2.0 / 24", "write 192.0.2.0/24"),
    ("192.0.2.0/24 2001:db8::1", "write one entry a line"),
    ("a.example, b.example", "one entry a line"),
    ("a.example,b.example", "write a.example"),
    ("mail.example.com:25", "write mail.example.com"),
    ("192.0.2.7:25", "write 192.0.2.7"),
    ("[192.0.2.7]:25", "write [192.0.2.7]"),
    ("http://example.com/", "write example.com"),
    ("https://mail.example.com", "write mail.example.com"),
    ("!example.com", "there are none"),
    ("!192.0.2.7", "there are none"),
    ("example.com/24", "write example.com"),
    ("mail.*.example.com", r"write /^mail\..*\.example\.com$/"),
    ("mx*.example.com", r"write /^mx.*\.example\.com$/"),
    ("*example.com", r"write /^.*example\.com$/"),
    ("*", "write /^/"),
    ("192.0.2.0/0.0.0.255", "write 192.0.2.0/24"),
    ("192.0.2.0/255.0.255.0", "write the number of bits"),
    ("192.0.2.0/256.0.0.0", "is not a valid address or network"),
    ("192.0.2.9-192.0.2.5", "is not a valid range"),
    ("192.0.2.9-2001:db8::1", "is not a valid range"),
    ("192.0.2.9-300", "is not a valid range"),
    ("192.*.2.*", "has a * that is no wildcard there"),
    ("1.2.3.*.*", "is not a valid address or network"),
    ("2001:db8::/129", "is not a valid address or network"),
    ("2001:db8:/32", "is not a valid address or network"),
    ("2001:db8::*", "is not a valid address or network"),
    ("fe80::1%eth0", "is not a valid address or network"),
    ("[192.0.2.7", "write 192.0.2.7"),
    ("(example.com)", "write example.com"),
    ("mail.example.com[192.0.2.7]", "write mail.example.com"),
    ("client_name=mail.example.com", "write mail.example.com"),
    ("example..com", "no client can be called example..com"),
    ("include:_spf.example.com", "DNS, which is never asked"),
    ("mx:example.com", "DNS, which is never asked"),
    ("a:example.com", "DNS, which is never asked"),
    ("caf\xe9.example", "xn--"),
    (in_utf8("exam\u200bple.com"), "invisible character (U+200B)"),
    (in_utf8("example.com\u00a0OK"), "invisible character (U+00A0)"),
    ("exa\x00mple.com", "control character (\\x00)"),
    ("exa\x1bmple.com", "control character (\\x1b)"),
    ("x" * 600, "is longer than any name"),
    ("/" + "x" * 9000 + "/", "more than 8192 characters"),
    ("/(?R)x|a/", "(?R) is not supported"),
    ("/foo(?V1)bar/", "(?V1) is not supported"),
    ("$mynetworks", "no client can be called $mynetworks"),
    ("example.com=", "write example.com"),
    ("host:", "no client can be called host:"),
]


@pytest.mark.parametrize(("entry", "remedy"), TOLD_CLIENTS, ids=lambda value: ascii(value)[:40])
def test_everything_else_is_told_with_a_remedy_for_clients(entry: str, remedy: str) -> None:
    whitelist = clients(entry)
    (remark,) = whitelist.remarks
    assert not remark.is_in_force
    assert whitelist.in_force == 1
    assert remark.text.startswith("/etc/clients line 2: ")
    assert remedy in remark.text
    assert len(remark.text) < 400


@pytest.mark.parametrize(
    ("entry", "hint"),
    [
        ("2a01:111:f400:7c00::/48", "is taken as 2a01:111:f400::/48"),
        ("192.0.2.17/24", "is taken as 192.0.2.0/24"),
        ("10.1.1.1/255.0.0.0", "is taken as 10.0.0.0/8"),
        ("[2001:db8::1]/64", "is taken as 2001:db8::/64"),
        ("ip4:192.0.2.1/30", "is taken as 192.0.2.0/30"),
        (r"/^192\.0\.2\./", "write 192.0.2.0/24"),
        ("/^192.0.2./", "write 192.0.2.0/24"),
        (r"/^10\.20\.\d+\.\d+$/", "write 192.0.2.0/24"),
    ],
)
def test_a_hint_leaves_the_line_in_force(entry: str, hint: str) -> None:
    whitelist = clients(entry)
    (remark,) = whitelist.remarks
    assert remark.is_in_force
    assert whitelist.in_force == 2
    assert hint in remark.text


WORKING_RECIPIENTS = [
    ("*@example.org", ["bob@example.org", "a+b@example.org"], ["bob@mx.example.org", "bob@badexample.org"]),
    ("@example.org", ["bob@example.org"], ["bob@mx.example.org"]),
    ("@example.org.", ["bob@example.org"], ["bob@mx.example.org"]),
    ("*@*.example.org", ["bob@mx.example.org"], ["bob@example.org"]),
    ("@*.example.org", ["bob@mx.example.org"], ["bob@example.org"]),
    ("@.example.org", ["bob@mx.example.org"], ["bob@example.org"]),
    ("*.example.org", ["bob@mx.example.org", "bob@a.b.example.org"], ["bob@example.org"]),
    (".example.org", ["bob@mx.example.org"], ["bob@example.org"]),
    ("bob@*.example.org", ["bob@mx.example.org", "bob+x@a.b.example.org"], ["bob@example.org", "rob@mx.example.org"]),
    ("bob@.example.org", ["bob@mx.example.org"], ["bob@example.org"]),
    ("bob@*", ["bob@example.org", "bob+x@example.net"], ["rob@example.org"]),
    ("bob@", ["bob@example.org"], ["rob@example.org"]),
    ("example.org.", ["bob@example.org", "bob@mx.example.org"], ["bob@example.net"]),
    ("bob@example.org.", ["bob@example.org", "bob+x@example.org"], ["bob@mx.example.org"]),
    ("bob@example.org,", ["bob@example.org"], ["rob@example.org"]),
    ("bob@example.org;", ["bob@example.org"], ["rob@example.org"]),
    ("<bob@example.org>", ["bob@example.org"], ["rob@example.org"]),
    ('"bob@example.org"', ["bob@example.org"], ["rob@example.org"]),
    ("'<bob@example.org>',", ["bob@example.org"], ["rob@example.org"]),
    ("/^bob@/i", ["bob@example.org"], ["rob@example.org"]),
    ("BOB@EXAMPLE.ORG", ["bob@example.org"], ["rob@example.org"]),
    ("bob@[192.0.2.7]", ["bob@[192.0.2.7]"], ["bob@[192.0.2.8]"]),
    (in_utf8("b@münchen.example"), ["b@xn--mnchen-3ya.example", in_utf8("b@münchen.example")], ["b@munchen.example"]),
    (in_utf8("münchen.example"), ["b@xn--mnchen-3ya.example", in_utf8("b@a.münchen.example")], ["b@munchen.example"]),
    (in_utf8("rené@example.org"), [in_utf8("rené@example.org")], ["rene@example.org"]),
    (in_utf8("\ufeffbob@example.org\u00a0"), ["bob@example.org"], ["rob@example.org"]),
    ("mailto:bob@example.org", ["bob@example.org"], ["rob@example.org"]),
    ("root@localhost", ["root@localhost"], ["bob@localhost"]),
]


@pytest.mark.parametrize(("entry", "listed", "unlisted"), WORKING_RECIPIENTS)
def test_what_is_clearly_meant_works_for_recipients(entry: str, listed: list[str], unlisted: list[str]) -> None:
    whitelist = recipients(entry)
    assert whitelist.remarks == ()
    assert whitelist.in_force == 2
    assert [recipient for recipient in listed if whitelist.match(recipient) is None] == []
    assert [recipient for recipient in unlisted if whitelist.match(recipient) is not None] == []


TOLD_RECIPIENTS = [
    ("/^bob@", "write /^bob@/"),
    ("/^bob#1@/", "write \\x23 for a #"),
    ("//", "there is no pattern"),
    ("/^bob smith@/", "write \\s"),
    ("bob@example.org OK", "write bob@example.org alone"),
    ("bob@example.org, rob@example.org", "one entry a line"),
    ("bob @example.org", "write bob@example.org"),
    ("*", "write /^/"),
    ("*@*", "write /^/"),
    ("@", "write /^/"),
    ("@*", "write /^/"),
    ("*@", "write /^/"),
    ("bob*@example.org", r"write /^bob.*@example\.org$/"),
    ("*-list@example.org", r"write /^.*-list@example\.org$/"),
    ("bob@mx*.example.org", r"write /^bob@mx.*\.example\.org$/"),
    ("mx.*.example.org", r"write /^mx\..*\.example\.org$/"),
    ("http://example.org/", "write example.org"),
    ("!bob@example.org", "there are none"),
    ("192.0.2.0/24", "address of a client"),
    ("192.0.2.7", "address of a client"),
    ("2001:db8::/32", "address of a client"),
    ("bob@example.org:25", "write bob@example.org"),
    ("bob@exam/ple.org", "no address is in the domain exam/ple.org"),
    ("bob@example..org", "no address is in the domain example..org"),
    ("to=<bob@example.org>", "write bob@example.org"),
    ("bob@caf\xe9.example", "xn--"),
    (in_utf8("bo\u200bb@example.org"), "U+200B"),
    ("bob@exa\x00mple.org", "control character (\\x00)"),
    ("x" * 600 + "@example.org", "longer than any address"),
]


@pytest.mark.parametrize(("entry", "remedy"), TOLD_RECIPIENTS, ids=lambda value: ascii(value)[:40])
def test_everything_else_is_told_with_a_remedy_for_recipients(entry: str, remedy: str) -> None:
    whitelist = recipients(entry)
    (remark,) = whitelist.remarks
    assert not remark.is_in_force
    assert whitelist.in_force == 1
    assert remark.text.startswith("/etc/recipients line 2: ")
    assert remedy in remark.text


def test_a_user_without_a_sign_is_hinted_at() -> None:
    (remark,) = recipients("postmaster").remarks
    assert remark.is_in_force
    assert "write postmaster@" in remark.text


@pytest.mark.parametrize(
    "entry", ["example.com", "192.0.2.0/24", "192.0.2", "10.20", "2001:db8::/32", "/^mx/", "a_b.example", "com"]
)
def test_a_usual_entry_that_stands_twice_is_no_matter(entry: str) -> None:
    whitelist = ClientList([Line("/etc/clients", number, entry) for number in (1, 2)])
    assert (whitelist.remarks, whitelist.in_force) == ((), 2)


# netaddr's counterpart in Perl takes this one as it is meant.
KNOWN_TO_PERL = {"[2001:db8::7]"}


def test_perl_lets_none_of_them_pass(tmp_path: Path) -> None:
    """What is added to 1.37 changes nothing of what it understands."""
    usual = {"/pattern/i", "/^mx\\d\\./,", "EXAMPLE.COM", "_dmarc.example.com", "\fexample.com\v", "\texample.com\t\r"}
    added = [row for row in WORKING_CLIENTS if row[0] not in usual | KNOWN_TO_PERL]
    path = tmp_path / "clients"
    path.write_bytes("".join(f"{entry.partition('#')[0]}\n" for entry, _, _ in added).encode("latin-1"))
    asked = [(entry, client) for entry, listed, _ in added for client in listed if client.isascii()]
    options = [f"--whitelist-clients={path}"]
    with PolicyServer(PERL_POSTGREY, tmp_path / "db", options) as server, PolicyClient(server.port) as policy:
        for entry, client in asked:
            name, address = (client, ELSEWHERE) if parse_address(client) is None else ("unknown", client)
            reply = policy.ask(client_name=name, client_address=address, sender=f"{len(entry)}@example.net")
            assert reply.startswith("DEFER_IF_PERMIT"), (entry, client)


@pytest.mark.parametrize(
    ("octets", "entries"),
    [
        (b"\xef\xbb\xbfa.example\nb.example\n", ["a.example", "b.example", ""]),
        ("a.example\nb.example\n".encode("utf-16"), ["a.example", "b.example", ""]),
        ("\ufeffa.example\r\nb.example".encode("utf-16-be"), ["a.example\r", "b.example"]),
        ("a.example\nb.example\n".encode("utf-32"), ["a.example", "b.example", ""]),
        (b"a.example\r\nb.example\r\n", ["a.example\r", "b.example\r", ""]),
        (b"# comment\ra.example\rb.example\r", ["# comment", "a.example", "b.example", ""]),
        (b"a.example", ["a.example"]),
        (b"", [""]),
    ],
)
def test_files_in_other_encodings_are_read(octets: bytes, entries: list[str]) -> None:
    assert [line.text for line in decode_list(octets, "file")] == entries
