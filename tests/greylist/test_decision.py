# SPDX-License-Identifier: GPL-2.0-or-later
"""The words of actions and reasons are those of 1.37's log."""

from __future__ import annotations

from postgrey_py.greylist.decision import NO_FACTS, Action, Decision, Facts, Reason


def test_actions_have_the_words_of_the_log() -> None:
    assert {action: action.text for action in Action} == {Action.PASS: "pass", Action.GREYLIST: "greylist"}


def test_reasons_have_the_words_of_the_log() -> None:
    assert [reason.text for reason in Reason] == [
        "client whitelist",
        "recipient whitelist",
        "sender whitelist",
        "recipient not greylisted",
        "not suspect",
        "client AWL",
        "domain AWL",
        "new",
        "early-retry",
        "triplet found",
        "domain found",
        "vouched for",
        "allowed",
        "paused",
        "training",
        "client_address can't be parsed",
        "attribute missing",
    ]


def test_reasons_with_values_are_told_from_those_without() -> None:
    assert {reason for reason in Reason if reason.has_values} == {
        Reason.EARLY_RETRY,
        Reason.TRIPLET_FOUND,
        Reason.VOUCHED_FOR,
        Reason.DOMAIN_AUTO_WHITELIST,
        Reason.DOMAIN_FOUND,
        Reason.ALLOWED,
        Reason.PAUSED,
        Reason.TRAINING,
        Reason.UNKNOWN_ADDRESS,
        Reason.ATTRIBUTE_MISSING,
    }


def test_a_decision_leaves_nothing_unless_it_says_so() -> None:
    decision = Decision(Action.PASS, Reason.CLIENT_WHITELIST)
    assert (decision.triplets, decision.clients, decision.notes) == ((), (), ())
    assert (decision.wait, decision.delay, decision.entry, decision.detail) == (0, None, None, "")


def test_nobody_vouches_without_facts() -> None:
    assert Facts("") == NO_FACTS
    assert not NO_FACTS.voucher
