# SPDX-License-Identifier: GPL-2.0-or-later
"""What becomes of mail under each action of access(5)."""

from __future__ import annotations

import pytest

from postgrey_py.greylist.actions import find_consequence


@pytest.mark.parametrize(
    "action",
    [
        *("DEFER_IF_PERMIT", "defer_if_permit", "Defer_If_Permit", "DEFER_IF_PERMIT ", "DEFER_IF_PERMIT Wait a little"),
        *("DEFER", "defer", "DEFER please", "DEFER_IF_REJECT", "DEFER_IF_PERMIT 4.7.1"),
        *("450", "451", "421", "499", "451 4.7.1", "451 4.7.1 Wait", "450 ", "451\tx"),
    ],
)
def test_what_defers(action: str) -> None:
    assert find_consequence(action) is None


@pytest.mark.parametrize(
    ("action", "said"),
    [
        *((action, "refuses mail for good") for action in ("REJECT", "reject", "REJECT text", "550", "521")),
        ("554 5.7.1 No", "refuses mail for good"),
        *((action, "accepts mail at once") for action in ("OK", "ok", "RELAY", "permit", "OK text")),
        *((action, "nothing is greylisted") for action in ("DUNNO", "dunno", "INFO x", "WARN", "PREPEND X-A: b")),
        ("BCC a@example.org", "a copy is sent to"),
        ("DISCARD", "throws it away"),
        ("HOLD", "hold queue"),
        ("FILTER smtp:[192.0.2.1]", "another transport"),
        ("REDIRECT a@example.org", "another address"),
        # Neither 4xx nor 5xx, and not all digits with the text behind it.
        *((action, "451 4.3.5") for action in ("250", "200", "45", "4510", "451-", "451.", "0", "600", "4.7.1")),
        *((action, "is a restriction, ") for action in ("reject_unverified_sender", "warn_if_reject")),
        *((action, "451 4.3.5") for action in ("nonsense", "greylist", "", " DEFER", "DEFER,", "'DEFER'", "my_class")),
    ],
)  # fmt: skip
def test_what_does_not(action: str, said: str) -> None:
    consequence = find_consequence(action)
    assert consequence is not None
    assert said in consequence


@pytest.mark.parametrize(
    ("action", "meant"),
    [
        ("DEFER_IF_PREMIT", "DEFER_IF_PERMIT"),
        ("DEFERIFPERMIT", "DEFER_IF_PERMIT"),
        ("DEFER-IF-PERMIT", "DEFER_IF_PERMIT"),
        ("defer_if_permitt", "DEFER_IF_PERMIT"),
        ("DEFER_IF_RJECT", "DEFER_IF_REJECT"),
        ("defer if permit", "DEFER_IF_PERMIT"),
        ("DEFER if-reject", "DEFER_IF_REJECT"),
        ("DEFFER", "DEFER"),
        ("REJCET", "REJECT"),
        ("DISCRAD", "DISCARD"),
    ],
)
def test_near_misses_are_named(action: str, meant: str) -> None:
    assert str(find_consequence(action)).endswith(f"; did you mean {meant}?")


@pytest.mark.parametrize("action", ["defer_if_permit", "Defer", "451", "450 4.7.1"])
def test_exim_looks_for_capital_letters(action: str) -> None:
    assert find_consequence(action) is None
    assert "Exim" in str(find_consequence(action, for_exim=True))


@pytest.mark.parametrize("action", ["DEFER", "DEFER_IF_PERMIT", "DEFER_IF_REJECT", "DEFER 451"])
def test_exim_understands_a_deferral(action: str) -> None:
    assert find_consequence(action, for_exim=True) is None
