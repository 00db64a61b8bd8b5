# SPDX-License-Identifier: GPL-2.0-or-later
"""Log lines and records for tests of `postgreyreport`, and what it and Perl's make of them."""

from __future__ import annotations

import getpass
import time
from pathlib import Path

from postgrey_py.commandline import take_information
from postgrey_py.commands.report.main import main
from postgrey_py.commands.report.options import Options, make_parser
from postgrey_py.greylist.address import parse_address
from postgrey_py.greylist.keys import triplet_key
from postgrey_py.greylist.settings import Settings
from tests.commands.calling import call
from tests.commands.running import PERL_REPORT, run

NOW = int(time.time())
STAMP = "Nov 21 09:57:31"

# Longer than the delay.
RETURNED = 400


def parse_options(*arguments: str) -> Options:
    """The options of a report with these arguments."""
    given = make_parser().parse(arguments)
    assert take_information(given) is None
    return Options(**given)


def reject_line(
    address: str = "198.51.100.7",
    name: str = "mail.example.com",
    sender: str = "alice@example.com",
    recipient: str = "bob@example.org",
    code: str = "450 4.2.0",
    stamp: str = STAMP,
    port: str = "",
) -> str:
    return (
        f"{stamp} mx postfix/smtpd[4648]: NOQUEUE: reject: RCPT from {name}[{address}]{port}: {code} <{recipient}>: "
        f"Recipient address rejected: Greylisted, see http://postgrey.schweikert.ch/help/example.org.html; "
        f"from=<{sender}> to=<{recipient}> proto=ESMTP helo=<{name}>\n"
    )


def server_line(
    action: str,
    address: str = "198.51.100.7",
    name: str = "mail.example.com",
    sender: str = "alice@example.com",
    recipient: str = "bob@example.org",
    stamp: str = "Nov 21 10:57:31",
) -> str:
    return (
        f"{stamp} mx postgrey[77]: {action}, client_name={name}, client_address={address}, "
        f"sender={sender}, recipient={recipient}\n"
    )


def record(
    address: str = "198.51.100.7",
    sender: str = "alice@example.com",
    recipient: str = "bob@example.org",
    settings: Settings | None = None,
    lasted: int = 0,
) -> dict[bytes, bytes]:
    """The record of a triplet that was seen for so many seconds."""
    parsed = parse_address(address)
    assert parsed is not None
    key = triplet_key(parsed, sender, recipient, settings or Settings())
    return {key: b"%d,%d" % (NOW - 10_000, NOW - 10_000 + lasted)}


def report(dbdir: Path, log: str, *options: str) -> str:
    """What our report prints on this log, which it must read without complaint."""
    path = dbdir.with_name("maillog")
    path.write_bytes(log.encode("latin-1"))
    outcome = call(main, f"--user={getpass.getuser()}", f"--dbdir={dbdir}", *options, str(path))
    assert (outcome.stderr, outcome.status) == ("", 0)
    return outcome.stdout


def perl_report(dbdir: Path, log: str, *options: str) -> str:
    """What Perl's prints."""
    outcome = run(PERL_REPORT, f"--user={getpass.getuser()}", f"--dbdir={dbdir}", *options, log=log)
    assert (outcome.stderr, outcome.status) == ("", 0)
    return outcome.stdout
