# SPDX-License-Identifier: GPL-2.0-or-later
"""The whitelists we ship: the entries of Postgrey's own and no others, understood alike by it and by us."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from postgrey_py.greylist.address import Address, parse_address
from postgrey_py.greylist.list_lines import Line
from postgrey_py.greylist.whitelists import ClientList, RecipientList
from tests.support.policy import PolicyClient
from tests.support.servers import PERL_POSTGREY, ROOT, STOCK_CLIENTS, STOCK_RECIPIENTS, PolicyServer

OUR_CLIENTS = ROOT / "whitelists" / "postgrey_whitelist_clients"
OUR_RECIPIENTS = ROOT / "whitelists" / "postgrey_whitelist_recipients"

# Listed in Postgrey's repository after what Debian ships as 1.37-2. The telekom.de pattern is there one with
# the stock pattern, /^mail(out)?\d+\.telekom\.de$/.
ADDED_CLIENTS = {
    r"/^mailout\d+\.telekom\.de$/",
    "cloudflare.net",
    "dhosting.com",
    "me.com",
    "mimecast.com",
    "sparkpostmail.com",
}
ADDED_RECIPIENTS: set[str] = set()

# A name for each pattern, and for each a near-miss; the address is none that the list has.
ELSEWHERE = "203.0.113.9"
PATTERN_SAMPLES = {
    r"/^ms-smtp.*\.rr\.com$/": ("ms-smtp-01.texas.rr.com", "ms-smtp-01.texas.rr.com.example"),
    r"/^lake.*mta.*\.cox\.net$/": ("lakermmtao01.cox.net", "lakermx01.cox.net"),
    r"/^s[cv]\d+pub\.verizon\.net$/": ("sv17pub.verizon.net", "sa17pub.verizon.net"),
    r"/^mail\d+\.telekom\.de$/": ("mail1.telekom.de", "xmail1.telekom.de"),
    r"/^mailout\d+\.telekom\.de$/": ("mailout31.telekom.de", "mailout.telekom.de"),
    r"/^smtp\d+\.tiscali\.dk$/": ("smtp2.tiscali.dk", "smtp2.tiscali.dk.example"),
    r"/^fmr\d+\.intel\.com$/": ("fmr05.intel.com", "fmr.intel.com"),
    r"/^fe\d+\.cox-internet\.com$/": ("fe3.cox-internet.com", "fe3.cox-internetxcom"),
    r"/^gateway\d+\.np4\.de$/": ("gateway1.np4.de", "gateway.np4.de"),
    r"/^mail-in-\d+\.arcor-online\.net$/": ("mail-in-07.arcor-online.net", "mail-in-.arcor-online.net"),
    r"/^mailgw.*\.iai\.co\.il$/": ("mailgw2.iai.co.il", "gw2.iai.co.il"),
    r"/^mail\d+\.usafisnews\.org$/": ("mail4.usafisnews.org", "mail.usafisnews.org"),
    r"/^odk.fdv.uni-lj.si$/": ("odk-fdv.uni-lj.si", "odk.fdv.uni-lj.si.example"),
    r"/^mta[12].siol.net$/": ("mta2.siol.net", "mta3.siol.net"),
    r"/^pim-\d+-\d+\.quickinspirationsmail\.com$/": (
        "pim-1-22.quickinspirationsmail.com",
        "pim-1.quickinspirationsmail.com",
    ),
    r"/^p?smtp.*\.wxs\.nl$/": ("psmtp04.wxs.nl", "xsmtp04.wxs.nl"),
    r"/^smtp\d+\.orange\.fr$/": ("smtp01.orange.fr", "smtp.orange.fr"),
    r"/^smtp\d+\.smtpout\.orange\.fr$/": ("smtp01.smtpout.orange.fr", "smtp01.smtpin.orange.fr"),
    r"/^smtp\d+.citigroup.com$/": ("smtp1.citigroup.com", "smtp1citigroup.com"),
    r"/^mail[12]\.pi\.ws$/": ("mail1.pi.ws", "mail3.pi.ws"),
    r"/^(?:smtp\w*|postfix)[0-9]+-g[0-9]+\.free\.fr$/": ("smtpfb1-g21.free.fr", "imap1-g21.free.fr"),
    r"/^netmail\d+\.thehartford\.com$/": ("netmail03.thehartford.com", "mail03.thehartford.com"),
    r"/^nse\d+\.abb\.com$/": ("nse2.abb.com", "nse.abb.com"),
    r"/^mail\d+\.msg\.oleane\.net$/": ("mail12.msg.oleane.net", "mail12.oleane.net"),
    r"/^mx\d+\..*\.inode\.at$/": ("mx3.vie.inode.at", "mx3.inode.at"),
    r"/^.*?.server.arvato-systems.de$/": ("gt1.server.arvato-systems.de", ".server.arvato-systems.example"),
    r"/^(?:mail|fallback-mx)\d+.atl.registeredsite.com$/": (
        "fallback-mx1.atl.registeredsite.com",
        "mx1.atl.registeredsite.com",
    ),
    r"/^outmail\d+\.sctm\.tfbnw\.net$/": ("outmail001.sctm.tfbnw.net", "outmail001.ash.tfbnw.net"),
    r"/^m\d+-\d+\.126\.com$/": ("m15-112.126.com", "m15.126.com"),
    r"/^viefep\d+-int\.chello\.at$/": ("viefep11-int.chello.at", "viefep11.chello.at"),
    r"/^mx.*\.evanzo-server\.de$/": ("mx01.evanzo-server.de", "smtp.mx01.evanzo-server.de"),
    r"/^smarthost.*\.evanzo-server\.de$/": ("smarthost-02.evanzo-server.de", "host-02.evanzo-server.de"),
    r"/^fallback\d+\.mail\.ru$/": ("fallback3.mail.ru", "fallback.mail.ru"),
    r"/^fallback\d+\.m\.smailru\.net$/": ("fallback12.m.smailru.net", "fallback12.smailru.net"),
    r"/^o\d+\.ntdc\.magisto\.com$/": ("o1.ntdc.magisto.com", "o1.magisto.com"),
}

LISTED_CLIENTS = [
    ("outlook.com", ELSEWHERE),
    ("mail.outlook.com", ELSEWHERE),
    ("MAIL-DB5EUR01ON0044.outbound.protection.Outlook.COM", ELSEWHERE),
    ("sonic.mail.ne1.yahoo.com", ELSEWHERE),
    ("MailOut31.Telekom.DE", ELSEWHERE),
    ("bendel.debian.org", ELSEWHERE),
    ("pv50p00im.me.com", ELSEWHERE),
    ("unknown", "205.201.129.3"),
    ("unknown", "205.201.143.255"),
    ("unknown", "198.2.191.1"),
    ("unknown", "148.105.255.255"),
    ("unknown", "195.235.39.200"),
    ("unknown", "66.216.126.174"),
    ("unknown", "51.5.80.31"),
    ("unknown", "2a01:4180:4051:800::25"),
    ("unknown", "2a01:4180:4050:400:ffff:ffff:ffff:ffff"),
    *((listed, ELSEWHERE) for listed, _ in PATTERN_SAMPLES.values()),
]
NEAR_MISSES = [
    ("notoutlook.com", ELSEWHERE),
    ("outlook.com.example", ELSEWHERE),
    ("outlook.co", ELSEWHERE),
    ("acme.com", ELSEWHERE),
    ("unknown", "205.201.144.0"),
    ("unknown", "205.201.127.255"),
    ("unknown", "198.2.192.1"),
    ("unknown", "148.104.255.255"),
    ("unknown", "195.235.40.1"),
    ("unknown", "66.216.126.175"),
    ("unknown", "51.5.80.32"),
    ("unknown", "2a01:4180:4051:801::25"),
    ("unknown", ELSEWHERE),
    *((missed, ELSEWHERE) for _, missed in PATTERN_SAMPLES.values()),
]
LISTED_RECIPIENTS = [
    "postmaster@example.org",
    "postmaster@sub.example.net",
    "PostMaster@Example.ORG",
    "postmaster+x@example.org",
    "abuse@example.org",
    "abuse+spam@example.org",
]
UNLISTED_RECIPIENTS = [
    "xpostmaster@example.org",
    "postmasterx@example.org",
    "postmaster-x@example.org",
    "postmaster",
    "x@postmaster.example.org",
    "x+abuse@example.org",
    "bob@example.org",
]


def read_lines(path: Path) -> list[Line]:
    lines = path.read_text(encoding="latin-1").splitlines()
    return [Line(path.name, number, text) for number, text in enumerate(lines, start=1)]


def read_entries(path: Path) -> list[str]:
    """What stands in the file, read as the manual of Postgrey says and by none of our code."""
    uncommented = (line.text.split("#")[0].strip() for line in read_lines(path))
    return [entry for entry in uncommented if entry]


def is_pattern(entry: str) -> bool:
    return entry.startswith("/")


def is_network(entry: str) -> bool:
    return not is_pattern(entry) and (":" in entry or re.fullmatch(r"[\d./]+", entry) is not None)


def address(text: str) -> Address:
    parsed = parse_address(text)
    assert parsed is not None
    return parsed


@pytest.fixture(scope="module")
def clients() -> ClientList:
    return ClientList(read_lines(OUR_CLIENTS))


@pytest.fixture(scope="module")
def recipients() -> RecipientList:
    return RecipientList(read_lines(OUR_RECIPIENTS))


@pytest.mark.parametrize(
    ("ours", "stock", "added"),
    [(OUR_CLIENTS, STOCK_CLIENTS, ADDED_CLIENTS), (OUR_RECIPIENTS, STOCK_RECIPIENTS, ADDED_RECIPIENTS)],
    ids=["clients", "recipients"],
)
def test_entries_are_the_stock_ones_and_the_named_additions(ours: Path, stock: Path, added: set[str]) -> None:
    stock_entries = set(read_entries(stock))
    assert stock_entries, f"{stock} has no entries"
    assert set(read_entries(ours)) - stock_entries == added
    assert stock_entries - set(read_entries(ours)) == set()


@pytest.mark.parametrize("path", [OUR_CLIENTS, OUR_RECIPIENTS], ids=["clients", "recipients"])
def test_no_entry_stands_twice(path: Path) -> None:
    entries = [entry.lower() for entry in read_entries(path)]
    assert sorted(entries) == sorted(set(entries))


@pytest.mark.parametrize("path", [OUR_CLIENTS, OUR_RECIPIENTS], ids=["clients", "recipients"])
def test_every_line_is_a_comment_or_one_entry(path: Path) -> None:
    assert path.read_bytes().isascii()
    lines = path.read_text(encoding="ascii").split("\n")
    assert lines[0] == "# SPDX-License-Identifier: GPL-2.0-or-later"
    assert lines.pop() == "", "the last line has no end"
    # An entry starts its line; white space is before a comment only, and none is left at the end.
    assert [line for line in lines if not re.fullmatch(r"(#.*\S|#|[^\s#]+( +# .*\S)?)?", line)] == []


def test_our_server_reads_both_without_a_warning(clients: ClientList, recipients: RecipientList) -> None:
    assert clients.remarks == ()
    assert recipients.remarks == ()


def test_every_domain_entry_lists_its_domain_and_subdomains(clients: ClientList) -> None:
    domains = [entry for entry in read_entries(OUR_CLIENTS) if not is_pattern(entry) and not is_network(entry)]
    assert len(domains) > 100
    for domain in domains:
        assert clients.match(domain, address(ELSEWHERE)), domain
        assert clients.match(f"mx.{domain}", address(ELSEWHERE)), domain


def test_every_network_entry_lists_its_address(clients: ClientList) -> None:
    networks = [entry for entry in read_entries(OUR_CLIENTS) if is_network(entry)]
    assert len(networks) > 20
    for network in networks:
        first = network.split("/")[0]
        first += ".0" * (3 - first.count(".")) if ":" not in first else ""
        assert clients.match("unknown", address(first)), network


def test_every_pattern_has_a_sample() -> None:
    assert {entry for entry in read_entries(OUR_CLIENTS) if is_pattern(entry)} == set(PATTERN_SAMPLES)


@pytest.mark.parametrize(("name", "client_address"), LISTED_CLIENTS)
def test_listed_clients_match(clients: ClientList, name: str, client_address: str) -> None:
    assert clients.match(name, address(client_address))


@pytest.mark.parametrize(("name", "client_address"), NEAR_MISSES)
def test_near_misses_do_not_match(clients: ClientList, name: str, client_address: str) -> None:
    assert not clients.match(name, address(client_address))


@pytest.mark.parametrize("recipient", LISTED_RECIPIENTS)
def test_listed_recipients_match(recipients: RecipientList, recipient: str) -> None:
    assert recipients.match(recipient)


@pytest.mark.parametrize("recipient", UNLISTED_RECIPIENTS)
def test_unlisted_recipients_do_not_match(recipients: RecipientList, recipient: str) -> None:
    assert not recipients.match(recipient)


def perl_complaints(log: str) -> list[str]:
    """What Perl Postgrey says about its whitelists: it reads them first, so every line before it starts."""
    before, started, after = log.partition("postgrey (type Net::Server::Multiplex) starting!")
    assert started, log
    # The line that says it starts has begun with the time. Perl 5.40 complains of a module, not of our lines.
    early = [line for line in before.splitlines()[:-1] if "IO::Multiplex" not in line]
    return early + [line for line in after.splitlines() if re.search(r"WARN|FATAL|like a", line)]


def test_perl_postgrey_reads_and_understands_both(tmp_path: Path) -> None:
    options = [f"--whitelist-clients={OUR_CLIENTS}", f"--whitelist-recipients={OUR_RECIPIENTS}"]
    with PolicyServer(PERL_POSTGREY, tmp_path / "db", options=options) as server, PolicyClient(server.port) as policy:
        for name, client_address in LISTED_CLIENTS:
            assert policy.ask(client_name=name, client_address=client_address) == "DUNNO", (name, client_address)
        for name, client_address in NEAR_MISSES:
            reply = policy.ask(client_name=name, client_address=client_address)
            assert reply.startswith("DEFER_IF_PERMIT"), (name, client_address)
        for recipient in LISTED_RECIPIENTS:
            assert policy.ask(recipient=recipient) == "DUNNO", recipient
        for recipient in UNLISTED_RECIPIENTS:
            assert policy.ask(recipient=recipient).startswith("DEFER_IF_PERMIT"), recipient
    assert perl_complaints(server.log()) == []
    assert server.log().count("reason=client whitelist") == len(LISTED_CLIENTS)
    assert server.log().count("reason=recipient whitelist") == len(LISTED_RECIPIENTS)


def test_complaints_of_perl_postgrey_are_seen(tmp_path: Path) -> None:
    spoilt = tmp_path / "spoilt"
    spoilt.write_bytes(OUR_CLIENTS.read_bytes() + b"two entries\n")
    number = len(spoilt.read_bytes().splitlines())
    with PolicyServer(PERL_POSTGREY, tmp_path / "db", options=[f"--whitelist-clients={spoilt}"]) as server:
        pass
    assert perl_complaints(server.log()) == [f"{spoilt} line {number}: doesn't look like a hostname"]
