# SPDX-License-Identifier: GPL-2.0-or-later
"""Access to the files of a dbdir: an obstacle is told in a line with the command that clears it.

Nothing is broken where files belong to somebody else, as they do after root restored a backup. Called by
`environment` before anything is opened, and each time that is opened again.
"""

from __future__ import annotations

import errno
import grp
import os
import pwd
import re
import shlex
import stat
from pathlib import Path

from postgrey_py.accounts import name_of_user
from postgrey_py.database.configuration import FILE_NAME
from postgrey_py.errors import DatabaseError

_DATABASE_FILE = re.compile(r"postgrey\.(lock|db)|postgrey_clients\.db|log\.\d{10}|__db\.\d{3}", re.ASCII)
_REFUSALS = (errno.EACCES, errno.EPERM)


def require_access(dbdir: Path) -> None:
    """Raise DatabaseError unless dbdir, and each file of the database in it, is of the right kind and ours to use."""
    problem = _problem_of_directory(dbdir)
    if problem is not None:
        raise DatabaseError(f"dbdir {dbdir} is not usable by {name_of_user(os.geteuid())}: {problem}")
    # Not by Path.glob, which leaves out links that lead nowhere.
    for name in sorted(os.listdir(dbdir)):
        if _DATABASE_FILE.fullmatch(name):
            _require_file(dbdir, dbdir / name, os.O_RDWR)
        elif name == FILE_NAME:
            _require_file(dbdir, dbdir / name, os.O_RDONLY)


def unusable(dbdir: Path, error: OSError) -> DatabaseError:
    """The error that tells why dbdir, or a file in it, can't be used."""
    path = Path(error.filename) if isinstance(error.filename, str) else dbdir
    return DatabaseError(
        f"dbdir {dbdir} is not usable by {name_of_user(os.geteuid())}: {_explain(dbdir, path, error.errno)}"
    )


def _problem_of_directory(dbdir: Path) -> str | None:
    try:
        if not stat.S_ISDIR(dbdir.stat().st_mode):
            return f"{os.strerror(errno.ENOTDIR)}: name the right directory with --dbdir"
        if os.statvfs(dbdir).f_flag & os.ST_RDONLY:
            return _explain(dbdir, dbdir, errno.EROFS)
    except OSError as error:
        return _explain(dbdir, dbdir, error.errno)
    return None if _may(dbdir, os.R_OK | os.W_OK | os.X_OK) else _explain(dbdir, dbdir, errno.EACCES)


def _require_file(dbdir: Path, path: Path, how: int) -> None:
    problem = None
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            problem = "it is a directory and should be a file: move it away"
        elif not stat.S_ISREG(mode):
            problem = "it is no regular file: move it away"
        else:
            os.close(os.open(path, how | os.O_NONBLOCK))
    except FileNotFoundError:
        # A log file may have been removed since the directory was read.
        if path.is_symlink():
            target = os.readlink(path)
            problem = f"it is a symbolic link to {target}, which does not exist: restore that, or remove the link"
    except OSError as error:
        problem = _explain(dbdir, path, error.errno)
    if problem is not None:
        raise DatabaseError(f"can't open the database in {dbdir}: {path}: {problem}")


def _explain(dbdir: Path, path: Path, number: int | None) -> str:
    """Return the reason why this path can't be used, with the command to paste."""
    text = os.strerror(number or 0)
    if number == errno.EROFS:
        return f"{text}: mount it read-write, or use another --dbdir"
    if number in (errno.ENOENT, errno.ENOTDIR):
        return f"{text}: create it, or name the right one with --dbdir"
    return f"{text}: {_explain_refusal(dbdir, _culprit(path))}" if number in _REFUSALS else text


def _explain_refusal(dbdir: Path, path: Path) -> str:
    try:
        status = path.stat()
    except OSError as error:
        return f"{path} can't be looked at ({error.strerror})"
    uid, mode = os.geteuid(), stat.S_IMODE(status.st_mode)
    text = (
        f"{path} belongs to {name_of_user(status.st_uid)} (mode {mode:04o}), and postgrey runs as {name_of_user(uid)}"
    )
    here = Path(os.path.realpath(dbdir))
    if path != dbdir and path in here.parents:
        return f"{text}: chmod a+x {_quoted(path)}"
    needed, change_mode = (0o700, "u+rwx") if path.is_dir() else (0o600, "u+rw")
    commands = []
    if status.st_uid != uid:
        commands.append(f"chown -R {_owner_of_ours()} {_quoted(here)}")
    if mode & needed != needed:
        commands.append(f"chmod {change_mode} {_quoted(path)}")
    return f"{text}: {' && '.join(commands) or 'look for an ACL, chattr +i, AppArmor or SELinux'}"


def _owner_of_ours() -> str:
    try:
        user: str | int = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        user = os.geteuid()
    try:
        group: str | int = grp.getgrgid(os.getegid()).gr_name
    except KeyError:
        group = os.getegid()
    return f"{user}:{group}"


def _quoted(path: Path) -> str:
    return shlex.quote(os.fspath(path.absolute()))


def _culprit(path: Path) -> Path:
    """The first directory on the way to this path that does not let us through, or the path itself."""
    if not _may(path.parent, os.X_OK):
        for directory in reversed(Path(os.path.realpath(path)).parents):
            if not _may(directory, os.X_OK):
                return directory
    return path


def _may(path: Path, how: int) -> bool:
    return os.access(path, how, effective_ids=os.access in os.supports_effective_ids)
