# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgreyreport` and `policy-test` on the log of a real Postfix."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.commands.recording import DELAY, Recording, odd_traffic, ordinary_traffic, record_mail
from tests.commands.reporting import perl_report, report
from tests.commands.running import POLICY_TEST, run
from tests.parity.databases import dump_recovered
from tests.support.servers import POSTGREY, PolicyServer

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def ordinary(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return record_mail(tmp_path_factory.mktemp("ordinary"), ordinary_traffic)


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return record_mail(
        tmp_path_factory.mktemp("odd"),
        odd_traffic,
        ["--greylist-action=451 4.7.1"],
        "enable_long_queue_ids = yes\nsmtpd_client_port_logging = yes\n",
    )


@pytest.mark.parametrize(
    "options",
    [
        ("--show_tries",),
        ("--show_time", "--tab"),
        ("--nosingle_line", r"--separate_by_subnet===\n"),
        (r"--separate_by_ip=\n", "--show_time", "--show_tries"),
        ("--delay=86400",),
        ("--skip_pool",),
    ],
    ids=" ".join,
)
def test_log_of_postfix_is_reported_as_perl_does(ordinary: Recording, options: tuple[str, ...]) -> None:
    options = options if "--delay=86400" in options else (*options, f"--delay={DELAY}")
    ours = report(ordinary.dbdir, ordinary.log, *options)
    perls = perl_report(ordinary.dbdir, ordinary.log, *options)
    if "--delay=86400" in options:
        # There are two mails of one client then, which Perl's has in no order.
        ours, perls = ("".join(sorted(text.splitlines(keepends=True))) for text in (ours, perls))
    assert ours == perls
    assert len(ours.splitlines()) >= 4
    assert ("pool.example" in ours) == ("--skip_pool" not in options)


def test_lost_mail_is_found_in_the_log_of_postfix(ordinary: Recording) -> None:
    assert report(ordinary.dbdir, ordinary.log, f"--delay={DELAY}", "--tab", "--show_tries").splitlines() == [
        "1\t192.0.2.9\tunknown\tspam@example.net\tbob@example.org",
        "1\t198.18.5.77\thost-5-77.pool.example\tpool@example.net\tbob@example.org",
        "1\t198.51.100.7\tmail.example.com\talice@example.com\tdave@example.org",
        "1\t203.0.113.7\tmail.example.net\tlost-#@example.net\tbob@example.org",
        "1\t203.0.113.60\tmail.example.edu\ttwo@example.edu\tcarol@example.org",
        "2\t203.0.113.99\tmx.example.org\ttwice@example.org\tbob@example.org",
    ]


def test_odd_mail_is_judged_rightly(odd: Recording) -> None:
    output = report(odd.dbdir, odd.log, f"--delay={DELAY}", "--tab")
    assert output.splitlines() == [
        "198.51.100.4\tmail.example.com\twith blank@example.com\talias@example.org",
        "198.51.100.4\tmail.example.com\twith blank@example.com\talias2@example.org",
        "203.0.113.1\tmail.example.com\t<>\tbob@example.org",
        "203.0.113.2\tmail.example.com\ta/b@example.com\tbob@example.org",
        "203.0.113.3\tmail.example.com\ta> to=<x@example.com\tbob@example.org",
        "2001:db8:1::1\tmail6.example.com\talice@example.com\tbob@example.org",
    ]
    assert output != perl_report(odd.dbdir, odd.log, f"--delay={DELAY}", "--tab")


@pytest.mark.parametrize("name", ["ordinary", "odd"])
def test_server_learns_from_the_log_what_it_learned_from_postfix(
    name: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    recording: Recording = request.getfixturevalue(name)
    with PolicyServer(POSTGREY, tmp_path / "db", [f"--delay={DELAY}"]) as server:
        outcome = run(POLICY_TEST, f"inet:127.0.0.1:{server.port}", log=recording.log)
    assert (outcome.stderr, outcome.status) == ("", 0)
    old, new = (dump_recovered(dbdir)["postgrey.db"].records for dbdir in (recording.dbdir, server.dbdir))
    assert new.keys() == old.keys()
    # Times of the log are whole seconds, so that a mail may seem to come back a second too early.
    passed = {key for key, value in new.items() if has_passed(value)}
    assert passed <= {key for key, value in old.items() if has_passed(value)}
    found = re.fullmatch(r"(\d+) requests in \d+\.\d\ds \(\d+ r/s\)\n", outcome.stdout)
    assert found is not None
    # What was accepted of a mail that was given up leaves no trace of its recipients.
    assert int(found[1]) <= recording.server_log.count("action=")


def has_passed(value: str) -> bool:
    first, last = map(int, value.split(","))
    return last - first >= DELAY
