# SPDX-License-Identifier: GPL-2.0-or-later
"""DB_CONFIG, the file in dbdir by which an administrator overrides the settings of a program that uses Berkeley DB.

The library reads it by itself whenever the environment is opened. Here it is read before that: for the lines under
which answers would be lost or nothing would work, and for what the environment will take on the disk. Whether the
library understands the other lines is for the library to say. Called by `environment`. Source: env_config.c of 5.3.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from postgrey_py.errors import DatabaseError

FILE_NAME = "DB_CONFIG"

# Small, so that a checkpoint has little to write; the kernel caches the files anyway. It is no part of the files.
CACHE_BYTES = 8 << 20
# Room for the records of a whole group transaction.
LOG_BUFFER_BYTES = 256 << 10
LOG_BYTES = 10 << 20

# Berkeley DB makes a cache of less than 500 MB a quarter larger.
_SMALL_CACHE_BYTES = 500 << 20
_PAGE_BYTES = 4096
_MUTEX_BYTES = 160
_TRANSACTION_BYTES = 512
_THREAD_BYTES = 512
# What the regions take beside that, with something to spare.
_OTHER_REGION_BYTES = 5 << 20

# One that decides, one that deletes, one of a compaction, a checkpoint; and some of the library's own.
_LEAST_TRANSACTIONS = 8
# Several of the largest records: with less, a log that is there goes on, and the next one can't be begun.
_LEAST_LOG_BYTES = 64 << 10
# In microseconds: it sleeps so long with the mail waiting.
_LONGEST_SLEEP = 1000

# Commands that put files elsewhere.
DIRECTORIES = frozenset(
    ("set_data_dir", "add_data_dir", "db_data_dir", "set_create_dir", "set_metadata_dir", "set_lg_dir", "db_log_dir")
)
# The library knows the names of flags and of some commands in either case.
_REFUSED_FLAGS = {
    "db_cdb_alldb": "needs locks, and there are none",
    "db_log_in_memory": "keeps in memory what is answered for",
    "db_log_inmemory": "keeps in memory what is answered for",
    "db_multiversion": "fills the cache with old versions of pages",
    "db_nopanic": "goes on with a database that has failed",
    "db_txn_snapshot": "needs locks, and there are none",
}
_REFUSED_OPEN_FLAGS = {
    "db_init_rep": "is for replication, and there is none",
    "db_register": "leaves out the recovery at each start",
}
_NOSYNC_FLAGS = frozenset(("db_txn_nosync", "db_txn_write_nosync"))


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of DB_CONFIG: the number and the words of its line."""

    number: int
    words: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.words[0].lower()

    def __str__(self) -> str:
        text = "".join(c if c.isascii() and c.isprintable() else "?" for c in " ".join(self.words)[:80])
        return f"{FILE_NAME} line {self.number} ({text})"


@dataclass(frozen=True, slots=True)
class Configuration:
    """The settings of DB_CONFIG, as far as they matter here."""

    lines: tuple[Setting, ...] = ()
    cache_bytes: int = CACHE_BYTES
    log_bytes: int = LOG_BYTES
    # What the region files take on the disk.
    region_bytes: int = 0

    @property
    def log_buffer_bytes(self) -> int:
        """The largest size of the log's buffer: several of them must fit into a log file."""
        return min(LOG_BUFFER_BYTES, self.log_bytes // 4)

    def disobeyed(self) -> Iterator[str]:
        """Yield the lines that are not obeyed, in words for the log."""
        for line in self.lines:
            if line.name == "set_flags" and line.words[1].lower() in _NOSYNC_FLAGS and _is_on(line):
                yield f"{line} is not obeyed: what is answered is on the disk before"


def read_configuration(dbdir: Path) -> Configuration:
    """Read DB_CONFIG, if there is one. Raises DatabaseError for a line that can't be obeyed, and OSError."""
    try:
        octets = (dbdir / FILE_NAME).read_bytes()
    except FileNotFoundError:
        octets = b""
    lines = tuple(_split(octets.decode("latin-1")))
    for line in lines:
        reason = _why_refused(dbdir, line)
        if reason is not None:
            raise DatabaseError(f"can't open the database in {dbdir}: {line}: {reason}")
    configuration = _measure(lines)
    least = _mutexes(configuration.cache_bytes)
    for line in lines:
        if line.name in ("mutex_set_max", "mutex_set_init") and 0 < _number(line, 1) < least:
            text = f"is too few, this cache needs {least}: remove the line, or raise it"
            raise DatabaseError(f"can't open the database in {dbdir}: {line}: {text}")
    return configuration


def _split(text: str) -> Iterator[Setting]:
    for number, line in enumerate(text.split("\n"), 1):
        words = line.rstrip("\r").split()
        if words and not words[0].startswith("#"):
            yield Setting(number, tuple(words))


def _why_refused(dbdir: Path, line: Setting) -> str | None:
    """Return the reason why this line can't be obeyed, with what to do; None where it can."""
    name, words = line.name, line.words
    if not (name.isascii() and name.isprintable()):
        return "that is no text: correct or remove the line"
    if len(words) < 2:
        return "there is no value: complete or remove the line"
    word = words[1].lower()
    if name in DIRECTORIES:
        path = " ".join(words[1:])
        if os.path.realpath(dbdir / path) != os.path.realpath(dbdir):
            return f"all files must be in {dbdir}: move what is in {path} there, and remove the line"
    elif name in ("set_flags", "log_set_config") and word in _REFUSED_FLAGS and _is_on(line):
        return f"{_REFUSED_FLAGS[word]}: remove the line"
    elif name == "set_flags" and word == "db_auto_commit" and not _is_on(line):
        return "postgrey needs it: remove the line"
    elif name == "set_open_flags" and word in _REFUSED_OPEN_FLAGS and _is_on(line):
        return f"{_REFUSED_OPEN_FLAGS[word]}: remove the line"
    elif name == "set_memory_max":
        return "what the environment needs grows with the database: remove the line"
    elif name == "set_tx_max" and _number(line, 1) < _LEAST_TRANSACTIONS:
        return f"that is too few: remove the line, or raise it to {_LEAST_TRANSACTIONS} or more"
    elif name == "set_lg_max" and 0 < _number(line, 1) < _LEAST_LOG_BYTES:
        return f"that is too little: remove the line, or raise it to {_LEAST_LOG_BYTES} or more"
    elif name == "set_mp_max_write" and _number(line, 2) > _LONGEST_SLEEP:
        return f"mail would have to wait: allow {_LONGEST_SLEEP} microseconds or less, or remove the line"
    elif name == "set_lg_filemode" and _number(line, 1) & 0o600 != 0o600:
        return "logs that their owner can't read and write (the number is decimal, 384 is 0600): remove the line"
    return None


def _measure(lines: tuple[Setting, ...]) -> Configuration:
    """Return the sizes with these lines obeyed; of what is said twice, the larger counts."""
    cache, log = 0, 0
    most, mutexes, others = 0, 0, _OTHER_REGION_BYTES
    for line in lines:
        match line.name:
            case "set_cachesize":
                cache = max(cache, (_number(line, 1) << 30) + _number(line, 2))
            case "set_cache_max":
                most = (_number(line, 1) << 30) + _number(line, 2)
            case "set_lg_max":
                log = max(log, _number(line, 1))
            case "mutex_set_max" | "mutex_set_init" | "mutex_set_increment":
                mutexes += _number(line, 1)
            case "set_tx_max":
                others += _number(line, 1) * _TRANSACTION_BYTES
            case "set_thread_count":
                others += _number(line, 1) * _THREAD_BYTES
            case "set_memory_init":
                others += _number(line, 2) * _TRANSACTION_BYTES
            case "set_lg_bsize" | "set_lg_regionmax":
                others += _number(line, 1)
    cache = cache or CACHE_BYTES
    if cache < _SMALL_CACHE_BYTES:
        cache += cache // 4
    mutexes += _mutexes(max(cache, most))
    return Configuration(lines, cache, log or LOG_BYTES, cache + mutexes * _MUTEX_BYTES + others)


def _mutexes(cache_bytes: int) -> int:
    """Return how many mutexes a cache of this size needs: one for each page, and for each hash bucket."""
    return cache_bytes // _PAGE_BYTES * 7 // 5 + 100


def _is_on(line: Setting) -> bool:
    return len(line.words) < 3 or line.words[2].lower() != "off"


def _number(line: Setting, position: int) -> int:
    """A number of a line, or 0 where the library will find that there is none."""
    word = line.words[position] if len(line.words) > position else ""
    return int(word) if word.isascii() and word.isdigit() and len(word) < 20 else 0
