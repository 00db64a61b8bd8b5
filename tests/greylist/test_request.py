# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postgrey_py.greylist.request import MAX_VALUE_CHARACTERS, NEEDED, Flaws, Request, read_request, request_about

untimed = settings(deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow])

# Latin-1 text as the protocol hands it on: any byte but those that end a line.
values = st.binary(max_size=20).map(lambda octets: octets.decode("latin-1").replace("\n", "").replace("\r", ""))


def make_attributes(**changes: str | None) -> dict[str, str]:
    """The attributes of a complete request; None leaves one out."""
    attributes: dict[str, str | None] = {
        "request": "smtpd_access_policy",
        "client_address": "192.0.2.7",
        "client_name": "mail.example.com",
        "sender": "alice@example.com",
        "recipient": "bob@example.org",
        **changes,
    }
    return {name: value for name, value in attributes.items() if value is not None}


def test_attributes_become_fields() -> None:
    attributes = make_attributes(
        queue_id="4XyZ", instance="1.2", etrn_domain="example.org", policy_test_time="1700000000", size="5"
    )
    assert read_request(attributes) == Request(
        client_address="192.0.2.7",
        client_name="mail.example.com",
        sender="alice@example.com",
        recipient="bob@example.org",
        queue_id="4XyZ",
        instance="1.2",
        knows_etrn=True,
        test_time=1700000000,
        flaws=None,
    )


def test_what_is_not_needed_may_be_missing() -> None:
    request = read_request(make_attributes())
    assert (request.queue_id, request.instance, request.knows_etrn, request.test_time) == ("", None, False, None)


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_attribute_is_named(name: str) -> None:
    request = read_request(make_attributes(**{name: None}))
    assert request.flaws == Flaws(type=None, missing=name, garbage=())
    assert getattr(request, name) == ""


@untimed
@given(st.sets(st.sampled_from(NEEDED), min_size=1))
def test_of_several_missing_ones_the_first_is_named(missing: set[str]) -> None:
    order = ["client_address", "client_name", "recipient", "sender"]
    first = next(name for name in order if name in missing)
    assert read_request(make_attributes(**dict.fromkeys(missing))).flaws == Flaws(None, first, ())


def test_needed_attributes_may_be_empty() -> None:
    request = read_request(make_attributes(**dict.fromkeys(NEEDED, "")))
    assert (request.client_address, request.client_name, request.recipient, request.sender) == ("", "", "", "")


@pytest.mark.parametrize("name", ["client_address", "client_name", "sender", "recipient", "queue_id", "instance"])
def test_values_are_cut_at_512_characters(name: str) -> None:
    assert MAX_VALUE_CHARACTERS == 512
    whole = read_request(make_attributes(**{name: "x" * 512}))
    cut = read_request(make_attributes(**{name: "x" * 512 + "y"}))
    assert getattr(cut, name) == getattr(whole, name) == "x" * 512


def test_an_empty_instance_is_an_instance() -> None:
    assert read_request(make_attributes(instance="")).instance == ""


def test_a_probe_is_known_by_its_attribute() -> None:
    assert [read_request(attributes).is_probe for attributes in ({}, {"postgrey_probe": ""}, {"probe": "1"})] == [
        False,
        True,
        False,
    ]


def test_an_empty_etrn_domain_is_there() -> None:
    assert read_request(make_attributes(etrn_domain="")).knows_etrn


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("1", 1), ("1700000000", 1700000000), ("007", 7), ("9" * 15, 10**15 - 1)]
)
def test_test_time_is_a_number_of_seconds(text: str, seconds: int) -> None:
    request = read_request(make_attributes(policy_test_time=text))
    assert (request.test_time, request.flaws) == (seconds, None)


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "+1", "1.5", "1e9", "0x10", " 1", "1 ", "1_000", "\xb2", "\xbd", "1\x00", "9" * 16]
)
def test_any_other_test_time_is_garbage(text: str) -> None:
    request = read_request(make_attributes(policy_test_time=text), ["other"])
    assert request.test_time is None
    assert request.flaws == Flaws(None, None, ["other", f"policy_test_time={text}"])


def test_garbage_is_cut_for_the_log() -> None:
    request = read_request(make_attributes(policy_test_time="x" * 200))
    assert request.flaws == Flaws(None, None, ["policy_test_time=" + "x" * 83])


@pytest.mark.parametrize("kind", ["junk", "", "SMTPD_ACCESS_POLICY", "x" * 600, None])
def test_another_type_is_a_flaw(kind: str | None) -> None:
    assert read_request(make_attributes(request=kind)).flaws == Flaws((kind or "")[:512], None, ())


@untimed
@given(
    st.dictionaries(st.sampled_from([*NEEDED, "instance", "policy_test_time", "etrn_domain", "x", ""]), values),
    st.lists(values, max_size=2),
)
def test_any_attributes_make_a_request(attributes: dict[str, str], garbage: list[str]) -> None:
    request = read_request({"request": "smtpd_access_policy", **attributes}, garbage)
    missing = next((name for name in NEEDED if name not in attributes), None)
    told = [] if request.flaws is None else list(request.flaws.garbage)
    has_bad_time = "policy_test_time" in attributes and request.test_time is None
    assert (request.flaws is not None) == bool(missing or garbage or has_bad_time)
    assert request.flaws is None or request.flaws.missing == missing
    assert told == garbage + [f"policy_test_time={attributes.get('policy_test_time')}"] * has_bad_time


def test_request_about_a_mail_has_no_flaws() -> None:
    request = request_about("192.0.2.7", "mx.example.com", "helo.example.com", "alice@example.com", "bob@example.org")
    assert request.flaws is None
    assert (request.client_address, request.client_name, request.helo_name) == (
        *("192.0.2.7", "mx.example.com"),
        "helo.example.com",
    )
    assert (request.sender, request.recipient, request.instance) == ("alice@example.com", "bob@example.org", None)
