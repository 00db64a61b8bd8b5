# SPDX-License-Identifier: GPL-2.0-or-later
"""Proof that files are at fault when the database does not open, and neither the disk, nor a limit, nor DB_CONFIG.

Berkeley DB has one and the same word for all of these. Called by `environment` before it sets anything aside.
"""

from __future__ import annotations

import contextlib
import errno
import mmap
import os
import resource
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from postgrey_py.database.binding import BerkeleyDBError, db, explain
from postgrey_py.database.configuration import DIRECTORIES, FILE_NAME, Configuration, Setting
from postgrey_py.database.layout import LOG_FILES, REGION_FILES
from postgrey_py.database.regions import open_environment
from postgrey_py.errors import DatabaseError

# What a repair may take on the disk; for larger databases three times their size (copy, dump, new file).
ROOM_BYTES = 64 << 20

# What the log files, the database and the regions may grow by before the next start.
GROWTH_BYTES = 4 << 20

# How many files are open at once while the database is opened and proved, and the memory that this takes.
DESCRIPTORS = 16
MEMORY_BYTES = 16 << 20

DATABASE_FILES = "postgrey*.db"

_CHUNK_BYTES = 1 << 20
_PAGE_BYTES = 4096
_TRIAL = "repair.trial"
# New files whose names begin as those that the library makes.
_PROBES = ("__db.probe", "log.probe", "postgrey.db.probe")
_TRIAL_RECORDS = 500

_LIMITS = {
    errno.EMFILE: "raise ulimit -n (LimitNOFILE=)",
    errno.EFBIG: "raise ulimit -f (LimitFSIZE=)",
    errno.ENOMEM: f"raise ulimit -v (LimitAS=), or look at {FILE_NAME}",
}


def limit_hint(number: int | None) -> str:
    """Return what to do about an error number that tells of a limit of the process, after a colon; else nothing."""
    return f": {_LIMITS[number]}" if number in _LIMITS else ""


def require_limits(dbdir: Path, configuration: Configuration) -> None:
    """Raise DatabaseError where a limit of the process does not leave what the database needs.

    The library's last word would not be that limit, but that the environment is broken.
    """
    sizes = [path.stat().st_size for pattern in (DATABASE_FILES, LOG_FILES) for path in dbdir.glob(pattern)]
    needed = max(configuration.log_bytes, configuration.region_bytes, *sizes, 0) + GROWTH_BYTES
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    number: int | None = None
    text = ""
    if resource.RLIM_INFINITY != limit < needed:
        number, text = errno.EFBIG, f"a file may have {limit} bytes, and {needed} are needed: "
    try:
        with contextlib.ExitStack() as descriptors:
            for _ in range(DESCRIPTORS):
                descriptors.callback(os.close, os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        mmap.mmap(-1, configuration.region_bytes + MEMORY_BYTES, prot=mmap.PROT_READ).close()
    except OSError as error:
        number = error.errno
    if number is not None:
        text += f"{os.strerror(number)}: {_LIMITS.get(number, 'a limit of the system')}"
        raise DatabaseError(f"can't open the database in {dbdir}: {text}")


def require_damage(dbdir: Path, configuration: Configuration, problem: str) -> None:
    """Raise DatabaseError unless there is room for a repair, the disk works, and another database would open here."""
    _require_room(dbdir, configuration, problem)
    try:
        _try_disk(dbdir)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        raise DatabaseError(
            f"can't open the database in {dbdir} ({problem}): {error.strerror}{where}: nothing is set aside for that"
        ) from error
    complaint = _try_configuration(dbdir, configuration.lines, configuration)
    if complaint is not None:
        raise DatabaseError(f"can't open the database in {dbdir}: {_blame(dbdir, configuration, complaint)}")


def explain_limit(error: Exception) -> str:
    """The error, and which limit of the process it may be about."""
    text = explain(error)
    return next((f"{text}: {what}" for number, what in _LIMITS.items() if os.strerror(number) in text), text)


def _require_room(dbdir: Path, configuration: Configuration, problem: str) -> None:
    databases = sum(path.stat().st_size for path in dbdir.glob(DATABASE_FILES))
    needed = max(ROOM_BYTES, 3 * databases + configuration.region_bytes)
    free = shutil.disk_usage(dbdir).free
    if free < needed:
        raise DatabaseError(
            f"can't open the database in {dbdir} ({problem}): a repair takes {needed >> 20} MiB of disk,"
            f" and {free >> 20} MiB are free"
        )


def _try_disk(dbdir: Path) -> None:
    """Use the disk as the library does. Raises OSError where it does not obey."""
    for name in _PROBES:
        _try_new_file(dbdir / name)
    for pattern in (DATABASE_FILES, LOG_FILES, REGION_FILES):
        for path in dbdir.glob(pattern):
            with contextlib.suppress(FileNotFoundError):
                _try_old_file(path, writes=pattern != REGION_FILES)


def _try_new_file(path: Path) -> None:
    with _naming(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            os.write(descriptor, bytes(_PAGE_BYTES * 4))
            os.pwrite(descriptor, bytes(_PAGE_BYTES), 0)
            os.fsync(descriptor)
            os.pread(descriptor, _PAGE_BYTES, 0)
            os.ftruncate(descriptor, _PAGE_BYTES)
        finally:
            os.close(descriptor)
            renamed = path.with_name(f"{path.name}2")
            path.rename(renamed)
            renamed.unlink()


def _try_old_file(path: Path, writes: bool) -> None:
    """Read the whole file, and write and sync what stands at its ends once more."""
    with _naming(path), path.open("r+b", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        while file.read(_CHUNK_BYTES):
            pass
        for start in {0, max(0, size - _PAGE_BYTES)} if writes else ():
            octets = os.pread(file.fileno(), _PAGE_BYTES, start)
            os.pwrite(file.fileno(), octets, start)
        os.fdatasync(file.fileno())
        os.fsync(file.fileno())


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Name the file in an OSError that has none."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or os.fspath(path)
        raise


def _try_configuration(dbdir: Path, lines: Iterable[Setting], configuration: Configuration) -> str | None:
    """Make another database beside this one, with these lines in its DB_CONFIG; returns why that does not work."""
    trial = dbdir / _TRIAL
    shutil.rmtree(trial, ignore_errors=True)
    try:
        trial.mkdir(mode=0o700)
        # Directories have been looked at; theirs would not be that of the trial.
        texts = {line.number: " ".join(line.words) for line in lines if line.name not in DIRECTORIES}
        # The library tells numbers of lines: they are to be those of the real file.
        text = "".join(f"{texts.get(number, '')}\n" for number in range(1, max(texts, default=0) + 1))
        (trial / FILE_NAME).write_text(text, encoding="latin-1")
        _use_database(trial, configuration)
    except (*BerkeleyDBError, OSError) as error:
        return explain_limit(error).replace(f"{trial}/", "")
    finally:
        shutil.rmtree(trial, ignore_errors=True)
    return None


def _use_database(directory: Path, configuration: Configuration) -> None:
    for _ in range(2):
        environment = open_environment(directory, configuration)
        handle = db.DB(environment)
        try:
            flags = db.DB_CREATE | db.DB_THREAD | db.DB_AUTO_COMMIT
            handle.open("postgrey.db", dbtype=db.DB_BTREE, flags=flags, mode=0o600)
            transaction = environment.txn_begin()
            for number in range(_TRIAL_RECORDS):
                handle.put(b"%d" % number, bytes(100), transaction)
            transaction.commit()
            environment.txn_checkpoint(0, 0, db.DB_FORCE)
        finally:
            _close(handle.close, db.DB_NOSYNC)
            _close(environment.close)


def _close(close: Callable[..., None], *arguments: int) -> None:
    with contextlib.suppress(*BerkeleyDBError):
        close(*arguments)


def _blame(dbdir: Path, configuration: Configuration, complaint: str) -> str:
    """In words, what is at fault where another database does not open either."""
    if not configuration.lines or _try_configuration(dbdir, (), configuration) is not None:
        return f"nor would a new one open there: {complaint}"
    for line in configuration.lines:
        reason = _try_configuration(dbdir, (line,), configuration)
        if reason is not None:
            return f"{line}: {reason}: correct or remove the line"
    return f"the lines of {FILE_NAME} do not go together: {complaint}"
