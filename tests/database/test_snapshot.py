# SPDX-License-Identifier: GPL-2.0-or-later
"""A snapshot shows one moment of a database, live or not, ours or Perl's, needs to read only, and leaves nothing."""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from postgrey_py.database import copying, snapshot
from postgrey_py.database.environment import CLIENTS, TRIPLETS, Environment
from postgrey_py.database.snapshot import DIRECTORY_PREFIX, Snapshot, open_snapshot
from postgrey_py.database.store import Store
from postgrey_py.errors import DatabaseError
from tests.commands.busy_server import BusyServer
from tests.database.writer import COUNTER, expected_records
from tests.support.servers import PERL_POSTGREY, POSTGREY, ROOT

READS_UNDER_LOAD = 50
KILLED_READERS = 20
NOBODY = 65534

# Logs of a size that comes and goes within one reading.
SMALL_LOGS = "set_lg_max 1000000\n"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory for temporary files, of this process and of those that it starts."""
    directory = tmp_path / "temporary"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", os.fspath(directory))
    return directory


@pytest.fixture
def dbdir(tmp_path: Path) -> Path:
    directory = tmp_path / "db"
    directory.mkdir()
    return directory


@contextlib.contextmanager
def opened(dbdir: Path) -> Iterator[Store]:
    """The databases of `dbdir` as a server has them open."""
    environment = Environment(os.fspath(dbdir), with_clients=True, report=print)
    try:
        yield Store(environment)
    finally:
        environment.close()


def fill(store: Store, first: int, last: int) -> None:
    """Store records of these numbers, in transactions of ten."""
    for number in range(first, last + 1):
        store.triplets[b"triplet%d" % number] = b"%d,%d" % (number, number)
        store.clients[b"client%d" % number] = b"%d,%d" % (number, number)
        if number % 10 == 0:
            store.commit()
    store.commit()


def filled(first: int, last: int) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    """What is in the databases after `fill`."""
    numbers = range(first, last + 1)
    return (
        {b"triplet%d" % number: b"%d,%d" % (number, number) for number in numbers},
        {b"client%d" % number: b"%d,%d" % (number, number) for number in numbers},
    )


def contents(view: Snapshot) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    return dict(view.triplets), dict(view.clients)


def read(dbdir: Path) -> tuple[dict[bytes, bytes], dict[bytes, bytes]]:
    with open_snapshot(os.fspath(dbdir)) as view:
        return contents(view)


def state_of(directory: Path) -> dict[str, tuple[object, ...]]:
    """All that a writer could change of the files in a directory, and of itself."""
    stats = {path.name: path.stat() for path in [directory, *directory.iterdir()]}
    return {name: (s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns, s.st_mode) for name, s in stats.items()}


def test_closed_database_is_read_in_the_order_of_keys(dbdir: Path, temporary: Path) -> None:
    with opened(dbdir) as store:
        fill(store, 1, 1000)
    with open_snapshot(os.fspath(dbdir)) as view:
        assert contents(view) == filled(1, 1000)
        keys = [key for key, _ in view.triplets]
        assert keys == sorted(keys)


def test_single_records_are_found(dbdir: Path, temporary: Path) -> None:
    with opened(dbdir) as store:
        fill(store, 1, 100)
    with open_snapshot(os.fspath(dbdir)) as view:
        assert view.triplets.get(b"triplet7") == b"7,7"
        assert view.clients.get(b"client100") == b"100,100"
        assert view.triplets.get(b"client7") is None


def test_open_database_is_read_without_a_checkpoint(dbdir: Path, temporary: Path) -> None:
    with opened(dbdir) as store:
        fill(store, 1, 3000)
        assert read(dbdir) == filled(1, 3000)
        store.environment.checkpoint(now=True)
        fill(store, 3001, 4000)
        assert read(dbdir) == filled(1, 4000)


def test_what_is_not_committed_is_not_seen(dbdir: Path, temporary: Path) -> None:
    with opened(dbdir) as store:
        fill(store, 1, 10)
        store.triplets[b"under way"] = b"1,1"
        # The log has the record now, and nothing that commits it.
        store.environment.checkpoint(now=True)
        assert read(dbdir) == filled(1, 10)
        store.abort()


def test_database_of_a_killed_server_is_read(dbdir: Path, temporary: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from tests.database.test_snapshot import fill, opened\n"
        "with opened(Path(sys.argv[1])) as store: fill(store, 1, 2000); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program, dbdir], check=True, cwd=ROOT)
    assert read(dbdir) == filled(1, 2000)


def test_database_that_is_not_wanted_is_not_read(dbdir: Path, temporary: Path) -> None:
    with opened(dbdir) as store:
        fill(store, 1, 100)
        with open_snapshot(os.fspath(dbdir), [CLIENTS]) as view:
            assert contents(view) == ({}, filled(1, 100)[1])
        with open_snapshot(os.fspath(dbdir), [TRIPLETS]) as view:
            assert contents(view) == (filled(1, 100)[0], {})


def test_without_auto_whitelist_there_are_no_clients(dbdir: Path, temporary: Path) -> None:
    environment = Environment(os.fspath(dbdir), with_clients=False, report=print)
    store = Store(environment)
    store.triplets[b"triplet"] = b"1,1"
    store.commit()
    assert read(dbdir) == ({b"triplet": b"1,1"}, {})
    environment.close()
    with open_snapshot(os.fspath(dbdir), [CLIENTS]) as view:
        assert contents(view) == ({}, {})
        assert view.clients.get(b"192.0.2.1") is None


def test_database_files_without_their_logs_are_read(dbdir: Path, tmp_path: Path, temporary: Path) -> None:
    with opened(dbdir) as store:
        fill(store, 1, 1000)
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in dbdir.glob("*.db"):
        shutil.copy(path, moved)
    assert read(moved) == filled(1, 1000)


def test_snapshot_stays_as_it_was(dbdir: Path, temporary: Path) -> None:
    with opened(dbdir) as store:
        fill(store, 1, 100)
        with open_snapshot(os.fspath(dbdir)) as view:
            fill(store, 101, 200)
            store.environment.checkpoint(now=True)
            assert contents(view) == filled(1, 100)
            assert list(temporary.iterdir()) == []


def test_reader_changes_nothing(dbdir: Path, temporary: Path) -> None:
    with opened(dbdir) as store:
        fill(store, 1, 1000)
        before = state_of(dbdir)
        assert read(dbdir) == filled(1, 1000)
        assert state_of(dbdir) == before
    assert list(temporary.iterdir()) == []


@contextlib.contextmanager
def ordinary_user() -> Iterator[None]:
    """Be somebody who is not root; root may do everything and would see nothing of permissions."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def public_dbdir(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A filled dbdir at a place where everybody can look, and make temporary files beside it."""
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        directory = Path(name)
        directory.chmod(0o777)
        monkeypatch.setenv("TMPDIR", name)
        dbdir = directory / "db"
        dbdir.mkdir()
        with opened(dbdir) as store:
            fill(store, 1, 100)
        yield dbdir


def test_permission_to_read_is_enough(public_dbdir: Path) -> None:
    for path in [*public_dbdir.iterdir(), public_dbdir]:
        path.chmod(0o555)
    try:
        with ordinary_user():
            assert read(public_dbdir) == filled(1, 100)
    finally:
        public_dbdir.chmod(0o755)


@pytest.mark.parametrize("forbidden", [".", TRIPLETS])
def test_without_permission_it_says_who_has_it(public_dbdir: Path, forbidden: str) -> None:
    (public_dbdir / forbidden).chmod(0o000)
    owner = public_dbdir.owner()
    try:
        with (
            ordinary_user(),
            pytest.raises(DatabaseError, match=rf"db.* can't be read by \w+: run this as {owner} \(sudo -u {owner} "),
        ):
            read(public_dbdir)
    finally:
        public_dbdir.chmod(0o755)


def test_missing_directory_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"there is no directory .*/nowhere: name the right one with --dbdir"):
        read(tmp_path / "nowhere")


def test_directory_without_database_is_named(dbdir: Path) -> None:
    with pytest.raises(
        DatabaseError, match=r"there is no postgrey\.db in .*/db: name the right directory with --dbdir"
    ):
        read(dbdir)


def damage_database(dbdir: Path) -> None:
    """Overwrite pages of the tree that recovery does not touch: the log is about others."""
    (dbdir / TRIPLETS).write_bytes(os.urandom(20 * 4096))


def damage_log(dbdir: Path) -> None:
    log = max(dbdir.glob("log.*"))
    with log.open("r+b") as file:
        file.seek(10000)
        file.write(os.urandom(5000))


@pytest.mark.parametrize("damage", [damage_database, damage_log])
def test_damage_is_said_in_one_line(
    damage: Callable[[Path], None], dbdir: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(dbdir) as store:
        fill(store, 1, 3000)
    if damage is damage_database:
        for log in dbdir.glob("log.*"):
            log.unlink()
    damage(dbdir)
    monkeypatch.setattr(snapshot, "FIRST_PAUSE_SECONDS", 0.001)
    with pytest.raises(
        DatabaseError, match=r"\Athe database in .*/db can't be read, .*: start postgrey on it, [^\n]*\Z"
    ):
        read(dbdir)
    assert list(temporary.iterdir()) == []


# While others write


@contextlib.contextmanager
def writing(dbdir: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that writes as fast as it can, see `tests.database.writer`."""
    command = [sys.executable, "-m", "tests.database.writer", os.fspath(dbdir)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            yield process
            assert process.poll() is None, "the writer has ended"
        finally:
            process.kill()


def slow_chunks(chunks: Callable[[int], Iterator[bytes]]) -> Callable[[int], Iterator[bytes]]:
    """A slow disk: checkpoints, and the removal of logs, come in the middle of every copy."""

    def read_slowly(source: int) -> Iterator[bytes]:
        for number, chunk in enumerate(chunks(source)):
            if number % 16 == 0:
                time.sleep(0.0005)
            yield chunk

    return read_slowly


@pytest.mark.parametrize("is_slow", [False, True], ids=["fast reader", "slow reader"])
def test_each_reading_under_load_shows_one_moment(
    is_slow: bool, dbdir: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every record of either database is that of the last transaction that the counter tells of."""
    (dbdir / "DB_CONFIG").write_text(SMALL_LOGS)
    if is_slow:
        monkeypatch.setattr(copying, "CHUNK_BYTES", 4096)
        monkeypatch.setattr(copying, "_chunks", slow_chunks(copying._chunks))
    numbers = []
    with writing(dbdir):
        for _ in range(READS_UNDER_LOAD):
            triplets, clients = read(dbdir)
            number = int(triplets[COUNTER])
            assert triplets == clients == expected_records(number)
            numbers.append(number)
    assert numbers == sorted(numbers)
    assert numbers[0] < numbers[-1]
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("command", [POSTGREY, PERL_POSTGREY], ids=["ours", "Perl"])
def test_what_a_server_has_promised_is_seen(command: tuple[str, ...], dbdir: Path, temporary: Path) -> None:
    with BusyServer(command, dbdir) as busy:
        busy.wait_for_more()
        for _ in range(10):
            triplets, clients = busy.promised()
            with open_snapshot(os.fspath(dbdir)) as view:
                # What the database has beside these was promised meanwhile, or is about to be.
                assert triplets <= dict(view.triplets).keys()
                assert clients <= dict(view.clients).keys()
        busy.wait_for_more()


@pytest.fixture
def roll_over(dbdir: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Store], None]:
    """What fills several log files and removes all that recovery does not need."""
    (dbdir / "DB_CONFIG").write_text("set_lg_max 200000\nset_lg_bsize 40000\n")

    def run(store: Store) -> None:
        before = {path.name for path in dbdir.glob("log.*")}
        while before & {path.name for path in dbdir.glob("log.*")}:
            for _ in range(200):
                store.triplets[b"counter"] = b"%d,1" % (
                    int((store.triplets.get(b"counter") or b"0").split(b",")[0]) + 1
                )
                store.clients[b"counter"] = store.triplets.get(b"counter") or b""
                store.commit()
            store.environment.checkpoint(now=True)
            store.environment.remove_logs()

    return run


def test_logs_that_are_removed_while_the_database_is_copied_are_not_missed(
    dbdir: Path, temporary: Path, roll_over: Callable[[Store], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pages were copied before a checkpoint, and what the checkpoint wrote is only in logs that are gone."""
    monkeypatch.setattr(snapshot, "ATTEMPTS", 1)
    with opened(dbdir) as store:
        fill(store, 1, 2000)

        def copy_and_roll_over(source: int, target: int) -> None:
            copying.copy_database(source, target)
            monkeypatch.setattr(snapshot, "copy_database", copying.copy_database)
            store.triplets[b"triplet1"] = b"changed,1"
            store.commit()
            store.environment.checkpoint(now=True)
            fill_one_log(store)

        def fill_one_log(store: Store) -> None:
            newest = max(dbdir.glob("log.*"))
            while newest == max(dbdir.glob("log.*")):
                store.triplets[b"triplet2"] = b"2,2"
                store.commit()
            store.environment.checkpoint(now=True)
            assert store.environment.remove_logs() != []

        monkeypatch.setattr(snapshot, "copy_database", copy_and_roll_over)
        triplets, clients = read(dbdir)
    expected_triplets, expected_clients = filled(1, 2000)
    assert triplets == {**expected_triplets, b"triplet1": b"changed,1"}
    assert clients == expected_clients


def test_database_that_is_not_wanted_is_not_copied(
    dbdir: Path, temporary: Path, roll_over: Callable[[Store], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The logs of an environment that is not new do without the database that they are also about."""
    with opened(dbdir) as store:
        fill(store, 1, 500)
        roll_over(store)
        copies: list[tuple[int, int]] = []

        def copy_counted(source: int, target: int) -> None:
            copies.append((source, target))
            copying.copy_database(source, target)

        monkeypatch.setattr(snapshot, "copy_database", copy_counted)
        with open_snapshot(os.fspath(dbdir), [CLIENTS]) as view:
            assert contents(view) == ({}, {**filled(1, 500)[1], b"counter": store.clients.get(b"counter")})
        assert len(copies) == 1


def test_log_that_came_and_went_unseen_makes_it_start_over(
    dbdir: Path, temporary: Path, roll_over: Callable[[Store], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts = []
    with opened(dbdir) as store:
        fill(store, 1, 500)

        def copy_and_roll_over(source: int, target: int) -> None:
            copying.copy_database(source, target)
            attempts.append(source)
            if len(attempts) == 1:
                roll_over(store)
                roll_over(store)
                roll_over(store)

        monkeypatch.setattr(snapshot, "copy_database", copy_and_roll_over)
        triplets, clients = read(dbdir)
        assert len(attempts) == 4, "two databases, twice"
        assert triplets.pop(b"counter") == clients.pop(b"counter") == store.triplets.get(b"counter")
        assert (triplets, clients) == filled(1, 500)


def test_logs_that_come_and_go_faster_than_it_reads_are_an_error(
    dbdir: Path, temporary: Path, roll_over: Callable[[Store], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_and_roll_over(source: int, target: int) -> None:
        copying.copy_database(source, target)
        roll_over(store)
        roll_over(store)

    monkeypatch.setattr(snapshot, "ATTEMPTS", 2)
    monkeypatch.setattr(snapshot, "copy_database", copy_and_roll_over)
    with opened(dbdir) as store:
        fill(store, 1, 10)
        with pytest.raises(
            DatabaseError, match="while it changes: log files are removed faster than they can be copied"
        ):
            read(dbdir)


# Nothing is left


def test_copies_are_on_the_disk_where_memory_is_short(
    dbdir: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "MEMORY_SHARE", 0.0)
    monkeypatch.delattr(os, "memfd_create")
    with opened(dbdir) as store:
        fill(store, 1, 2000)
        with open_snapshot(os.fspath(dbdir)) as view:
            assert list(temporary.iterdir()) == []
            assert contents(view) == filled(1, 2000)


def test_a_chroot_without_proc_will_do(dbdir: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "DESCRIPTORS", Path("/nonexistent"))
    with opened(dbdir) as store:
        fill(store, 1, 2000)
        with open_snapshot(os.fspath(dbdir)) as view:
            assert list(temporary.iterdir()) == []
            assert contents(view) == filled(1, 2000)


def test_descriptors_are_given_back(dbdir: Path, temporary: Path) -> None:
    with opened(dbdir) as store:
        fill(store, 1, 100)
    read(dbdir)
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(5):
        read(dbdir)
    assert set(os.listdir("/proc/self/fd")) == before


def test_unwritable_directory_for_temporary_files_is_named(
    dbdir: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(dbdir) as store:
        fill(store, 1, 10)
    monkeypatch.setenv("TMPDIR", os.fspath(temporary / "missing"))
    with pytest.raises(DatabaseError, match=r"can't copy the database in .*/db: No such file or directory: .*missing"):
        read(dbdir)


def test_what_a_killed_reader_left_is_removed_by_a_later_one(dbdir: Path, temporary: Path) -> None:
    with opened(dbdir) as store:
        fill(store, 1, 10)
    old = time.time() - 3600
    left_over, young, foreign = (
        temporary / f"{name}x" for name in (DIRECTORY_PREFIX, f"{DIRECTORY_PREFIX}y", "other-")
    )
    in_use = temporary / f"{DIRECTORY_PREFIX}z"
    for directory in (left_over, young, foreign, in_use):
        directory.mkdir()
        (directory / TRIPLETS).symlink_to("/proc/self/fd/99")
        if directory != young:
            os.utime(directory, (old, old))
    lock = os.open(in_use, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    read(dbdir)
    os.close(lock)
    assert set(temporary.iterdir()) == {young, foreign, in_use}


def test_directory_that_is_in_use_is_not_removed_by_another_reader(
    dbdir: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def recover_slowly(directory: Path) -> None:
        os.utime(directory, (0, 0))
        monkeypatch.setattr(snapshot, "recover", recover)
        assert read(dbdir) == filled(1, 10)
        recover(directory)

    recover = snapshot.recover
    with opened(dbdir) as store:
        fill(store, 1, 10)
    monkeypatch.setattr(snapshot, "ATTEMPTS", 1)
    monkeypatch.setattr(snapshot, "recover", recover_slowly)
    assert read(dbdir) == filled(1, 10)
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_signal_leaves_nothing_behind(number: signal.Signals, dbdir: Path, temporary: Path) -> None:
    """It comes in the one moment when a directory is there."""
    with opened(dbdir) as store:
        fill(store, 1, 100)
    program = f"""if True:
        import os, sys
        from postgrey_py.database import snapshot
        from postgrey_py.commands.clients_dump import main
        def recover(directory):
            assert os.listdir(os.environ["TMPDIR"]) != []
            os.kill(os.getpid(), {int(number)})
            raise AssertionError("not stopped")
        snapshot.recover = recover
        main(sys.argv[1:])
    """
    command = [sys.executable, "-c", program, f"--dbdir={dbdir}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (-number, "", "")
    assert list(temporary.iterdir()) == []


def test_killed_readers_do_not_disturb_the_server(dbdir: Path, temporary: Path) -> None:
    program = ROOT / "scripts" / "postgrey_clients_dump"
    command: list[str | Path] = [sys.executable, program, f"--dbdir={dbdir}", "--all", "--no-resolve"]
    with BusyServer(POSTGREY, dbdir) as busy:
        started = time.monotonic()
        subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        duration = time.monotonic() - started
        for _ in range(KILLED_READERS):
            with subprocess.Popen(
                command, stdout=subprocess.DEVNULL, env={**os.environ, "PYTHONPATH": str(ROOT)}
            ) as reader:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    reader.wait(random.uniform(0, duration))
                reader.kill()
            busy.wait_for_more()
        triplets, clients = busy.promised()
        usual = ("action=", "postgrey ", "whitelists: ", "listening on ", "cleaning up old logs...", "rm ")
        assert [line for line in busy.server.log().splitlines() if not line.startswith(usual)] == []
    stored_triplets, stored_clients = read(dbdir)
    assert triplets <= stored_triplets.keys()
    assert clients <= stored_clients.keys()
    # A directory stays when it is killed in the one moment when there is one: without data, and not for ever.
    left_over = list(temporary.iterdir())
    files = [path for directory in left_over for path in directory.iterdir() if not path.is_symlink()]
    assert [path for path in files if b"example" in path.read_bytes()] == []
    for directory in left_over:
        os.utime(directory, (0, 0))
    read(dbdir)
    assert list(temporary.iterdir()) == []
