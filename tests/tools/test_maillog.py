# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of logs, the times in them, and what their lines say."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timezone
from pathlib import Path

import pytest

from postgrey_py.errors import PostgreyError, UsageError
from postgrey_py.tools import logfiles
from postgrey_py.tools.logfiles import MAX_LINE_BYTES, LogText, open_logs
from postgrey_py.tools.logtime import LogClock, stamp_of
from postgrey_py.tools.maillog import Event, EventReader, Kind, compile_greylist_text

TEXT = b"".join(b"line %d\n" % number for number in range(100_000))

REJECT = (
    "Nov 21 09:57:31 mx postfix/smtpd[4648]: NOQUEUE: reject: RCPT from mail.example.com[198.51.100.7]: "
    "450 4.2.0 <bob@example.org>: Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/"
    "example.org.html; from=<alice@example.com> to=<bob@example.org> proto=ESMTP helo=<mail.example.com>"
)
REJECTED = Event(
    Kind.REJECTED, "Nov 21 09:57:31", "mail.example.com", "198.51.100.7", "alice@example.com", "bob@example.org", None
)
PASS = (
    "Nov 21 09:57:34 mx postgrey[77]: action=pass, reason=triplet found, delay=302, client_name=mail.example.com, "
    "client_address=198.51.100.7, sender=alice@example.com, recipient=bob@example.org"
)
PASSED = REJECTED._replace(kind=Kind.RETURNED, stamp="Nov 21 09:57:34", delay=302)


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
    return b"".join(LogText(open_logs([str(path) for path in paths])).blocks())


def read(*lines: str) -> tuple[list[Event], LogText]:
    """The events of these lines, and the text they were in."""
    text = "".join(f"{line}\n" for line in lines).encode("latin-1")
    log = LogText([logfiles.LogFile("log", io.BytesIO(text))])
    return list(EventReader(log, compile_greylist_text("Greylisted"), lambda _: True)), log


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
    log = LogText(open_logs([str(tmp_path / "log")]))
    blocks = list(log.blocks())
    assert len(blocks) > 1
    assert all(block.endswith(b"\n") for block in blocks)
    assert (b"".join(blocks), log.total) == (TEXT * 4, 400_000)


def test_file_without_line_ends_does_not_fill_the_memory(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"x" * (20 << 20))
    assert max(len(block) for block in LogText(open_logs([str(tmp_path / "log")])).blocks()) < MAX_LINE_BYTES + (
        2 << 20
    )


def test_missing_file_is_told_before_anything_is_read(tmp_path: Path) -> None:
    (tmp_path / "log").touch()
    with pytest.raises(PostgreyError, match=r"can't open .*/missing: No such file or directory"):
        open_logs([str(tmp_path / "log"), str(tmp_path / "missing")])


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
    monkeypatch.setattr(logfiles.importlib, "import_module", _find_no_module)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(PostgreyError, match="compressed with zstd, which is missing here: install the command zstd"):
        read_all(path)


def _find_no_module(name: str) -> None:
    raise ImportError(name)


def test_unreadable_lines_are_counted_and_the_first_is_named(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"one\ntwo\xff\x1b[2J\nthree\n")
    log = LogText(open_logs([str(tmp_path / "log")]))
    assert log.complaint() is None
    for _ in log.blocks():
        log.skip(4)
    assert log.complaint() == f"1 line could not be read and was skipped: {tmp_path}/log line 2: 'two\\\\xff\\x1b[2J'"
    for _ in range(4):
        log.skip(0)
    assert (log.complaint() or "").startswith("5 lines could not be read and were skipped, the first: ")


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
        ("mail-1 | Nov 21 09:57:31 mx", "mail-1 | Nov 21"),
        ("x", "x"),
    ],
)
def test_stamp_is_the_time_as_written(line: str, stamp: str) -> None:
    assert stamp_of(line) == stamp


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


# Lines


def test_rejections_of_postfix_and_passes_of_the_server_are_read() -> None:
    events, log = read(REJECT, "Nov 21 09:57:33 mx postfix/smtpd[4648]: connect from unknown[192.0.2.1]", PASS)
    assert events == [REJECTED, PASSED]
    assert log.complaint() is None
    assert log.total == 3


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("mail.example.com[198", "unknown[198", {"client_name": "unknown"}),
        ("198.51.100.7]", "2001:db8::7]", {"client_address": "2001:db8::7"}),
        ("198.51.100.7]", "198.51.100.7]:57134", {}),
        ("198.51.100.7]", "unknown]", {"client_address": "unknown"}),
        ("from=<alice@example.com>", "from=<>", {"sender": ""}),
        ("450 4.2.0", "451 4.7.1", {}),
        ("450 4.2.0", "421", {}),
        ("NOQUEUE", "3F2504E0AB", {}),
        ("NOQUEUE", "4jWngf3ytXzJ9y0", {}),
        ("Nov 21 09:57:31", "2026-11-21T09:57:31.1+01:00", {"stamp": "2026-11-21T09:57:31.1+01:00"}),
        ("postfix/smtpd[4648]", "postfix-mx2/smtpd[4648]", {}),
        ("postfix/smtpd[4648]", "postfix/smtpd", {}),
        ("[4648]: ", "[4648]: [ID 197553 mail.info] ", {}),
        (" proto=ESMTP helo=<mail.example.com>", "", {}),
        ("<alice@", '<"alice and bob"@', {"sender": "alice and bob@example.com"}),
        ("<alice@", r'<"a\"b\\c"@', {"sender": r'a"b\c@example.com'}),
        ("<alice@", "<alice/x=y@", {"sender": "alice/x=y@example.com"}),
        ("<alice@", '<"a> to=<x"@', {"sender": "a> to=<x@example.com"}),
        ("to=<bob@", 'to=<"x; from=<q> to=<r> "@', {"recipient": "x; from=<q> to=<r> @example.org"}),
        ("450 4.2.0 <bob@", "450 4.2.0 <x; from=<q> to=<r>@", {}),
        ("helo=<mail.example.com>", "helo=<x; from=<q@evil.example> to=<r@evil.example> proto=>", {}),
        ("helo=<mail.example.com>", "helo=<x reject: RCPT from y[192.0.2.9]: 450 Greylisted>", {}),
        ("Nov 21 09:57:31", "mail-1 | Nov 21 09:57:31", {"stamp": "mail-1 | Nov 21"}),
    ],
)
def test_rejections_are_read_in_all_their_forms(old: str, new: str, changed: dict[str, str]) -> None:
    assert old in REJECT
    events, log = read(REJECT.replace(old, new, 1))
    assert events == [REJECTED._replace(**changed)]  # type: ignore[arg-type]
    assert log.complaint() is None


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("Greylisted, see", "Try again, see"),
        ("450 4.2.0", "550 5.7.1"),
        ("reject: ", "reject_warning: "),
        ("NOQUEUE: reject: ", "NOQUEUE: warn: "),
    ],
)
def test_other_lines_of_postfix_are_not_about_greylisting(old: str, new: str) -> None:
    assert old in REJECT
    events, log = read(REJECT.replace(old, new, 1))
    assert (events, log.complaint()) == ([], None)


@pytest.mark.parametrize(
    ("old", "new", "changed"),
    [
        ("triplet found, delay=302", "triplet found", {"kind": Kind.KNOWN, "delay": None}),
        ("triplet found, delay=302", "client whitelist", {"kind": Kind.WHITELISTED, "delay": None}),
        ("triplet found, delay=302", "recipient whitelist", {"kind": Kind.WHITELISTED, "delay": None}),
        ("triplet found, delay=302", "client AWL", {"kind": Kind.AUTO_WHITELISTED, "delay": None}),
        ("pass, reason=triplet found, delay=302", "greylist, reason=new", {"kind": Kind.GREYLISTED, "delay": None}),
        (
            "pass, reason=triplet found, delay=302",
            "greylist, reason=early-retry (298s missing)",
            {"kind": Kind.GREYLISTED, "delay": None},
        ),
        (", sender=alice@example.com", "", {"sender": ""}),
        (", client_name=mail.example.com", "", {"client_name": ""}),
        (", recipient=bob@example.org", "", {"recipient": ""}),
        ("=alice@", "=a, b@", {"sender": "a, b@example.com"}),
        (": action", ": 4jWngf3ytXzJ9y0: action", {}),
        ("198.51.100.7", "2001:db8::7", {"client_address": "2001:db8::7"}),
        ("postgrey[77]", "postgrey", {}),
    ],
)
def test_lines_of_the_server_are_read_in_all_their_forms(old: str, new: str, changed: dict[str, object]) -> None:
    assert old in PASS
    events, log = read(PASS.replace(old, new, 1))
    assert events == [PASSED._replace(**changed)]  # type: ignore[arg-type]
    assert log.complaint() is None


def test_action_in_the_words_of_a_client_is_no_decision() -> None:
    line = PASS.replace("postgrey[77]: ", "postfix/smtpd[1]: warning: non-SMTP command from x[192.0.2.1]: ")
    events, log = read(line, "Nov 21 09:57:34 mx policyd[7]: action=PREPEND Received-SPF: pass")
    assert (events, log.complaint()) == ([], None)


def test_deferrals_of_the_server_are_left_out_where_postfix_tells_of_them() -> None:
    greylist = PASS.replace("pass, reason=triplet found, delay=302", "greylist, reason=new")
    events, _ = read(greylist, REJECT, greylist, REJECT, PASS)
    assert [event.kind for event in events] == [Kind.REJECTED, Kind.REJECTED, Kind.RETURNED]
    events, _ = read(greylist, greylist, PASS)
    assert [event.kind for event in events] == [Kind.GREYLISTED, Kind.GREYLISTED, Kind.RETURNED]


@pytest.mark.parametrize(
    "line",
    [
        "garbage",
        "\0\x01\x02",
        REJECT.replace("from=<", "form=<"),
        REJECT.replace("[198.51.100.7]", ""),
        PASS.replace("client_address=", "address="),
    ],
)
def test_lines_that_can_not_be_read_are_counted(line: str) -> None:
    events, log = read(REJECT, line, PASS)
    assert [event.kind for event in events] == [Kind.REJECTED, Kind.RETURNED]
    assert (log.complaint() or "").startswith("1 line could not be read and was skipped: log line 2: ")


def test_empty_lines_and_remarks_of_the_journal_are_nothing_to_complain_of() -> None:
    _, log = read("-- Journal begins at Mon 2026-01-05 10:00:00 CET. --", "", "-- Boot 0123456789abcdef --", REJECT)
    assert log.complaint() is None


def test_lines_that_do_not_matter_are_not_read() -> None:
    read_text = LogText([logfiles.LogFile("log", io.BytesIO(f"{REJECT}\n{PASS}\n".encode("latin-1")))])
    events = list(EventReader(read_text, compile_greylist_text("Greylisted"), lambda line: b"carol@" in line))
    assert events == [REJECTED]


@pytest.mark.parametrize(
    ("pattern", "is_found"),
    [
        ("Greylisted", True),
        ("Recipient address rejected", True),
        ("greylisted", False),
        ("(?i)greylisted", True),
        ("rejected: Grey.*example\\.org", True),
        ("see http://postgrey.schweikert.ch/help/%r.html", True),
        ("Recipient .* %s seconds", False),
        ("4.2.%s <bob", True),
    ],
)
def test_greylist_text_is_a_pattern_with_the_placeholders_of_the_server(pattern: str, is_found: bool) -> None:
    assert bool(compile_greylist_text(pattern)(REJECT.encode("latin-1"))) == is_found


def test_bad_greylist_text_is_a_usage_error() -> None:
    with pytest.raises(UsageError, match="--greylist-text: '\\(' is no regular expression"):
        compile_greylist_text("(")
