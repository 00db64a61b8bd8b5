# SPDX-License-Identifier: GPL-2.0-or-later
"""The Berkeley DB environment in dbdir: lock, open and recover, checkpoint, log removal, close.

Laid out as Postgrey 1.37 lays it out, so that the two can take turns on one directory. One `Environment` belongs to
one process and holds `postgrey.lock` for as long as it lives: a second one that opened with recovery would destroy
the first. All is called from one thread, but for `checkpoint` and `remove_logs`, which any thread may call.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from postgrey_py.database.binding import BerkeleyDBError, db, explain, is_damage
from postgrey_py.database.layout import FIRST_REGION, LOG_FILES, REGION_FILES
from postgrey_py.database.lock import Lock
from postgrey_py.database.repair import (
    numbers_its_pages,
    require_damage,
    reset_lsns,
    set_logs_aside,
    verifies,
)
from postgrey_py.database.salvage import salvage
from postgrey_py.errors import DatabaseError

TRIPLETS = "postgrey.db"
CLIENTS = "postgrey_clients.db"

# Small, so that a checkpoint has little to write; the kernel caches the files anyway. It is no part of the files.
CACHE_BYTES = 8 << 20
# Berkeley DB makes a cache of less than 500 MB a quarter larger.
_CACHE_PAGE_BYTES = 4096
_CACHE_PAGES = CACHE_BYTES * 5 // 4 // _CACHE_PAGE_BYTES
# What the region files take on the disk, with something to spare.
REGION_BYTES = CACHE_BYTES * 5 // 4 + (6 << 20)
# Room for the records of a whole group transaction.
LOG_BUFFER_BYTES = 256 << 10

# After so much log a checkpoint is due.
CHECKPOINT_KILOBYTES = 16 << 10

# 1.37: the regions are files in dbdir, not memory of our own (DB_PRIVATE), so that others may join the environment.
_FLAGS = db.DB_CREATE | db.DB_RECOVER | db.DB_THREAD | db.DB_INIT_TXN | db.DB_INIT_MPOOL | db.DB_INIT_LOG
_DATABASE_FLAGS = db.DB_CREATE | db.DB_THREAD | db.DB_AUTO_COMMIT

Report = Callable[[str], None]


class Environment:
    """The databases of one dbdir, locked, recovered and open.

    `with_clients` tells whether postgrey_clients.db is wanted (1.37 does not touch it without auto-whitelist);
    `report` is told, in lines for the log, of everything that had to be repaired. Raises DatabaseError.
    """

    def __init__(self, dbdir: str, with_clients: bool, report: Report) -> None:
        self.dbdir = Path(dbdir)
        self.triplets: Any = None
        self.clients: Any = None
        self._with_clients = with_clients
        self._report = report
        self._env: Any = None
        self._has_logs = False
        self._kept_logs: set[str] = set()
        self._lock = Lock(self.dbdir)
        # Berkeley DB's first region: another one in its place tells that somebody else has recovered the environment.
        self._region: tuple[int, int] | None = None
        try:
            self.open()
        except BaseException:
            self.close_databases()
            self._lock.release()
            raise

    def open(self, verify: bool = False) -> None:
        """Recover the environment and open the databases; with `verify`, look at every page of them first.

        Never without the lock: where dbdir is another directory than before, the lock in that is taken.
        """
        if self._lock.renew():
            self._report(f"dbdir {self.dbdir} is another directory than before: the database in it is used from now on")
        try:
            self._env = self._open_environment()
            self.triplets = self._open_database(TRIPLETS, verify)
            if self._with_clients:
                self.clients = self._open_database(CLIENTS, verify)
            self._region = self._find_region()
        except BerkeleyDBError as error:
            raise DatabaseError(f"can't open the database in {self.dbdir}: {explain(error)}") from error
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            raise DatabaseError(f"can't repair the database in {self.dbdir}: {error.strerror}{where}") from error

    def begin(self) -> Any:
        """A new transaction."""
        return self._env.txn_begin()

    def flush(self) -> None:
        """Make sure that all which was committed is on the disk; costs nothing where it is. Raises DatabaseError.

        Where a new log file finds no room, Berkeley DB 5.3 takes a commit for done that it could not write.
        """
        try:
            self._env.log_flush()
        except BerkeleyDBError as error:
            # Where a new log file has no directory to be in, Berkeley DB just says that it is broken.
            self._lock.require_directory()
            raise DatabaseError(f"can't write the log in {self.dbdir}: {explain(error)}") from error

    def keep_lock(self) -> bool:
        """Make sure that nobody else uses the database; true where the lock was taken anew. Any thread may call it.

        Raises DatabaseError where the database must not be used any longer.
        """
        was_lost = self._lock.keep()
        if self._find_region() != self._region:
            raise DatabaseError(f"another program has opened the database in {self.dbdir}, or removed __db.001 from it")
        return was_lost

    def checkpoint(self, now: bool = False) -> None:
        """Bring the database files up to date if the log has grown enough, or `now`. Any thread may call it.

        Raises DatabaseError when the disk does not take it.
        """
        try:
            if now:
                # By itself it takes what was written while another checkpoint was under way for done.
                self._env.txn_checkpoint(0, 0, db.DB_FORCE)
            else:
                self._env.txn_checkpoint(CHECKPOINT_KILOBYTES, 0, 0)
        except BerkeleyDBError as error:
            raise DatabaseError(f"can't write a checkpoint in {self.dbdir}: {explain(error)}") from error

    def remove_logs(self) -> list[str]:
        """Remove the log files that recovery no longer needs, and return their paths. Any thread may call it.

        One that can't be removed does no harm: it is reported, once. Raises DatabaseError when the database has failed.
        """
        try:
            paths = [os.fsdecode(name) for name in self._env.log_archive(db.DB_ARCH_ABS)]
        except BerkeleyDBError as error:
            raise DatabaseError(f"can't tell old logs in {self.dbdir}: {explain(error)}") from error
        home, dbdir = f"{self._lock.home()}/", f"{self.dbdir}/"
        paths = [dbdir + path.removeprefix(home) if path.startswith(home) else path for path in paths]
        return [path for path in paths if self._remove_log(path)]

    def close_databases(self) -> None:
        """Close everything but the lock; what a broken database says to that is of no use to anybody."""
        # Nothing more is written: either a checkpoint has written all there is, or the log has failed, and then no page
        # may be. Closing would write some whose changes are in no log, and recovery refuses such a file.
        for handle in (self.triplets, self.clients):
            if handle is not None:
                with contextlib.suppress(BerkeleyDBError):
                    handle.close(db.DB_NOSYNC)
        if self._env is not None:
            with contextlib.suppress(BerkeleyDBError):
                self._env.close()
        self.triplets = self.clients = self._env = None

    def close(self) -> None:
        """Checkpoint, close, and give the lock back."""
        # What is not in its place any more, or somebody else has, is not written to.
        if self._env is not None and self._lock.is_held():
            try:
                self.checkpoint(now=True)
            except DatabaseError as error:
                self._report(f"{error}; the next start brings the database files up to date from the logs")
        self.close_databases()
        self._lock.release()

    def _find_region(self) -> tuple[int, int] | None:
        try:
            status = (self.dbdir / FIRST_REGION).stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _remove_log(self, path: str) -> bool:
        """Remove one log file; false when it could not be removed."""
        try:
            os.unlink(path)
        except FileNotFoundError:
            return False
        except OSError as error:
            if path not in self._kept_logs:
                self._kept_logs.add(path)
                self._report(f"can't remove {path}, which is not needed any more: {error.strerror}; remove it by hand")
            return False
        return True

    def _open_environment(self) -> Any:
        self._has_logs = any(self.dbdir.glob(LOG_FILES))
        try:
            return _open_environment(self.dbdir, self._lock.home())
        except BerkeleyDBError as error:
            if not is_damage(error):
                raise
            require_damage(self.dbdir, explain(error))
            aside = set_logs_aside(self.dbdir)
            self._has_logs = False
            self._report(f"can't recover the database with its logs ({explain(error)}): set them aside in {aside}")
            return _open_environment(self.dbdir, self._lock.home())

    def _open_database(self, name: str, verify: bool) -> Any:
        """Open one database, whatever it takes: damaged files are set aside and salvaged, never deleted."""
        path = self.dbdir / name
        try:
            if not path.exists():
                return _open_database(self._env, name)
            if not self._has_logs:
                # Berkeley DB does not always notice: it opens a file by its first page, which may be of no log.
                problem = "its logs are missing"
            elif (verify or not numbers_its_pages(path)) and not verifies(path):
                problem = "it does not verify"
            else:
                return _open_database(self._env, name)
        except BerkeleyDBError as error:
            if not is_damage(error):
                raise
            problem = explain(error)
        require_damage(self.dbdir, problem)
        if verifies(path):
            # It is whole, but its logs are elsewhere: people copy just the .db files to a new host.
            copy = reset_lsns(path)
            self._report(f"{path} came without its logs: accepted, after a copy to {copy}")
            return _open_database(self._env, name)
        return self._salvage(path, problem)

    def _salvage(self, path: Path, problem: str) -> Any:
        found = salvage(path)
        text = f"{path} is damaged ({problem}): set aside as {found.aside}, {found.records} records of it salvaged"
        if found.has_stale:
            text += "; some stood on older pages too, and may be back though they had been deleted"
        self._report(text)
        return _open_database(self._env, path.name)


def _open_environment(dbdir: Path, home: Path) -> Any:
    """The environment in dbdir, opened under the path `home`: its next log file must not get into another directory."""
    _require_room_for_regions(dbdir)
    environment = db.DBEnv()
    try:
        environment.set_cachesize(0, CACHE_BYTES, 1)
        environment.set_lg_bsize(LOG_BUFFER_BYTES)
        environment.set_flags(db.DB_AUTO_COMMIT, 1)
        environment.set_flags(db.DB_REGION_INIT, 1)
        environment.open(str(home), _FLAGS, 0o600)
        _fill_cache(environment)
    except BaseException:
        with contextlib.suppress(BerkeleyDBError):
            environment.close()
        raise
    return environment


def _require_room_for_regions(dbdir: Path) -> None:
    """Raise DatabaseError on a full disk: recovery, too, would be killed by the first touch of a hole (see below)."""
    old = sum(path.stat().st_blocks * 512 for path in dbdir.glob(REGION_FILES))
    free = shutil.disk_usage(dbdir).free + old
    if free < REGION_BYTES:
        raise DatabaseError(f"can't open the database in {dbdir}: {free >> 20} of {REGION_BYTES >> 20} MiB are free")


def _fill_cache(environment: Any) -> None:
    """Make the cache as large as it will ever be, so that its file has all its blocks on the disk.

    It is a mapped file that grows with holes in it. Once the disk is full, the first touch of a hole would kill us with
    SIGBUS. DB_REGION_INIT does the same for what the region files have from the start.
    """
    nameless = db.DB(environment)
    try:
        nameless.set_flags(db.DB_TXN_NOT_DURABLE)
        nameless.set_pagesize(_CACHE_PAGE_BYTES)
        nameless.open(None, dbtype=db.DB_BTREE, flags=db.DB_CREATE)
        # Four records to a page, and a few more than fit.
        record = bytes(_CACHE_PAGE_BYTES // 4 - 100)
        for number in range(_CACHE_PAGES * 4 + 64):
            nameless.put(b"%08d" % number, record)
    finally:
        nameless.close()


def _open_database(environment: Any, name: str) -> Any:
    handle = db.DB(environment)
    try:
        handle.open(name, dbtype=db.DB_BTREE, flags=_DATABASE_FLAGS, mode=0o600)
    except BaseException:
        with contextlib.suppress(BerkeleyDBError):
            handle.close()
        raise
    return handle
