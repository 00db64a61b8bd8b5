# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import hashlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postgrey_py.greylist.address import Address, parse_address
from postgrey_py.greylist.keys import (
    KeyForm,
    client_key,
    client_network,
    divide_key,
    is_hash,
    parse_client_key,
    possible_networks,
    rewrite_sender,
    split_key,
    triplet_key,
)
from postgrey_py.greylist.settings import Settings
from tests.greylist.strategies import address, addresses, latin1, untimed


@pytest.mark.parametrize(
    ("sender", "rewritten"),
    [
        ("", ""),
        ("alice@example.com", "alice@example.com"),
        # Without a domain nothing changes.
        ("alice", "alice"),
        ("alice+list-12", "alice+list-12"),
        ("prvs=1234567890=alice", "prvs=1234567890=alice"),
        # The first @ counts, and the domain stays as it is.
        ("@", "@"),
        ("@example.com", "@example.com"),
        ("alice@", "alice@"),
        ("a+1@b+2@example.com", "a@b+2@example.com"),
        ("12@34@56.example", "#@34@56.example"),
        ("alice@mx-17.example.com", "alice@mx-17.example.com"),
        # Extensions go, from the first plus.
        ("alice+list@example.com", "alice@example.com"),
        ("alice+a+b@example.com", "alice@example.com"),
        ("alice+@example.com", "alice@example.com"),
        ("+list@example.com", "@example.com"),
        ("12+34@example.com", "#@example.com"),
        # Numbers between word boundaries.
        ("bounce-12345-67@example.com", "bounce-#-#@example.com"),
        ("12.34@example.com", "#.#@example.com"),
        ("0@example.com", "#@example.com"),
        ("a12@example.com", "a12@example.com"),
        ("12a@example.com", "12a@example.com"),
        ("a_12_b@example.com", "a_12_b@example.com"),
        ("a_12-12_b@example.com", "a_12-12_b@example.com"),
        ("a=12=b@example.com", "a=#=b@example.com"),
        ("#12#@example.com", "###@example.com"),
        # A byte beyond ASCII is no word character, so that a number beside it stands alone.
        ("\xe912@example.com", "\xe9#@example.com"),
        ("12\xff34@example.com", "#\xff#@example.com"),
        ("\xb2@example.com", "\xb2@example.com"),
        # BATV, both ways round.
        ("prvs=0123456789=alice@example.com", "alice@example.com"),
        ("prvs=alice=0123456789@example.com", "alice@example.com"),
        ("prvs=abcdefghij=alice@example.com", "alice@example.com"),
        ("prvs=01234567890123=alice@example.com", "alice@example.com"),
        ("prvs=alice=0123456789x@example.com", "alice@example.com"),
        # Both like a tag, or neither: the last.
        ("prvs=0123456789=abcdefghij@example.com", "abcdefghij@example.com"),
        ("prvs=012345678=alice@example.com", "alice@example.com"),
        ("prvs=alice=bob@example.com", "bob@example.com"),
        # A tag has small letters.
        ("prvs=alice=0123456789ABC@example.com", "alice@example.com"),
        ("prvs=alice=ABCDEFGHIJ@example.com", "ABCDEFGHIJ@example.com"),
        ("prvs=ABCDEFGHIJ=0123456789@example.com", "ABCDEFGHIJ@example.com"),
        ("PRVS=0123456789=alice@example.com", "PRVS=#=alice@example.com"),
        # More or fewer parts are none of BATV's; empty parts count, unless they are the last ones.
        ("prvs=0123456789@example.com", "prvs=#@example.com"),
        ("prvs=a=b=c@example.com", "prvs=a=b=c@example.com"),
        ("prvs=@example.com", "prvs=@example.com"),
        ("prvs==@example.com", "prvs==@example.com"),
        ("prvs==alice@example.com", "alice@example.com"),
        ("prvs=alice=@example.com", "prvs=alice=@example.com"),
        ("prvs=0123456789=alice=@example.com", "alice@example.com"),
        ("prvs=0123456789=alice===@example.com", "alice@example.com"),
        ("prvs===alice@example.com", "prvs===alice@example.com"),
        ("xprvs=0123456789=alice@example.com", "xprvs=#=alice@example.com"),
        # Then the rest.
        ("prvs=0123456789=alice+list@example.com", "alice@example.com"),
        ("prvs=0123456789=bounce-12@example.com", "bounce-#@example.com"),
        ("prvs=alice+x=0123456789@example.com", "alice@example.com"),
    ],
)
def test_senders_are_rewritten(sender: str, rewritten: str) -> None:
    assert rewrite_sender(sender) == rewritten


def rewrite_slowly(sender: str) -> str:
    """The rules for senders one by one, on bytes, where Python's patterns know ASCII only."""
    if "@" not in sender:
        return sender
    user, domain = sender.encode("latin-1").split(b"@", 1)
    parts = re.sub(rb"=+\Z", b"", user).split(b"=")
    if user.startswith(b"prvs=") and len(parts) == 3:
        tagged = [re.match(rb"[0-9a-z]{10}", part) is not None for part in parts]
        user = parts[1] if tagged[2] and not tagged[1] else parts[2]
    user = re.sub(rb"\+.*", b"", user, flags=re.DOTALL)
    user = re.sub(rb"(?<![0-9A-Za-z_])[0-9]+(?![0-9A-Za-z_])", b"#", user)
    return (user + b"@" + domain).decode("latin-1")


@untimed
@given(st.text("abZ019=+@_-.#\xe9\xb2", max_size=30) | st.text("a1=@", max_size=30).map("prvs=0123456789=".__add__))
def test_senders_are_rewritten_by_the_rules(sender: str) -> None:
    assert rewrite_sender(sender) == rewrite_slowly(sender)


def test_by_subnet_the_network_has_no_mask() -> None:
    assert client_network(address("192.0.2.7"), Settings()) == "192.0.2.0"
    assert client_network(address("2001:db8::ab"), Settings()) == "2001:DB8:0:0:0:0:0:0"


def test_by_host_the_address_has_its_mask() -> None:
    by_host = Settings(lookup_by_host=True, ipv4cidr=16, ipv6cidr=48)
    assert client_network(address("192.0.2.1"), by_host) == "192.0.2.1/32"
    assert client_network(address("2001:db8::ab"), by_host) == "2001:DB8:0:0:0:0:0:AB/128"


def test_the_sizes_of_networks_are_options() -> None:
    wide = Settings(ipv4cidr=16, ipv6cidr=48)
    assert client_network(address("192.0.2.7"), wide) == "192.0.0.0"
    assert client_network(address("2001:db8:1:2::ab"), wide) == "2001:DB8:1:0:0:0:0:0"


@pytest.mark.parametrize(
    ("client", "sender", "recipient", "options", "key"),
    [
        ("192.0.2.7", "alice@example.com", "bob@example.org", {}, b"192.0.2.0/alice@example.com/bob@example.org"),
        ("192.0.2.7", "Alice+x@EXAMPLE.com", "Bob+y@Example.ORG", {}, b"192.0.2.0/alice@example.com/bob+y@example.org"),
        ("192.0.2.7", "", "postmaster", {}, b"192.0.2.0//postmaster"),
        ("192.0.2.7", "a/b@c", "d/e@f", {}, b"192.0.2.0/a/b@c/d/e@f"),
        ("2001:DB8::AB", "a@b", "c@d", {}, b"2001:db8:0:0:0:0:0:0/a@b/c@d"),
        ("::ffff:192.0.2.7", "a@b", "c@d", {}, b"192.0.2.0/a@b/c@d"),
        ("192.0.2.1", "a@b", "c@d", {"lookup_by_host": True}, b"192.0.2.1/32/a@b/c@d"),
        ("2001:db8::ab", "a@b", "c@d", {"lookup_by_host": True}, b"2001:db8:0:0:0:0:0:ab/128/a@b/c@d"),
        # Bytes beyond ASCII stay as they came, capitals among them.
        ("192.0.2.7", "\xc9\xc4@b", "\xc3\x84Z@d", {}, b"192.0.2.0/\xc9\xc4@b/\xc3\x84z@d"),
        # The tag of BATV is looked for before the key is lower-cased.
        ("192.0.2.7", "prvs=Alice=ABCDEFGHIJ@b", "c@d", {}, b"192.0.2.0/abcdefghij@b/c@d"),
        (
            "192.0.2.7",
            "Alice@Example.com",
            "Bob@Example.org",
            {"privacy": True},
            hashlib.sha1(b"192.0.2.0/alice@example.com/bob@example.org").hexdigest().encode(),
        ),
    ],
)
def test_triplet_keys(client: str, sender: str, recipient: str, options: dict[str, bool], key: bytes) -> None:
    assert triplet_key(address(client), sender, recipient, Settings(**options)) == key  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("client", "options", "key"),
    [
        ("192.0.2.7", {}, b"192.0.2.7"),
        ("2001:db8::ab", {}, b"2001:DB8:0:0:0:0:0:AB"),
        ("::ffff:192.0.2.7", {}, b"192.0.2.7"),
        # Always the client itself.
        ("192.0.2.7", {"lookup_by_host": True}, b"192.0.2.7"),
        ("192.0.2.7", {"ipv4cidr": 16}, b"192.0.2.7"),
        ("2001:db8::ab", {"privacy": True}, hashlib.sha1(b"2001:DB8:0:0:0:0:0:AB").hexdigest().encode()),
    ],
)
def test_client_keys(client: str, options: dict[str, int], key: bytes) -> None:
    assert client_key(address(client), Settings(**options)) == key  # type: ignore[arg-type]


@untimed
@given(addresses, latin1, latin1, st.booleans())
def test_triplet_keys_are_the_bytes_that_came_with_ascii_letters_made_small(
    some: Address, sender: str, recipient: str, by_host: bool
) -> None:
    key = triplet_key(some, sender, recipient, Settings(lookup_by_host=by_host))
    assert not re.search(rb"[A-Z]", key)
    tail = f"/{rewrite_sender(sender)}/{recipient}".encode("latin-1")
    small = bytes(octet + 32 if 65 <= octet <= 90 else octet for octet in tail)
    assert key.endswith(small)
    assert key[: -len(small)] == client_network(some, Settings(lookup_by_host=by_host)).lower().encode("ascii")


@untimed
@given(addresses, latin1, latin1)
def test_privacy_hashes_the_key_that_would_be(some: Address, sender: str, recipient: str) -> None:
    plain, private = Settings(), Settings(privacy=True)
    hashed = triplet_key(some, sender, recipient, private)
    assert hashed == hashlib.sha1(triplet_key(some, sender, recipient, plain)).hexdigest().encode()
    assert client_key(some, private) == hashlib.sha1(client_key(some, plain)).hexdigest().encode()


HASH = "2346ad27d7568ba9896f1b7da6b5991251debdf2"


@pytest.mark.parametrize(
    ("key", "form", "parts"),
    [
        ("192.0.2.0/a@b.example/c@d.example", KeyForm.BARE, ("192.0.2.0", None, "a@b.example", "c@d.example")),
        ("2001:db8:0:0:0:0:0:0/a@b/c@d", KeyForm.BARE, ("2001:db8:0:0:0:0:0:0", None, "a@b", "c@d")),
        ("192.0.2.1/32/a@b.example/c@d.example", KeyForm.HOST, ("192.0.2.1", 32, "a@b.example", "c@d.example")),
        ("2001:db8:0:0:0:0:0:1/128/a@b/c@d", KeyForm.HOST, ("2001:db8:0:0:0:0:0:1", 128, "a@b", "c@d")),
        # Debian's 1.36-5.
        ("198.51.100.0/24/a@b/c@d", KeyForm.NETWORK, ("198.51.100.0", 24, "a@b", "c@d")),
        ("2001:db8:0:0:0:0:0:0/64/a@b/c@d", KeyForm.NETWORK, ("2001:db8:0:0:0:0:0:0", 64, "a@b", "c@d")),
        ("198.51.100.0/24//c@d", KeyForm.NETWORK, ("198.51.100.0", 24, "", "c@d")),
        ("0.0.0.0/0/a@b/c@d", KeyForm.NETWORK, ("0.0.0.0", 0, "a@b", "c@d")),
        # No empty part is lost.
        ("192.0.2.0//c@d.example", KeyForm.BARE, ("192.0.2.0", None, "", "c@d.example")),
        ("192.0.2.1/32//c@d.example", KeyForm.HOST, ("192.0.2.1", 32, "", "c@d.example")),
        ("192.0.2.0/a@b.example/", KeyForm.BARE, ("192.0.2.0", None, "a@b.example", "")),
        ("192.0.2.0//", KeyForm.BARE, ("192.0.2.0", None, "", "")),
        # Slashes in the local parts.
        ("192.0.2.0//c/x@d.example", KeyForm.BARE, ("192.0.2.0", None, "", "c/x@d.example")),
        ("192.0.2.0/a/x@b.example/c/x@d", KeyForm.BARE, ("192.0.2.0", None, "a/x@b.example", "c/x@d")),
        ("198.51.100.0/24/a/x@b/c/x@d", KeyForm.NETWORK, ("198.51.100.0", 24, "a/x@b", "c/x@d")),
        ("192.0.2.0/local/c", KeyForm.BARE, ("192.0.2.0", None, "local", "c")),
        ("192.0.2.0/local/c@d.example", KeyForm.BARE, ("192.0.2.0", None, "local", "c@d.example")),
        # A sender that looks like a mask.
        ("192.0.2.0/32/c@d.example", KeyForm.BARE, ("192.0.2.0", None, "32", "c@d.example")),
        ("192.0.2.0/33/a@b/c@d", KeyForm.BARE, ("192.0.2.0", None, "33/a@b", "c@d")),
        ("192.0.2.0/0x18/a@b/c@d", KeyForm.BARE, ("192.0.2.0", None, "0x18/a@b", "c@d")),
        # What strangers wrote stays as it is.
        ("192.0.2.0/\x1b[2J\n@b/jos\xe9@d", KeyForm.BARE, ("192.0.2.0", None, "\x1b[2J\n@b", "jos\xe9@d")),
        # Clients by something else than their address.
        ("domain:example.com/a@b/c@d", KeyForm.OTHER, ("domain:example.com", None, "a@b", "c@d")),
        ("domain:example.com/24/a@b/c@d", KeyForm.OTHER, ("domain:example.com", None, "24/a@b", "c@d")),
        ("198.51.100/a@b/c@d", KeyForm.OTHER, ("198.51.100", None, "a@b", "c@d")),
        ("/a@b/c@d", KeyForm.OTHER, ("", None, "a@b", "c@d")),
    ],
)
def test_keys_are_taken_apart(key: str, form: KeyForm, parts: tuple[str, int | None, str, str]) -> None:
    network, bits, sender, recipient = parts
    found = split_key(key.encode("latin-1"))
    assert found == (form, network, parse_address(network), bits, sender, recipient)


@pytest.mark.parametrize("key", [HASH, "", "/", "192.0.2.0", "192.0.2.0/alice@example.com", "192.0.2.0/24"])
def test_what_is_no_key_of_a_triplet_is_none(key: str) -> None:
    assert split_key(key.encode()) is None


@untimed
@given(st.binary(max_size=40) | st.text("0123456789.:/@ab", max_size=30).map(str.encode))
def test_any_key_is_taken_apart_or_none(key: bytes) -> None:
    found = split_key(key)
    for client, correspondents in divide_key(key.decode("latin-1")):
        assert f"{client}/{correspondents}".encode("latin-1") in (key, key + b"/")
    if found is not None:
        client = found.network if found.bits is None else f"{found.network}/{key.split(b'/')[1].decode()}"
        assert f"{client}/{found.sender}/{found.recipient}".encode("latin-1") == key


# What the server makes of addresses that have a domain without slashes comes apart as it was.
local_parts = st.text("ab1/+=._\xe9", min_size=1, max_size=12)


@untimed
@given(addresses, local_parts, local_parts, st.booleans())
def test_keys_of_the_server_come_apart_as_they_were_made(
    some: Address, sender: str, recipient: str, by_host: bool
) -> None:
    options = Settings(lookup_by_host=by_host)
    found = split_key(triplet_key(some, f"{sender}@example.com", f"{recipient}@example.org", options))
    assert found is not None
    assert found.form is (KeyForm.HOST if by_host else KeyForm.BARE)
    assert found.sender == rewrite_sender(f"{sender}@example.com")
    assert found.recipient == f"{recipient}@example.org"


@pytest.mark.parametrize(
    ("key", "hashed"),
    [(HASH, True), (HASH.upper(), False), (HASH[1:], False), (HASH + "\n", False), ("192.0.2.0", False), ("", False)],
)
def test_hashes_are_known(key: str, hashed: bool) -> None:
    assert is_hash(key.encode()) is hashed


@pytest.mark.parametrize(
    ("client", "options", "is_lookup_known", "networks"),
    [
        ("192.0.2.7", {}, False, ["192.0.2.7", "192.0.2.0", "192.0.2.7/32", "192.0.2.0/24"]),
        ("192.0.2.0", {}, False, ["192.0.2.0", "192.0.2.0/32", "192.0.2.0/24"]),
        ("192.0.2.7", {"ipv4cidr": 32}, False, ["192.0.2.7", "192.0.2.7/32"]),
        ("192.0.2.7", {}, True, ["192.0.2.0", "192.0.2.0/24"]),
        ("192.0.2.7", {"lookup_by_host": True}, True, ["192.0.2.7", "192.0.2.7/32"]),
        (
            "2001:DB8::AB",
            {"ipv6cidr": 48},
            False,
            ["2001:db8:0:0:0:0:0:ab", "2001:db8:0:0:0:0:0:0", "2001:db8:0:0:0:0:0:ab/128", "2001:db8:0:0:0:0:0:0/48"],
        ),
    ],
)
def test_names_that_a_client_may_have_in_keys(
    client: str, options: dict[str, int], is_lookup_known: bool, networks: list[str]
) -> None:
    assert possible_networks(address(client), Settings(**options), is_lookup_known) == tuple(networks)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("key", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("2001:DB8:0:0:0:0:0:AB", "2001:db8::ab"),
        ("2001:db8::ab/128", "2001:db8::ab"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
    ],
)
def test_clients_are_known_by_their_keys(key: str, client: str) -> None:
    assert parse_client_key(key.encode()) == address(client)


@pytest.mark.parametrize(
    "key", [HASH, "", "192.0.2", "192.0.2.0/24", "192.0.2.7/", "192.0.2.7/032", "\x1b[2J\xff", "unknown"]
)
def test_other_keys_are_of_no_client(key: str) -> None:
    assert parse_client_key(key.encode("latin-1")) is None
