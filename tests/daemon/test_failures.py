# SPDX-License-Identifier: GPL-2.0-or-later
"""A full disk, damaged and vanished files: mail passes, the log says why, and greylisting comes back by itself."""

from __future__ import annotations

import itertools
import random
import shutil
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from postgrey_py.database.configuration import CACHE_BYTES
from tests.daemon.conftest import StartServer
from tests.daemon.processes import stop_once, wait_until
from tests.database.dbdirs import PAGE_BYTES, fill, garble, make_records
from tests.parity.databases import TRIPLETS, dump_recovered, verify
from tests.support.policy import PolicyClient, make_request
from tests.support.servers import PolicyServer

DELAY = 300

FAILED = "the database failed, mail passes without greylisting: "
WORKS = "the database works again, mail is greylisted; "

# The server tries to open its database again at once, and after 1 and 2 seconds more: long enough for three tries.
OUTAGE_SECONDS = 5.0

# Records for a file that is larger than the server's cache, and how many of its pages are damaged.
MANY = 150_000
DAMAGED_PAGES = 50
STRANGE = (b"\xff", b"Nov 21 10:00:00 host postfix/smtpd[123]: connect from unknown[192.0.2.1]\n")


def fill_up(disk: Path, leave: int = 0) -> None:
    """Use up the space of a file system but for `leave` pages."""
    with (disk / "ballast").open("ab", buffering=0) as file:
        try:
            while True:
                file.write(bytes(PAGE_BYTES))
        except OSError:
            file.truncate(max(0, file.tell() - leave * PAGE_BYTES))


def make_room(disk: Path) -> None:
    (disk / "ballast").unlink()


class Load:
    """Clients that send new mail all the time, and remember what was deferred and how much passed."""

    def __init__(self, server: PolicyServer, clients: int = 4) -> None:
        self.server = server
        self.deferred: list[str] = []
        self.passed = 0
        self.stopping = threading.Event()
        self.errors: list[Exception] = []
        self.threads = [threading.Thread(target=self.send, args=[number]) for number in range(clients)]

    def send(self, client_number: int) -> None:
        try:
            with PolicyClient(self.server.port) as client:
                for number in itertools.count():
                    if self.stopping.is_set():
                        break
                    batch = [f"user{number}-{n}@example.org" for n in range(20)]
                    network = f"10.{client_number}.{number % 256}"
                    client.send(b"".join(make_request(client_address=f"{network}.1", recipient=r) for r in batch))
                    for recipient in batch:
                        if client.read_reply() == "DUNNO":
                            self.passed += 1
                        else:
                            self.deferred.append(f"{network}.0/alice@example.com/{recipient}")
        except Exception as error:
            self.errors.append(error)

    def wait_for(self, passed: int = 0, deferred: int = 0) -> None:
        """Wait until so many more mails have passed, and so many more were deferred."""
        passed, deferred = passed + self.passed, deferred + len(self.deferred)
        wait_until(lambda: bool(self.errors) or (self.passed >= passed and len(self.deferred) >= deferred), 60)
        assert self.errors == []

    def __enter__(self) -> Load:
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def start_at_journal(
    start: StartServer, tmp_path: Path, dbdir: Path, *options: str, env: dict[str, str] | None = None
) -> PolicyServer:
    """A server that writes the level of each line into its log."""
    log = tmp_path / f"{dbdir.name}.log"
    log.touch()
    return start(
        *options, dbdir=dbdir, env={"JOURNAL_STREAM": f"{log.stat().st_dev}:{log.stat().st_ino}", **(env or {})}
    )


def set_aside(dbdir: Path) -> list[str]:
    """What was set aside or copied for a repair."""
    return [path.name for path in dbdir.iterdir() if "aside" in path.name or path.name.count("-")]


def check_promises(server: PolicyServer, load: Load) -> None:
    """All that was answered with a deferral is stored, and the databases are whole."""
    stored = dump_recovered(server.dbdir)[TRIPLETS].records
    assert [key for key in load.deferred if key not in stored] == []
    verify(server.dbdir)


# A full disk


@pytest.mark.root
@pytest.mark.parametrize("leave", [0, 3, 12])
def test_full_disk_lets_mail_pass_until_there_is_room(
    leave: int, start: StartServer, small_disk: Path, tmp_path: Path
) -> None:
    """The disk fills up to the last page, or nearly: what fails first depends on how many are left."""
    server = start_at_journal(start, tmp_path, small_disk / "db")
    with Load(server) as load:
        load.wait_for(deferred=500)
        fill_up(small_disk, leave)
        load.wait_for(passed=1000)
        assert f"<2>{FAILED}" in server.log()
        make_room(small_disk)
        server.wait_for_log(f"<4>{WORKS}")
        load.wait_for(deferred=500)
    assert server.log().count(FAILED) == 1
    assert set_aside(server.dbdir) == []
    assert stop_once(server.process) == 0
    assert "Traceback" not in server.log()
    check_promises(server, load)


@pytest.mark.root
def test_full_disk_at_the_end_of_a_log_file(start: StartServer, small_disk: Path, tmp_path: Path) -> None:
    """A log file has its place on the disk from the start; the next one does not."""
    start(dbdir=small_disk / "db").stop()
    server = start_at_journal(start, tmp_path, small_disk / "db")
    with Load(server) as load:
        load.wait_for(deferred=500)
        fill_up(small_disk)
        load.wait_for(passed=1000)
        # Several tries to open the database again fail meanwhile.
        time.sleep(OUTAGE_SECONDS)
        assert server.log().count(f"<2>{FAILED}") == 1
        assert WORKS not in server.log()
        make_room(small_disk)
        server.wait_for_log(f"<4>{WORKS}")
        load.wait_for(deferred=500)
    assert len(load.deferred) > 10_000
    assert set_aside(server.dbdir) == []
    assert stop_once(server.process) == 0
    check_promises(server, load)


@pytest.mark.root
def test_disk_too_full_for_a_checkpoint(start: StartServer, small_disk: Path, tmp_path: Path) -> None:
    start(dbdir=small_disk / "db").stop()
    server = start_at_journal(start, tmp_path, small_disk / "db")
    with Load(server) as load:
        load.wait_for(deferred=500)
        fill_up(small_disk)
        load.wait_for(deferred=3000)
        # A clean-up ends with a checkpoint, whose pages find no room. Where they do, the log's next file does not.
        server.signal(signal.SIGUSR1)
        server.wait_for_log(f"<2>{FAILED}can't write ")
        load.wait_for(passed=1000)
        make_room(small_disk)
        server.wait_for_log(f"<4>{WORKS}")
        load.wait_for(deferred=500)
    assert set_aside(server.dbdir) == []
    assert stop_once(server.process) == 0
    check_promises(server, load)


@pytest.mark.root
@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_server_that_ends_on_a_full_disk_has_kept_its_promises(
    end: str, start: StartServer, small_disk: Path, tmp_path: Path
) -> None:
    server = start_at_journal(start, tmp_path, small_disk / "db")
    with Load(server) as load:
        load.wait_for(deferred=500)
        fill_up(small_disk)
        load.wait_for(passed=500)
    if end == "stopped":
        assert stop_once(server.process) == 0
    else:
        server.kill()

    # There it does not start either, and touches nothing.
    before = sorted(path.name for path in server.dbdir.iterdir())
    failed = subprocess.run(server.argv, env=server.env, capture_output=True, text=True, timeout=60)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].startswith(f"postgrey: can't open the database in {server.dbdir}")
    assert sorted(path.name for path in server.dbdir.iterdir()) == before

    make_room(small_disk)
    again = start(dbdir=small_disk / "db")
    assert set_aside(server.dbdir) == []
    assert stop_once(again.process) == 0
    check_promises(server, load)


@pytest.mark.root
def test_requests_and_signals_are_answered_while_the_disk_is_full(
    start: StartServer, small_disk: Path, tmp_path: Path
) -> None:
    whitelist = tmp_path / "clients"
    whitelist.write_text("")
    server = start_at_journal(start, tmp_path, small_disk / "db", f"--whitelist-clients={whitelist}")
    with Load(server) as load:
        fill_up(small_disk)
        load.wait_for(passed=500)
        server.signal(signal.SIGHUP)
        server.wait_for_log("HUP received")
        server.signal(signal.SIGUSR1)
        with PolicyClient(server.port) as client:
            client.send(b"garbage\nrequest=junk\n\n")
            server.wait_for_log("unrecognized request type: 'junk'")
        load.wait_for(passed=500)
    # What was decided but not stored is no decision: nothing is in the log as greylisted that has passed.
    assert server.log().count("action=greylist") == len(load.deferred)
    assert stop_once(server.process) == 0


# Files that are damaged or vanish under the running server


def large_database(dbdir: Path) -> list[bytes]:
    """Make a database that is larger than the server's cache; returns its keys."""
    now = int(time.time())
    records = dict.fromkeys(make_records(MANY), b"%d,%d" % (now - 2 * DELAY, now - DELAY))
    fill(dbdir, records)
    assert (dbdir / TRIPLETS).stat().st_size > 3 * CACHE_BYTES / 2
    return list(records)


def retry(client: PolicyClient, keys: list[bytes]) -> list[str]:
    """The replies to the mails that these triplets are of."""
    replies = []
    for start in range(0, len(keys), 100):
        batch = [key.decode().split("/") for key in keys[start : start + 100]]
        client.send(b"".join(make_request(client_address="192.0.2.1", sender=s, recipient=r) for _, s, r in batch))
        replies += [client.read_reply() for _ in batch]
    return replies


def test_overwritten_pages_cost_what_was_in_them_and_no_more(start: StartServer, tmp_path: Path) -> None:
    """Pages of zeros are left out: Berkeley DB 5.3 never comes back from reading one."""
    rng = random.Random(1)
    dbdir = tmp_path / "db"
    keys = large_database(dbdir)
    server = start_at_journal(start, tmp_path, dbdir, "--auto-whitelist-clients=0")
    pages = (dbdir / TRIPLETS).stat().st_size // PAGE_BYTES
    for page in rng.sample(range(20, pages), DAMAGED_PAGES):
        garble(dbdir / TRIPLETS, page * PAGE_BYTES, (rng.choice(STRANGE) * PAGE_BYTES)[:PAGE_BYTES])
    with PolicyClient(server.port) as client:
        replies = retry(client, rng.sample(keys, 20_000))
        # It may be back before all have asked; then only those are deferred whose page was spoiled.
        assert len([reply for reply in replies if reply != "DUNNO"]) < DAMAGED_PAGES * 100
        assert f"<2>{FAILED}" in server.log()
        server.wait_for_log(f"<4>{WORKS}")
        assert " is damaged (it does not verify): set aside as " in server.log()
        assert client.ask(recipient="new@example.org").startswith("DEFER_IF_PERMIT ")
    assert stop_once(server.process) == 0
    stored = dump_recovered(dbdir)[TRIPLETS].records
    assert sum(key.decode() in stored for key in keys) > MANY - DAMAGED_PAGES * 100
    verify(dbdir)


def test_removed_logs_cost_nothing_when_it_stops(start: StartServer) -> None:
    server = start()
    with Load(server) as load:
        load.wait_for(deferred=500)
        for path in server.dbdir.glob("log.*"):
            path.unlink()
        load.wait_for(deferred=500)
        server.signal(signal.SIGUSR1)
        server.wait_for_log("cleaning clients database finished.")
        load.wait_for(deferred=500)
    assert stop_once(server.process) == 0
    again = start(dbdir=server.dbdir)
    assert stop_once(again.process) == 0
    check_promises(server, load)


def test_removed_logs_do_not_keep_it_from_starting_after_a_crash(start: StartServer) -> None:
    server = start()
    with Load(server) as load:
        load.wait_for(deferred=500)
        server.signal(signal.SIGUSR1)
        server.wait_for_log("cleaning clients database finished.")
        for path in server.dbdir.glob("log.*"):
            path.unlink()
        load.wait_for(deferred=500)
    server.kill()
    again = start(dbdir=server.dbdir)
    with Load(again) as more:
        more.wait_for(deferred=500)
    assert stop_once(again.process) == 0
    check_promises(again, more)


def test_removed_dbdir_lets_mail_go_on(start: StartServer) -> None:
    server = start()
    with Load(server) as load:
        load.wait_for(deferred=500)
        shutil.rmtree(server.dbdir)
        sent = len(load.deferred) + load.passed
        server.signal(signal.SIGUSR1)
        wait_until(lambda: len(load.deferred) + load.passed > sent + 2000)
        assert load.errors == []
    assert stop_once(server.process) == 0
    assert "Traceback" not in server.log()
