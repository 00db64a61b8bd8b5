# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgreyreport --summary`: what is counted, and how it is shown."""

from __future__ import annotations

import csv
import io
import json
import re
import statistics
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

import pytest

from postgrey_py.commands.report.summary import Summary, Tally, format_summary, short_duration
from tests.commands.generated_log import Generator, World
from tests.commands.reporting import RETURNED, record, reject_line, report, server_line
from tests.database.dbdirs import fill

KNOWN = "action=pass, reason=triplet found"
AWL = "action=pass, reason=client AWL"
WHITELIST = "action=pass, reason=client whitelist"


def returned(delay: int) -> str:
    return f"action=pass, reason=triplet found, delay={delay}"


def summarize(dbdir: Path, log: str, *options: str) -> dict[str, dict[str, object]]:
    """The rows of the summary by table and name; that of all by "all"."""
    rows = csv.DictReader(io.StringIO(report(dbdir, log, "--summary", "--format=csv", *options)))
    return {row["name"] or row["table"]: {name: value for name, value in row.items() if value} for row in rows}


def numbers(row: dict[str, object]) -> tuple[int, ...]:
    """deferred, came back, never, whitelisted, auto-whitelisted, known."""
    names = ("deferred", "came_back", "never_came_back", "whitelisted", "auto_whitelisted", "known")
    return tuple(int(str(row[name])) for name in names)


@pytest.mark.parametrize("iso", [False, True], ids=["traditional", "iso"])
@pytest.mark.parametrize("quirks", [False, True], ids=["plain", "quirks"])
def test_generated_log_is_counted_rightly(quirks: bool, iso: bool, tmp_path: Path) -> None:
    world: World = Generator(seed=4, wanted=5000, quirks=quirks, iso=iso).generate()
    fill(tmp_path / "db", world.records)
    rows = summarize(tmp_path / "db", "".join(world.lines))
    came_back = len(world.delays)
    expected = (world.deferred, came_back, world.deferred - came_back)
    assert numbers(rows["all"]) == (*expected, world.whitelisted, world.auto_whitelisted, world.known)
    assert int(str(rows["all"]["median_delay"])) == round(statistics.median(world.delays))
    within = sum(delay <= int(str(rows["all"]["delay_95th_percentile"])) for delay in world.delays)
    assert 0.95 <= within / came_back < 0.96
    days = [row for row in rows.values() if row["table"] == "day"]
    assert 6 <= len(days) <= 9
    assert tuple(map(sum, zip(*map(numbers, days), strict=True))) == numbers(rows["all"])
    networks = [row for row in rows.values() if row["table"] == "network"]
    assert len(networks) == 20
    counts = [numbers(row)[0] for row in networks]
    assert counts == sorted(counts, reverse=True)


@dataclass
class Count:
    """What a day or a network has, counted line by line."""

    mails: set[tuple[str, ...]] = field(default_factory=set)
    delays: list[int] = field(default_factory=list)
    passes: Counter[str] = field(default_factory=Counter)

    def row(self) -> tuple[str, ...]:
        counts = (len(self.mails), len(self.delays), len(self.mails) - len(self.delays))
        # Of percentile 95, the smallest delay that as many do not exceed.
        within = {sum(other <= delay for other in self.delays): delay for delay in sorted(self.delays, reverse=True)}
        high = min((delay for count, delay in within.items() if 20 * count >= 19 * len(self.delays)), default="")
        median = round(statistics.median(self.delays)) if self.delays else ""
        whitelisted = self.passes["client whitelist"] + self.passes["recipient whitelist"]
        return tuple(
            map(str, (*counts, median, high, whitelisted, self.passes["client AWL"], self.passes["triplet found"]))
        )


def count_lines(lines: list[str]) -> dict[str, Count]:
    """The same by the lines of the server alone, for each day and each network."""
    counts: defaultdict[str, Count] = defaultdict(Count)
    days: dict[tuple[str, ...], str] = {}
    for line in lines:
        found = re.search(
            r"^(\S+)T.* action=(\w+), reason=([^,]*)(?:, delay=(\d+))?.* client_address=([\d.]+)\.\d+, (.*)", line
        )
        if found is None:
            continue
        day, action, reason, delay, network, correspondents = found.groups()
        # A number in the sender, and what follows a plus sign, do not tell mails apart.
        mail = (network, re.sub(r"\+\w+|(?<=-)\d+(?=@)", "", correspondents).lower())
        if action == "greylist":
            day = days.setdefault(mail, day)
        for name in (f"{network}.0/24", days[mail] if delay else day):
            if action == "greylist":
                counts[name].mails.add(mail)
            elif delay:
                counts[name].delays.append(int(delay))
            else:
                counts[name].passes[reason] += 1
    return counts


def test_days_and_networks_are_counted_rightly(tmp_path: Path) -> None:
    world = Generator(seed=5, wanted=5000, iso=True).generate()
    fill(tmp_path / "db", world.records)
    rows = summarize(tmp_path / "db", "".join(world.lines))
    del rows["all"]
    counts = count_lines(world.lines)
    mail = ("deferred", "came_back", "never_came_back", "median_delay", "delay_95th_percentile")
    columns = (*mail, "whitelisted", "auto_whitelisted", "known")
    for name, row in rows.items():
        assert tuple(str(row.get(column, "")) for column in columns) == counts[name].row(), name
    days = {name for name in counts if "-" in name}
    assert days == {name for name, row in rows.items() if row["table"] == "day"}
    most = sorted((len(count.mails) for name, count in counts.items() if name not in days), reverse=True)[:20]
    assert [int(str(row["deferred"])) for row in rows.values() if row["table"] == "network"] == most


def test_a_mail_is_a_triplet_and_counted_once(tmp_path: Path) -> None:
    fill(tmp_path / "db", {})
    log = reject_line() * 3 + reject_line(address="198.51.100.8") + reject_line(address="203.0.113.7")
    rows = summarize(tmp_path / "db", log)
    assert numbers(rows["all"]) == (2, 0, 2, 0, 0, 0)
    assert numbers(rows["198.51.100.0/24"]) == (1, 0, 1, 0, 0, 0)
    assert numbers(summarize(tmp_path / "db", log, "--lookup-by-host")["all"]) == (3, 0, 3, 0, 0, 0)


def test_mail_came_back_when_log_or_database_says_so(tmp_path: Path) -> None:
    fill(tmp_path / "db", record(sender="db@example.com", lasted=RETURNED))
    senders = ("lost@example.com", "db@example.com", "log@example.com", "awl@example.com")
    log = "".join(reject_line(sender=sender, stamp="2026-03-02T12:00:00+01:00") for sender in senders)
    later = "2026-03-03T12:00:00+01:00"
    log += server_line(returned(7200), sender="log@example.com", stamp=later)
    # It passed by the auto-whitelist a day later: there is no record of that, and no delay in the line.
    log += server_line(AWL, sender="awl@example.com", stamp=later)
    rows = summarize(tmp_path / "db", log)
    assert numbers(rows["all"]) == (4, 3, 1, 0, 0, 0)
    assert (rows["all"]["median_delay"], rows["all"]["delay_95th_percentile"]) == (str((7200 + 86400) // 2), "86400")
    assert numbers(rows["2026-03-02"]) == (4, 3, 1, 0, 0, 0)
    assert "2026-03-03" not in rows


def test_passes_count_where_nothing_was_deferred(tmp_path: Path) -> None:
    fill(tmp_path / "db", {})
    log = reject_line(stamp="2026-03-02T12:00:00Z")
    for action in (KNOWN, KNOWN, KNOWN, returned(400), AWL, AWL, WHITELIST):
        log += server_line(action, sender="carol@example.com", stamp="2026-03-03T12:00:00Z")
    log += server_line("action=pass, reason=recipient whitelist", address="2001:db8::1", stamp="2026-03-03T12:00:00Z")
    rows = summarize(tmp_path / "db", log)
    assert numbers(rows["all"]) == (1, 0, 1, 2, 2, 4)
    assert numbers(rows["2026-03-03"]) == (0, 0, 0, 2, 2, 4)
    assert numbers(rows["198.51.100.0/24"]) == (1, 0, 1, 1, 2, 4)
    assert "2001:db8::/64" not in rows


def test_what_comes_back_before_the_delay_does_not_count(tmp_path: Path) -> None:
    fill(tmp_path / "db", {})
    log = reject_line() + server_line(returned(600))
    assert numbers(summarize(tmp_path / "db", log)["all"]) == (1, 1, 0, 0, 0, 0)
    assert numbers(summarize(tmp_path / "db", log, "--delay=601")["all"]) == (1, 0, 1, 0, 0, 0)


def test_lines_without_time_have_no_day(tmp_path: Path) -> None:
    fill(tmp_path / "db", {})
    log = reject_line(stamp="somewhen") + reject_line(sender="b@example.com", stamp="2026-03-02T12:00:00Z")
    rows = csv.DictReader(io.StringIO(report(tmp_path / "db", log, "--summary", "--format=csv")))
    assert [(row["table"], row["name"], row["deferred"]) for row in rows][:3] == [
        ("all", "", "2"),
        ("day", "2026-03-02", "1"),
        ("day", "", "1"),
    ]
    assert "\nno date " in report(tmp_path / "db", log, "--summary")


def test_json_has_the_same_figures(tmp_path: Path) -> None:
    fill(tmp_path / "db", {})
    log = reject_line(stamp="2026-03-02T12:00:00Z") + server_line(returned(400), stamp="2026-03-02T13:00:00Z")
    summary = json.loads(report(tmp_path / "db", log, "--summary", "--format=json"))
    figures = {
        "deferred": 1,
        "came_back": 1,
        "never_came_back": 0,
        "median_delay": 400,
        "delay_95th_percentile": 400,
        "whitelisted": 0,
        "auto_whitelisted": 0,
        "known": 0,
    }
    assert summary == {
        "all": {"name": None, **figures},
        "days": [{"name": "2026-03-02", **figures}],
        "networks": [{"name": "198.51.100.0/24", **figures}],
    }


def test_clients_can_be_chosen(tmp_path: Path) -> None:
    fill(tmp_path / "db", {})
    (tmp_path / "clients").write_text("203.0.113\n")
    log = reject_line() + reject_line(address="203.0.113.7") + server_line(WHITELIST)
    rows = summarize(tmp_path / "db", log, f"--match_clients={tmp_path / 'clients'}")
    assert numbers(rows["all"]) == (1, 0, 1, 0, 0, 0)


# For people


def test_summary_for_people() -> None:
    quiet = Tally(deferred=2, came_back=0)
    busy = Tally(
        deferred=1500, came_back=500, whitelisted=250, auto_whitelisted=50, known=200, delays=[400] * 400 + [90000]
    )
    total = Tally(deferred=1502, came_back=500, whitelisted=250, auto_whitelisted=50, known=200, delays=busy.delays)
    days: dict[date | None, Tally] = {date(2026, 3, 3): quiet, date(2026, 3, 2): busy}
    summary = Summary(total, days, {"2001:db8::/64": quiet, "192.0.2.0/24": busy}, has_pass_lines=True)
    assert "".join(format_summary(summary)) == (
        "Greylisting from 2026-03-02 to 2026-03-03\n"
        "\n"
        "deferred                1502\n"
        "  came back              500    33.3 %  median delay 6m40s, 95th percentile 6m40s"
        " of the 401 of which the log has it\n"
        "  never came back       1002    66.7 %\n"
        "passed at once           500\n"
        "  known triplet          200    40.0 %\n"
        "  whitelist              250    50.0 %\n"
        "  auto-whitelist          50    10.0 %\n"
        "\n"
        "day          deferred  came back      never     median     95th %      known  whitelist    auto-wl\n"
        "2026-03-02       1500        500       1000      6m40s      6m40s        200        250         50\n"
        "2026-03-03          2          0          2          -          -          0          0          0\n"
        "\n"
        "network         deferred  came back      never     median     95th %      known  whitelist    auto-wl\n"
        "192.0.2.0/24        1500        500       1000      6m40s      6m40s        200        250         50\n"
        "2001:db8::/64          2          0          2          -          -          0          0          0\n"
    )


def test_log_without_lines_of_the_server_says_what_it_lacks(tmp_path: Path) -> None:
    fill(tmp_path / "db", record(lasted=RETURNED))
    output = report(tmp_path / "db", reject_line(), "--summary")
    assert "came back                1   100.0 %\n" in output
    assert "The log has no lines of postgrey that let mail pass (action=pass)" in output


def test_empty_log_has_an_empty_summary(tmp_path: Path) -> None:
    fill(tmp_path / "db", {})
    assert report(tmp_path / "db", "", "--summary").startswith("Greylisting\n\ndeferred                   0\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "-"),
        (0, "0m00s"),
        (59, "0m59s"),
        (312, "5m12s"),
        (3599, "59m59s"),
        (3900, "1h05m"),
        (86399, "23h59m"),
        (183600, "2d03h"),
    ],
)
def test_durations_are_short(seconds: int | None, text: str) -> None:
    assert short_duration(seconds) == text
