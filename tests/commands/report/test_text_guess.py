# SPDX-License-Identifier: GPL-2.0-or-later
"""What the report says when no rejection has the text that it looks for."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path

import pytest

from postgrey_py.commands.maillog import compile_greylist_text
from postgrey_py.commands.report.main import main
from postgrey_py.commands.report.text_guess import TextGuess
from tests.commands.calling import call
from tests.commands.reporting import reject_line, server_line

USUAL = "Greylisted, see http://postgrey.schweikert.ch/help/example.org.html"


def greylisted(number: int = 0, **options: str) -> str:
    return server_line("action=greylist, reason=new", recipient=f"bob{number}@example.org", **options)


def rejected(text: str, number: int = 0, **options: str) -> str:
    return reject_line(recipient=f"bob{number}@example.org", **options).replace(USUAL, text)


def report(empty: Path, log: str, *options: str) -> tuple[str, str, int]:
    path = empty.with_name("log")
    path.write_bytes(log.encode("latin-1"))
    return call(main, f"--dbdir={empty}", *options, str(path))


@pytest.mark.parametrize(
    ("texts", "value"),
    [
        (["Try again later"], "Try again later"),
        (["Wait 300 seconds", "Wait 299 seconds"], "Wait %s seconds"),
        (["Mail to example.org waits (greylisting)."], r"Mail to %r waits \(greylisting\)\."),
        (["It's 7 o'clock"], "It's %s o'clock"),
        (["see https://x.example.net/?d=example.org&t=60"], r"see https://x\.example\.net/\?d=%r&t=%s"),
        (["Wait 300 seconds", "Wait 1 seconds", "Mailbox busy"], "Wait %s seconds"),
        (["sp\xc3\xa4ter"], "sp\xe4ter"),
    ],
)
def test_the_text_that_fits_is_named(texts: list[str], value: str, empty: Path) -> None:
    log = "".join(greylisted(number) + rejected(text, number) for number, text in enumerate(texts))
    stdout, stderr, status = report(empty, log)
    assert (stdout, status) == ("", 1)
    (line,) = stderr.splitlines()
    assert "the server deferred mail (action=greylist), but no rejection has the text 'Greylisted'" in line
    (option,) = shlex.split(line.partition(": try ")[2])
    assert option == f"--greylist-text={value}"
    stdout, stderr, status = report(empty, log, option)
    assert len(stdout.splitlines()) == len([text for text in texts if text != "Mailbox busy"])
    assert (stderr, status) == ("", 0)


def test_summary_says_it_too(empty: Path) -> None:
    _, stderr, status = report(empty, greylisted() + rejected("Wait"), "--summary")
    assert "--greylist-text=Wait" in stderr
    assert status == 1


def test_the_restriction_may_be_another_than_that_of_recipients(empty: Path) -> None:
    log = greylisted() + rejected("Wait").replace("Recipient address rejected", "Client host rejected")
    assert "try --greylist-text=Wait" in report(empty, log)[1]


@pytest.mark.parametrize(
    "log",
    [
        # The usual text, among others.
        greylisted() + reject_line() + rejected("Mailbox busy", 1),
        # Nothing was deferred.
        rejected("Mailbox busy"),
        # Exim has no rejections.
        greylisted(),
        "",
    ],
)
def test_there_is_nothing_to_say_of_other_logs(log: str, empty: Path) -> None:
    _, stderr, _ = report(empty, log)
    assert "--greylist-text=" not in stderr
    assert "the server deferred" not in stderr


def test_rejections_of_other_mail_are_no_guess(empty: Path) -> None:
    _, stderr, status = report(empty, greylisted() + rejected("Mailbox busy", 1))
    assert "and none is of that mail: give the whole log, or another --greylist-text" in stderr
    assert status == 1


def test_mail_that_was_refused_for_good_is_told(empty: Path) -> None:
    _, stderr, status = report(empty, greylisted() + rejected("Greylisted, go away", code="550 5.7.1"))
    assert "was refused for good ('Greylisted, go away'); see --greylist-action" in stderr
    assert status == 1


@pytest.mark.parametrize(
    "piece",
    [
        b"action=greylist, reason=",
        b"reject: RCPT from x[1]: 450 <",
        b"reject: RCPT from x[1]: 450 <>: ",
        b", client_address=1, sender=",
        b"x[1]: 450 <a>: y",
    ],
)
def test_the_time_for_a_line_grows_no_faster_than_in_proportion_to_its_parts(piece: bytes) -> None:
    """Clients write into lines of the log; Postfix cuts them at 2,048 bytes, and others may be longer."""
    guess = TextGuess(compile_greylist_text("Greylisted"))
    start = time.perf_counter()
    guess.look(b"action=greylist, reason=new, client_address=1, recipient=b\n" + piece * (16_000 // len(piece)) + b"\n")
    assert time.perf_counter() - start < 5


def test_no_more_is_kept_than_is_needed() -> None:
    guess = TextGuess(compile_greylist_text("Greylisted"))
    block = "".join(greylisted(number) + rejected("Wait", number) for number in range(3000)).encode()
    guess.look(block)
    assert re.search("try --greylist-text=Wait$", guess.complaint("Greylisted") or "")
    guess.is_needed = False
    assert guess.complaint("Greylisted") is None


def test_a_server_whose_action_does_not_defer_is_told(empty: Path, tmp_path: Path) -> None:
    (tmp_path / "default").write_text('POSTGREY_OPTS="--inet=10023 --greylist-action=REJECT"\n')
    _, stderr, _ = report(empty, reject_line(), f"--server-options={tmp_path / 'default'}")
    assert stderr.startswith("postgreyreport: --greylist-action=REJECT of the server ")
    (tmp_path / "default").write_text('POSTGREY_OPTS="--inet=10023 --greylist-action=451"\n')
    assert report(empty, reject_line(), f"--server-options={tmp_path / 'default'}")[1] == ""


def test_who_names_a_text_gets_what_has_it(empty: Path) -> None:
    """As in 1.37, also when that is nothing."""
    log = greylisted() + server_line("action=pass, reason=client AWL") + rejected("Wait")
    assert report(empty, log, "--greylist-text=Greylisted") == ("", "", 0)
