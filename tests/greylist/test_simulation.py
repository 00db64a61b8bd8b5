# SPDX-License-Identifier: GPL-2.0-or-later
"""Three weeks of mail through the rules: what the options are for is what comes of them."""

from __future__ import annotations

import random

import pytest

from bench.simulation import GIVE_UP_SECONDS, OPTIONS, Outcome, format_table, make_mails, retry_times, simulate

Results = dict[str, dict[str, Outcome]]


@pytest.fixture(scope="module")
def results() -> Results:
    return simulate(seed=7, scale=1)


def test_same_seed_is_the_same_mail() -> None:
    assert make_mails(random.Random(3), 1) == make_mails(random.Random(3), 1)
    assert make_mails(random.Random(3), 1) != make_mails(random.Random(4), 1)


@pytest.mark.parametrize("schedule", ["postfix", "exim", "exchange", "large"])
def test_servers_retry_for_days(schedule: str) -> None:
    times = retry_times(schedule, random.Random(1))
    assert list(times) == sorted(times)
    assert GIVE_UP_SECONDS * 0.8 < times[-1] < GIVE_UP_SECONDS + 60


def test_pools_wait_for_hours_as_long_as_each_machine_is_another_client(results: Results) -> None:
    assert results["as 1.37"]["pools"].p95 > 4 * results["as 1.37"]["single servers"].p95
    assert results["as 1.37"]["pools"].late > 0.1


def test_pools_wait_no_longer_than_single_servers_when_domains_are_looked_up(results: Results) -> None:
    with_domains = results["--lookup-by-domain"]
    assert with_domains["pools"].p95 <= with_domains["single servers"].p95
    assert with_domains["pools"].late == 0
    # And hardly a bot more gets in.
    assert with_domains["bots"].delivered - results["as 1.37"]["bots"].delivered < 0.005


def test_proven_senders_do_not_wait(results: Results) -> None:
    assert results["--whitelist-senders"]["codes"].p95 == 0
    assert results["--whitelist-senders"]["bots"].delivered == results["as 1.37"]["bots"].delivered


def test_most_wanted_mail_is_of_no_suspect(results: Results) -> None:
    wanted = [kind for kind in results["as 1.37"] if kind != "bots"]
    assert all(results["--only-suspects"][kind].median == 0 for kind in wanted)
    assert results["as 1.37"]["bots"].delivered < results["--only-suspects"]["bots"].delivered < 0.15


def test_table_has_a_row_for_each_kind_under_each_option(results: Results) -> None:
    rows = format_table(results).splitlines()
    assert len(rows) == 2 + len(OPTIONS) * 5
