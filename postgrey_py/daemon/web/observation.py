# SPDX-License-Identifier: GPL-2.0-or-later
"""The running server -> the view of it that the page shows."""

from __future__ import annotations

import contextlib
import ipaddress
import os
from collections.abc import Iterator

from postgrey_py import __version__
from postgrey_py.daemon.engine import Engine
from postgrey_py.daemon.health import describe_list_failures
from postgrey_py.daemon.survey import Census, Survey
from postgrey_py.daemon.tally import Span, quantile
from postgrey_py.daemon.web.view import Bucket, ListFile, Mode, Trouble, View, WaitBin, Waiting, WaitingNetwork, Waits
from postgrey_py.greylist.address import parse_address
from postgrey_py.greylist.decision import Reason
from postgrey_py.greylist.settings import Settings

# Upper bounds of the bins of waits, in seconds.
WAITS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)


def observe(engine: Engine, survey: Survey) -> View:
    """Return the view of the server as it is now."""
    now = int(engine.clock())
    spans = engine.tally.spans(now)
    mode, detail = _find_mode(engine)
    census = survey.census
    return View(
        now=now,
        started_at=int(engine.started),
        version=__version__,
        host=engine.settings.hostname,
        delay=engine.settings.delay,
        mode=mode,
        mode_detail=detail,
        troubles=tuple(_find_troubles(engine)),
        buckets=tuple(make_bucket(span) for span in spans),
        waits=make_waits(spans),
        waiting=make_waiting(census, engine.settings),
        lists=tuple(_find_lists(engine)),
        triplets=None if census is None else census.triplets,
        clients=None if census is None or not engine.settings.auto_whitelist_clients else census.clients,
    )


def make_bucket(span: Span) -> Bucket:
    """Return a span of the tally in the groups of the page."""
    returns = span.returns()
    return Bucket(
        start=span.start,
        first=span.count_of(Reason.NEW),
        returned=span.returned,
        early=span.count_of(Reason.EARLY_RETRY),
        waited=returns,
        known=span.count_of(
            *(Reason.TRIPLET_FOUND, Reason.AUTO_WHITELIST, Reason.DOMAIN_FOUND, Reason.DOMAIN_AUTO_WHITELIST)
        )
        - returns,
        listed=span.count_of(
            *(Reason.CLIENT_WHITELIST, Reason.RECIPIENT_WHITELIST, Reason.NOT_GREYLISTED),
            *(Reason.SENDER_WHITELIST, Reason.NOT_SUSPECT, Reason.ALLOWED, Reason.VOUCHED_FOR),
        ),
        unchecked=span.unseen
        + span.count_of(Reason.PAUSED, Reason.TRAINING, Reason.UNKNOWN_ADDRESS, Reason.ATTRIBUTE_MISSING),
    )


def make_waits(spans: list[Span]) -> Waits:
    """Return how long mail waited that came back in these spans."""
    total = Span(0)
    for span in spans:
        total.add(span)
    if not total.waits:
        return Waits()
    mails = [0] * (len(WAITS) + 1)
    for wait, number in total.waits.items():
        mails[sum(wait > bound for bound in WAITS)] += number
    bins = tuple(WaitBin(bound, number) for bound, number in zip((*WAITS, None), mails, strict=True))
    return Waits(bins, quantile(total.waits, 0.5), quantile(total.waits, 0.95))


def make_waiting(census: Census | None, settings: Settings) -> Waiting:
    """Return the mail that waits by the latest count."""
    if census is None:
        return Waiting()
    return Waiting(
        counted_at=census.counted_at,
        mails=census.pending,
        all_networks=census.all_networks,
        hidden=census.hidden,
        networks=tuple(
            WaitingNetwork(describe_network(one.network, settings), one.triplets, one.oldest) for one in census.networks
        ),
    )


def describe_network(name: str, settings: Settings) -> str:
    """Return a network as people write it: with its mask, and IPv6 short; what a key has for it where it is none."""
    address = parse_address(name.partition("/")[0])
    if address is None:
        return name
    text = ipaddress.ip_address(address.text()).compressed
    if settings.lookup_by_host:
        return text
    return f"{text}/{settings.network_bits(address.bits)}"


def _find_mode(engine: Engine) -> tuple[Mode, str]:
    """Return how mail is treated, and what there is to say about that."""
    if engine.outage.is_down:
        return Mode.DOWN, f"All mail passes: {engine.outage.reason}"
    pause = engine.orders.in_force().pause
    if pause is not None:
        return Mode.PAUSED, f"All mail passes: paused {pause.text()}. End it with postgreyctl resume."
    if engine.settings.training:
        return Mode.TRAINING, "All mail passes, and the log says what would be deferred (--training)."
    return Mode.GREYLISTING, ""


def _find_troubles(engine: Engine) -> Iterator[Trouble]:
    if (text := describe_list_failures(engine)) is not None:
        yield Trouble(f"{text}.")


def _find_lists(engine: Engine) -> Iterator[ListFile]:
    lists = engine.whitelists
    for kind in lists.paths:
        one, read_at = getattr(lists.current, kind), lists.read_at[kind]
        yield ListFile(
            kind,
            tuple(lists.paths[kind]),
            one.in_force,
            sum(not remark.is_in_force for remark in one.remarks),
            int(read_at),
            any(_is_newer(path, read_at) for path in lists.paths[kind]),
        )


def _is_newer(path: str, read_at: float) -> bool:
    """Whether the file was changed after that."""
    with contextlib.suppress(OSError):
        return os.stat(path).st_mtime > read_at
    return False
