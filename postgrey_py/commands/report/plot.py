# SPDX-License-Identifier: GPL-2.0-or-later
# mypy: allow-untyped-calls
"""A picture of the summary: what became of the mail of each day, and how long mail waited that came back.

Imported only when a picture is wanted, because matplotlib is an optional extra.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from datetime import date, timedelta
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, date2num
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator, NullLocator

from postgrey_py.commands.report.summary import HIGH_PERCENTILE, Summary, Tally
from postgrey_py.greylist.settings import SECONDS_PER_DAY, SECONDS_PER_HOUR

# On paper the long side of a page, on a screen 1650 by 1125 points.
INCHES = (11.0, 7.5)
DOTS_PER_INCH = 150

INK, FAINT, GRID = "#2b2d33", "#6f737b", "#dfe1e5"

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": FAINT,
    "axes.labelcolor": FAINT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "xtick.color": FAINT,
    "ytick.color": FAINT,
    "ytick.left": False,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    # The same summary makes the same file.
    "svg.hashsalt": "postgreyreport",
}


class Layer(NamedTuple):
    """A part of each day's bar."""

    label: str
    color: str
    count: Callable[[Tally], int]


# From the bottom to the top; told apart by their lightness, too, on a printer without colours.
LAYERS = (
    Layer("deferred, never came back", "#b5473c", lambda tally: tally.never_came_back),
    Layer("deferred, came back", "#e9b44c", lambda tally: tally.came_back),
    Layer("passed by whitelist", "#3d6b96", lambda tally: tally.whitelisted),
    Layer("passed by auto-whitelist", "#a3c4dc", lambda tally: tally.auto_whitelisted),
)
DELAY_COLOR = LAYERS[1].color

_MINUTE = 60
# Fine enough to see the habits of mail servers, coarse enough for little mail.
_BINS_PER_DOUBLING = 4
# What fits beside each other.
_MOST_DAY_LABELS, _MOST_NAMED_DAYS, _MOST_DELAY_LABELS = 10, 70, 14
_MOST_DAYS_BETWEEN = 3
# Room above the highest bar, as a part of it: for the eye, and for what the lines say.
_HEADROOM, _LABEL_ROOM = 0.06, 0.35
_DELAY_MARKS = {
    **{seconds: f"{seconds} s" for seconds in (1, 2, 5, 10, 30)},
    **{minutes * _MINUTE: f"{minutes} min" for minutes in (1, 2, 5, 10, 30)},
    SECONDS_PER_HOUR: "1 hour",
    **{hours * SECONDS_PER_HOUR: f"{hours} hours" for hours in (2, 4, 8)},
    SECONDS_PER_DAY: "1 day",
    **{days * SECONDS_PER_DAY: f"{days} days" for days in (2, 4, 8, 16, 32)},
}


def draw(summary: Summary, form: str) -> bytes:
    """A picture of the summary, "svg" or "png"."""
    picture = io.BytesIO()
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=INCHES, dpi=DOTS_PER_INCH, facecolor="white")
        days, delays = figure.subplots(2, 1, gridspec_kw={"height_ratios": (3, 2)})
        figure.subplots_adjust(left=0.075, right=0.97, top=0.80, bottom=0.08, hspace=0.42)
        _draw_head(figure, summary)
        _draw_days(days, summary)
        _draw_delays(delays, summary.total)
        figure.savefig(picture, format=form, metadata={"Date": None} if form == "svg" else None)
    return picture.getvalue()


def _draw_head(figure: Figure, summary: Summary) -> None:
    days = summary.dated_days()
    title = "Greylisting"
    if days:
        title += f", {_show_period(days[0][0], days[-1][0])}"
    figure.text(0.075, 0.945, title, fontsize=19, fontweight="bold", va="baseline")
    total = summary.total
    facts = [f"{total.deferred:,} mail{'' if total.deferred == 1 else 's'} deferred"]
    if total.deferred:
        facts.append(f"{_percent(total.never_came_back, total.deferred)} never came back")
        facts.append(f"{_percent(total.came_back, total.deferred)} came back")
    if total.median_delay is not None:
        facts[-1] += f", half of them within {_show_delay(total.median_delay)}"
    figure.text(0.075, 0.903, "   ·   ".join(facts), fontsize=11.5, color=FAINT, va="baseline")


def _draw_days(axes: Axes, summary: Summary) -> None:
    days = summary.dated_days()
    places = [date2num(day) for day, _ in days]
    # Many bars would flicker for the gaps between them.
    width = 0.8 if places and places[-1] - places[0] < _MOST_NAMED_DAYS else 1.0
    bottom = [0] * len(days)
    for layer in LAYERS:
        heights = [layer.count(tally) for _, tally in days]
        axes.bar(places, heights, bottom=bottom, width=width, color=layer.color, label=layer.label, linewidth=0)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    _title(axes, "Mails per day")
    if not days:
        _say_nothing(axes, "The log has no mail with a date")
        return
    axes.set_ylim(0, max(1, *bottom) * (1 + _HEADROOM))
    _count_axis(axes)
    axes.legend(
        loc="lower right", bbox_to_anchor=(1.0, 1.02), ncols=len(LAYERS), frameon=False, fontsize=9.5,
        handlelength=1.0, handleheight=1.0, columnspacing=1.6, handletextpad=0.5, borderaxespad=0.1,
    )  # fmt: skip
    _day_axis(axes, places[0], places[-1])


def _day_axis(axes: Axes, first: float, last: float) -> None:
    span = round(last - first) + 1
    # A bar is never wider than in the picture of a week.
    margin = max(0.6, (7 - span) / 2)
    axes.set_xlim(first - margin, last + margin)
    axes.tick_params(axis="x", length=0, pad=6)
    if span > _MOST_NAMED_DAYS:
        locator = AutoDateLocator(minticks=4, maxticks=12)
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
        return
    step = -(-span // _MOST_DAY_LABELS)
    start = first
    if step > _MOST_DAYS_BETWEEN:
        # People think in weeks.
        step = 7
        start += -_day_of(first).weekday() % 7
    axes.set_xticks(range(round(start), round(last) + 1, step))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _show_day(value, with_weekday=step == 1)))


def _draw_delays(axes: Axes, total: Tally) -> None:
    _title(axes, "How long mails waited that came back")
    if total.median_delay is None or total.high_delay is None:
        _say_nothing(axes, "The log does not say how long it took" if total.came_back else "No mail came back")
        return
    edges = _delay_bins(total.delays[0], total.delays[-1])
    counts, _, _ = axes.hist(
        [max(delay, 1) for delay in total.delays], bins=edges, color=DELAY_COLOR, edgecolor="white", linewidth=0.6
    )
    axes.set_ylim(0, float(max(counts)) * (1 + _LABEL_ROOM))
    _count_axis(axes)
    axes.set_xscale("log")
    axes.set_xlim(edges[0], edges[-1])
    marks = _delay_marks(edges[0], edges[-1])
    axes.set_xticks(list(marks), list(marks.values()))
    axes.xaxis.set_minor_locator(NullLocator())
    _draw_line(axes, total.median_delay, "median", row=0)
    _draw_line(axes, total.high_delay, f"{HIGH_PERCENTILE} % within", row=1)


def _draw_line(axes: Axes, seconds: int, text: str, row: int) -> None:
    """Draw a labelled line at a delay; each label has its own row, because two lines may be close."""
    axes.axvline(seconds, color=INK, linewidth=1.1, linestyle=(0, (4, 3)))
    left, right = (math.log(edge) for edge in axes.get_xlim())
    is_far_right = math.log(max(seconds, 1)) - left > 0.8 * (right - left)
    axes.annotate(
        f"{text} {_show_delay(seconds)}",
        xy=(seconds, 1),
        xycoords=("data", "axes fraction"),
        xytext=(-5 if is_far_right else 5, -2 - 14 * row),
        textcoords="offset points",
        ha="right" if is_far_right else "left",
        va="top",
        fontsize=9.5,
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 1},
    )


def _delay_marks(first: float, last: float) -> dict[int, str]:
    """The delays between these two that are written on the axis; not so many that they would run together."""
    least = math.log(last / first) / _MOST_DELAY_LABELS
    marks: dict[int, str] = {}
    for seconds, text in _DELAY_MARKS.items():
        if first <= seconds <= last and (not marks or math.log(seconds / max(marks)) >= least):
            marks[seconds] = text
    return marks


def _delay_bins(shortest: int, longest: int) -> list[float]:
    """Edges of bins that grow with the delay, from a mark to behind the longest."""
    edges = [float(max((mark for mark in _DELAY_MARKS if mark <= shortest), default=1))]
    while edges[-1] <= max(longest, 2 * edges[0]):
        edges.append(edges[0] * 2 ** (len(edges) / _BINS_PER_DOUBLING))
    return edges


def _title(axes: Axes, text: str) -> None:
    axes.set_title(text, loc="left", fontsize=12.5, fontweight="bold", pad=9)


def _count_axis(axes: Axes) -> None:
    axes.grid(axis="y")
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True, steps=(1, 2, 2.5, 5, 10)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _show_count(value)))


def _say_nothing(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", color=FAINT, fontsize=11)
    axes.set_axis_off()


def _show_period(first: date, last: date) -> str:
    if first == last:
        return f"{first.day} {first:%B %Y}"
    if (first.year, first.month) == (last.year, last.month):
        return f"{first.day} to {last.day} {last:%B %Y}"
    if first.year == last.year:
        return f"{first.day} {first:%B} to {last.day} {last:%B %Y}"
    return f"{first.day} {first:%B %Y} to {last.day} {last:%B %Y}"


def _show_day(value: float, with_weekday: bool) -> str:
    day = _day_of(value)
    return f"{day:%a} {day.day} {day:%b}" if with_weekday else f"{day.day} {day:%b}"


def _day_of(value: float) -> date:
    """The day at this place of the axis, which counts days since 1970."""
    return date(1970, 1, 1) + timedelta(days=round(value))


def _show_count(count: float) -> str:
    return f"{count / 1e6:g} million" if count >= 1e6 else f"{count:,.0f}"


def _show_delay(seconds: int) -> str:
    if seconds < _MINUTE:
        return f"{seconds} s"
    if seconds < SECONDS_PER_HOUR:
        return f"{round(seconds / _MINUTE)} min"
    if seconds < SECONDS_PER_DAY:
        return f"{seconds // SECONDS_PER_HOUR} h {seconds % SECONDS_PER_HOUR // _MINUTE:02} min"
    return f"{seconds / SECONDS_PER_DAY:.1f} days"


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / whole:.0f} %"
