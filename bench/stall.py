# SPDX-License-Identifier: GPL-2.0-or-later
"""How long mail waits while old triplets are cleaned up: a million triplets, 300,000 of them old, 20 busy clients.

    .venv/bin/python -m bench.stall [--directory DIR] [--perl] [--json FILE]

With --perl Perl Postgrey goes the same way afterwards, for comparison. The exit status tells whether everything ran
and the right records were dropped, not how long it took.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from berkeleydb import db as bdb

from bench import machine
from bench.polload import Load, LoadFailedError, Polload, SlowAnswer, compile_polload
from tests.support.servers import PERL_POSTGREY, POSTGREY, STOCK_CLIENTS, STOCK_RECIPIENTS, PolicyServer

TARGET = 100.0  # no answer takes longer, in milliseconds
SETTLE = 3.0  # seconds for what comes after the last line of the log: a checkpoint, answers that had to wait
SEED = 7
HOUR, DAY = 3600, 86400
RETRY_WINDOW, MAX_AGE, DELAY = 2 * DAY, 35 * DAY, 300
ENVIRONMENT = bdb.DB_CREATE | bdb.DB_RECOVER | bdb.DB_INIT_TXN | bdb.DB_INIT_MPOOL | bdb.DB_INIT_LOG


class StallError(Exception):
    """The measurement cannot be made, or its outcome is wrong."""


# --- the database ---------------------------------------------------------------------------------------------


def mix(counter: int) -> int:
    """Return the 64 bits that polload.c makes of this counter."""
    mask = (1 << 64) - 1
    x = (counter + 0x9E3779B97F4A7C15) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    return x ^ (x >> 31)


def triplet_key(number: int) -> bytes:
    """The database key of the triplet that `polload … new SEED` asks for as its request `number`."""
    r = mix((SEED << 40) + number)
    network = f"{1 + (r >> 20) % 99}.{(r >> 28) % 255}.{(r >> 36) % 255}.0"
    sender = f"user{r & 0xFFFFFF:x}@example{(r >> 24) % 5000}.com"
    return f"{network}/{sender}/rcpt{(r >> 33) % 2000}@example.org".encode()


def make_triplets(total: int, old: int, now: int) -> Iterator[tuple[bytes, bytes]]:
    """First those that stay, then `old` ones; most were seen once, as spam is. No record expires during the run."""
    chance = random.Random(SEED)
    for number in range(total):
        is_old = number >= total - old
        if chance.random() < 0.6:
            first = last = now - (chance.randint(50 * HOUR, 30 * DAY) if is_old else chance.randint(HOUR, 44 * HOUR))
        else:
            last = now - (chance.randint(36 * DAY, 40 * DAY) if is_old else chance.randint(HOUR, 34 * DAY))
            first = last - chance.randint(DELAY, DAY)
        yield triplet_key(number), f"{first},{last}".encode()


def make_clients(total: int, old: int, now: int) -> Iterator[tuple[bytes, bytes]]:
    """Auto-whitelisted clients, at addresses from which polload does not ask."""
    chance = random.Random(SEED)
    for number in range(total):
        age = chance.randint(36 * DAY, 60 * DAY) if number < old else chance.randint(HOUR, 34 * DAY)
        key = f"{chance.randint(100, 223)}.{number // 65536}.{number // 256 % 256}.{number % 256}"
        yield key.encode(), f"{chance.randint(1, 40)},{now - age}".encode()


def fill(environment: bdb.DBEnv, name: str, records: Iterator[tuple[bytes, bytes]]) -> None:
    """Put the records into a new Btree in the order in which they come, as a server would have over the weeks."""
    table = bdb.DB(environment)
    table.open(name, None, bdb.DB_BTREE, bdb.DB_CREATE | bdb.DB_AUTO_COMMIT, 0o600)
    transaction = environment.txn_begin(flags=bdb.DB_TXN_NOSYNC)
    for count, (key, value) in enumerate(records, 1):
        table.put(key, value, txn=transaction)
        if count % 10000 == 0:
            transaction.commit(bdb.DB_TXN_NOSYNC)
            transaction = environment.txn_begin(flags=bdb.DB_TXN_NOSYNC)
    transaction.commit()
    table.close()


def build(dbdir: Path, triplets: int, old: int, now: int) -> None:
    """A dbdir as a server leaves it when it has been stopped: checkpointed, without superfluous log files."""
    dbdir.mkdir(mode=0o700)
    environment = bdb.DBEnv()
    environment.set_cachesize(0, 256 << 20)  # lives in the region files, which the server makes anew
    environment.open(str(dbdir), ENVIRONMENT, 0o600)
    fill(environment, "postgrey.db", make_triplets(triplets, old, now))
    fill(environment, "postgrey_clients.db", make_clients(triplets // 50, old // 50, now))
    environment.txn_checkpoint(0, 0, bdb.DB_FORCE)
    environment.log_archive(bdb.DB_ARCH_REMOVE)
    environment.close()
    os.sync()  # what the building wrote must not go to the disk while the server is measured


def inspect(dbdir: Path, total: int, old: int) -> tuple[int, int, int]:
    """How many triplets that had to stay are missing, how many old ones are left, and how many pages are free."""
    environment = bdb.DBEnv()
    environment.set_cachesize(0, 256 << 20)
    environment.open(str(dbdir), ENVIRONMENT, 0o600)
    table = bdb.DB(environment)
    table.open("postgrey.db", None, bdb.DB_BTREE, bdb.DB_RDONLY)
    here = set(table.keys())
    free_pages = int(table.stat()["free"])
    table.close()
    environment.close()
    missing = sum(triplet_key(number) not in here for number in range(total - old))
    left = sum(triplet_key(number) in here for number in range(total - old, total))
    return missing, left, free_pages


# --- following the server -------------------------------------------------------------------------------------


class LogFollower:
    """Reads what a log file gains, and keeps the lines about clean-up with the time at which they were seen."""

    WORDS = (b"clean", b"compact", b"checkpoint", b"given back")

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")
        self.rest = b""
        self.events: list[tuple[float, str]] = []

    def poll(self) -> None:
        octets = self.file.read()
        seen = time.monotonic()
        lines = (self.rest + octets).split(b"\n")
        self.rest = lines.pop()
        for line in lines:
            if not line.startswith(b"action=") and any(word in line for word in self.WORDS):
                self.events.append((seen, line.decode("latin-1").strip()))

    def watch(self, seconds: float) -> None:
        """Go on reading for a while."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.poll()
            time.sleep(0.05)

    def seen(self, text: str) -> float | None:
        """When a line with `text` was last seen, or None."""
        return next((when for when, line in reversed(self.events) if text in line), None)

    def wait(self, texts: Sequence[str], load: Polload, timeout: float) -> float:
        """When the last of `texts` was seen; StallError after `timeout` seconds, or when the load broke off."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            self.poll()
            times = [self.seen(text) for text in texts]
            if None not in times:
                return max(when for when in times if when is not None)
            if not load.running():
                raise StallError(f"the load broke off: {'; '.join(load.complaints)}")
            time.sleep(0.05)
        missing = [text for text in texts if self.seen(text) is None]
        raise StallError(f"the log did not say {missing} within {timeout:.0f} s; it said {self.events[-10:]}")


class DiskProbe:
    """Measures beside the server what a small fsync takes; a context manager.

    When this is slow too, the disk was busy, with the work of the server or with that of others.
    """

    INTERVAL = 0.1

    def __init__(self, directory: Path) -> None:
        self.longest = 0.0
        self.stopping = threading.Event()
        self.directory = directory
        self.thread = threading.Thread(target=self._run, daemon=True)

    def next_phase(self) -> float:
        """The longest fsync since the last call, in milliseconds."""
        longest, self.longest = self.longest, 0.0
        return longest

    def _run(self) -> None:
        with tempfile.TemporaryFile(dir=self.directory, buffering=0) as file:
            while not self.stopping.wait(self.INTERVAL):
                began = time.perf_counter()
                file.write(b"x" * 512)
                os.fsync(file.fileno())
                self.longest = max(self.longest, (time.perf_counter() - began) * 1e3)

    def __enter__(self) -> DiskProbe:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.thread.join()


@dataclass(slots=True)
class Outcome:
    """All that is reported of one server."""

    name: str
    before: Load
    during: Load
    after: Load
    fsyncs: dict[str, float]  # the longest fsync of a bystander in each of these phases, in milliseconds
    cleaning: float  # seconds until the log says that both databases are done
    whole: float  # seconds until the space has been given back too
    sizes: dict[str, int]  # of postgrey.db, in octets
    memory: int  # KiB
    missing: int
    left: int
    free_pages: int
    events: list[tuple[float, str]]  # seconds since the clean-up was asked for
    slow: list[SlowAnswer] = field(default_factory=list)


FINISHED = ("cleaning main database finished", "cleaning clients database finished")


class Ours:
    """Our server: SIGUSR1 starts the clean-up, compaction follows."""

    name = "postgrey-py"
    command = POSTGREY
    finished = (*FINISHED, "compacting main database finished")
    options = ("--verbose",)  # without it the end of the compaction is not told
    patience = 300

    def environment(self, directory: Path, delay: float) -> dict[str, str]:
        return machine.slow_disk(directory, delay)

    def start_clean_up(self, server: PolicyServer) -> None:
        server.signal(signal.SIGUSR1)


class Perl:
    """Perl Postgrey cleans up in the small hours, an hour after it started: libfaketime moves its clock."""

    name = "Postgrey 1.37"
    command = PERL_POSTGREY
    finished = FINISHED
    options = ()
    patience = 900

    def environment(self, directory: Path, delay: float) -> dict[str, str]:
        disk = machine.slow_disk(directory, delay)
        libraries = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))
        if not libraries:
            raise StallError(
                "not measured: its clock must be moved, and libfaketime (Debian: faketime) is not installed"
            )
        self.clock = directory / "perl.clock"
        self.clock.write_text("+0\n")
        # Make it four o'clock there in an hour: the zone's offset is written with the opposite sign.
        offset = (4 - time.gmtime(time.time() + HOUR).tm_hour + 12) % 24 - 12
        return {
            **disk,
            "TZ": f"NIGHT{-offset:+d}",
            "LD_PRELOAD": " ".join([str(libraries[0]), *([disk["LD_PRELOAD"]] if disk else [])]),
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }

    def start_clean_up(self, server: PolicyServer) -> None:
        self.clock.write_text(f"+{HOUR + 10}\n")


def run(kind: Ours | Perl, directory: Path, polload: Path, wanted: argparse.Namespace) -> Outcome:
    """Build, serve, ask, clean up, count."""
    dbdir = directory / kind.name.replace(" ", "-").lower()
    live = wanted.triplets - wanted.old
    options = [
        f"--whitelist-clients={STOCK_CLIENTS}",
        f"--whitelist-recipients={STOCK_RECIPIENTS}",
        *kind.options,
        *wanted.option,
    ]
    environment = kind.environment(directory, wanted.sync_delay)
    print(f"{kind.name}: building {wanted.triplets} triplets, {wanted.old} of them old", file=sys.stderr)
    build(dbdir, wanted.triplets, wanted.old, int(time.time()))
    sizes = {"built": (dbdir / "postgrey.db").stat().st_size}
    server = PolicyServer(kind.command, dbdir, options, env=environment)
    try:
        try:
            server.start()
        except AssertionError as error:
            raise StallError(str(error)) from error
        load = Polload(
            polload, server.port, 20, "0", "mixed", SEED, known=live, patience=kind.patience, slow=wanted.slow
        )
        fsyncs = {}
        with load, DiskProbe(directory) as probe:
            log = LogFollower(server.log_path)
            log.watch(wanted.seconds / 2)
            load.next_phase()
            probe.next_phase()
            log.watch(wanted.seconds)
            before, fsyncs["before"] = load.next_phase(), probe.next_phase()
            sizes["before"] = (dbdir / "postgrey.db").stat().st_size
            print(f"{kind.name}: {before}\n{kind.name}: cleaning up", file=sys.stderr)
            log.events.clear()
            began = time.monotonic()
            kind.start_clean_up(server)
            cleaned = log.wait(FINISHED, load, kind.patience)
            whole = log.wait(kind.finished, load, kind.patience)
            log.watch(SETTLE)
            during, fsyncs["during"] = load.next_phase(), probe.next_phase()
            sizes["after"] = (dbdir / "postgrey.db").stat().st_size
            print(f"{kind.name}: {during}", file=sys.stderr)
            log.watch(wanted.seconds)
            after, fsyncs["after"] = load.finish(), probe.next_phase()
            memory = machine.peak_memory(server.pid)
        server.stop()
    finally:
        server.kill()
    missing, left, free_pages = inspect(dbdir, wanted.triplets, wanted.old)
    return Outcome(
        name=kind.name,
        before=before,
        during=during,
        after=after,
        fsyncs=fsyncs,
        cleaning=cleaned - began,
        whole=whole - began,
        sizes=sizes,
        memory=memory,
        missing=missing,
        left=left,
        free_pages=free_pages,
        events=[(when - began, line) for when, line in log.events],
        slow=[SlowAnswer(one.wait, one.until - began) for one in load.slow_answers],
    )


# --- the report -----------------------------------------------------------------------------------------------


def stalls(slow: Sequence[SlowAnswer]) -> list[SlowAnswer]:
    """The longest wait of each group that ended within 50 ms: one stall keeps every client waiting."""
    found: list[SlowAnswer] = []
    for one in sorted(slow, key=lambda one: one.until):
        if found and one.until - found[-1].until < 0.05:
            found[-1] = SlowAnswer(max(found[-1].wait, one.wait), one.until)
        else:
            found.append(one)
    return found


def describe(outcome: Outcome) -> str:
    lines = [
        f"## {outcome.name}",
        "",
        "| phase | requests/s | p50, ms | p99, ms | longest, ms | a bystander's longest fsync, ms |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for name in ("before", "during", "after"):
        load: Load = getattr(outcome, name)
        waits = (load.p50, load.p99, load.longest, outcome.fsyncs[name])
        lines.append(f"| {name} | {load.rate} | {' | '.join(f'{wait:.1f}' for wait in waits)} |")
    longest = max(outcome.before.longest, outcome.during.longest, outcome.after.longest)
    met = "yes" if outcome.during.longest <= TARGET else "**no**"
    sizes = ", ".join(f"{name} {size / 2**20:.1f} MiB" for name, size in outcome.sizes.items())
    lines += [
        "",
        (
            f"Longest answer during the clean-up {outcome.during.longest:.1f} ms (target: {TARGET:.0f} ms; "
            f"met: {met}), of the whole run {longest:.1f} ms."
        ),
        (
            f"Clean-up took {outcome.cleaning:.1f} s, with compaction {outcome.whole:.1f} s. "
            f"File size: {sizes}. Peak memory {outcome.memory / 1024:.1f} MiB."
        ),
        (
            f"Triplets that had to stay and are gone: {outcome.missing}; old ones still there: {outcome.left}; "
            f"free pages in the file: {outcome.free_pages}."
        ),
        "",
        *(f"    {when:8.2f} s  {line}" for when, line in outcome.events[:40]),
    ]
    if outcome.slow:
        lines += ["", "Slow answers, when they ended (the clean-up starts at 0) and how long they took:", ""]
        worst = sorted(stalls(outcome.slow), key=lambda one: -one.wait)[:20]
        lines += [f"    {one.until:8.2f} s  {one.wait:8.1f} ms" for one in sorted(worst, key=lambda one: one.until)]
    return "\n".join(lines)


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench.stall", description="How long mail waits during a clean-up.")
    parser.add_argument("--directory", type=Path, default=Path(tempfile.gettempdir()), help="a place on a real disk")
    parser.add_argument("--perl", action="store_true", help="Perl Postgrey too, for comparison (takes minutes)")
    parser.add_argument("--only-perl", action="store_true", help="Perl Postgrey alone")
    parser.add_argument("--triplets", type=int, default=1_000_000)
    parser.add_argument("--old", type=int, default=300_000, help="how many of the triplets (%(default)s)")
    parser.add_argument("--seconds", type=float, default=8, help="of load before and after the clean-up (%(default)s)")
    parser.add_argument(
        "--slow", type=int, default=50, metavar="MS", help="list answers that took longer (%(default)s)"
    )
    parser.add_argument("--option", action="append", default=[], help="one more option for the server, repeatable")
    parser.add_argument(
        "--sync-delay", type=float, default=0, metavar="MS", help="as if every fsync took longer by this"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure there")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    wanted = parse_arguments(arguments)
    if machine.is_in_memory(wanted.directory):
        print(f"WARNING: {wanted.directory} is in memory, where an fsync is free: use --directory", file=sys.stderr)
    kinds: list[Ours | Perl] = [] if wanted.only_perl else [Ours()]
    if wanted.perl or wanted.only_perl:
        kinds.append(Perl())
    outcomes, failed = [], False
    for kind in kinds:
        with tempfile.TemporaryDirectory(prefix="postgrey-bench-", dir=wanted.directory) as name:
            directory = Path(name)
            if kind is kinds[0]:
                print(machine.describe(directory, wanted.sync_delay))
            try:
                outcome = run(kind, directory, compile_polload(directory), wanted)
            except (StallError, LoadFailedError) as error:
                print(f"\n## {kind.name}\n\nfailed: {error}")
                failed = True
                continue
        outcomes.append(outcome)
        print(f"\n{describe(outcome)}", flush=True)
        failed = failed or bool(outcome.missing or outcome.left)
    if wanted.json:
        wanted.json.write_text(json.dumps([dataclasses.asdict(outcome) for outcome in outcomes], indent=1) + "\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
