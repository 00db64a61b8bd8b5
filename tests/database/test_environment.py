# SPDX-License-Identifier: GPL-2.0-or-later
"""The environment of a dbdir: its lock, its recovery, its checkpoints and logs, and files that came without logs."""

from __future__ import annotations

import contextlib
import getpass
import itertools
import os
import pwd
import shutil
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from postgrey_py.database import configuration
from postgrey_py.database.environment import CLIENTS, TRIPLETS, Environment
from postgrey_py.database.lock import LOCK
from postgrey_py.errors import DatabaseError
from tests.database.dbdirs import (
    OpenStore,
    child_process,
    copy_as_crashed,
    fill,
    make_records,
    open_store,
    put_all,
    read_all,
    read_dbdir,
)
from tests.parity.databases import dump_file, verify
from tests.support.policy import PolicyClient
from tests.support.servers import PERL_POSTGREY, POSTGREY, PolicyServer

NOBODY = 65534

WRITE_AND_WAIT = """
import sys
from pathlib import Path
from tests.database.dbdirs import OpenStore, make_records, put_all
store = OpenStore(Path(sys.argv[1]))
put_all(store.triplets, make_records(1000))
put_all(store.clients, {b"192.0.2.1": b"3,1700000000"})
store.commit()
put_all(store.triplets, make_records(2000, start=1000))
"""


def log_files(dbdir: Path) -> list[str]:
    return sorted(path.name for path in dbdir.glob("log.*"))


@contextmanager
def as_ordinary_user() -> Iterator[int]:
    """Not as root, whom no mode keeps out; the user's id."""
    uid = os.geteuid()
    if uid == 0:
        os.seteuid(NOBODY)
    try:
        yield os.geteuid()
    finally:
        os.seteuid(uid)


# The lock


def test_second_opener_is_refused_until_the_first_closes(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        with pytest.raises(DatabaseError, match=f"^{tmp_path / LOCK} is locked: another postgrey runs on this dbdir"):
            OpenStore(tmp_path)
        put_all(store.triplets, make_records(10))
        store.commit()
    assert read_dbdir(tmp_path)[0] == make_records(10)


def test_opener_in_another_process_is_respected_until_it_is_killed(tmp_path: Path) -> None:
    with child_process(WRITE_AND_WAIT, str(tmp_path)), pytest.raises(DatabaseError, match="is locked"):
        OpenStore(tmp_path)
    with open_store(tmp_path) as store:
        assert store.reports == []


def test_running_perl_postgrey_is_respected(tmp_path: Path) -> None:
    dbdir = tmp_path / "db"
    with PolicyServer(PERL_POSTGREY, dbdir) as server, PolicyClient(server.port) as client:
        # It listens for a moment before it takes the lock.
        assert client.ask().startswith("DEFER_IF_PERMIT ")
        with pytest.raises(DatabaseError, match="is locked"):
            OpenStore(dbdir)
        assert client.ask().startswith("DEFER_IF_PERMIT ")


def test_perl_postgrey_respects_our_lock(tmp_path: Path) -> None:
    dbdir = tmp_path / "db"
    with open_store(dbdir) as store:
        perls = PolicyServer(PERL_POSTGREY, dbdir)
        # It listens for a moment before it looks at the lock.
        with contextlib.suppress(AssertionError):
            perls.start()
        assert perls.process is not None
        assert perls.process.wait(timeout=30) > 0
        put_all(store.triplets, make_records(10))
        store.commit()
    assert read_dbdir(dbdir)[0] == make_records(10)


def test_database_that_is_opened_again_takes_no_more_memory(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        store.triplets[b"key"] = b"1,1"
        store.commit()
        before = count_maps(tmp_path)
        for _ in range(3):
            store.environment.close_databases()
            assert count_maps(tmp_path) == 0
            store.environment.open(verify=True)
            store.attach()
        assert count_maps(tmp_path) == before > 0
        assert store.triplets.get(b"key") == b"1,1"
    assert count_maps(tmp_path) == 0


def count_maps(dbdir: Path) -> int:
    """How many pieces of files in this directory are in the memory of this process."""
    return Path("/proc/self/maps").read_text().count(str(dbdir))


def test_close_writes_what_was_committed_beside_the_last_checkpoint(tmp_path: Path) -> None:
    # It is in the logs; but people copy the database files of a stopped server without them.
    for attempt in range(5):
        dbdir = tmp_path / str(attempt)
        records = make_records(20_000)
        with open_store(dbdir) as store:
            put_all(store.triplets, records)
            store.commit()
            worker = threading.Thread(target=store.environment.checkpoint, args=(True,))
            worker.start()
            for number in itertools.count():
                key = b"198.51.100.0/%d@example.com/bob@example.org" % number
                store.triplets[key] = records[key] = b"1000000000,1000000000"
                store.commit()
                if not worker.is_alive():
                    break
            worker.join()
        for path in dbdir.glob("log.*"):
            path.unlink()
        with open_store(dbdir) as store:
            assert [report for report in store.reports if "damaged" in report] == []
            assert read_all(store.triplets) == records


# Opening what is not there, or not ours


def test_missing_dbdir_is_named_with_the_user(tmp_path: Path) -> None:
    dbdir = tmp_path / "missing"
    with pytest.raises(DatabaseError) as raised:
        Environment(str(dbdir), True, print)
    assert str(raised.value) == (
        f"dbdir {dbdir} is not usable by {getpass.getuser()}: No such file or directory:"
        " create it, or name the right one with --dbdir"
    )


def test_unreadable_dbdir_is_named_with_the_user(tmp_path: Path) -> None:
    dbdir = tmp_path / "db"
    fill(dbdir, make_records(1))
    dbdir.chmod(0)
    with as_ordinary_user() as uid, pytest.raises(DatabaseError) as raised:
        Environment(str(dbdir), True, print)
    dbdir.chmod(0o700)
    assert str(raised.value).startswith(
        f"dbdir {dbdir} is not usable by {pwd.getpwuid(uid).pw_name}: Permission denied: "
    )
    assert "\n" not in str(raised.value)
    assert read_dbdir(dbdir)[0] == make_records(1)


def test_dbdir_that_is_a_file_is_named(tmp_path: Path) -> None:
    dbdir = tmp_path / "db"
    dbdir.write_text("something else")
    with pytest.raises(DatabaseError, match=f"^dbdir {dbdir} is not usable by .*: Not a directory: "):
        Environment(str(dbdir), True, print)
    assert dbdir.read_text() == "something else"


@pytest.mark.parametrize("name", [TRIPLETS, CLIENTS, "log.0000000001"])
def test_file_of_another_user_is_an_error_and_stays(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after a backup was restored by root: nothing may be taken for damaged because of it."""
    fill(tmp_path, make_records(10))
    tmp_path.chmod(0o777)
    for path in tmp_path.iterdir():
        path.chmod(0o666)
    (tmp_path / name).chmod(0)
    # A relative path, because pytest's directories are closed to others.
    monkeypatch.chdir(tmp_path)
    before = sorted(Path().glob("[!_]*"))
    with as_ordinary_user(), pytest.raises(DatabaseError, match=r"^can't .* the database in \.: .*Permission denied"):
        Environment(".", True, print)
    (tmp_path / name).chmod(0o600)
    assert sorted(Path().glob("[!_]*")) == before
    assert read_dbdir(tmp_path)[0] == make_records(10)


# Recovery


def test_killed_writer_leaves_what_it_committed_and_nothing_else(tmp_path: Path) -> None:
    with child_process(WRITE_AND_WAIT, str(tmp_path)):
        pass
    assert read_dbdir(tmp_path) == (make_records(1000), {b"192.0.2.1": b"3,1700000000"})
    verify(tmp_path)


@pytest.mark.parametrize("junk", [b"", b"junk" * 10_000], ids=["empty", "junk"])
def test_foreign_region_files_do_not_matter(junk: bytes, tmp_path: Path) -> None:
    """Those of another version of the library, or of a machine that crashed."""
    fill(tmp_path, make_records(10))
    for number in (1, 2, 3, 4):
        (tmp_path / f"__db.00{number}").write_bytes(junk)
    assert read_dbdir(tmp_path)[0] == make_records(10)


def test_region_files_of_perl_postgrey_are_made_anew(tmp_path: Path) -> None:
    dbdir = tmp_path / "db"
    with PolicyServer(PERL_POSTGREY, dbdir) as perl:
        with PolicyClient(perl.port) as client:
            client.ask()
        perl.kill()
    assert list(dbdir.glob("__db.*"))
    assert len(read_dbdir(dbdir)[0]) == 1


def test_region_files_have_all_their_blocks(tmp_path: Path) -> None:
    """They are mapped: on a full disk the first touch of a hole in one kills the process that touches it."""
    with open_store(tmp_path) as store:
        before = region_sizes(tmp_path)
        put_all(store.triplets, {key: value * 20 for key, value in make_records(60_000).items()})
        store.commit()
        assert region_sizes(tmp_path) == before
    for path in tmp_path.glob("__db.*"):
        assert path.stat().st_blocks * 512 >= path.stat().st_size


def region_sizes(dbdir: Path) -> dict[str, int]:
    return {path.name: path.stat().st_size for path in dbdir.glob("__db.*")}


def test_full_disk_is_told_before_anything_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, make_records(10))
    monkeypatch.setattr(configuration, "_OTHER_REGION_BYTES", 1 << 60)
    with pytest.raises(DatabaseError, match=rf"^can't open the database in {tmp_path}: \d+ of \d+ MiB are free$"):
        OpenStore(tmp_path)
    monkeypatch.undo()
    assert read_dbdir(tmp_path)[0] == make_records(10)


def test_clients_are_not_touched_without_auto_whitelist(tmp_path: Path) -> None:
    with open_store(tmp_path, with_clients=False) as store:
        put_all(store.triplets, make_records(10))
        store.commit()
    assert not (tmp_path / CLIENTS).exists()


def test_files_are_closed_to_others(tmp_path: Path) -> None:
    fill(tmp_path, make_records(1))
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}


# Checkpoints and logs


def test_checkpoint_brings_the_files_up_to_date(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put_all(store.triplets, make_records(1000))
        store.commit()
        store.environment.checkpoint(now=True)
        assert len(dump_file(tmp_path / TRIPLETS).records) == 1000


def test_checkpoint_that_is_not_due_writes_nothing(tmp_path: Path) -> None:
    with open_store(tmp_path) as store:
        put_all(store.triplets, make_records(1000))
        store.commit()
        store.environment.checkpoint()
        assert dump_file(tmp_path / TRIPLETS).records == {}


def test_logs_that_recovery_does_not_need_go_after_a_checkpoint(tmp_path: Path) -> None:
    dbdir = tmp_path / "db"
    records = make_records(3000)
    with open_store(dbdir) as store:
        for turn in range(10):
            put_all(store.triplets, dict.fromkeys(records, b"%d" % turn * 1000))
            store.commit()
        put_all(store.triplets, records)
        store.commit()
        before = log_files(dbdir)
        assert len(before) >= 4
        assert store.environment.remove_logs() == []

        store.environment.checkpoint(now=True)
        removed = store.environment.remove_logs()
        assert removed == [str(dbdir / name) for name in before[:-1]]
        assert log_files(dbdir) == before[-1:]

        # Recovery needs the last log only, before and after more was written.
        assert read_dbdir(copy_as_crashed(dbdir, tmp_path / "at-once"))[0] == records
        put_all(store.triplets, make_records(4000, start=3000))
        store.commit()
        assert read_dbdir(copy_as_crashed(dbdir, tmp_path / "later"))[0] == make_records(4000)
    verify(dbdir)


# Files that came without their logs


def copy_databases(dbdir: Path, copy: Path) -> Path:
    """What people copy to a new host: just the .db files."""
    copy.mkdir()
    for name in (TRIPLETS, CLIENTS):
        shutil.copy2(dbdir / name, copy)
    return copy


def fill_with_ours(dbdir: Path) -> None:
    with PolicyServer(POSTGREY, dbdir) as server:
        send_mail(server)


def fill_with_perl(dbdir: Path) -> None:
    with PolicyServer(PERL_POSTGREY, dbdir) as server:
        send_mail(server)


def send_mail(server: PolicyServer) -> None:
    """Greylist 300 mails and let as many pass."""
    with PolicyClient(server.port) as client:
        for number in range(300):
            for now in (1_000_000_000, 1_000_000_300):
                client.ask(client_address=f"10.0.{number // 250}.{number % 250}", policy_test_time=now)


@pytest.mark.parametrize("fill_dbdir", [fill_with_ours, fill_with_perl])
def test_databases_without_their_logs_are_accepted_after_a_copy(
    fill_dbdir: Callable[[Path], None], tmp_path: Path
) -> None:
    fill_dbdir(tmp_path / "old")
    expected = [dump_file(tmp_path / "old" / name).records for name in (TRIPLETS, CLIENTS)]
    assert [len(records) for records in expected] == [2, 300]
    dbdir = copy_databases(tmp_path / "old", tmp_path / "new")
    originals = {name: (dbdir / name).read_bytes() for name in (TRIPLETS, CLIENTS)}

    with open_store(dbdir) as store:
        copies = {path.name.split(".before-reset-")[0]: path for path in dbdir.glob("*.before-reset-*")}
        assert {name: path.read_bytes() for name, path in copies.items()} == originals
        assert store.reports == [
            f"{dbdir / name} came without its logs: accepted, after a copy to {copies[name]}"
            for name in (TRIPLETS, CLIENTS)
        ]
        put_all(store.triplets, make_records(100))
        store.commit()
        expected[0].update((key.decode(), value.decode()) for key, value in make_records(100).items())
        copy_as_crashed(dbdir, tmp_path / "crashed")

    for directory in (dbdir, tmp_path / "crashed"):
        triplets, clients = read_dbdir(directory)
        assert {key.decode(): value.decode() for key, value in triplets.items()} == expected[0]
        assert {key.decode(): value.decode() for key, value in clients.items()} == expected[1]
        verify(directory)


def test_perl_postgrey_starts_on_accepted_databases(tmp_path: Path) -> None:
    fill_with_perl(tmp_path / "old")
    dbdir = copy_databases(tmp_path / "old", tmp_path / "new")
    with open_store(dbdir):
        pass
    with PolicyServer(PERL_POSTGREY, dbdir) as server, PolicyClient(server.port) as client:
        assert client.ask(client_address="10.0.0.1", policy_test_time=1_000_000_400) == "DUNNO"


def test_database_of_another_environment_beside_logs_is_accepted(tmp_path: Path) -> None:
    """One file restored from a backup into a directory that has gone on without it."""
    fill(tmp_path / "old", {key: value * 9 for key, value in make_records(20_000).items()})
    fill(tmp_path / "new", make_records(10), {b"192.0.2.1": b"3,1700000000"})
    shutil.copy2(tmp_path / "old" / TRIPLETS, tmp_path / "new" / TRIPLETS)
    with open_store(tmp_path / "new") as store:
        logs_report, *file_reports = store.reports
        assert logs_report.startswith("can't recover the database with its logs (")
        assert [" came without its logs: accepted" in report for report in file_reports] == [True, True]
        assert len(read_all(store.triplets)) == 20_000
        assert read_all(store.clients) == {b"192.0.2.1": b"3,1700000000"}
        put_all(store.triplets, {b"more": b"1,1"})
        store.commit()
    assert len(read_dbdir(tmp_path / "new")[0]) == 20_001
    verify(tmp_path / "new")
