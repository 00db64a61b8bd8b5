# SPDX-License-Identifier: GPL-2.0-or-later
"""/metrics: the numbers of the server for Prometheus, named by its conventions.

Labels take the values of enumerations, names of databases and kinds of lists, and nothing that strangers can choose.
Source: https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)

from postgrey_py import __version__
from postgrey_py.daemon.engine import Engine
from postgrey_py.daemon.meter import Histogram, Meter
from postgrey_py.daemon.survey import Survey
from postgrey_py.database.environment import CLIENTS, TRIPLETS
from postgrey_py.errors import DatabaseError
from postgrey_py.greylist.decision import Reason

# Of the waits of mail, in seconds. What comes back later than that is above all bounds.
WAITS = (60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400)


class Metrics:
    """The metrics of a server."""

    def __init__(self, engine: Engine, meter: Meter, survey: Survey) -> None:
        self._engine = engine
        self._meter = meter
        self._survey = survey
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return the metrics in the format that suits this Accept header, and the format's content type."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now; called by the registry."""
        yield InfoMetricFamily(
            "postgrey_build",
            "The version of the server and of what it runs on.",
            {"version": __version__, "python": platform.python_version()},
        )
        yield from self._collect_decisions()
        yield from self._collect_speed()
        yield from self._collect_state()
        yield from self._collect_database()
        yield from self._collect_lists()

    def _collect_decisions(self) -> Iterator[Metric]:
        total = self._engine.tally.since_start()
        decisions = CounterMetricFamily(
            "postgrey_decisions", "Decisions by action and reason.", labels=("action", "reason")
        )
        for reason in Reason:
            decisions.add_metric((reason.action.text, label(reason)), total.counts[reason.number])
        yield decisions
        yield CounterMetricFamily(
            "postgrey_unjudged_requests", "Requests that passed because the database was down.", value=total.unseen
        )
        waits = Histogram(WAITS)
        for wait, number in total.waits.items():
            waits.observe(wait, number)
        yield _histogram("postgrey_wait_seconds", "Time from the first try of a triplet to its first pass.", waits)

    def _collect_speed(self) -> Iterator[Metric]:
        meter = self._meter
        yield _histogram(
            "postgrey_request_duration_seconds", "Time from the arrival of a request to its answer.", meter.requests
        )
        yield _histogram("postgrey_batch_requests", "Requests that are stored in one transaction.", meter.turns)
        yield _histogram(
            "postgrey_commit_duration_seconds", "Time that the disk takes to make a commit durable.", meter.flushes
        )

    def _collect_state(self) -> Iterator[Metric]:
        engine = self._engine
        orders = engine.orders.in_force()
        yield GaugeMetricFamily("postgrey_connections", "Open connections.", value=engine.connections())
        yield GaugeMetricFamily("postgrey_paused", "Whether greylisting is paused.", value=orders.pause is not None)
        yield GaugeMetricFamily("postgrey_training", "Whether --training is given.", value=engine.settings.training)
        yield GaugeMetricFamily("postgrey_allowances", "Allowances in force.", value=len(orders.allowances))

    def _collect_database(self) -> Iterator[Metric]:
        engine = self._engine
        yield GaugeMetricFamily("postgrey_database_up", "Whether the database works.", value=not engine.outage.is_down)
        yield CounterMetricFamily("postgrey_outages", "How often the database failed.", value=engine.outage.times)
        sizes = GaugeMetricFamily("postgrey_database_bytes", "Size of a database file.", labels=("database",))
        for name, file in (("triplets", TRIPLETS), ("clients", CLIENTS)):
            with contextlib.suppress(OSError):
                sizes.add_metric((name,), os.stat(os.path.join(engine.settings.dbdir, file)).st_size)
        yield sizes
        with contextlib.suppress(OSError):
            yield GaugeMetricFamily(
                "postgrey_log_bytes", "Size of the transaction logs.", value=_log_bytes(engine.settings.dbdir)
            )
        with contextlib.suppress(DatabaseError):
            yield GaugeMetricFamily(
                "postgrey_last_checkpoint_timestamp_seconds",
                "When the database files were last brought up to date.",
                value=engine.store.environment.last_checkpoint(),
            )
        yield from self._collect_clean_up()
        census = self._survey.census
        if census is None:
            return
        records = GaugeMetricFamily("postgrey_records", "Records, as counted last.", labels=("database",))
        records.add_metric(("triplets",), census.triplets)
        records.add_metric(("clients",), census.clients)
        yield records
        yield GaugeMetricFamily(
            "postgrey_pending_triplets", "Triplets that wait, as counted last.", value=census.pending
        )
        yield GaugeMetricFamily(
            "postgrey_trusted_clients", "Clients on the auto-whitelist, as counted last.", value=census.trusted
        )

    def _collect_clean_up(self) -> Iterator[Metric]:
        upkeep = self._engine.upkeep
        progress = upkeep.progress
        yield GaugeMetricFamily(
            "postgrey_clean_up_running", "Whether old records are being removed.", value=progress is not None
        )
        if progress is not None:
            yield GaugeMetricFamily(
                "postgrey_clean_up_looked_at_records",
                "Records that the clean-up under way has looked at in its present database.",
                value=progress.before,
            )
        last = upkeep.last_clean_up
        if last is None:
            return
        yield GaugeMetricFamily(
            "postgrey_last_clean_up_timestamp_seconds", "When the last clean-up ended.", value=last.ended
        )
        removed = GaugeMetricFamily(
            "postgrey_last_clean_up_removed_records", "Records that it removed.", labels=("database",)
        )
        for name, count in last.counts.items():
            removed.add_metric((name,), count.before - count.after)
        yield removed

    def _collect_lists(self) -> Iterator[Metric]:
        lists = self._engine.whitelists
        entries = GaugeMetricFamily("postgrey_list_entries", "Entries of a list in force.", labels=("list",))
        unused = GaugeMetricFamily("postgrey_list_unused_lines", "Lines of a list not in force.", labels=("list",))
        read = GaugeMetricFamily("postgrey_list_read_timestamp_seconds", "When a list was last read.", labels=("list",))
        for kind in lists.paths:
            one = getattr(lists.current, kind)
            entries.add_metric((kind,), one.in_force)
            unused.add_metric((kind,), sum(not remark.is_in_force for remark in one.remarks))
            read.add_metric((kind,), lists.read_at[kind])
        yield entries
        yield unused
        yield read


def label(reason: Reason) -> str:
    """Return the value of the label `reason`."""
    return reason.name.lower()


def _histogram(name: str, documentation: str, histogram: Histogram) -> HistogramMetricFamily:
    return HistogramMetricFamily(name, documentation, buckets=histogram.cumulated(), sum_value=histogram.sum)


def _log_bytes(dbdir: str) -> int:
    """Return the size of the transaction logs. Raises OSError."""
    with os.scandir(dbdir) as entries:
        return sum(entry.stat().st_size for entry in entries if entry.name.startswith("log."))
