# SPDX-License-Identifier: GPL-2.0-or-later
"""--debug_db of `postgreyreport`: the records of chosen clients, beside those that Perl's finds."""

from __future__ import annotations

import getpass
import re
from pathlib import Path

import pytest

from postgrey_py.commands.events import Event, Kind
from postgrey_py.commands.report.debugging import print_records
from postgrey_py.commands.report.verdicts import Verdicts
from postgrey_py.greylist.settings import Settings
from tests.commands.report.test_verdicts import MAIL, stored
from tests.commands.reporting import NOW, record, reject_line
from tests.commands.running import PERL_REPORT, REPORT, run
from tests.database.dbdirs import fill


def test_debug_db_shows_keys_and_records_as_perl_does(tmp_path: Path) -> None:
    records = record(lasted=77) | record(address="203.0.113.9", settings=Settings(lookup_by_host=True), lasted=5)
    fill(tmp_path / "db", records)
    log = (reject_line() + reject_line(address="203.0.113.9")) * 2 + reject_line(name="other.example.net")
    options = ("--debug_db", "--debug_re=^mail,COM$")
    outcome = run(REPORT, f"--user={getpass.getuser()}", f"--dbdir={tmp_path / 'db'}", *options, log=log)
    perls = run(PERL_REPORT, f"--user={getpass.getuser()}", f"--dbdir={tmp_path / 'db'}", *options, log=log)
    assert (outcome.stderr, outcome.status) == ("", 0)
    lines = outcome.stdout.splitlines()
    assert [line for line in lines if not re.search("/(24|32)/", line)] == perls.stdout.splitlines()
    assert f"203.0.113.9/32/alice@example.com/bob@example.org : {NOW - 10_000},{NOW - 9_995} = 5s " in lines
    assert "other" not in outcome.stdout


def test_only_rejections_of_matching_clients_are_looked_up(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(lookup_by_host=True)
    verdicts = Verdicts(stored(b"1000,1300", settings), settings, is_lookup_known=True)
    rejected = Event(Kind.REJECTED, "", "mail.example.com", *MAIL, None)
    others = (
        rejected._replace(client_name="mail.example.net"),
        rejected._replace(client_address="nobody"),
        rejected._replace(kind=Kind.RETURNED, delay=300),
    )
    print_records([*others, rejected], verdicts, [("com$", re.compile(b"com$").search)])
    assert capsys.readouterr().out.splitlines() == [
        "",
        "Debugging_DB Active, Displaying hosting matching REs: com$ ; ",
        "",
        "192.0.2.7/alice@example.com/bob@example.org :  = 0s ",
        "192.0.2.7/32/alice@example.com/bob@example.org : 1000,1300 = 300s ",
    ]
