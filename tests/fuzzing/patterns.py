# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes patterns, lines and names at random, out of the corpus and of what stands in patterns.

    python -m tests.fuzzing.patterns SEED SECONDS

reads lists of such lines, and looks such names up, within limits of memory and time; it ends with status 1 and the
input that was too much.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections.abc import Sequence

from postgrey_py.errors import ListFileError
from postgrey_py.greylist.address import parse_address
from postgrey_py.greylist.list_lines import Line, decode_list
from postgrey_py.greylist.whitelists import ClientList, RecipientList, Watch
from tests.support.corpus import read_corpus

PIECES = read_corpus("pattern-pieces")
# Memory beside what the program itself takes, and processor time for one thing.
MEMORY = 512 << 20
SECONDS = 3.0
# Perl gets none that could keep it busy for ever: there is at most one repeat without end.
ENDLESS = ("*", "+", "{2,}", "{60000}", "{99}", "{1,3}")


def make_pattern(rng: random.Random, corpus: Sequence[str]) -> str:
    """A pattern: new, or one of the corpus with something changed."""
    parts = [rng.choice(PIECES) for _ in range(rng.randint(1, 12))]
    if rng.random() < 0.4:
        base = rng.choice(corpus)
        at = rng.randint(0, len(base))
        parts = [base[:at], *parts[: rng.randint(0, 3)], base[at + rng.randint(0, 2) :]]
    if rng.random() < 0.05:
        parts *= rng.choice((10, 100, 1000))
    return "".join(parts).replace("\n", "").replace("#", "")


def make_name(rng: random.Random) -> str:
    """What a stranger may call himself, up to the 512 bytes that a request may say."""
    pieces = ["a", "b", "ab", "aa", ".", "-", "1", "x", "a.", "example.com", "@", "\xe9", "\x00", "example", "_", "A"]
    some = [rng.choice(pieces) for _ in range(rng.randint(0, 4))]
    return "".join(some * rng.choice((1, 1, 3, 30, 300)))[:512] + rng.choice(("", "", "!", "com", "b"))


def make_line(rng: random.Random, patterns: Sequence[str], lines: Sequence[str]) -> str:
    """A line of a list: a pattern, one of the corpus with something changed, or garbage."""
    kind = rng.random()
    if kind < 0.5:
        return f"/{make_pattern(rng, patterns)}/"
    if kind < 0.9:
        line = list(rng.choice(lines))
        for _ in range(rng.randint(0, 3)):
            line.insert(rng.randint(0, len(line)), rng.choice(["*", ".", "@", "/", " ", ":", ",", "9", *PIECES]))
        return "".join(line)
    garbage = rng.randbytes(rng.choice((3, 30, 3000))).decode("latin-1")
    return rng.choice((garbage, rng.choice("/.:-@* [<") * rng.choice((600, 5000, 100_000))))


class Watchdog:
    """Remembers what is being done, and ends the program when it takes too long."""

    def __init__(self) -> None:
        self._doing: object = None
        self._began = time.process_time()

    def begin(self, doing: object) -> None:
        self.check()
        self._doing, self._began = doing, time.process_time()

    def check(self) -> None:
        took = time.process_time() - self._began
        if took > SECONDS:
            sys.exit(f"{took:.1f} seconds for {ascii(self._doing)[:2000]}")


def run(seed: int, seconds: float) -> int:
    """Fuzz for so long; returns how many lists were read. Ends the program at a fault."""
    rng = random.Random(seed)
    patterns, lines = [*read_corpus("patterns"), *read_corpus("refused-patterns")], read_corpus("list-lines")
    watchdog = Watchdog()
    address = parse_address("192.0.2.7")
    assert address is not None
    lists = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        lists += 1
        texts = [make_line(rng, patterns, lines) for _ in range(rng.randint(1, 8))]
        watch = Watch(time.thread_time, lambda _: None)
        watchdog.begin(texts)
        try:
            numbered = decode_list("\n".join(texts).encode("latin-1"), "file")
        except ListFileError:
            numbered = [Line("file", number, text) for number, text in enumerate(texts, 1)]
        try:
            clients, recipients = ClientList(numbered, watch), RecipientList(numbered, watch)
            for _ in range(5):
                name = make_name(rng)
                watchdog.begin((texts, name))
                clients.match(name, address)
                recipients.match(name)
        except BaseException as error:
            print(f"{error!r} for {ascii(texts)[:2000]}", file=sys.stderr)
            raise
        watchdog.begin(None)
    return lists


if __name__ == "__main__":
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    resource.setrlimit(resource.RLIMIT_AS, (used + (1 << 30), used + (1 << 30)))
    print(run(int(sys.argv[1]), float(sys.argv[2])))
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10) - used
    if grown > MEMORY:
        sys.exit(f"{grown >> 20} MiB")
