# SPDX-License-Identifier: GPL-2.0-or-later
"""Limits of the process, a read-only file system, and a cache that DB_CONFIG enlarges on a disk that fills up."""

from __future__ import annotations

import os
import random
import resource
import signal
import subprocess
from pathlib import Path

import pytest

from tests.daemon.conftest import StartServer
from tests.daemon.processes import stop_once
from tests.daemon.test_failures import (
    WORKS,
    Load,
    check_promises,
    fill_up,
    large_database,
    make_room,
    retry,
    set_aside,
)
from tests.support.policy import PolicyClient
from tests.support.servers import PolicyServer


def limit(server: PolicyServer, kind: int, value: int) -> None:
    """Set a limit of the running server, which can be raised again."""
    resource.prlimit(server.pid, kind, (value, resource.prlimit(server.pid, kind)[1]))


@pytest.mark.parametrize("value", [0, 4096, 100_000])
def test_limit_of_file_sizes_costs_nothing_but_greylisting(value: int, start: StartServer) -> None:
    """The signal that comes with it does not kill the server, nor the programs that it runs."""
    server = start()
    with Load(server) as load:
        load.wait_for(deferred=500)
        limit(server, resource.RLIMIT_FSIZE, value)
        server.signal(signal.SIGUSR1)
        load.wait_for(passed=1000)
        limit(server, resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
        server.wait_for_log(WORKS, timeout=60)
        load.wait_for(deferred=500)
    assert set_aside(server.dbdir) == []
    assert stop_once(server.process) == 0
    check_promises(server, load)


def test_limit_of_open_files_costs_nothing_but_greylisting(start: StartServer) -> None:
    server = start()
    with Load(server) as load:
        load.wait_for(deferred=500)
        before = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)[0]
        limit(server, resource.RLIMIT_NOFILE, 3)
        # Log files follow each other; the next can't be opened.
        load.wait_for(passed=1000)
        limit(server, resource.RLIMIT_NOFILE, before)
        server.wait_for_log(WORKS, timeout=60)
        load.wait_for(deferred=500)
    assert set_aside(server.dbdir) == []
    assert stop_once(server.process) == 0
    check_promises(server, load)


@pytest.mark.root
@pytest.mark.parametrize("end", ["stopped", "killed"])
def test_read_only_file_system_is_told_and_costs_nothing(end: str, start: StartServer, small_disk: Path) -> None:
    server = start(dbdir=small_disk / "db")
    with Load(server) as load:
        load.wait_for(deferred=500)
    if end == "stopped":
        assert stop_once(server.process) == 0
    else:
        server.kill()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    failed = subprocess.run(server.argv, env=server.env, capture_output=True, text=True, timeout=60)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1] == (
        f"postgrey: dbdir {server.dbdir} is not usable by root: Read-only file system: mount it read-write, or use"
        " another --dbdir"
    )
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    again = start(dbdir=small_disk / "db")
    assert set_aside(server.dbdir) == []
    assert stop_once(again.process) == 0
    check_promises(again, load)


@pytest.mark.root
@pytest.mark.parametrize("line", ["set_cachesize 0 25165824 1", "set_cachesize 0 25165824 3"])
def test_enlarged_cache_does_not_kill_on_a_full_disk(line: str, start: StartServer, small_disk: Path) -> None:
    dbdir = small_disk / "db"
    keys = large_database(dbdir)
    for path in sorted(dbdir.glob("log.*"))[:-1]:
        path.unlink()
    (dbdir / "DB_CONFIG").write_text(f"{line}\n")
    server = start("--auto-whitelist-clients=0", dbdir=dbdir)
    fill_up(small_disk)
    # More pages than the cache has ever held before.
    with PolicyClient(server.port) as client:
        assert set(retry(client, random.Random(1).sample(keys, 20_000))) == {"DUNNO"}
    with Load(server) as load:
        load.wait_for(passed=1000)
        make_room(small_disk)
        server.wait_for_log(WORKS, timeout=60)
        load.wait_for(deferred=500)
    assert set_aside(dbdir) == []
    assert stop_once(server.process) == 0
    check_promises(server, load)


@pytest.mark.root
def test_cache_without_room_is_told_before_anything_is_opened(start: StartServer, small_disk: Path) -> None:
    server = start(dbdir=small_disk / "db")
    with Load(server) as load:
        load.wait_for(deferred=500)
    server.kill()
    before = sorted(os.listdir(server.dbdir))
    (server.dbdir / "DB_CONFIG").write_text("set_cachesize 1 0 2\n")
    failed = subprocess.run(server.argv, env=server.env, capture_output=True, text=True, timeout=60)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[-1].endswith(" MiB are free (as DB_CONFIG in it asks for)")
    (server.dbdir / "DB_CONFIG").unlink()
    assert sorted(os.listdir(server.dbdir)) == before
    again = start(dbdir=small_disk / "db")
    assert stop_once(again.process) == 0
    check_promises(again, load)
