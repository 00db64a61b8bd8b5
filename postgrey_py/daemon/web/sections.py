# SPDX-License-Identifier: GPL-2.0-or-later
"""The parts of the page below its head, one function for each: figures, decisions, waits, what waits now, lists."""

from __future__ import annotations

import time
from collections.abc import Iterator

from postgrey_py.daemon.web.chart import DEFERRED, PASSED, Layer, draw, in_order
from postgrey_py.daemon.web.markup import DASH, NARROW, cell, column, meter, moment, number, row, show, stranger, table
from postgrey_py.daemon.web.view import Bucket, ListFile, View, WaitBin
from postgrey_py.daemon.web.words import add_up, bound, last_day, percent, plural, span, trend


def figures(view: View) -> str:
    """Return the four numbers that tell whether greylisting pays."""
    day, before = last_day(view), last_day(view, days_ago=1)
    times, now = view.waits, view.waiting
    items = (
        _figure(
            "Decisions in 24 hours",
            f"{day.total():,}",
            trend(day.total(), before.total()) or "nothing to compare with",
        ),
        _figure("Never came back", percent(day.lost(), day.first) if day.first else DASH, "of first tries, so far"),
        _figure(
            "Typical wait",
            DASH if times.median is None else span(times.median),
            "nothing has come back yet" if times.high is None else f"95{NARROW}% within {span(times.high)}",
        ),
        _figure(
            "Waiting now",
            DASH if now.counted_at is None else f"{now.mails:,}",
            "not counted yet" if now.counted_at is None else f"from {plural(now.all_networks, 'network')}",
        ),
    )
    return f'<section aria-label="Figures"><dl class="figures">{"".join(items)}</dl></section>'


def _figure(name: str, value: str, remark: str) -> str:
    return f'<div><dt>{show(name)}</dt><dd class="value">{show(value)}</dd><dd class="remark">{show(remark)}</dd></div>'


def decisions(view: View) -> str:
    """Return the chart of decisions with its legend, and the table behind it."""
    head = '<section aria-labelledby="decisions"><h2 id="decisions">48 hours of decisions, per ten minutes</h2>'
    buckets = in_order(view)
    total = add_up(buckets)
    if not total.total():
        return f"{head}<p>The chart begins with the first mail.</p></section>"
    text = (
        f"{plural(total.passed(), 'mail')} passed and {plural(total.deferred(), 'mail')} were deferred"
        " in 48 hours; the table below has the numbers of every ten minutes."
    )
    return (
        f"{head}<figure>{draw(buckets, 'Decisions per ten minutes', text)}"
        f"<figcaption>{_legend('Passed', PASSED, total)}{_legend('Deferred', DEFERRED, total)}</figcaption></figure>"
        f"<details><summary>The numbers behind the chart</summary>{_numbers(buckets)}</details></section>"
    )


def _numbers(buckets: list[Bucket]) -> str:
    """Return the table behind the chart, without the ten minutes in which nobody asked."""
    layers = (*PASSED, *DEFERRED)
    rows = [
        row(time.strftime("%a %H:%M", time.localtime(one.start)), *(number(layer.count(one)) for layer in layers))
        for one in reversed(buckets)
        if one.total()
    ]
    groups = (
        f'<td></td><th scope="colgroup" colspan="{len(PASSED)}">Passed</th>'
        f'<th scope="colgroup" colspan="{len(DEFERRED)}">Deferred</th>'
    )
    columns = [column("From"), *(column(layer.label.capitalize(), "n") for layer in layers)]
    return table("Decisions per ten minutes, the newest first", columns, rows, groups)


def _legend(title: str, layers: tuple[Layer, ...], total: Bucket) -> str:
    """Return the names of the layers of one direction, with their colours and sums."""
    counts = [(layer, layer.count(total)) for layer in layers]
    keys = "".join(
        f'<li><svg class="key" aria-hidden="true" width="12" height="12"><rect class="{layer.kind}" width="12"'
        f' height="12"/></svg>{show(layer.label)} <b>{count:,}</b></li>'
        for layer, count in counts
        if count
    )
    return f'<div class="legend"><p>{title} <b>{sum(count for _, count in counts):,}</b></p><ul>{keys}</ul></div>'


def waits(view: View) -> str:
    """Return how long mail waited that came back, as a table with bars."""
    head = '<section aria-labelledby="waits"><h2 id="waits">How long mail waited that came back</h2>'
    total = view.waits.total()
    if not total:
        wait = show(span(view.delay))
        return f"{head}<p>No mail has come back yet. It may do so {wait} after its first try.</p></section>"
    most = max(one.mails for one in view.waits.bins)
    rows, sum_so_far, shortest = [], 0, 0
    for one in view.waits.bins:
        if not sum_so_far and not one.mails:
            # Nothing passes before the delay is over.
            shortest = one.up_to or 0
            continue
        sum_so_far += one.mails
        rows.append(
            row(
                show(_bin_label(shortest, one)),
                cell(meter(one.mails, most, "waited"), "bar"),
                number(one.mails),
                cell(show(percent(sum_so_far, total)), "n"),
            )
        )
        shortest = one.up_to or 0
    columns = [column("Waited"), column("", "bar"), column("Mails", "n"), column("Up to here", "n")]
    return f"{head}{table('Mails that came back, by the time they had waited', columns, rows)}</section>"


def _bin_label(shortest: int, one: WaitBin) -> str:
    if one.up_to is None:
        return f"over {bound(shortest)}"
    return f"{bound(shortest)} to {bound(one.up_to)}" if shortest else f"up to {bound(one.up_to)}"


def waiting(view: View) -> str:
    """Return which networks have mail that waits now."""
    return (
        '<section aria-labelledby="waiting"><h2 id="waiting">Waiting now, by network</h2>'
        f"{''.join(_waiting(view))}</section>"
    )


def _waiting(view: View) -> Iterator[str]:
    now = view.waiting
    if now.counted_at is None:
        yield "<p>Not counted: the database does not answer, or the server has just started.</p>"
        return
    if not now.mails:
        yield "<p>Nothing waits.</p>"
    if now.networks:
        most = max(one.mails for one in now.networks)
        rows = [
            row(
                stranger(one.network),
                cell(meter(one.mails, most, "returned"), "bar"),
                number(one.mails),
                cell(show(span(view.now - one.oldest)), "n"),
            )
            for one in now.networks
        ]
        columns = [column("Network"), column("", "bar"), column("Mails", "n"), column("Oldest", "n")]
        yield table("Networks with mail that waits, the most first", columns, rows)
    rest = now.mails - now.hidden - sum(one.mails for one in now.networks)
    if rest > 0:
        others = max(1, now.all_networks - len(now.networks))
        yield f"<p>And {plural(rest, 'mail')} from {plural(others, 'further network')}.</p>"
    if now.hidden:
        yield f"<p>{plural(now.hidden, 'mail')} of which the network is not known, because it is stored as a hash.</p>"


def lists(view: View) -> str:
    """Return the lists with their files, and when they were read."""
    head = '<section class="lists" aria-labelledby="lists"><h2 id="lists">Lists</h2>'
    if not view.lists:
        return f"{head}<p>There are none.</p></section>"
    columns = [column("List"), column("Entries", "n"), column("Not used", "n"), column("Read", "n")]
    rows = [_list_row(one, view.now) for one in view.lists]
    return f"{head}{table('Lists in force', columns, rows)}</section>"


def _list_row(one: ListFile, now: int) -> str:
    paths = "".join(f'<small class="path">{stranger(path)}</small>' for path in one.paths)
    age = f'{show(span(now - one.read_at))} ago <small class="when">{moment(one.read_at, "%a %d %b %H:%M")}</small>'
    if one.is_changed:
        age += ' <strong class="worry">changed since</strong>'
    return row(
        f"<b>{show(one.kind)}</b>{paths}",
        number(one.entries),
        cell(f'<strong class="worry">{one.unused:,}</strong>', "n") if one.unused else number(0),
        cell(age, "n"),
    )


def foot(view: View) -> str:
    """Return what the server is, and what it holds."""
    facts = [f"postgrey-py {view.version}", f"up {span(view.now - view.started_at)}"]
    if view.triplets is not None:
        facts.append(plural(view.triplets, "triplet"))
    if view.clients is not None:
        facts.append(plural(view.clients, "client"))
    zone = time.strftime("%Z", time.localtime(view.now))
    return f"<footer><p>{' · '.join(show(fact) for fact in facts)} · times in {show(zone)}</p></footer>"
