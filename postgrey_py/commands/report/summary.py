# SPDX-License-Identifier: GPL-2.0-or-later
"""Greylisting in figures: in all, for each day, and for the networks that were deferred most.

Called by `report`; `plot` draws what is counted here.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from postgrey_py.commands.events import Kind
from postgrey_py.commands.formats import Value, write_csv
from postgrey_py.commands.logtime import LogClock
from postgrey_py.commands.report.history import Deferral, History
from postgrey_py.greylist.address import Address
from postgrey_py.greylist.settings import SECONDS_PER_DAY, SECONDS_PER_HOUR

TOP_NETWORKS = 20
HIGH_PERCENTILE = 95

# Table is what a row belongs to (all, day, network), name which one it is. Delays are in seconds.
COLUMNS = (
    *(
        "table",
        "name",
        "deferred",
        "came_back",
        "never_came_back",
        "median_delay",
        f"delay_{HIGH_PERCENTILE}th_percentile",
    ),
    *("whitelisted", "auto_whitelisted", "known"),
)

# One column more where there is something to count.
WARNINGS = "would_be_deferred"


@dataclass(slots=True)
class Tally:
    """Mails of one day or network, or all. `delays`, sorted, are those of the mails that came back and are known."""

    deferred: int = 0
    came_back: int = 0
    whitelisted: int = 0
    auto_whitelisted: int = 0
    known: int = 0
    would_be_deferred: int = 0
    delays: list[int] = field(default_factory=list)

    @property
    def never_came_back(self) -> int:
        return self.deferred - self.came_back

    @property
    def median_delay(self) -> int | None:
        """None where no delay is known."""
        if not self.delays:
            return None
        middle = len(self.delays) // 2
        return round((self.delays[middle] + self.delays[-middle - 1]) / 2)

    @property
    def high_delay(self) -> int | None:
        """The delay that HIGH_PERCENTILE of a hundred mails did not exceed; None where no delay is known."""
        return self.delays[math.ceil(len(self.delays) * HIGH_PERCENTILE / 100) - 1] if self.delays else None


@dataclass(frozen=True, slots=True)
class Summary:
    """The counts of a log.

    A mail belongs to the day on which it was first deferred, or passed; None is for lines without a time.
    `has_pass_lines` tells whether the log has lines of the server that let mail pass.
    """

    total: Tally
    days: dict[date | None, Tally]
    networks: dict[str, Tally]
    has_pass_lines: bool

    def dated_days(self) -> list[tuple[date, Tally]]:
        """The days in their order, without the mails of which the day is not known."""
        return sorted(((day, tally) for day, tally in self.days.items() if day is not None), key=lambda item: item[0])

    def top_networks(self) -> list[tuple[str, Tally]]:
        """The networks with most deferred mails, the first ones first."""
        ranked = sorted(self.networks.items(), key=lambda item: (-item[1].deferred, item[0]))
        return [(network, tally) for network, tally in ranked[:TOP_NETWORKS] if tally.deferred]


def summarize(
    history: History, deferrals: Sequence[Deferral], clock: LogClock, name_network: Callable[[Address], str]
) -> Summary:
    """Count the mails of these deferrals, and what passed at once."""
    summary = Summary(Tally(), {}, {}, history.has_pass_lines)
    for mail in {id(deferral.mail): deferral.mail for deferral in deferrals}.values():
        for tally in _tallies(summary, clock.day(mail.stamp), name_network(mail.address)):
            tally.deferred += 1
            tally.came_back += mail.came_back
            if mail.delay is not None:
                tally.delays.append(mail.delay)
    for mail in history.would_be_deferred():
        for tally in _tallies(summary, clock.day(mail.stamp), name_network(mail.address)):
            tally.would_be_deferred += 1
    for (kind, day, address), count in history.passes.items():
        for tally in _tallies(summary, day, name_network(address)):
            if kind is Kind.WHITELISTED:
                tally.whitelisted += count
            elif kind is Kind.AUTO_WHITELISTED:
                tally.auto_whitelisted += count
            else:
                tally.known += count
    for tally in (summary.total, *summary.days.values(), *summary.networks.values()):
        tally.delays.sort()
    return summary


def format_summary(summary: Summary) -> Iterator[str]:
    """The summary for people, in lines."""
    total, days = summary.total, summary.dated_days()
    if days:
        first, last = days[0][0], days[-1][0]
        yield f"Greylisting from {first} to {last}\n" if first != last else f"Greylisting on {first}\n"
    else:
        yield "Greylisting\n"
    yield "\n"
    yield _total_line("deferred", total.deferred)
    yield _total_line("  came back", total.came_back, total.deferred, _delays(total))
    yield _total_line("  never came back", total.never_came_back, total.deferred)
    if total.would_be_deferred:
        yield _total_line("would have been deferred", total.would_be_deferred, width=24)
    if summary.has_pass_lines:
        passed = total.known + total.whitelisted + total.auto_whitelisted
        yield _total_line("passed at once", passed)
        yield _total_line("  known triplet", total.known, passed)
        yield _total_line("  whitelist", total.whitelisted, passed)
        yield _total_line("  auto-whitelist", total.auto_whitelisted, passed)
    else:
        yield "\nThe log has no lines of postgrey that let mail pass (action=pass): delays and passes are not known.\n"
    named_days = [(str(day), tally) for day, tally in days]
    if None in summary.days:
        named_days.append(("no date", summary.days[None]))
    yield from _table("day", named_days)
    yield from _table("network", summary.top_networks())


def write_summary_json(summary: Summary) -> None:
    """Print an object: `all` is one, `days` and `networks` are arrays of objects, with COLUMNS behind `table`."""
    tables: dict[str, list[Mapping[str, Value]]] = {"all": [], "day": [], "network": []}
    for row in _rows(summary):
        tables[str(row["table"])].append({name: value for name, value in row.items() if name != "table"})
    (total,) = tables["all"]
    report = {"all": total, "days": tables["day"], "networks": tables["network"]}
    json.dump(report, sys.stdout, ensure_ascii=False, indent=1)
    sys.stdout.write("\n")


def write_summary_csv(summary: Summary) -> None:
    """Print a line for all, for each day and for each of the top networks, told apart by the first column."""
    write_csv((*COLUMNS, WARNINGS) if summary.total.would_be_deferred else COLUMNS, _rows(summary))


def _rows(summary: Summary) -> Iterator[Mapping[str, Value]]:
    has_warnings = bool(summary.total.would_be_deferred)
    yield _row("all", None, summary.total, has_warnings)
    for day, tally in summary.dated_days():
        yield _row("day", day.isoformat(), tally, has_warnings)
    if None in summary.days:
        yield _row("day", None, summary.days[None], has_warnings)
    for network, tally in summary.top_networks():
        yield _row("network", network, tally, has_warnings)


def _row(table: str, name: str | None, tally: Tally, has_warnings: bool) -> Mapping[str, Value]:
    counts = (tally.deferred, tally.came_back, tally.never_came_back)
    passes = (tally.whitelisted, tally.auto_whitelisted, tally.known)
    row = dict(zip(COLUMNS, (table, name, *counts, tally.median_delay, tally.high_delay, *passes), strict=True))
    return {**row, WARNINGS: tally.would_be_deferred} if has_warnings else row


def _table(head: str, rows: Sequence[tuple[str, Tally]]) -> Iterator[str]:
    if not rows:
        return
    width = max(len(name) for name, _ in (*rows, (head, None)))
    heads = ("deferred", "came back", "never", "median", "95th %", "known", "whitelist", "auto-wl")
    yield f"\n{head:<{width}}" + "".join(f"  {name:>9}" for name in heads) + "\n"
    for name, tally in rows:
        cells = (
            *(tally.deferred, tally.came_back, tally.never_came_back),
            *(short_duration(tally.median_delay), short_duration(tally.high_delay)),
            *(tally.known, tally.whitelisted, tally.auto_whitelisted),
        )
        yield f"{name:<{width}}" + "".join(f"  {cell:>9}" for cell in cells) + "\n"


def _total_line(name: str, count: int, of: int = 0, remark: str = "", width: int = 18) -> str:
    share = f"{100 * count / of:6.1f} %" if of else ""
    return f"{name:<{width}}{count:>10}  {share:<8}  {remark}".rstrip() + "\n"


def _delays(tally: Tally) -> str:
    if tally.median_delay is None or tally.high_delay is None:
        return ""
    known = f" of the {len(tally.delays)} of which the log has it" if len(tally.delays) != tally.came_back else ""
    return (
        f"median delay {short_duration(tally.median_delay)}, "
        f"{HIGH_PERCENTILE}th percentile {short_duration(tally.high_delay)}{known}"
    )


def short_duration(seconds: int | None) -> str:
    """A duration for people, in its two largest units: `5m12s`, `1h05m`, `2d03h`; a dash for None."""
    if seconds is None:
        return "-"
    if seconds < SECONDS_PER_HOUR:
        return f"{seconds // 60}m{seconds % 60:02}s"
    if seconds < SECONDS_PER_DAY:
        return f"{seconds // SECONDS_PER_HOUR}h{seconds % SECONDS_PER_HOUR // 60:02}m"
    return f"{seconds // SECONDS_PER_DAY}d{seconds % SECONDS_PER_DAY // SECONDS_PER_HOUR:02}h"


def _tallies(summary: Summary, day: date | None, network: str) -> tuple[Tally, Tally, Tally]:
    return summary.total, summary.days.setdefault(day, Tally()), summary.networks.setdefault(network, Tally())
