# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from postgrey_py.daemon.tally import KEPT_SECONDS, KEPT_SPANS, SPAN_SECONDS, Span, Tally, quantile
from postgrey_py.greylist.decision import Action, Decision, Reason

NOW = 1_700_000_400
NEW = Decision(Action.GREYLIST, Reason.NEW, wait=300)
LISTED = Decision(Action.PASS, Reason.CLIENT_WHITELIST)


def returned(waited: int) -> Decision:
    return Decision(Action.PASS, Reason.TRIPLET_FOUND, waited=waited)


def test_decisions_are_counted_by_reason_and_span() -> None:
    tally = Tally(NOW)
    tally.count(NEW, NOW)
    tally.count(LISTED, 0)
    tally.roll(NOW + SPAN_SECONDS)
    tally.count(NEW, NOW + SPAN_SECONDS)
    first, second = tally.spans(NOW + SPAN_SECONDS)
    assert (first.start, second.start) == (NOW - NOW % SPAN_SECONDS, NOW - NOW % SPAN_SECONDS + SPAN_SECONDS)
    assert (first.count_of(Reason.NEW), first.count_of(Reason.CLIENT_WHITELIST)) == (1, 1)
    assert sum(second.counts) == second.count_of(Reason.NEW) == 1
    assert tally.since(second.start, NOW + SPAN_SECONDS).count_of(Reason.NEW) == 1
    assert tally.since(first.start, NOW + SPAN_SECONDS).count_of(Reason.NEW, Reason.CLIENT_WHITELIST) == 3


def test_mail_that_comes_back_is_counted_where_it_came_first() -> None:
    tally = Tally(NOW)
    tally.count(NEW, NOW)
    later = NOW + 3 * SPAN_SECONDS
    tally.roll(later)
    tally.count(returned(3 * SPAN_SECONDS), later)
    first, last = tally.spans(later)
    assert (first.returned, first.returns()) == (1, 0)
    assert (last.returned, last.returns(), last.waits) == (0, 1, {1800: 1})


def test_mail_that_came_first_before_all_spans_counts_all_the_same() -> None:
    tally = Tally(NOW)
    tally.count(returned(KEPT_SECONDS + 1), NOW)
    assert tally.spans(NOW)[0].returns() == 1


def test_a_wait_is_counted_with_three_digits() -> None:
    tally = Tally(NOW)
    for wait in (0, 299, 1239, 172_799):
        tally.count(returned(wait), NOW)
    assert tally.spans(NOW)[0].waits == {0: 1, 299: 1, 1230: 1, 172_000: 1}


def test_spans_older_than_two_days_are_forgotten_and_the_sum_is_not() -> None:
    tally = Tally(NOW)
    for number in range(KEPT_SPANS + 10):
        tally.roll(NOW + number * SPAN_SECONDS)
        tally.count(NEW, 0)
    now = NOW + (KEPT_SPANS + 9) * SPAN_SECONDS
    spans = tally.spans(now)
    assert len(spans) == KEPT_SPANS
    assert spans[-1].start == now - now % SPAN_SECONDS
    assert tally.since_start().count_of(Reason.NEW) == KEPT_SPANS + 10


def test_requests_that_pass_unseen_are_those_of_the_span() -> None:
    unseen = 3
    tally = Tally(NOW, lambda: unseen)
    assert tally.spans(NOW)[0].unseen == 3
    unseen = 5
    assert tally.spans(NOW)[0].unseen == 5
    tally.roll(NOW + SPAN_SECONDS)
    unseen = 6
    assert [span.unseen for span in tally.spans(NOW + SPAN_SECONDS)] == [5, 1]
    assert tally.since_start().unseen == 6


def test_spans_of_an_earlier_server_go_on_and_do_not_count_since_the_start() -> None:
    before = Tally(NOW)
    before.count(NEW, NOW)
    before.count(returned(400), NOW)
    old = Span(NOW - NOW % SPAN_SECONDS - SPAN_SECONDS)
    old.counts[Reason.NEW.number] = 7
    tally = Tally(NOW)
    tally.count(LISTED, 0)
    tally.resume([old, *before.spans(NOW)], NOW)
    tally.count(NEW, NOW)
    first, second = tally.spans(NOW)
    assert (first.count_of(Reason.NEW), second.count_of(Reason.NEW), second.count_of(Reason.CLIENT_WHITELIST)) == (
        7,
        2,
        1,
    )
    for now in (NOW, NOW + SPAN_SECONDS):
        tally.roll(now)
        total = tally.since_start()
        assert (total.count_of(Reason.NEW), total.count_of(Reason.CLIENT_WHITELIST), total.returns()) == (1, 1, 0)


def test_clock_that_is_set_back_counts_nothing_twice() -> None:
    tally = Tally(NOW)
    tally.count(NEW, NOW)
    for now in (NOW + 5 * SPAN_SECONDS, NOW, NOW - 10 * SPAN_SECONDS, NOW):
        tally.roll(now)
        tally.count(NEW, now)
    assert tally.since_start().count_of(Reason.NEW) == 5
    assert sum(span.count_of(Reason.NEW) for span in tally.spans(NOW)) == 4
    assert sum(span.count_of(Reason.NEW) for span in tally.spans(NOW + 5 * SPAN_SECONDS)) == 5


def test_spans_of_a_clock_that_was_wrong_do_not_keep_others_out() -> None:
    wrong = [Span(NOW + KEPT_SECONDS * 400 + number * SPAN_SECONDS) for number in range(KEPT_SPANS)]
    tally = Tally(NOW)
    tally.resume(wrong, NOW)
    for number in range(KEPT_SPANS):
        tally.roll(NOW + number * SPAN_SECONDS)
        tally.count(NEW, 0)
    assert sum(span.count_of(Reason.NEW) for span in tally.spans(NOW + (KEPT_SPANS - 1) * SPAN_SECONDS)) == KEPT_SPANS


@given(st.lists(st.integers(0, 200_000), max_size=50), st.floats(0, 1))
def test_quantile_is_a_wait_that_enough_do_not_exceed(waits: list[int], share: float) -> None:
    counts = {wait: waits.count(wait) for wait in waits}
    found = quantile(counts, share)
    if not waits:
        assert found is None
        return
    assert found is not None
    assert sum(wait <= found for wait in waits) >= share * len(waits)
    assert found == min(waits) or sum(wait < found for wait in waits) < share * len(waits)


@pytest.mark.parametrize(("share", "wait"), [(0.5, 310), (0.95, 3600), (0.0, 300)])
def test_quantile(share: float, wait: int) -> None:
    assert quantile({300: 1, 310: 5, 3600: 2}, share) == wait
