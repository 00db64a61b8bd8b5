# SPDX-License-Identifier: GPL-2.0-or-later
"""Mail that came back is not lost, whatever the delay of the server is or was."""

from __future__ import annotations

from pathlib import Path

import pytest

from postgrey_py.commands.report.main import main
from tests.commands.calling import call
from tests.commands.reporting import record, reject_line, report, server_line
from tests.database.dbdirs import fill


@pytest.mark.parametrize(
    "reason",
    [
        "triplet found, delay=10",
        "triplet found, delay=299",
        "triplet found, delay=301",
        "triplet found",
        "triplet found, delay=3",
        "client AWL",
        "client whitelist",
        "recipient whitelist",
        "sender whitelist",
        "known pool, delay=3",
        "SPF",
    ],
)
@pytest.mark.parametrize("options", [[], ["--delay=3"], ["--summary"]])
def test_a_line_of_the_server_that_let_it_pass_is_the_proof(reason: str, options: list[str], empty: Path) -> None:
    log = reject_line(stamp="Nov 21 09:57:31") + server_line(f"action=pass, reason={reason}", stamp="Nov 21 09:57:41")
    output = report(empty, log, *options)
    if "--summary" in options:
        assert "came back                1   100.0 %" in output
    else:
        assert output == ""


def test_whoever_names_a_delay_sees_what_came_back_sooner(empty: Path) -> None:
    """As in 1.37; but not what a list let pass."""
    log = reject_line() + server_line("action=pass, reason=triplet found, delay=40")
    assert report(empty, log, "--delay=41").count("\n") == 1
    log = reject_line() + server_line("action=pass, reason=client AWL")
    assert report(empty, log, "--delay=86400") == ""


def test_mail_that_passed_before_it_was_deferred_is_lost_all_the_same(empty: Path) -> None:
    log = server_line("action=pass, reason=client whitelist", stamp="Nov 21 09:00:00") + reject_line()
    assert report(empty, log).count("\n") == 1


@pytest.fixture
def dbdir(tmp_path: Path) -> Path:
    """Bob's mail came back after 60 seconds, Carol's after 5."""
    fill(tmp_path / "db", record(lasted=60) | record(recipient="carol@example.org", lasted=5))
    return tmp_path / "db"


LOG = reject_line() + reject_line(recipient="carol@example.org")
PASS = server_line("action=pass, reason=triplet found, delay=40", sender="other@example.com")
SLOW = server_line("action=pass, reason=triplet found, delay=900", sender="other@example.com")


@pytest.mark.parametrize(
    ("log", "options", "lost"),
    [
        (LOG, [], 2),
        (LOG, ["--delay=60"], 1),
        (LOG + SLOW, [], 2),
        # Some mail of this log passed after 40 seconds, so no more can have been needed.
        (LOG + PASS, [], 1),
        (PASS + SLOW + LOG, [], 1),
        (LOG + PASS, ["--delay=300"], 2),
        (LOG + PASS, ["--delay=3"], 0),
    ],
)
def test_a_log_may_tell_the_delay_of_its_time(log: str, options: list[str], lost: int, dbdir: Path) -> None:
    assert report(dbdir, log, *options).count("\n") == lost


def test_the_delay_of_the_server_is_known(dbdir: Path, tmp_path: Path) -> None:
    (tmp_path / "default").write_text('POSTGREY_OPTS="--inet=10023 --delay=30"\n')
    (tmp_path / "log").write_text(LOG)
    options = (f"--dbdir={dbdir}", f"--server-options={tmp_path / 'default'}", str(tmp_path / "log"))
    outcome = call(main, *options)
    assert (outcome.stdout.count("\n"), outcome.stderr) == (1, "")
    outcome = call(main, *options, "--verbose")
    assert f"options of the server from {tmp_path / 'default'}: delay=30" in outcome.stderr
    assert call(main, *options, "--delay=300").stdout.count("\n") == 2
