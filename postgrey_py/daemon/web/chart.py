# SPDX-License-Identifier: GPL-2.0-or-later
"""The chart of decisions per ten minutes, as SVG: what passed goes up from the line, what was deferred goes down.

Shapes are in a picture that is stretched to the width there is; labels are outside of it, so that they keep their size.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

from postgrey_py.daemon.web.markup import show
from postgrey_py.daemon.web.view import BUCKET_SECONDS, BUCKETS, Bucket, View

HEIGHT = 300
_TOP = 18
_BOTTOM = 24
_PLOT = HEIGHT - _TOP - _BOTTOM
_MOST_LINES = 6
# What each direction has at least, so that neither is taken for missing.
_LEAST_SHARE = 0.15
_HOURS_BETWEEN_LABELS = 6
# The room that a label takes to the right of its mark, where the window is wide.
_LABEL_BUCKETS = 15


class Layer(NamedTuple):
    """A part of each ten minutes: its name, the class of its colour, and the number that it shows."""

    label: str
    kind: str
    count: Callable[[Bucket], int]


# From the line outwards. What passed without a check is at the tips, where little of it is seen.
PASSED = (
    Layer("known", "known", lambda bucket: bucket.known),
    Layer("on a list", "listed", lambda bucket: bucket.listed),
    Layer("came back", "waited", lambda bucket: bucket.waited),
    Layer("not checked", "unchecked", lambda bucket: bucket.unchecked),
)
DEFERRED = (
    Layer("never came back", "lost", Bucket.lost),
    Layer("came back later", "returned", lambda bucket: bucket.first - bucket.lost()),
    Layer("came too early", "early", lambda bucket: bucket.early),
)


class Scale(NamedTuple):
    """The largest numbers that there is room for, up and down from the line, and the distance of the marks between."""

    up: float
    down: float
    step: int

    def y(self, value: float) -> float:
        """Return the place of a number; that of what was deferred is negative."""
        return _TOP + _PLOT * (self.up - value) / (self.up + self.down)

    def marks(self) -> list[int]:
        """Return the numbers that have a line, but for that from which the others are counted."""
        return [
            value for value in range(-int(self.down // self.step) * self.step, int(self.up) + 1, self.step) if value
        ]


def scale_of(buckets: list[Bucket]) -> Scale:
    """Return a scale for these buckets."""
    most_passed = max((one.passed() for one in buckets), default=0)
    most_deferred = max((one.deferred() for one in buckets), default=0)
    least = max((most_passed + most_deferred) * _LEAST_SHARE, 1.0)
    up, down = max(most_passed, least), max(most_deferred, least)
    return Scale(up, down, _round_step((up + down) / _MOST_LINES))


def _round_step(least: float) -> int:
    """Return the smallest of 1, 2, 5, 10, 20, 50 ... that is not below `least`."""
    if least <= 1:
        return 1
    power: int = 10 ** int(math.log10(least))
    return next(power * many for many in (1, 2, 5, 10) if power * many >= least)


def in_order(view: View) -> list[Bucket]:
    """Return all ten minutes of the last 48 hours, the one that has just begun last."""
    last = view.now - view.now % BUCKET_SECONDS
    known = {one.start: one for one in view.buckets}
    starts = range(last - (BUCKETS - 1) * BUCKET_SECONDS, last + 1, BUCKET_SECONDS)
    return [known.get(start) or Bucket(start) for start in starts]


def draw(buckets: list[Bucket], title: str, description: str) -> str:
    """Return the chart of these buckets, which follow each other without a gap."""
    scale = scale_of(buckets)
    return (
        f'<svg class="chart" role="img" aria-labelledby="chart-title chart-text" height="{HEIGHT}">'
        f'<title id="chart-title">{show(title)}</title><desc id="chart-text">{show(description)}</desc>'
        f"{''.join(_lines(scale))}{''.join(_hours(buckets))}"
        f'<svg viewBox="0 0 {len(buckets)} {HEIGHT}" preserveAspectRatio="none" width="100%" height="{HEIGHT}">'
        f"{_layers(buckets, scale, PASSED, 1)}{_layers(buckets, scale, DEFERRED, -1)}"
        f"{''.join(_columns(buckets))}</svg>"
        f'<line class="axis" x1="0" x2="100%" y1="{scale.y(0):.1f}" y2="{scale.y(0):.1f}"/>'
        f"{''.join(_labels(scale))}</svg>"
    )


def _layers(buckets: list[Bucket], scale: Scale, layers: tuple[Layer, ...], sign: int) -> str:
    """Return the areas of one direction: the outermost first, each covered by those further in."""
    areas = []
    heights = [0] * len(buckets)
    for layer in layers:
        counts = [layer.count(bucket) for bucket in buckets]
        heights = [height + count for height, count in zip(heights, counts, strict=True)]
        if any(counts):
            areas.append(f'<path class="{layer.kind}" d="{_outline(heights, scale, sign)}"/>')
    return "".join(reversed(areas))


def _outline(heights: list[int], scale: Scale, sign: int) -> str:
    """Return the path of steps around these heights and the line."""
    line = f"{scale.y(0):.1f}"
    steps = [f"M0 {line}"]
    before = line
    for number, height in enumerate(heights):
        level = f"{scale.y(sign * height):.1f}"
        if level != before:
            steps.append(f"H{number}V{level}")
            before = level
    return f"{''.join(steps)}H{len(heights)}V{line}Z"


def _columns(buckets: list[Bucket]) -> Iterator[str]:
    """Yield what the mouse finds: a column for each ten minutes with its numbers."""
    for number, bucket in enumerate(buckets):
        if bucket.total():
            when = time.strftime("%a %H:%M", time.localtime(bucket.start))
            text = f"{when}: {bucket.passed():,} passed, {bucket.deferred():,} deferred"
            yield (
                f'<rect class="column" x="{number}" y="{_TOP}" width="1" height="{_PLOT}">'
                f"<title>{show(text)}</title></rect>"
            )


def _lines(scale: Scale) -> Iterator[str]:
    for value in scale.marks():
        yield f'<line class="grid" x1="0" x2="100%" y1="{scale.y(value):.1f}" y2="{scale.y(value):.1f}"/>'


def _labels(scale: Scale) -> Iterator[str]:
    for value in scale.marks():
        yield f'<text class="count" x="-8" y="{scale.y(value) + 4:.1f}">{_short(abs(value))}</text>'


def _short(value: int) -> str:
    """Return a number that has room beside the chart."""
    for size, letter in ((10**9, "G"), (10**6, "M"), (10**3, "k")):
        if value >= 10 * size or (value >= size and value % size == 0):
            return f"{value / size:,.4g}{letter}"
    return f"{value:,}"


def _hours(buckets: list[Bucket]) -> Iterator[str]:
    """Yield marks for every sixth hour, by the clock on the wall, and for the beginning of a day."""
    before = None
    for number, bucket in enumerate(buckets):
        local = time.localtime(bucket.start)
        part = (local.tm_yday, local.tm_hour // _HOURS_BETWEEN_LABELS)
        if before not in (None, part):
            is_midnight = part[1] == 0
            text = f"{time.strftime('%a', local)} {local.tm_mday}" if is_midnight else time.strftime("%H:%M", local)
            kind = "day" if is_midnight else "noon" if part[1] == 2 else "between"
            x = f"{100 * number / len(buckets):.2f}%"
            yield f'<line class="hour {kind}" x1="{x}" x2="{x}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
            if number <= len(buckets) - _LABEL_BUCKETS:
                yield f'<text class="hour {kind}" x="{x}" y="{HEIGHT - 6}">{show(text)}</text>'
        before = part
