# SPDX-License-Identifier: GPL-2.0-or-later
"""The Berkeley DB environment in dbdir: lock, open and recover, checkpoint, log removal, close.

Laid out as Postgrey 1.37 lays it out, so that the two can take turns on one directory. One `Environment` belongs to
one process and holds `postgrey.lock` for as long as it lives: a second one that opened with recovery would destroy
the first. Tables and transactions are used by one thread. Another one may meanwhile call `flush`, `keep_lock`,
`checkpoint` and `remove_logs`; and, while nobody uses the tables, reopen the databases (`reopening.reopen`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from postgrey_py.database.access import require_access
from postgrey_py.database.aside import Aside
from postgrey_py.database.binding import BerkeleyDBError, db, explain, is_damage
from postgrey_py.database.configuration import Configuration, read_configuration
from postgrey_py.database.layout import FIRST_REGION, LOG_FILES
from postgrey_py.database.lock import Lock
from postgrey_py.database.proof import explain_limit, limit_hint, require_damage, require_limits
from postgrey_py.database.regions import open_environment, require_room
from postgrey_py.database.repair import forget_logs, numbers_its_pages, verifies
from postgrey_py.database.salvage import salvage
from postgrey_py.errors import DatabaseError

TRIPLETS = "postgrey.db"
CLIENTS = "postgrey_clients.db"

# After so much log a checkpoint is due.
CHECKPOINT_KILOBYTES = 16 << 10

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
        self._configuration = Configuration()
        self._has_logs = False
        self._kept_logs: set[str] = set()
        # What to report of a repair once it is known to be good: text, whose original it tells of, and more text.
        self._repairs: list[tuple[str, str, str]] = []
        self._aside = Aside(self.dbdir)
        require_access(self.dbdir)
        self._lock = Lock(self.dbdir)
        # Berkeley DB's first region: another one in its place tells that somebody else has recovered the environment.
        self._region: tuple[int, int] | None = None
        try:
            self.open()
        except BaseException:
            self._lock.release()
            raise

    def open(self, verify: bool = False) -> None:
        """Recover the environment and open the databases; with `verify`, look at every page of them first.

        Never without the lock: where dbdir is another directory than before, the lock in that is taken. It either
        succeeds or leaves the directory as it was. Raises DatabaseError.
        """
        if self._lock.renew():
            self._report(f"dbdir {self.dbdir} is another directory than before: the database in it is used from now on")
        try:
            require_access(self.dbdir)
            self._aside.put_back()
            self._open(verify)
            places = self._aside.keep()
        except BerkeleyDBError as error:
            self._give_up()
            raise DatabaseError(f"can't open the database in {self.dbdir}: {explain_limit(error)}") from error
        except OSError as error:
            self._give_up()
            where = f": {error.filename}" if error.filename else ""
            raise DatabaseError(
                f"can't open the database in {self.dbdir}: {error.strerror}{where}{limit_hint(error.errno)}"
            ) from error
        except BaseException:
            self._give_up()
            raise
        for before, name, after in self._repairs:
            self._report(f"{before}{places[name]}{after}")

    def begin(self) -> Any:
        """A new transaction."""
        return self._env.txn_begin()

    def flush(self) -> None:
        """Make sure that all which was committed is on the disk; costs nothing where it is. Raises DatabaseError.

        Where a new log file finds no room, Berkeley DB 5.3 takes a commit for done that it could not write.
        """
        if self._env is None:
            raise DatabaseError("the database is not open")
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

    def is_in_place(self) -> bool:
        """Return whether dbdir is the directory that it was, and its lock is ours. Any thread may call it."""
        return self._lock.is_held()

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

    def last_checkpoint(self) -> int:
        """Return when the last checkpoint was made, in seconds since 1970; 0 for never. Raises DatabaseError."""
        if self._env is None:
            raise DatabaseError(f"the database in {self.dbdir} is not open")
        try:
            return int(self._env.txn_stat()["time_ckp"])
        except BerkeleyDBError as error:
            raise DatabaseError(f"can't tell the last checkpoint in {self.dbdir}: {explain(error)}") from error

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
        """Close everything but the lock; errors of a broken database are ignored."""
        # Nothing more is written: either a checkpoint has written all there is, or the log has failed, and then no page
        # may be. Closing would write some whose changes are in no log, and recovery refuses such a file.
        for handle in (self.triplets, self.clients):
            if handle is not None:
                with contextlib.suppress(*BerkeleyDBError):
                    handle.close(db.DB_NOSYNC)
        if self._env is not None:
            with contextlib.suppress(*BerkeleyDBError):
                self._env.close()
        self.triplets = self.clients = self._env = None

    def close(self) -> None:
        """Checkpoint, close, and give the lock back."""
        # What is not in its place any more, or somebody else has, is not written to.
        if self._env is not None and self.is_in_place():
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

    def _open(self, verify: bool) -> None:
        self._repairs = []
        self._configuration = read_configuration(self.dbdir)
        require_room(self.dbdir, self._configuration)
        require_limits(self.dbdir, self._configuration)
        for text in () if verify else self._configuration.disobeyed():
            self._report(text)
        self._env = self._recover_environment()
        self.triplets = self._open_or_salvage(TRIPLETS, verify)
        if self._with_clients:
            self.clients = self._open_or_salvage(CLIENTS, verify)
        self._region = self._find_region()

    def _give_up(self) -> None:
        """Opening has failed: leave nothing open, and undo what a repair has done so far."""
        self.close_databases()
        # Where even that fails, the next try begins with it.
        with contextlib.suppress(OSError):
            self._aside.put_back()

    def _recover_environment(self) -> Any:
        self._has_logs = any(self.dbdir.glob(LOG_FILES))
        result = self._twice(self._try_to_recover)
        if not isinstance(result, _Damage):
            return result
        self._aside.take_logs()
        self._has_logs = False
        self._repairs.append((f"can't recover the database with its logs ({result}): set them aside in ", "logs", ""))
        return open_environment(self._lock.home(), self._configuration)

    def _try_to_recover(self) -> Any:
        try:
            return open_environment(self._lock.home(), self._configuration)
        except BerkeleyDBError as error:
            return _damage(error)

    def _open_or_salvage(self, name: str, verify: bool) -> Any:
        """Open one database; a damaged file is set aside and salvaged, never deleted."""
        path = self.dbdir / name
        result = self._twice(lambda: self._try_to_open(path, verify))
        if not isinstance(result, _Damage):
            return result
        if not path.exists():
            raise DatabaseError(f"can't make {path}: {result}")
        if verifies(path):
            # It is whole, but its logs are elsewhere: people copy just the .db files to a new host.
            forget_logs(path, lambda path: self._aside.take(path, "before-reset"))
            self._repairs.append((f"{path} came without its logs: accepted, after a copy to ", name, ""))
        else:
            found = salvage(path, lambda path: self._aside.take(path, "damaged"), self._aside.original_logs())
            text = f", {found.records} records of it salvaged"
            if found.has_stale:
                text += "; some stood on older pages too, and may be back though they had been deleted"
            self._repairs.append((f"{path} is damaged ({result}): set aside as ", name, text))
        return _open_database(self._env, name)

    def _try_to_open(self, path: Path, verify: bool) -> Any:
        if path.exists():
            if not self._has_logs:
                # Berkeley DB does not always notice: it opens a file by its first page, which may be of no log.
                return _Damage("its logs are missing")
            if (verify or not numbers_its_pages(path)) and not verifies(path):
                return _Damage("it does not verify")
        try:
            return _open_database(self._env, path.name)
        except BerkeleyDBError as error:
            return _damage(error)

    def _twice(self, attempt: Callable[[], Any]) -> Any:
        """Return the attempt's result, which is damage only where that is proved and is there again after it."""
        result = attempt()
        if isinstance(result, _Damage):
            require_damage(self.dbdir, self._configuration, str(result))
            result = attempt()
        return result


class _Damage(str):
    """The text of an error that seems to come from a damaged file."""

    __slots__ = ()


def _damage(error: Exception) -> _Damage:
    """The damage that this error tells of; raises the error where it tells of something else."""
    if not is_damage(error):
        raise error
    return _Damage(explain(error))


def _open_database(environment: Any, name: str) -> Any:
    handle = db.DB(environment)
    try:
        handle.open(name, dbtype=db.DB_BTREE, flags=_DATABASE_FLAGS, mode=0o600)
    except BaseException:
        with contextlib.suppress(*BerkeleyDBError):
            handle.close()
        raise
    return handle
