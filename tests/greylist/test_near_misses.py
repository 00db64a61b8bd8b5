# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from collections.abc import Sequence

import pytest

from postgrey_py.greylist.address import parse_address
from postgrey_py.greylist.list_lines import Line
from postgrey_py.greylist.near_misses import MOST, find_near_misses
from postgrey_py.greylist.request import read_request
from postgrey_py.greylist.whitelists import ClientList, RecipientList, Whitelists


def lines(file: str, entries: Sequence[str]) -> list[Line]:
    return [Line(file, number, text) for number, text in enumerate(entries, 1)]


def remarks(
    clients: Sequence[str] = (), recipients: Sequence[str] = (), helo: str = "", **fields: str
) -> tuple[str, ...]:
    """The remarks about a mail that no entry of these lists lets through."""
    lists = Whitelists(ClientList(lines("clients", clients)), RecipientList(lines("recipients", recipients)))
    values = {
        "client_address": "192.0.2.7",
        "client_name": "unknown",
        "sender": "alice@sender.example",
        "recipient": "bob@example.org",
        **fields,
    }
    request = read_request(values)
    address = parse_address(request.client_address)
    assert address is not None
    assert lists.client.match(request.client_name, address) is None
    assert lists.recipient.match(request.recipient) is None
    return find_near_misses(request, address, helo, lists)


def test_nothing_is_near() -> None:
    assert remarks(["other.example", "198.51.100.0/24", "/^mx/"], ["carol@other.example"], "mail.foreign.example") == ()


@pytest.mark.parametrize("entry", ["mail.example.com", "example.com", "MAIL.example.com", r"/^mail\./"])
def test_name_that_postfix_could_not_verify(entry: str) -> None:
    assert remarks([entry], helo="Mail.Example.com") == (
        "Mail.Example.com is listed (clients line 1), but Postfix could not verify the name: client_name=unknown",
    )


def test_name_that_is_only_what_the_client_says() -> None:
    (remark,) = remarks(["example.com"], helo="mail.example.com", client_name="host7.dsl.example")
    assert remark == (
        "mail.example.com is listed (clients line 1), but that is what the client calls itself; its verified name is"
        " host7.dsl.example"
    )


def test_sender_on_the_list_of_clients() -> None:
    (remark,) = remarks(["other.example", "sender.example"])
    assert remark == (
        "sender.example is listed (clients line 2), but this is the domain of the sender, and the list is about"
        " clients: the hosts that connect"
    )


def test_recipient_on_the_list_of_clients() -> None:
    (remark,) = remarks(["example.org"])
    assert "this is the domain of the recipient" in remark


@pytest.mark.parametrize("entry", ["alice@sender.example", "alice@", "sender.example"])
def test_sender_on_the_list_of_recipients(entry: str) -> None:
    assert remarks(recipients=[entry]) == (
        "alice@sender.example is listed (recipients line 1), but this is the sender, and the list is about recipients",
    )


def test_client_on_the_list_of_recipients() -> None:
    (remark,) = remarks(recipients=["partner.example"], client_name="mx.partner.example")
    assert remark.startswith("mx.partner.example is listed (recipients line 1), but this is the client")
    # That is about everybody's postmaster.
    assert remarks(recipients=["postmaster@"], client_name="mx.partner.example") == ()


def test_name_below_the_one_of_the_client() -> None:
    assert remarks(["mail.partner.example"], client_name="partner.example") == (
        "mail.partner.example is listed (clients line 1), but not what is above it, such as the client partner.example",
    )


def test_name_beside_the_one_of_the_client() -> None:
    assert remarks(["mail1.partner.example"], client_name="mail2.partner.example") == (
        (
            "mail1.partner.example is listed (clients line 1), and the client is mail2.partner.example: partner.example"
            " would mean both"
        ),
    )


@pytest.mark.parametrize(("entry", "name"), [("a.co.uk", "b.co.uk"), ("a.example", "b.example")])
def test_names_that_have_little_in_common(entry: str, name: str) -> None:
    assert remarks([entry], client_name=name) == ()


def test_domain_beside_that_of_the_recipient() -> None:
    (remark,) = remarks(recipients=["lists.example.org"])
    assert remark.startswith("lists.example.org is listed (recipients line 1), but not what is above it")


@pytest.mark.parametrize(
    ("entry", "address"),
    [("192.0.2.8", "192.0.2.7"), ("192.0.2.128/25", "192.0.2.7"), ("2001:db8:1:2::/64", "2001:db8:1:3::1")],
)
def test_address_near_the_one_of_the_client(entry: str, address: str) -> None:
    (remark,) = remarks([f"{entry} # ours"], client_address=address)
    assert remark.startswith(f"{entry} is listed (clients line 1), which is near ")


def test_address_that_is_not_near() -> None:
    assert remarks(["192.0.3.0/24", "2001:db8:2::/48"]) == ()


@pytest.mark.parametrize("entry", ["192.0.2.0/99", "192.0.2.7/33", "alice@sender.example bob"])
def test_line_that_is_not_used(entry: str) -> None:
    (remark,) = remarks([entry])
    assert remark.startswith("clients line 1: ")


def test_no_more_than_a_few_of_a_kind() -> None:
    found = remarks([f"192.0.2.{number}" for number in range(8, 100)])
    assert len(found) == MOST
