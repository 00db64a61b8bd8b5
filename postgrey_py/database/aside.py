# SPDX-License-Identifier: GPL-2.0-or-later
"""Database files that a repair moves aside, until it has succeeded or is undone.

The originals wait in a directory in dbdir. When the database opens without them they get their dated names beside it;
when it does not, or when the process was killed before it was known, they go back to where they were. A repair that
fails again and again leaves nothing behind. Called by `environment`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from postgrey_py.database.layout import LOG_FILES, REGION_FILES
from postgrey_py.database.salvage import dated

# The directory, by how far the repair has come: under way, failed and to be undone, done.
_TRYING = "repair.trying"
_RETURNING = "repair.returning"
_DONE = "repair.done"
# In that directory: from now on the log and region files in dbdir are new ones.
_LOGS_ARE_NEW = "logs-are-new"


class Aside:
    """The originals of one repair of `dbdir`. Its methods raise OSError, and can be called again after that."""

    def __init__(self, dbdir: Path) -> None:
        self._dbdir = dbdir
        self._trying = dbdir / _TRYING

    def take_logs(self) -> None:
        """Take the log and region files away. The regions can't be used again either: they tell of the logs."""
        self._trying.mkdir(mode=0o700, exist_ok=True)
        for path in self._logs():
            path.rename(self._trying / path.name)
        (self._trying / _LOGS_ARE_NEW).touch(mode=0o600)

    def original_logs(self) -> list[Path]:
        """The log files that the database files belong to, wherever they are meanwhile."""
        place = self._trying if (self._trying / _LOGS_ARE_NEW).exists() else self._dbdir
        return list(place.glob(LOG_FILES))

    def take(self, path: Path, label: str) -> Path:
        """Take this database file away, which is to be kept as `path.label-…`; returns where it is meanwhile."""
        self._trying.mkdir(mode=0o700, exist_ok=True)
        return path.rename(self._trying / f"{path.name}.{label}")

    def keep(self) -> dict[str, Path]:
        """Give the originals their final names. Returns where the logs (`logs`), or each file, are."""
        done = self._dbdir / _DONE
        if self._trying.exists():
            self._trying.rename(done)
        return _spread(done) if done.exists() else {}

    def put_back(self) -> None:
        """Undo a repair that failed or was interrupted; finish one that succeeded."""
        returning = self._dbdir / _RETURNING
        if (self._dbdir / _DONE).exists():
            _spread(self._dbdir / _DONE)
        if self._trying.exists():
            if (self._trying / _LOGS_ARE_NEW).exists():
                # They are of this repair, and nothing that was answered is in them.
                for path in self._logs():
                    path.unlink()
            self._trying.rename(returning)
        if returning.exists():
            for path in returning.iterdir():
                if path.name != _LOGS_ARE_NEW:
                    path.rename(self._dbdir / _original_name(path.name))
            (returning / _LOGS_ARE_NEW).unlink(missing_ok=True)
            returning.rmdir()

    def _logs(self) -> Iterable[Path]:
        return (*self._dbdir.glob(LOG_FILES), *self._dbdir.glob(REGION_FILES))


def _spread(done: Path) -> dict[str, Path]:
    places = {}
    (done / _LOGS_ARE_NEW).unlink(missing_ok=True)
    for path in done.glob("*.db.*"):
        name = _original_name(path.name)
        places[name] = dated(done.with_name(name), path.name.removeprefix(f"{name}."))
        path.rename(places[name])
    if any(done.iterdir()):
        places["logs"] = dated(done.with_name("logs"), "aside")
        done.rename(places["logs"])
    else:
        done.rmdir()
    return places


def _original_name(name: str) -> str:
    """The name that a file in the directory had before: only database files have got a label."""
    database, dot, _ = name.partition(".db.")
    return f"{database}.db" if dot else name
