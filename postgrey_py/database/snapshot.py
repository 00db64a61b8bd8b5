# SPDX-License-Identifier: GPL-2.0-or-later
"""A consistent, read-only view of the databases in a dbdir, while others may write to them.

Berkeley DB's hot backup: the database files are copied first, then the log files, and catastrophic recovery makes of
the copies what was committed at some moment. It takes read permission and nothing else. The live environment is neither
joined nor written to, so a reader that is killed can do the server no harm.

The copies have no names: they are in memory, or in deleted files where memory is short, and go when the process goes,
however it ends. Only recovery needs names, for a fraction of a second: a directory of links to the open files. When
the process is killed just then, that directory stays, with hardly more in it than dangling links, until a later reader
removes it.

Called by the commands. How bytes are copied from files that change is in `copying`.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import shutil
import tempfile
import time
from collections.abc import Collection, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from postgrey_py.accounts import name_of_user
from postgrey_py.database.binding import BerkeleyDBError, db, explain, is_damage
from postgrey_py.database.copying import SpoiledCopyError, copy_database, copy_growing_log, copy_whole
from postgrey_py.database.environment import CLIENTS, TRIPLETS
from postgrey_py.database.layout import FIRST_LOG, LOG_NAME, LOG_NUMBER
from postgrey_py.errors import DatabaseError

# A server that starts, stops or repairs its database just then can spoil a copy; a later one is good.
ATTEMPTS = 6
FIRST_PAUSE_SECONDS = 0.05

# Copies larger than this part of the memory that is available go to the disk.
MEMORY_SHARE = 0.25

RECOVERY_CACHE_BYTES = 32 << 20
READING_CACHE_BYTES = 8 << 20

DIRECTORY_PREFIX = "postgrey-snapshot-"
# A directory that is not locked is either left over or brand-new.
LEFT_OVER_SECONDS = 60.0

DESCRIPTORS = Path("/proc/self/fd")

_COPY_DIRECTORY = re.compile(rf"\S*/{DIRECTORY_PREFIX}\w+/")
_MEMORY_AVAILABLE = re.compile(r"^MemAvailable: +(\d+) kB$", re.MULTILINE)


class TableSnapshot:
    """The records of one database at the moment of the snapshot, in the order of their keys."""

    def __init__(self, handle: Any, dbdir: Path) -> None:
        self._handle = handle
        self._dbdir = dbdir

    def get(self, key: bytes) -> bytes | None:
        """The value stored under `key`, or None. Raises DatabaseError."""
        if self._handle is None:
            return None
        try:
            return self._handle.get(key)  # type: ignore[no-any-return]
        except BerkeleyDBError as error:
            raise DatabaseError(_explain_damage(self._dbdir, error)) from error

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        """Every key with its value. Raises DatabaseError."""
        if self._handle is None:
            return
        try:
            cursor = self._handle.cursor()
            try:
                record = cursor.first()
                while record is not None:
                    yield record
                    record = cursor.next()
            finally:
                cursor.close()
        except BerkeleyDBError as error:
            raise DatabaseError(_explain_damage(self._dbdir, error)) from error


class Snapshot(NamedTuple):
    """The databases at one moment; one that was not asked for, or does not exist, has no records."""

    triplets: TableSnapshot
    clients: TableSnapshot


@contextlib.contextmanager
def open_snapshot(dbdir: str, names: Collection[str] = (TRIPLETS, CLIENTS)) -> Iterator[Snapshot]:
    """The databases `names` of `dbdir` at one moment, until the context is left. Raises DatabaseError.

    Leave out what is not needed: a large database takes a moment to copy.
    """
    path = Path(dbdir)
    _remove_left_over_directories()
    with ExitStack() as cleanup:
        handles = _open_copies(path, names, cleanup)
        yield Snapshot(TableSnapshot(handles.get(TRIPLETS), path), TableSnapshot(handles.get(CLIENTS), path))


def _open_copies(dbdir: Path, names: Collection[str], cleanup: ExitStack) -> dict[str, Any]:
    """A read-only handle for each database of `names` that exists; `cleanup` closes them. Raises DatabaseError."""
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with ExitStack() as descriptors:
                return _Attempt(dbdir, descriptors).open_copies(names, cleanup)
        except BerkeleyDBError as error:
            if attempt == ATTEMPTS or not is_damage(error):
                raise DatabaseError(_explain_damage(dbdir, error)) from error
        except SpoiledCopyError as error:
            if attempt == ATTEMPTS:
                raise DatabaseError(f"can't copy the database in {dbdir} while it changes: {error}") from error
        except OSError as error:
            raise DatabaseError(_explain_system_error(dbdir, error)) from error
        time.sleep(FIRST_PAUSE_SECONDS * 2 ** (attempt - 1))
    raise AssertionError("the last attempt returns or raises")


class _Attempt:
    """Nameless copies of the files in `dbdir`; `descriptors` closes them and what they were copied from."""

    def __init__(self, dbdir: Path, descriptors: ExitStack) -> None:
        self._dbdir = dbdir
        self._descriptors = descriptors
        self._is_in_memory = False

    def open_copies(self, names: Collection[str], cleanup: ExitStack) -> dict[str, Any]:
        """A read-only handle for each database of `names` that exists; `cleanup` closes them."""
        # Opened before the databases are copied, the logs of that moment can be read even when the server has removed
        # them meanwhile. Recovery needs every one of them.
        logs = self._open_logs()
        # Recovery creates anew, with a name, what the logs tell the creation of and is not there.
        databases = self._open_databases((TRIPLETS, CLIENTS) if FIRST_LOG in logs else names)
        self._is_in_memory = _fits_into_memory([*logs.values(), *databases.values()])
        copies = {}
        for name, source in databases.items():
            copies[name] = self._nameless(name)
            copy_database(source, copies[name])
        # Only now: what the pages tell of is in the logs of this moment.
        logs |= self._open_logs(known=logs)
        _check_sequence(logs)
        for name in sorted(logs):
            copies[name] = self._nameless(name)
            copy = copy_growing_log if name == max(logs) else copy_whole
            copy(logs[name], copies[name])
        with _named_directory() as directory:
            for name, descriptor in copies.items():
                _give_name(descriptor, directory / name)
            if logs:
                recover(directory)
            return {name: _open_copy(directory / name, cleanup) for name in databases if name in names}

    def _open_logs(self, known: Collection[str] = ()) -> dict[str, int]:
        """Descriptors of the log files but the `known`, by name."""
        names = [name for name in os.listdir(self._dbdir) if LOG_NAME.fullmatch(name) and name not in known]
        return {name: self._open(name) for name in names}

    def _open_databases(self, names: Collection[str]) -> dict[str, int]:
        """Descriptors of the database files among `names` that exist, by name."""
        present = [name for name in (TRIPLETS, CLIENTS) if (self._dbdir / name).exists()]
        if not present:
            raise DatabaseError(f"there is no {TRIPLETS} in {self._dbdir}: name the right directory with --dbdir")
        return {name: self._open(name) for name in present if name in names}

    def _open(self, name: str) -> int:
        try:
            descriptor = os.open(self._dbdir / name, os.O_RDONLY)
        except FileNotFoundError as error:
            raise SpoiledCopyError(f"{name} was removed") from error
        self._descriptors.callback(os.close, descriptor)
        return descriptor

    def _nameless(self, name: str) -> int:
        """A new, empty file that goes with its last descriptor."""
        if self._is_in_memory:
            descriptor = os.memfd_create(name)
            self._descriptors.callback(os.close, descriptor)
            return descriptor
        return self._descriptors.enter_context(tempfile.TemporaryFile(buffering=0, dir=_temporary_directory())).fileno()


def recover(directory: Path) -> None:
    """Bring the copies in `directory` to what was committed at the end of their logs. Raises Berkeley DB's error."""
    environment = db.DBEnv()
    try:
        environment.set_cachesize(0, RECOVERY_CACHE_BYTES)
        flags = db.DB_CREATE | db.DB_PRIVATE | db.DB_RECOVER_FATAL
        flags |= db.DB_INIT_TXN | db.DB_INIT_MPOOL | db.DB_INIT_LOG
        environment.open(os.fspath(directory), flags, 0o600)
    finally:
        _close_quietly(environment)


def _open_copy(path: Path, cleanup: ExitStack) -> Any:
    # Outside of any environment, which would not take database files that came without their logs.
    handle = db.DB()
    cleanup.callback(_close_quietly, handle)
    handle.set_cachesize(0, READING_CACHE_BYTES)
    handle.open(os.fspath(path), dbtype=db.DB_BTREE, flags=db.DB_RDONLY)
    return handle


def _close_quietly(handle: Any) -> None:
    with contextlib.suppress(*BerkeleyDBError):
        handle.close()


def _check_sequence(logs: Collection[str]) -> None:
    """Raise SpoiledCopyError where a log file came and went unseen between two others."""
    numbers = sorted(int(name[LOG_NUMBER]) for name in logs)
    if numbers and numbers[-1] - numbers[0] >= len(numbers):
        raise SpoiledCopyError("log files are removed faster than they can be copied")


@contextlib.contextmanager
def _named_directory() -> Iterator[Path]:
    """A private directory that is locked while it is there."""
    with tempfile.TemporaryDirectory(
        prefix=DIRECTORY_PREFIX, dir=_temporary_directory(), ignore_cleanup_errors=True
    ) as name:
        descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield Path(name)
        finally:
            os.close(descriptor)


def _remove_left_over_directories() -> None:
    """Remove what readers of the same user left that were killed."""
    for path in _temporary_directory().glob(f"{DIRECTORY_PREFIX}*"):
        # Another reader may be faster, and what can't be removed can stay.
        with contextlib.suppress(OSError):
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                status = os.fstat(descriptor)
                if status.st_uid == os.geteuid() and time.time() - status.st_mtime > LEFT_OVER_SECONDS:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    shutil.rmtree(path)
            finally:
                os.close(descriptor)


def _temporary_directory() -> Path:
    # tempfile.gettempdir() tries the directory out with a file, which stays when the process is killed just then.
    return Path(os.environ.get("TMPDIR") or "/tmp")


def _give_name(descriptor: int, path: Path) -> None:
    """Make the file behind a descriptor openable as `path`."""
    if DESCRIPTORS.is_dir():
        path.symlink_to(DESCRIPTORS / str(descriptor))
        return
    # A chroot without /proc. The file goes with the directory, or when the last one who has it open closes it.
    named = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        copy_whole(descriptor, named)
    finally:
        os.close(named)


def _fits_into_memory(sources: Collection[int]) -> bool:
    """Whether copies of these files leave enough memory to others."""
    if not hasattr(os, "memfd_create"):
        return False
    try:
        available = _MEMORY_AVAILABLE.search(Path("/proc/meminfo").read_text(encoding="ascii"))
    except OSError:
        return False
    size = sum(os.fstat(source).st_size for source in sources)
    return available is not None and size <= int(available[1]) * 1024 * MEMORY_SHARE


def _explain_damage(dbdir: Path, error: Exception) -> str:
    # What is wrong with the copies is wrong with what they were made of.
    problem = _COPY_DIRECTORY.sub("", explain(error))
    return (
        f"the database in {dbdir} can't be read, it is damaged or its logs are not its own ({problem}):"
        " start postgrey on it, which repairs what can be repaired"
    )


def _explain_system_error(dbdir: Path, error: OSError) -> str:
    if isinstance(error, PermissionError):
        reader, owner = name_of_user(os.geteuid()), _owner(dbdir)
        return f"{error.filename or dbdir} can't be read by {reader}: run this as {owner} (sudo -u {owner} ...)"
    if isinstance(error, (FileNotFoundError, NotADirectoryError)) and error.filename == os.fspath(dbdir):
        return f"there is no directory {dbdir}: name the right one with --dbdir"
    where = f": {error.filename}" if error.filename else ""
    return f"can't copy the database in {dbdir}: {error.strerror}{where}"


def _owner(dbdir: Path) -> str:
    try:
        return name_of_user(dbdir.stat().st_uid)
    except OSError:
        return name_of_user(0)
