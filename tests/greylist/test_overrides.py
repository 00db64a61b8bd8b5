# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import time
from typing import Any

import pytest

from postgrey_py.errors import OrderError
from postgrey_py.greylist.address import Address, parse_address
from postgrey_py.greylist.overrides import NO_OVERRIDES, Allowance, Overrides, Pause, make_allowance
from postgrey_py.greylist.request import Request

NOW = 1_700_000_000
SOON = NOW + 900


def make_request(
    address: str = "192.0.2.7",
    name: str = "mail.example.com",
    sender: str = "alice@example.com",
    recipient: str = "bob@example.org",
) -> Request:
    return Request(address, name, sender, recipient, "", None)


def found(allowance: Allowance, request: Request, now: int = NOW) -> bool:
    return Overrides((allowance,)).find_allowance(request, address_of(request), now) is allowance


def address_of(request: Request) -> Address:
    address = parse_address(request.client_address)
    assert address is not None
    return address


@pytest.mark.parametrize(
    ("order", "request_"),
    [
        ({"client": "192.0.2.7"}, make_request()),
        ({"client": "192.0.2.0/24"}, make_request()),
        ({"client": "2001:db8::/32"}, make_request(address="2001:db8::1")),
        ({"client": "example.com"}, make_request()),
        ({"client": "/^mail\\./"}, make_request()),
        ({"sender": "alice@example.com"}, make_request()),
        ({"sender": "Example.COM"}, make_request()),
        ({"sender": "alice@"}, make_request()),
        ({"sender": "<>"}, make_request(sender="")),
        ({"recipient": "bob@example.org"}, make_request()),
        ({"recipient": "bob@example.org"}, make_request(recipient="bob+news@example.org")),
        ({"sender": "example.com", "recipient": "example.org", "client": "192.0.2.7"}, make_request()),
    ],
)
def test_allowance_covers_who_is_named(order: dict[str, Any], request_: Request) -> None:
    assert found(make_allowance(1, SOON, **order), request_)


@pytest.mark.parametrize(
    ("order", "request_"),
    [
        ({"client": "192.0.2.8"}, make_request()),
        ({"client": "example.com"}, make_request(name="unknown")),
        ({"sender": "alice@example.com"}, make_request(sender="carol@example.com")),
        ({"sender": "<>"}, make_request()),
        ({"sender": "example.com"}, make_request(sender="")),
        ({"sender": "example.com", "recipient": "other.example"}, make_request()),
        ({"sender": "example.com", "client": "198.51.100.1"}, make_request()),
    ],
)
def test_allowance_covers_nobody_else(order: dict[str, Any], request_: Request) -> None:
    assert not found(make_allowance(1, SOON, **order), request_)


def test_allowance_runs_out() -> None:
    allowance = make_allowance(1, SOON, sender="example.com")
    assert found(allowance, make_request(), SOON - 1)
    assert not found(allowance, make_request(), SOON)


def test_of_two_allowances_the_one_that_lasts_is_used() -> None:
    once = make_allowance(1, SOON, sender="example.com", once=True)
    lasting = make_allowance(2, SOON, recipient="example.org")
    request = make_request()
    overrides = NO_OVERRIDES.with_allowance(once).with_allowance(lasting)
    assert overrides.find_allowance(request, address_of(request), NOW) is lasting
    assert overrides.without(2).find_allowance(request, address_of(request), NOW) is once
    assert overrides.without(1).without(2) == NO_OVERRIDES


def test_allowance_for_one_mail_is_used_up_by_it_and_covers_its_other_recipients() -> None:
    overrides = NO_OVERRIDES.with_allowance(make_allowance(7, SOON, sender="example.com", once=True))
    first = make_request()._replace(instance="a")
    used = overrides.use(7, "a")
    assert used is not None
    assert used.find_allowance(first._replace(recipient="carol@example.org"), address_of(first), NOW) is not None
    for instance in ("b", None, ""):
        other = first._replace(instance=instance)
        assert used.find_allowance(other, address_of(other), NOW) is None
    assert used.use(7, "b") is None


def test_mail_without_an_instance_uses_an_allowance_up() -> None:
    request = make_request()
    used = NO_OVERRIDES.with_allowance(make_allowance(7, SOON, sender="example.com", once=True)).use(7, None)
    assert used is not None
    assert used.find_allowance(request, address_of(request), NOW) is None


def test_allowance_for_any_mail_is_not_used_up() -> None:
    overrides = NO_OVERRIDES.with_allowance(make_allowance(7, SOON, sender="example.com"))
    assert overrides.use(7, "a") is None
    assert overrides.use(8, "a") is None


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({}, "whose mail is allowed? Name a client, a sender or a recipient"),
        ({"client": "alice@example.com"}, "client alice@example.com: "),
        ({"client": "192.0.2.0/33"}, "client 192.0.2.0/33: "),
        ({"client": "/(/"}, "client /(/: can't compile the pattern"),
        ({"client": "#"}, "client #: is no entry of a list"),
        ({"sender": "a b"}, "sender a b: "),
        ({"recipient": "<>"}, "recipient <>: "),
    ],
)
def test_order_that_can_not_be_understood_is_refused(order: dict[str, Any], message: str) -> None:
    with pytest.raises(OrderError) as caught:
        make_allowance(1, SOON, **order)
    assert str(caught.value).startswith(message)
    assert " line 1" not in str(caught.value)


def test_pause_ends_by_itself_or_never() -> None:
    assert Overrides(pause=Pause(SOON, "root")).find_pause(SOON - 1) == Pause(SOON, "root")
    assert Overrides(pause=Pause(SOON, "root")).find_pause(SOON) is None
    assert Overrides(pause=Pause(None, "root")).find_pause(SOON * 100) == Pause(None, "root")
    assert NO_OVERRIDES.find_pause(NOW) is None


def test_what_has_run_out_is_left_out() -> None:
    lasting = make_allowance(2, SOON + 1, sender="example.com")
    overrides = Overrides((make_allowance(1, SOON, sender="example.com"), lasting), Pause(SOON, "root"))
    assert overrides.in_force(NOW) == overrides
    assert overrides.in_force(SOON) == Overrides((lasting,))


def test_pause_says_who_ordered_it_and_how_long_it_lasts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    assert Pause(NOW, "root").text() == "by root until 2023-11-14 22:13:20"
    assert Pause(None, "root").text() == "by root until it is ended"
    monkeypatch.undo()
    time.tzset()
