# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of logs in the order of their times, whatever order they are given in."""

from __future__ import annotations

import gzip
from datetime import datetime, timezone
from pathlib import Path

import pytest

from postgrey_py.commands.logfiles import LogText, open_log_files
from postgrey_py.commands.logorder import TimeWatch, in_order_of_time
from postgrey_py.commands.logtime import LogClock

CLOCK = LogClock(datetime(2027, 1, 6, 12, tzinfo=timezone.utc).timestamp())
OLDEST = "Dec 29 06:25:01 mx postfix/smtpd[1]: connect from x[192.0.2.1]\n"
OLDER = "Jan  2 06:25:01 mx postfix/smtpd[1]: connect from x[192.0.2.1]\n"
NEWEST = "2027-01-05T06:25:01+01:00 mx postfix/smtpd[1]: connect from x[192.0.2.1]\n"


def write(directory: Path, name: str, text: str) -> str:
    octets = text.encode("latin-1")
    (directory / name).write_bytes(gzip.compress(octets) if name.endswith(".gz") else octets)
    return str(directory / name)


def read(paths: list[str]) -> tuple[bytes, TimeWatch]:
    watch = TimeWatch(CLOCK)
    log = LogText(in_order_of_time(open_log_files(paths), CLOCK), watch.look)
    return b"".join(log.blocks()), watch


def test_files_in_the_order_of_a_shell_are_sorted_by_their_first_time(tmp_path: Path) -> None:
    paths = [
        write(tmp_path, "mail.log", NEWEST),
        write(tmp_path, "mail.log.1", f"logrotate\n{OLDER}"),
        write(tmp_path, "mail.log.2.gz", OLDEST),
    ]
    for order in (paths, paths[::-1], [paths[1], paths[0], paths[2]]):
        text, watch = read(order)
        assert text.decode() == f"{OLDEST}logrotate\n{OLDER}{NEWEST}"
        assert watch.complaint() is None


def test_files_without_a_time_stay_at_their_places(tmp_path: Path) -> None:
    texts = {"mail.log": NEWEST, "empty": "", "odd": "what\n", "mail.log.1": OLDER}
    paths = [write(tmp_path, name, text) for name, text in texts.items()]
    assert read(paths)[0].decode() == f"{OLDER}what\n{NEWEST}"


def test_damaged_file_is_told_when_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "bad.gz").write_bytes(b"\x1f\x8b\x08nonsense")
    files = open_log_files([write(tmp_path, "mail.log", NEWEST), str(tmp_path / "bad.gz")])
    assert in_order_of_time(files, CLOCK) == files


@pytest.mark.parametrize(
    ("text", "is_told"),
    [
        (OLDEST + OLDER + NEWEST, False),
        (NEWEST + OLDER + OLDEST, True),
        (NEWEST + OLDEST * 2000, True),
        # The clock is put back in autumn, and several hosts have not quite the same time.
        ("Jan  2 02:59:59 mx x: y\nJan  2 02:00:00 mx x: y\n", False),
        ("what\n" * 3, False),
    ],
)
def test_time_that_goes_back_is_told(text: str, is_told: bool, tmp_path: Path) -> None:
    _, watch = read([write(tmp_path, "log", text)])
    complaint = f"the time goes back in {tmp_path / 'log'}: give logs oldest first, or mail that came back is missed"
    assert watch.complaint() == (complaint if is_told else None)
