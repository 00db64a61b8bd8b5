# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgreyctl export` and `import`, from and into real servers, running and stopped."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from postgrey_py.commands.control.transfer import Contents, read_contents
from postgrey_py.errors import PostgreyError
from tests.parity.databases import CLIENTS, TRIPLETS, dump_recovered
from tests.support.policy import PolicyClient, ask
from tests.support.servers import PERL_POSTGREY, POSTGREY, ROOT, PolicyServer

POSTGREYCTL = (sys.executable, str(ROOT / "scripts" / "postgreyctl"))
HEADER = '{"postgrey":"records","version":1}'
TRIPLET = '{"triplet":"192.0.2.0/a@example.com/b@example.org","first_seen":1,"last_seen":2}'
CLIENT = '{"client":"192.0.2.7","passes":1,"last_seen":2}'
END = '{"end":"records","triplets":1,"clients":1}'


def run(dbdir: Path, *arguments: str, status: int = 0, given: str = "") -> subprocess.CompletedProcess[str]:
    command = [*POSTGREYCTL, f"--dbdir={dbdir}", f"--control={dbdir}/postgrey.control", *arguments]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=120)
    assert done.returncode == status, done
    assert "Traceback" not in done.stderr
    return done


@pytest.fixture
def full(tmp_path: Path) -> Iterator[PolicyServer]:
    """A server that knows 1,000 triplets, one of them in bytes that are no UTF-8, and a client."""
    now = int(time.time())
    with PolicyServer(POSTGREY, tmp_path / "full") as server, PolicyClient(server.port) as client:
        for number in range(999):
            client.ask(policy_test_time=now - 800, recipient=f"user{number}@example.org")
        client.ask(policy_test_time=now - 400, recipient="user0@example.org")
        client.ask(recipient="b\xf6b@example.org", sender='"a\\b"@example.com')
        yield server


def parse(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_export_of_a_running_server_and_of_its_files_is_the_same(full: PolicyServer) -> None:
    running = parse(run(full.dbdir, "export").stdout)
    assert running[-1] == {"end": "records", "triplets": 1000, "clients": 1}
    assert len(running) == 1003
    full.stop()
    done = run(full.dbdir, "export")
    assert "no server runs there" in done.stderr
    assert "these are the records in its files" in done.stderr
    assert parse(done.stdout)[1:] == running[1:]


def test_everything_goes_into_another_server_and_on_to_perl(full: PolicyServer, tmp_path: Path) -> None:
    exported = run(full.dbdir, "export").stdout
    (tmp_path / "export").write_text(exported)
    with PolicyServer(POSTGREY, tmp_path / "new") as server:
        done = run(server.dbdir, "import", "--yes", str(tmp_path / "export"))
        assert done.stdout == (
            "1001 added, 0 changed by what was new in them, 0 known already,"
            " 0 passed over: the next clean-up would remove them\n"
        )
        done = run(server.dbdir, "import", "--yes", "--format=json", "-", given=exported)
        assert json.loads(done.stdout) == {"added": 0, "changed": 0, "same": 1001, "old": 0}
    full.stop()
    assert dump_recovered(tmp_path / "new")[TRIPLETS].records == dump_recovered(full.dbdir)[TRIPLETS].records
    assert dump_recovered(tmp_path / "new")[CLIENTS].records == dump_recovered(full.dbdir)[CLIENTS].records
    with PolicyServer(PERL_POSTGREY, tmp_path / "new") as perl:
        assert ask(perl.port, recipient="user0@example.org") == "DUNNO"
        assert ask(perl.port, recipient="user1@example.org").startswith("PREPEND X-Greylist: delayed 8")


def test_more_than_one_record_is_asked_about(full: PolicyServer, tmp_path: Path) -> None:
    (tmp_path / "export").write_text(run(full.dbdir, "export").stdout)
    done = run(full.dbdir, "import", str(tmp_path / "export"), status=2)
    assert 'import: 1000 triplets and 1 client; the first: {"triplet"' in done.stderr
    assert "say --yes" in done.stderr


def test_export_that_fits_no_server_changes_nothing(full: PolicyServer, tmp_path: Path) -> None:
    (tmp_path / "export").write_text(run(full.dbdir, "export").stdout)
    with PolicyServer(POSTGREY, tmp_path / "new", ["--ipv4cidr=20"]) as server:
        done = run(server.dbdir, "import", "--yes", str(tmp_path / "export"), status=1)
        assert done.stderr == (
            "postgreyctl: these records are of a server with ipv4cidr 24, and this one has 20:"
            " they would mean nothing here\n"
        )
        assert parse(run(server.dbdir, "export").stdout)[-1]["triplets"] == 0


def test_file_that_is_not_there(full: PolicyServer) -> None:
    done = run(full.dbdir, "import", "--yes", "/nowhere", status=1)
    assert done.stderr == "postgreyctl: can't read /nowhere: No such file or directory\n"
    assert "import is followed by FILE" in run(full.dbdir, "import", status=2).stderr


def test_import_needs_a_server(tmp_path: Path) -> None:
    (tmp_path / "export").write_text(f"{HEADER}\n{TRIPLET}\n{CLIENT}\n{END}")
    assert "no server runs there" in run(tmp_path, "import", "--yes", str(tmp_path / "export"), status=1).stderr


def read(*lines: str) -> Contents:
    return read_contents(io.BytesIO("".join(f"{line}\n" for line in lines).encode("utf-8")), "FILE")


def test_contents_are_counted() -> None:
    found = read(HEADER, TRIPLET, CLIENT, END)
    assert found == Contents(1, 1, HEADER, TRIPLET)
    assert found.text() == "1 triplet and 1 client"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "FILE is not complete"),
        ([HEADER], "FILE is not complete"),
        ([HEADER, TRIPLET, CLIENT], "FILE is not complete: was the export broken off"),
        ([HEADER, TRIPLET, TRIPLET, CLIENT, END], "FILE is not complete"),
        ([HEADER, TRIPLET, TRIPLET[:40], CLIENT, END], "FILE line 3: this is no line of JSON.*; nothing was imported"),
        ([HEADER, "", TRIPLET, CLIENT, END], "FILE line 2: this is no line of JSON"),
        ([HEADER, TRIPLET, CLIENT, END, TRIPLET], "FILE line 5: there is more behind the end"),
        ([HEADER, "x" * 200_000, END], "FILE line 2: this is no line of JSON"),
    ],
)
def test_file_with_a_fault_is_refused(lines: list[str], message: str) -> None:
    with pytest.raises(PostgreyError, match=message):
        read(*lines)


def test_file_that_is_no_text_is_refused() -> None:
    with pytest.raises(PostgreyError, match="FILE line 2 is no UTF-8"):
        read_contents(io.BytesIO(HEADER.encode() + b"\n\xff\n"), "FILE")
