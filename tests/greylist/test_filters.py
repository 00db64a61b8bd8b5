# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

from typing import Any

import pytest

from postgrey_py.errors import OrderError
from postgrey_py.greylist.filters import make_filter
from postgrey_py.greylist.keys import split_key
from postgrey_py.greylist.request import Request

REQUEST = Request("192.0.2.7", "mail.example.com", "Alice@example.com", "bob@example.org", "", None)


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"client": "192.0.2.7"},
        {"client": "192.0.2.0/24"},
        {"client": "0.0.0.0/0"},
        {"client": "[192.0.2.7]"},
        {"client": "::ffff:192.0.2.7"},
        {"client": "mail.example.com"},
        {"client": "*.Example.com"},
        {"sender": "alice@example.com"},
        {"sender": "ALICE+news@EXAMPLE.com"},
        {"sender": "example.com"},
        {"sender": "*@example.*"},
        {"sender": "com"},
        {"recipient": "bob@example.org"},
        {"recipient": "b?b@*"},
        {"client": "192.0.2.7", "sender": "example.com", "recipient": "example.org"},
    ],
)
def test_request_is_meant(texts: dict[str, Any]) -> None:
    assert make_filter(**texts, may_name=True).matches_request(REQUEST)


@pytest.mark.parametrize(
    "texts",
    [
        {"client": "192.0.2.8"},
        {"client": "192.0.2.7/32", "sender": "example.net"},
        {"client": "2001:db8::/32"},
        {"client": "example.com"},
        {"client": "mailxexample.com"},
        {"sender": "<>"},
        {"sender": "ice@example.com"},
        {"sender": "ample.com"},
        {"recipient": "alice@example.com"},
    ],
)
def test_request_is_not_meant(texts: dict[str, Any]) -> None:
    assert not make_filter(**texts, may_name=True).matches_request(REQUEST)


@pytest.mark.parametrize(
    ("key", "texts"),
    [
        (b"192.0.2.0/alice@example.com/bob@example.org", {"client": "192.0.2.7"}),
        (b"192.0.2.0/alice@example.com/bob@example.org", {"client": "192.0.2.0/28"}),
        (b"192.0.2.0/alice@example.com/bob@example.org", {"client": "192.0.0.0/16"}),
        (b"192.0.2.7/32/alice@example.com/bob@example.org", {"client": "192.0.2.7"}),
        (b"192.0.2.0/24/alice@example.com/bob@example.org", {"client": "192.0.2.9"}),
        (b"192.0.2.0/bounce-#-x@example.com/bob@example.org", {"sender": "bounce-123-x@example.com"}),
        (b"192.0.2.0/bounce-#-x@example.com/bob@example.org", {"sender": "bounce-123-*@example.com"}),
        (b"192.0.2.0/alice@example.com/bob@example.org", {"sender": "prvs=0123456789=alice@example.com"}),
        (b"192.0.2.0//bob@example.org", {"sender": "<>"}),
    ],
)
def test_triplet_is_meant(key: bytes, texts: dict[str, Any]) -> None:
    split = split_key(key)
    assert split is not None
    assert make_filter(**texts).matches_key(split, 24)


@pytest.mark.parametrize(
    ("key", "texts"),
    [
        (b"192.0.2.7/32/alice@example.com/bob@example.org", {"client": "192.0.2.8"}),
        (b"192.0.3.0/alice@example.com/bob@example.org", {"client": "192.0.2.7"}),
        (b"unknown/alice@example.com/bob@example.org", {"client": "192.0.2.7"}),
        (b"192.0.2.0/alice@example.com/bob@example.org", {"sender": "<>"}),
        (b"192.0.2.0/alice@example.com/bob@example.org", {"recipient": "carol@example.org"}),
    ],
)
def test_triplet_is_not_meant(key: bytes, texts: dict[str, Any]) -> None:
    split = split_key(key)
    assert split is not None
    assert not make_filter(**texts).matches_key(split, 24)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ({"client": "mail.example.com"}, "client mail.example.com: not an address or a network"),
        ({"client": "192.0.2.0/33"}, "client 192.0.2.0/33: the length of the network is a number from 0 to 32"),
        ({"client": "192.0.2.0/x"}, "client 192.0.2.0/x: the length"),
        ({"client": "192.0.2"}, "client 192.0.2: not an address"),
        ({"sender": "a b"}, "sender a b: not an address or a domain"),
        ({"sender": "alice@"}, "sender alice@: not an address"),
        ({"recipient": "a@b@c"}, "recipient a@b@c: not an address"),
        ({"recipient": "/pattern/"}, "recipient /pattern/: not an address"),
    ],
)
def test_wrong_form_is_told(texts: dict[str, Any], message: str) -> None:
    with pytest.raises(OrderError) as caught:
        make_filter(**texts)
    assert str(caught.value).startswith(message)


def test_brackets_are_no_character_classes() -> None:
    assert not make_filter(sender="[ab]lice@example.com").matches_request(REQUEST)
