# SPDX-License-Identifier: GPL-2.0-or-later
"""The comparison finds what differs, and nothing where nothing does: Perl Postgrey beside itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from tests.parity.comparison import differences, mask
from tests.parity.databases import CLIENTS, TRIPLETS
from tests.parity.replay import PERL, Outcome, replay_side_by_side
from tests.parity.traffic import Batch, make_traffic
from tests.parity.world import Population

# Always the same traffic, so that what is planted always has consequences.
SEED = 1
REQUESTS = 1000
HEADER = "PREPEND X-Greylist: delayed 300 seconds by postgrey-1.37 at mx; Sat, 21 Nov 2026 09:08:07 XYZ"


@pytest.fixture(scope="module")
def traffic() -> list[Batch]:
    return make_traffic(SEED, REQUESTS, Population())


@pytest.fixture(scope="module")
def perl_twice(traffic: list[Batch], tmp_path_factory: pytest.TempPathFactory) -> tuple[Outcome, Outcome]:
    return replay_side_by_side((PERL, PERL), ((), ()), traffic, tmp_path_factory.mktemp("twice"))


def kinds_of_differences(one: Outcome, two: Outcome, traffic: Sequence[Batch]) -> list[str]:
    return [text.partition(":")[0] for text in differences(one, two, traffic)]


def test_perl_equals_itself(perl_twice: tuple[Outcome, Outcome], traffic: list[Batch]) -> None:
    assert differences(*perl_twice, traffic) == []


def test_traffic_leaves_traces_to_compare(perl_twice: tuple[Outcome, Outcome]) -> None:
    outcome = perl_twice[0]
    assert len(outcome.replies) == REQUESTS
    assert len(outcome.log) > REQUESTS
    assert len(outcome.databases[TRIPLETS].records) > 100
    assert len(outcome.databases[CLIENTS].records) > 10


@pytest.mark.parametrize(
    ("option", "kinds"),
    [
        ("--delay=301", {"reply", "log line"}),
        ("--lookup-by-host", {"reply", "log line", f"record of {TRIPLETS}"}),
        ("--auto-whitelist-clients=0", {"list of databases"}),
        ("--greylist-text=Later", {"reply"}),
    ],
)
def test_other_option_is_found(option: str, kinds: set[str], traffic: list[Batch], tmp_path: Path) -> None:
    outcomes = replay_side_by_side((PERL, PERL), ((), (option,)), traffic, tmp_path)
    assert kinds <= set(kinds_of_differences(*outcomes, traffic))


def test_single_reply_is_found(perl_twice: tuple[Outcome, Outcome], traffic: list[Batch]) -> None:
    replies = list(perl_twice[0].replies)
    replies[500] += " "
    assert kinds_of_differences(replace(perl_twice[0], replies=tuple(replies)), perl_twice[1], traffic) == ["reply"]


def test_swapped_log_lines_are_found(perl_twice: tuple[Outcome, Outcome], traffic: list[Batch]) -> None:
    log = perl_twice[0].log
    at = next(at for at in range(len(log)) if log[at] != log[at + 1])
    swapped = (*log[:at], log[at + 1], log[at], *log[at + 2 :])
    assert kinds_of_differences(replace(perl_twice[0], log=swapped), perl_twice[1], traffic) == ["log line"]


@pytest.mark.parametrize("name", [TRIPLETS, CLIENTS])
@pytest.mark.parametrize("planted", ["changed", "removed", "added"])
def test_single_record_is_found(
    perl_twice: tuple[Outcome, Outcome], traffic: list[Batch], name: str, planted: str
) -> None:
    databases = dict(perl_twice[0].databases)
    records = dict(databases[name].records)
    key = sorted(records)[len(records) // 2]
    if planted == "removed":
        del records[key]
    else:
        records[key if planted == "changed" else key + "x"] = "1,2"
    databases[name] = replace(databases[name], records=records)
    found = kinds_of_differences(perl_twice[0], replace(perl_twice[1], databases=databases), traffic)
    assert found == [f"record of {name}"]


def test_missing_database_is_found(perl_twice: tuple[Outcome, Outcome], traffic: list[Batch]) -> None:
    databases = {TRIPLETS: perl_twice[0].databases[TRIPLETS]}
    found = kinds_of_differences(replace(perl_twice[0], databases=databases), perl_twice[1], traffic)
    assert found == ["list of databases"]


def test_other_page_size_is_found(perl_twice: tuple[Outcome, Outcome], traffic: list[Batch]) -> None:
    databases = dict(perl_twice[0].databases)
    header = (*databases[TRIPLETS].header[:-1], "db_pagesize=512")
    databases[TRIPLETS] = replace(databases[TRIPLETS], header=header)
    found = kinds_of_differences(replace(perl_twice[0], databases=databases), perl_twice[1], traffic)
    assert found == [f"header of {TRIPLETS}"]


@pytest.mark.parametrize(("old", "new"), [("1.37", "0.1.0"), ("1.37", "2.0.dev1"), ("Sat, 21 Nov", "Sun, 01 Feb")])
def test_version_and_date_may_differ(old: str, new: str) -> None:
    assert HEADER.replace(old, new) != HEADER
    assert mask(HEADER.replace(old, new)) == mask(HEADER)


@pytest.mark.parametrize(
    ("old", "new"),
    [("300", "301"), ("at mx", "at mx2"), ("XYZ", "UTC"), ("21 Nov", "Nov 21"), ("09:", "9:"), (";", "")],
)
def test_nothing_else_in_the_header_may_differ(old: str, new: str) -> None:
    assert mask(HEADER.replace(old, new)) != mask(HEADER)


def test_same_seed_makes_the_same_traffic(traffic: list[Batch]) -> None:
    assert make_traffic(SEED, REQUESTS, Population()) == traffic
    assert make_traffic(SEED + 1, REQUESTS, Population()) != traffic
