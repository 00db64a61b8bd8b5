# SPDX-License-Identifier: GPL-2.0-or-later
"""What `postgreyreport` says of what is no log, and with which exit status it ends."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from tests.commands.reporting import reject_line, report, server_line
from tests.commands.running import REPORT, Outcome, run
from tests.support.hangs import limit_seconds

NO_LOGS = {
    "words and an empty line": b"hello\n\nworld\n",
    "a program": b"\x7fELF\x02\x01\x01\n\n\0\0\n" + bytes(range(256)) * 40,
    "a web page": b"<!DOCTYPE html>\n<html>\n\n<body>\n<p>May I help you?\n</body>\n</html>\n",
    "access log of nginx": b'192.0.2.1 - - [21/Nov/2026:09:00:00 +0100] "GET / HTTP/1.1" 200 612 "-" "curl"\n',
    "error log of nginx": b"2026/11/21 09:00:00 [error] 1#0: *1 open() failed (2: No such file or directory)\n",
    "one line of 200 KB": b"x" * 200_000,
    "objects": b'{"a": 1}\n{"b": 2}\n',
}


def outcome_of(dbdir: Path, log: bytes, *options: str) -> Outcome:
    return run(REPORT, f"--dbdir={dbdir}", *options, log=log)


@pytest.mark.parametrize("log", NO_LOGS.values(), ids=NO_LOGS)
def test_what_is_no_log_is_an_error(log: bytes, empty: Path) -> None:
    outcome = outcome_of(empty, log)
    assert (outcome.stdout, outcome.status) == ("", 1)
    assert outcome.stderr.startswith("postgreyreport: no line could be read, the first is standard input line 1: '")
    assert outcome.stderr.endswith("': is that a mail log?\n")
    assert outcome.stderr.count("\n") == 1


@pytest.mark.parametrize("log", [b"", b"\n\n", b"-- No entries --\n"])
def test_empty_log_is_told(log: bytes, empty: Path) -> None:
    assert outcome_of(empty, log) == Outcome("", "postgreyreport: the log is empty: standard input\n", 0)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-16-le"])
def test_utf_16_is_told(encoding: str, empty: Path) -> None:
    text = reject_line() if encoding == "utf-16" else f"\ufeff{reject_line()}"
    outcome = outcome_of(empty, text.encode(encoding))
    assert (outcome.stdout, outcome.status) == ("", 1)
    assert "standard input is in UTF-16: put `iconv -f utf-16 -t utf-8` before this command" in outcome.stderr


def test_line_ends_of_windows_are_line_ends(empty: Path) -> None:
    log = (
        reject_line() + "\n" + server_line("action=pass, reason=triplet found, delay=3600", sender="carol@example.com")
    )
    expected = outcome_of(empty, log.encode())
    assert (expected.stderr, expected.status, expected.stdout.count("\n")) == ("", 0, 1)
    assert outcome_of(empty, log.replace("\n", "\r\n").encode()) == expected


@pytest.mark.parametrize(
    "log",
    [
        b"Nov 21 09:00:00 mx sshd[1]: Connection closed by 192.0.2.1 port 22\n",
        b"2026-11-21 09:00:00 1kfXyz-0001Ab-2C <= alice@example.com H=mail.example.com [198.51.100.7] P=esmtp S=4711\n",
        b"Nov 21 09:00:00 mx postfix/smtpd[1]: connect from mail.example.com[198.51.100.7]\n",
        b"3F2504E0AB: message-id=<x@example.com>\nconnect from mail.example.com[198.51.100.7]\n",
    ],
)
def test_log_without_a_word_of_greylisting_is_told(log: bytes, empty: Path) -> None:
    outcome = outcome_of(empty, log)
    assert (outcome.stdout, outcome.status) == ("", 0)
    assert outcome.stderr.startswith("postgreyreport: nothing in the log is about greylisting (")


@pytest.mark.parametrize(
    ("name", "message"), [("directory", "Is a directory"), ("missing", "No such file or directory")]
)
def test_file_that_can_not_be_read_is_told(name: str, message: str, empty: Path, tmp_path: Path) -> None:
    (tmp_path / "directory").mkdir()
    outcome = run(REPORT, f"--dbdir={empty}", tmp_path / name)
    assert (outcome.stdout, outcome.status) == ("", 1)
    assert outcome.stderr == f"postgreyreport: can't open {tmp_path / name}: {message}\n"


def test_file_that_ends_too_early_is_told(empty: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.gz").write_bytes(gzip.compress(reject_line().encode() * 100)[:-9])
    outcome = run(REPORT, f"--dbdir={empty}", tmp_path / "cut.gz")
    assert outcome.status == 1
    assert outcome.stderr.startswith(f"postgreyreport: can't read {tmp_path / 'cut.gz'} behind line ")


def test_time_that_goes_back_is_told(empty: Path) -> None:
    log = reject_line(stamp="Nov 21 09:00:00") + reject_line(stamp="Nov 14 09:00:00")
    outcome = outcome_of(empty, log.encode())
    assert outcome.stderr.startswith("postgreyreport: the time goes back in standard input: ")
    assert outcome.status == 0


def test_files_in_the_order_of_a_shell_are_read_in_that_of_their_times(empty: Path, tmp_path: Path) -> None:
    (tmp_path / "mail.log").write_text(server_line("action=pass, reason=triplet found, delay=3600"))
    (tmp_path / "mail.log.1").write_text(reject_line(stamp="Nov 21 06:00:00"))
    outcome = run(REPORT, f"--dbdir={empty}", tmp_path / "mail.log", tmp_path / "mail.log.1")
    assert outcome == Outcome("", "", 0)


def test_lines_without_heads_beside_lines_that_tell_of_mail_are_nothing_to_complain_of(empty: Path) -> None:
    log = "postgrey 1.37 starting\n" + reject_line().partition("]: ")[2] + "cleaning up old logs...\n"
    assert len(report(empty, log).splitlines()) == 1


# Postfix that only warns

WARNING = reject_line(stamp="2026-03-02T12:00:00Z").replace("reject: ", "reject_warning: ")
GREYLISTED = server_line("action=greylist, reason=new", stamp="2026-03-02T12:00:00Z")


def test_mail_that_postfix_took_with_a_warning_is_not_lost(empty: Path) -> None:
    assert report(empty, GREYLISTED + WARNING) == ""


def test_mail_that_would_have_been_deferred_is_counted(empty: Path) -> None:
    log = (
        GREYLISTED
        + WARNING * 2
        + WARNING.replace("alice", "carol")
        + reject_line(stamp="2026-03-02T13:00:00Z", sender="d@x")
    )
    text = report(empty, log, "--summary")
    assert "deferred                   1\n" in text
    assert "would have been deferred         2\n" in text
    header, total, *_ = report(empty, log, "--summary", "--format=csv").splitlines()
    assert header.endswith(",known,would_be_deferred")
    assert total.endswith(",0,2")
    assert '"would_be_deferred": 2' in report(empty, log, "--summary", "--format=json")


def test_training_is_told_as_what_would_have_been(empty: Path) -> None:
    log = (
        server_line("action=pass, reason=training (new)", stamp="2026-03-02T12:00:00Z")
        + server_line("action=pass, reason=training (early-retry (100s missing))", stamp="2026-03-02T12:03:20Z")
        + server_line("action=pass, reason=triplet found, delay=400", stamp="2026-03-02T12:06:40Z")
        + server_line("action=pass, reason=training (new)", stamp="2026-03-02T12:00:00Z", sender="carol@example.net")
    )
    assert report(empty, log) == ""
    text = report(empty, log, "--summary")
    assert "deferred                   0\n" in text
    assert "would have been deferred         2\n" in text
    assert "  known triplet            1" in text


def test_mail_that_was_deferred_and_then_taken_with_a_warning_came_back(empty: Path) -> None:
    assert report(empty, reject_line(stamp="2026-03-02T11:00:00Z") + WARNING) == ""


def test_repeated_messages_are_tries(empty: Path) -> None:
    log = reject_line() + "Nov 21 09:58:31 mx last message repeated 2 times\n"
    assert report(empty, log, "--show_tries").startswith("3 ")


# Patterns


def test_pattern_that_runs_wild_is_told(empty: Path) -> None:
    log = reject_line(sender="a." * 60)
    with limit_seconds(30.0):
        outcome = outcome_of(empty, log.encode(), r"--greylist-text=(?:a\.|a\.a\.)*>(?!.)")
    assert outcome.status == 1
    assert outcome.stderr.startswith(
        "postgreyreport: --greylist-text: '(?:a\\\\.|a\\\\.a\\\\.)*>(?!.)' takes too long on"
    )
