# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of logs, plain and compressed, and the times in their lines."""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timezone
from pathlib import Path

import pytest

from postgrey_py.commands.logfiles import MAX_LINE_BYTES, LogText, open_log_files
from postgrey_py.commands.loghead import find_head
from postgrey_py.commands.logtime import LogClock
from postgrey_py.errors import PostgreyError

TEXT = b"".join(b"line %d\n" % number for number in range(100_000))


def compress_with_zstd(octets: bytes) -> bytes:
    return subprocess.run(["zstd", "-q"], input=octets, stdout=subprocess.PIPE, check=True).stdout


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "zstd": compress_with_zstd,
}


def read_all(*paths: Path) -> bytes:
    return b"".join(LogText(open_log_files([str(path) for path in paths])).blocks())


# Files


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_compressed_files_are_known_by_their_contents(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "mail.log.2"
    path.write_bytes(COMPRESSORS[kind](TEXT))
    assert read_all(path) == TEXT


def test_files_are_read_in_the_order_given(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("b", "a")]
    paths[0].write_bytes(b"one\ntwo")
    paths[1].write_bytes(gzip.compress(b"three\n") + gzip.compress(b"four\n"))
    assert read_all(*paths) == b"one\ntwo\nthree\nfour\n"


def test_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    assert read_all(tmp_path / "log") == b""


def test_blocks_are_whole_lines(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(TEXT * 4)
    log = LogText(open_log_files([str(tmp_path / "log")]))
    blocks = list(log.blocks())
    assert len(blocks) > 1
    assert all(block.endswith(b"\n") for block in blocks)
    assert (b"".join(blocks), log.total) == (TEXT * 4, 400_000)


def test_file_without_line_ends_does_not_fill_the_memory(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * (20 << 20))
    assert max(len(block) for block in LogText(open_log_files([str(tmp_path / "log")])).blocks()) < MAX_LINE_BYTES + (
        2 << 20
    )


def test_missing_file_is_told_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    with pytest.raises(PostgreyError, match=r"can't open .*/missing: No such file or directory"):
        open_log_files([str(tmp_path / "log"), str(tmp_path / "missing")])


def test_directory_is_no_log(tmp_path: Path) -> None:
    with pytest.raises(PostgreyError, match="Is a directory"):
        read_all(tmp_path)


@pytest.mark.parametrize("kind", [kind for kind in COMPRESSORS if kind != "plain"])
def test_file_that_ends_too_early_is_an_error(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "mail.log.2"
    path.write_bytes(COMPRESSORS[kind](os.urandom(200_000).hex().encode())[:-1000])
    with pytest.raises(PostgreyError, match=rf"^can't read {path} behind line \d+: \S"):
        read_all(path)


def test_zstd_without_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "mail.log.2"
    path.write_bytes(compress_with_zstd(TEXT))
    # Python 3.14 would need no command.
    monkeypatch.setattr(importlib, "import_module", _find_no_module)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(PostgreyError, match="compressed with zstd, which is missing here: install the command zstd"):
        read_all(path)


def _find_no_module(name: str) -> None:
    raise ImportError(name)


def test_unreadable_lines_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one\ntwo\xff\x1b[2J\nthree\n")
    log = LogText(open_log_files([str(tmp_path / "log")]))
    for _ in log.blocks():
        log.skip(4)
    assert log.complaint() == f"1 line could not be read and was skipped: {tmp_path}/log line 2: 'two\\xff\\x1b[2J'"
    log.skip(0)
    assert (log.complaint() or "").startswith("2 lines could not be read and were skipped, the first: ")
    log.skip(0)
    with pytest.raises(PostgreyError, match=r"^no line could be read, the first is .*: is that a mail log\?$"):
        log.complaint()


# Times


@pytest.mark.parametrize(
    ("line", "stamp"),
    [
        ("Nov 21 09:57:31 mx postfix", "Nov 21 09:57:31"),
        ("Nov  1 09:57:31 mx postfix", "Nov  1 09:57:31"),
        ("Nov 21 09:57:31.123456 mx", "Nov 21 09:57:31"),
        ("2026-11-21T09:57:31.123456+01:00 mx", "2026-11-21T09:57:31.123456+01:00"),
        ("2026-11-21T09:57:31+0100 mx", "2026-11-21T09:57:31+0100"),
        ("2026-11-21T09:57:31Z mx", "2026-11-21T09:57:31Z"),
        ("mail-1 | Nov 21 09:57:31 mx", "Nov 21 09:57:31"),
    ],
)
def test_stamp_is_the_time_as_written(line: str, stamp: str) -> None:
    head = find_head(line)
    assert head is not None
    assert head.stamp == stamp


@pytest.fixture
def berlin() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        yield
    time.tzset()


def at(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> int:
    return int(datetime(year, month, day, hour, minute, second, tzinfo=timezone.utc).timestamp())


NOW = at(2026, 11, 21, 12)


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("stamp", "seconds"),
    [
        ("Nov 21 09:57:31", at(2026, 11, 21, 8, 57, 31)),
        ("Nov  1 00:00:00", at(2026, 10, 31, 23)),
        ("Jul 21 09:57:31", at(2026, 7, 21, 7, 57, 31)),
        # Clocks of log hosts may be ahead by some hours, but what seems to be of next month is of last year.
        ("Nov 21 23:59:59", at(2026, 11, 21, 22, 59, 59)),
        ("Nov 23 00:00:00", at(2025, 11, 22, 23)),
        ("Dec 31 23:59:59", at(2025, 12, 31, 22, 59, 59)),
        ("Feb 29 12:00:00", at(2024, 2, 29, 11)),
        ("2019-11-21T09:57:31", at(2019, 11, 21, 8, 57, 31)),
        ("2026-11-21T09:57:31.999999+01:00", at(2026, 11, 21, 8, 57, 31)),
        ("2026-11-21T09:57:31-0330", at(2026, 11, 21, 13, 27, 31)),
        ("2026-11-21T09:57:31Z", at(2026, 11, 21, 9, 57, 31)),
        ("2026-11-21 09:57:31", at(2026, 11, 21, 8, 57, 31)),
        ("Nix 21 09:57:31", None),
        ("Nov 31 09:57:31", None),
        ("2026-13-21T09:57:31Z", None),
        ("2026-11-21T25:57:31Z", None),
        ("mail-1 | Nov 21", None),
        ("", None),
    ],
)
def test_times_are_read(stamp: str, seconds: int | None) -> None:
    assert LogClock(NOW).seconds(stamp) == seconds


@pytest.mark.usefixtures("berlin")
def test_a_log_over_the_end_of_a_year_has_two_years() -> None:
    clock = LogClock(at(2027, 1, 2))
    assert [clock.day(stamp) for stamp in ("Dec 31 23:00:00", "Jan  1 01:00:00")] == [
        date(2026, 12, 31),
        date(2027, 1, 1),
    ]
    earlier, later = (clock.seconds(stamp) for stamp in ("Dec 31 23:59:50", "Jan  1 00:00:10"))
    assert earlier is not None
    assert later is not None
    assert later - earlier == 20


def test_day_is_the_one_that_is_written() -> None:
    clock = LogClock(NOW)
    assert clock.day("2026-11-21T00:30:00+09:00") == date(2026, 11, 21)
    assert clock.day("no time") is None


@pytest.mark.parametrize("stamp", ["2026-11-21T00:30:00+09:00", "Nov 21 09:57:31"])
def test_what_begins_like_a_time_does_not_spoil_the_others_of_that_day(stamp: str) -> None:
    clock = LogClock(NOW)
    assert clock.day(f"{stamp[:10]}?") is None
    assert clock.day(stamp) == date(2026, 11, 21)
