# SPDX-License-Identifier: GPL-2.0-or-later
"""DB_CONFIG: what it asks for is done and safe, or refused by its line; a wrong one is never taken for damage."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from postgrey_py.database.configuration import read_configuration
from postgrey_py.database.environment import TRIPLETS
from postgrey_py.errors import DatabaseError
from tests.database.dbdirs import (
    OpenStore,
    copy_as_crashed,
    fill,
    make_records,
    open_store,
    put_all,
    read_all,
    read_dbdir,
)
from tests.support.servers import ROOT

RECORDS = make_records(300)

OPEN_AND_EXIT = """
import os, resource, sys
from pathlib import Path
from postgrey_py.errors import DatabaseError
limit = getattr(resource, sys.argv[2])
from tests.database.dbdirs import OpenStore
base = int(open('/proc/self/statm').read().split()[0]) * 4096 if sys.argv[2] == 'RLIMIT_AS' else 0
resource.setrlimit(limit, (base + int(sys.argv[3]),) * 2)
try:
    OpenStore(Path(sys.argv[1]))
except DatabaseError as error:
    os.write(1, str(error).encode())
    os._exit(1)
os._exit(0)
"""


@pytest.fixture
def crashed(tmp_path: Path) -> Path:
    """A directory whose records are in its log only, as kill -9 leaves it."""
    dbdir = tmp_path / "db"
    with open_store(dbdir) as store:
        put_all(store.triplets, RECORDS)
        store.commit()
        copy_as_crashed(dbdir, tmp_path / "crashed")
    return tmp_path / "crashed"


def names(dbdir: Path) -> list[str]:
    """What is there but for the regions and the lock, which come and go."""
    return sorted(path.name for path in dbdir.iterdir() if path.suffix != ".lock" and not path.name.startswith("__db"))


def check_refused(dbdir: Path, expected: str) -> None:
    """Opening fails with one line that holds this, and moves nothing; without DB_CONFIG all is known."""
    before = names(dbdir)
    with pytest.raises(DatabaseError) as raised:
        OpenStore(dbdir)
    assert expected in str(raised.value)
    assert "\n" not in str(raised.value)
    assert names(dbdir) == before
    path = dbdir / "DB_CONFIG"
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert read_dbdir(dbdir)[0] == RECORDS


@pytest.mark.parametrize(
    "line",
    [
        *("set_lg_maxx 1048576", "set_cachesize abc", "set_cachesize 0 1000000", "set_cachesize", "frobnicate now"),
        *("mutex_set_max 10", "mutex_set_align 3", "set_lg_max 1", "set_lg_max many", "set_lg_regionmax 10"),
        *("set_flags nonsense", "set_flags db_txn_nosync maybe", "set_data_dir nowhere", "set_lg_dir /nowhere"),
        *("set_memory_max 0 100000", "set_mp_pagesize 1", "set_tx_max 1", "log_set_config db_log_in_memory"),
        *("set_flags DB_LOG_INMEMORY on", "set_flags db_nopanic", "set_flags db_multiversion", "set_lg_filemode 0"),
        *("set_open_flags db_register", "set_open_flags db_init_rep on", "set_flags db_auto_commit off"),
        *("add_data_dir ..", "set_create_dir elsewhere", "set_mp_max_write 1 1000000", "set_metadata_dir meta"),
        *("\xff\xfe\x01\x00 junk", "set_intermediate_dir_mode rwx", "set_cachesize 4000000 0 1"),
    ],
)
def test_line_that_does_not_fit_is_named_and_nothing_is_moved(line: str, crashed: Path) -> None:
    (crashed / "DB_CONFIG").write_bytes(f"# Ours.\n\nset_lg_bsize 32768\n{line}\n".encode("latin-1"))
    check_refused(crashed, "DB_CONFIG" if line.startswith("set_cachesize 4000000") else "DB_CONFIG line 4 (")


def test_directory_in_place_of_the_file_is_told(crashed: Path) -> None:
    (crashed / "DB_CONFIG").mkdir()
    check_refused(crashed, "DB_CONFIG: it is a directory and should be a file")


@pytest.mark.parametrize(
    "text",
    [
        "set_cachesize 0 134217728 1",
        "set_cachesize 0 20480 1",
        "set_cachesize 0 50000000 3",
        "# An old one.\r\n  set_lg_max 200000\r\n\r\nset_lg_bsize 40000",
        "set_lg_max 500000",
        "set_lg_dir .\nset_data_dir .",
        "set_shm_key 10\nset_tmp_dir nowhere",
        "set_flags db_log_autoremove on\nlog_set_config db_log_zero",
        "set_lk_max_locks 5000\nset_lk_max_objects 5000\nset_lk_detect db_lock_default",
        "set_region_init 0",
        "set_tx_max 200\nmutex_set_increment 1000\nset_thread_count 8",
        "set_open_flags db_private on",
    ],
)
def test_what_works_with_postgrey_works(text: str, crashed: Path, tmp_path: Path) -> None:
    (crashed / "DB_CONFIG").write_text(text)
    with open_store(crashed) as store:
        assert store.reports == []
        assert read_all(store.triplets) == RECORDS
        for turn in range(5):
            put_all(store.triplets, make_records(2000, start=turn * 100))
            store.commit()
            store.environment.checkpoint(now=True)
            store.environment.remove_logs()
        again = copy_as_crashed(crashed, tmp_path / "again")
    assert len(read_dbdir(again)[0]) == 2000
    assert len(read_dbdir(crashed)[0]) == 2000


@pytest.mark.parametrize("flag", ["db_txn_nosync", "DB_TXN_WRITE_NOSYNC on"])
def test_flag_that_would_lose_answers_is_not_obeyed(flag: str, tmp_path: Path) -> None:
    dbdir = tmp_path / "db"
    fill(dbdir, RECORDS)
    (dbdir / "DB_CONFIG").write_text(f"set_flags {flag}\n")
    with open_store(dbdir) as store:
        assert store.reports == [
            f"DB_CONFIG line 1 (set_flags {flag}) is not obeyed: what is answered is on the disk before"
        ]
        put_all(store.triplets, {b"new": b"1,1"})
        store.commit()
        # Nothing but what is in the files: no checkpoint, no closing.
        copy = copy_as_crashed(dbdir, tmp_path / "crashed")
    assert read_dbdir(copy)[0] == {**RECORDS, b"new": b"1,1"}


@pytest.mark.parametrize("text", ["", "set_cachesize 0 67108864 1", "set_cachesize 0 100000000 4", "set_tx_max 10000"])
def test_all_of_every_region_has_its_place_on_the_disk(text: str, tmp_path: Path) -> None:
    """Whatever is mapped of it, and no more than was asked for before it was made."""
    (tmp_path / "DB_CONFIG").write_text(text)
    with open_store(tmp_path):
        mapped: dict[str, int] = {}
        for line in Path("/proc/self/maps").read_text().splitlines():
            if str(tmp_path) in line:
                first, last = line.split()[0].split("-")
                mapped[line.split()[-1]] = int(last, 16) - int(first, 16)
        assert len(mapped) >= 3
        for path, size in mapped.items():
            assert os.stat(path).st_blocks * 512 >= size, path
        assert sum(mapped.values()) <= read_configuration(tmp_path).region_bytes


@pytest.mark.parametrize(
    ("limit", "value", "expected"),
    [
        ("RLIMIT_FSIZE", 4096, "raise ulimit -f (LimitFSIZE=)"),
        ("RLIMIT_FSIZE", 3 << 20, "raise ulimit -f (LimitFSIZE=)"),
        ("RLIMIT_FSIZE", 12 << 20, "raise ulimit -f (LimitFSIZE=)"),
        ("RLIMIT_NOFILE", 5, "raise ulimit -n (LimitNOFILE=)"),
        ("RLIMIT_NOFILE", 8, "raise ulimit -n (LimitNOFILE=)"),
        ("RLIMIT_AS", 1 << 20, "raise ulimit -v (LimitAS=)"),
        ("RLIMIT_AS", 8 << 20, "raise ulimit -v (LimitAS=)"),
    ],
)
def test_limit_of_the_process_is_named_and_nothing_is_moved(
    limit: str, value: int, expected: str, crashed: Path
) -> None:
    before = names(crashed)
    command = [sys.executable, "-c", OPEN_AND_EXIT, str(crashed), limit, str(value)]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert (result.returncode, result.stderr) == (1, "")
    assert expected in result.stdout
    assert len(result.stdout.splitlines()) == 1
    assert names(crashed) == before
    assert read_dbdir(crashed)[0] == RECORDS


def test_empty_database_is_made_with_the_configuration(tmp_path: Path) -> None:
    (tmp_path / "DB_CONFIG").write_text("set_lg_regionmax 1\n")
    with pytest.raises(DatabaseError, match=r"DB_CONFIG line 1 \(set_lg_regionmax 1\)"):
        OpenStore(tmp_path)
    (tmp_path / "DB_CONFIG").write_text("set_lg_max 1000000\n")
    with open_store(tmp_path) as store:
        put_all(store.triplets, RECORDS)
        store.commit()
    assert (tmp_path / TRIPLETS).exists()
    assert read_dbdir(tmp_path)[0] == RECORDS
