# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from postgrey_py.greylist.request import (
    ANY_TIME,
    MAX_VALUE_CHARACTERS,
    NEEDED,
    NO_TIME,
    MissingAttributeError,
    Request,
    bad_test_time,
    make_request,
)

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
    assert make_request(attributes) == Request(
        client_address="192.0.2.7",
        client_name="mail.example.com",
        sender="alice@example.com",
        recipient="bob@example.org",
        queue_id="4XyZ",
        instance="1.2",
        knows_etrn=True,
        test_time=1700000000,
    )


def test_what_is_not_needed_may_be_missing() -> None:
    request = make_request(make_attributes())
    assert (request.queue_id, request.instance, request.knows_etrn, request.test_time) == ("", None, False, None)


@pytest.mark.parametrize("name", NEEDED)
def test_a_missing_attribute_is_named(name: str) -> None:
    with pytest.raises(MissingAttributeError, match=f"^attribute missing: {name}$"):
        make_request(make_attributes(**{name: None}))


@untimed
@given(st.sets(st.sampled_from(NEEDED), min_size=1))
def test_of_several_missing_ones_the_first_is_named(missing: set[str]) -> None:
    order = ["client_address", "client_name", "recipient", "sender"]
    first = next(name for name in order if name in missing)
    with pytest.raises(MissingAttributeError, match=f"^attribute missing: {first}$"):
        make_request(make_attributes(**dict.fromkeys(missing)))


def test_needed_attributes_may_be_empty() -> None:
    request = make_request(make_attributes(**dict.fromkeys(NEEDED, "")))
    assert (request.client_address, request.client_name, request.recipient, request.sender) == ("", "", "", "")


@pytest.mark.parametrize("name", ["client_address", "client_name", "sender", "recipient", "queue_id", "instance"])
def test_values_are_cut_at_512_characters(name: str) -> None:
    assert MAX_VALUE_CHARACTERS == 512
    whole = make_request(make_attributes(**{name: "x" * 512}))
    cut = make_request(make_attributes(**{name: "x" * 512 + "y"}))
    assert getattr(cut, name) == getattr(whole, name) == "x" * 512


def test_an_empty_instance_is_an_instance() -> None:
    assert make_request(make_attributes(instance="")).instance == ""


def test_an_empty_etrn_domain_is_there() -> None:
    assert make_request(make_attributes(etrn_domain="")).knows_etrn


@pytest.mark.parametrize(
    ("text", "seconds"), [("0", 0), ("1", 1), ("1700000000", 1700000000), ("007", 7), ("9" * 15, 10**15 - 1)]
)
def test_test_time_is_a_number_of_seconds(text: str, seconds: int) -> None:
    attributes = make_attributes(policy_test_time=text)
    assert make_request(attributes).test_time == seconds
    assert bad_test_time(attributes) is None


@pytest.mark.parametrize(
    "text", ["", "soon", "-1", "+1", "1.5", "1e9", "0x10", " 1", "1 ", "1_000", "\xb2", "\xbd", "1\x00", "9" * 16]
)
def test_any_other_test_time_counts_as_absent_and_is_told(text: str) -> None:
    attributes = make_attributes(policy_test_time=text)
    assert make_request(attributes).test_time is None
    assert bad_test_time(attributes) == text


def test_no_test_time_is_no_bad_one() -> None:
    assert bad_test_time(make_attributes()) is None


@untimed
@given(st.dictionaries(st.sampled_from([*NEEDED, "instance", "policy_test_time", "etrn_domain", "x", ""]), values))
def test_any_attributes_make_a_request_or_name_what_is_missing(attributes: dict[str, str]) -> None:
    missing = [name for name in NEEDED if name not in attributes]
    if missing:
        with pytest.raises(MissingAttributeError, match=missing[0]):
            make_request(attributes)
    else:
        request = make_request(attributes)
        has_time = "policy_test_time" in attributes and bad_test_time(attributes) is None
        assert (request.test_time is not None) == has_time


@pytest.mark.parametrize(
    ("text", "latest", "counts"),
    [("100", 100, True), ("101", 100, False), ("0", NO_TIME, False), ("5", ANY_TIME, True), ("9" * 15, ANY_TIME, True)],
)
def test_a_test_time_that_is_too_late_counts_as_absent_and_is_told(text: str, latest: int, counts: bool) -> None:
    attributes = make_attributes(policy_test_time=text)
    assert make_request(attributes, latest).test_time == (int(text) if counts else None)
    assert bad_test_time(attributes, latest) == (None if counts else text)
