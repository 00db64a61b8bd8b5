# SPDX-License-Identifier: GPL-2.0-or-later
"""Files that belong to somebody else, or are no files: told with who may do what, and the command that helps."""

from __future__ import annotations

import errno
import getpass
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgrey_py.database.access import require_access, unusable
from postgrey_py.database.environment import CLIENTS, TRIPLETS
from postgrey_py.database.lock import LOCK
from postgrey_py.errors import DatabaseError
from tests.database.dbdirs import OpenStore, fill, make_records, open_store, read_all, read_dbdir
from tests.support.servers import ROOT

RECORDS = make_records(10)
LOG = "log.0000000001"
REGION = "__db.001"

pytestmark = pytest.mark.root

# Opens the directory as nobody, reports by exit status and one line, and opens it again at each line it reads.
OPEN_AS_NOBODY = """
import os, pwd, sys
from pathlib import Path
from postgrey_py.errors import DatabaseError
from tests.database.dbdirs import OpenStore, read_all
account = pwd.getpwnam("nobody")
os.setgroups([])
os.setgid(account.pw_gid)
os.setuid(account.pw_uid)
try:
    store = OpenStore(Path(sys.argv[1]))
except DatabaseError as error:
    sys.exit(print(error) or 1)
print(len(read_all(store.triplets)), flush=True)
for _ in sys.stdin:
    try:
        store.environment.close_databases()
        store.environment.open(verify=True)
        store.attach()
        print(len(read_all(store.triplets)), flush=True)
    except DatabaseError as error:
        print(error, flush=True)
"""


@pytest.fixture
def dbdir(tmp_path: Path) -> Iterator[Path]:
    """A directory of nobody's, which nobody can reach, with a database in it."""
    if os.geteuid() != 0:
        pytest.fail("these tests give files to others, which only root can do: run them as root")
    base = Path(subprocess.check_output(["mktemp", "-d", "/tmp/postgrey-access-XXXXXX"], text=True).strip())
    base.chmod(0o755)
    try:
        fill(base / "db", RECORDS)
        give_to_nobody(base / "db")
        yield base / "db"
    finally:
        shutil.rmtree(base)


def give_to_nobody(dbdir: Path) -> None:
    for path in (dbdir, *dbdir.iterdir()):
        shutil.chown(path, "nobody", "nogroup")


def open_as_nobody(dbdir: Path) -> str:
    """What the opener says."""
    command = [sys.executable, "-c", OPEN_AS_NOBODY, str(dbdir)]
    result = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert result.stderr == ""
    return result.stdout.removesuffix("\n")


def follow(text: str) -> None:
    """Do what the line says."""
    subprocess.run(text.rsplit(": ", 1)[1], shell=True, check=True)


@pytest.mark.parametrize("name", [TRIPLETS, CLIENTS, LOG, REGION, LOCK])
@pytest.mark.parametrize("mode", [0o600, 0o000])
def test_file_of_root_is_told_with_the_command_that_helps(mode: int, name: str, dbdir: Path) -> None:
    os.chown(dbdir / name, 0, 0)
    (dbdir / name).chmod(mode)
    before = sorted(path.name for path in dbdir.iterdir())
    text = open_as_nobody(dbdir)
    assert text.startswith(
        f"can't open the database in {dbdir}: {dbdir / name}: Permission denied: {dbdir / name} belongs to root"
        f" (mode {mode:04o}), and postgrey runs as nobody: chown -R nobody:nogroup {dbdir}"
    )
    assert sorted(path.name for path in dbdir.iterdir()) == before
    follow(text)
    assert open_as_nobody(dbdir) == str(len(RECORDS))


@pytest.mark.parametrize("name", [TRIPLETS, LOG, "DB_CONFIG"])
def test_own_file_that_its_mode_closes_is_told_with_the_command_that_helps(name: str, dbdir: Path) -> None:
    (dbdir / "DB_CONFIG").touch()
    give_to_nobody(dbdir)
    (dbdir / name).chmod(0o040)
    text = open_as_nobody(dbdir)
    assert text.endswith(f" belongs to nobody (mode 0040), and postgrey runs as nobody: chmod u+rw {dbdir / name}")
    follow(text)
    assert open_as_nobody(dbdir) == str(len(RECORDS))


@pytest.mark.parametrize(("uid", "mode"), [(0, 0o700), (0, 0o755), (65534, 0o500), (65534, 0o000)])
def test_dbdir_that_is_closed_is_told_with_the_command_that_helps(uid: int, mode: int, dbdir: Path) -> None:
    os.chown(dbdir, uid, 0)
    dbdir.chmod(mode)
    text = open_as_nobody(dbdir)
    owner = "root" if uid == 0 else "nobody"
    assert text.startswith(
        f"dbdir {dbdir} is not usable by nobody: Permission denied: {dbdir} belongs to {owner} (mode {mode:04o}),"
    )
    follow(text)
    assert open_as_nobody(dbdir) == str(len(RECORDS))


def test_directory_on_the_way_that_is_closed_is_told_with_the_command_that_helps(dbdir: Path) -> None:
    dbdir.parent.chmod(0o700)
    text = open_as_nobody(dbdir)
    assert text == (
        f"dbdir {dbdir} is not usable by nobody: Permission denied: {dbdir.parent} belongs to root (mode 0700),"
        f" and postgrey runs as nobody: chmod a+x {dbdir.parent}"
    )
    follow(text)
    assert open_as_nobody(dbdir) == str(len(RECORDS))


def test_path_with_a_blank_is_quoted_for_the_shell(dbdir: Path) -> None:
    strange = dbdir.with_name("the 'db' dir")
    dbdir.rename(strange)
    os.chown(strange / TRIPLETS, 0, 0)
    text = open_as_nobody(strange)
    subprocess.run(text[text.index("chown -R") :], shell=True, check=True)
    assert open_as_nobody(strange) == str(len(RECORDS))


def test_the_same_is_told_while_reopening(dbdir: Path) -> None:
    command = [sys.executable, "-c", OPEN_AS_NOBODY, str(dbdir)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def ask() -> str:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("again\n")
            process.stdin.flush()
            return process.stdout.readline().removesuffix("\n")

        assert process.stdout.readline() == f"{len(RECORDS)}\n"
        os.chown(dbdir / TRIPLETS, 0, 0)
        assert ask().endswith(f"and postgrey runs as nobody: chown -R nobody:nogroup {dbdir}")
        dbdir.chmod(0)
        assert ask().endswith(f"chmod u+rwx {dbdir}")
        dbdir.chmod(0o700)
        give_to_nobody(dbdir)
        assert ask() == str(len(RECORDS))
        process.stdin.close()


# Things that are no files


@pytest.mark.parametrize("name", [TRIPLETS, CLIENTS, LOG, LOCK, "DB_CONFIG"])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("mkdir", "it is a directory and should be a file: move it away"),
        ("mkfifo", "it is no regular file: move it away"),
        ("ln -s /nowhere/file", "it is a symbolic link to /nowhere/file, which does not exist: restore that, or "),
    ],
)
def test_what_is_no_file_is_told_and_stays(kind: str, expected: str, name: str, tmp_path: Path) -> None:
    fill(tmp_path, RECORDS)
    (tmp_path / name).rename(tmp_path / "moved") if name != "DB_CONFIG" else None
    subprocess.run([*kind.split(), str(tmp_path / name)], check=True)
    with pytest.raises(DatabaseError, match=f"^can't open the database in {tmp_path}: {tmp_path / name}: {expected}"):
        OpenStore(tmp_path)
    subprocess.run(["rm", "-r", str(tmp_path / name)], check=True)
    if name != "DB_CONFIG":
        (tmp_path / "moved").rename(tmp_path / name)
    assert read_dbdir(tmp_path)[0] == RECORDS


def test_links_to_files_are_followed(tmp_path: Path) -> None:
    dbdir = tmp_path / "db"
    fill(dbdir, RECORDS)
    (dbdir / TRIPLETS).rename(tmp_path / "elsewhere.db")
    (dbdir / TRIPLETS).symlink_to(tmp_path / "elsewhere.db")
    (tmp_path / "link").symlink_to(dbdir)
    with open_store(tmp_path / "link") as store:
        assert store.reports == []
        assert read_all(store.triplets) == RECORDS


def test_user_without_a_name_is_told_by_number(dbdir: Path) -> None:
    os.chown(dbdir / TRIPLETS, 54321, 0)
    text = open_as_nobody(dbdir)
    assert f"{dbdir / TRIPLETS} belongs to uid 54321 (mode 0600), and postgrey runs as nobody" in text
    assert re.search(r"chown -R nobody:nogroup \S+$", text)
    assert getpass.getuser() == "root"


def test_what_the_database_is_made_of_must_be_files(tmp_path: Path) -> None:
    require_access(tmp_path)
    # Names that only look like them are nobody's business.
    for name in ("log.00000000001", "log.000000001", "__db.0001", "postgrey.db.bak"):
        (tmp_path / name).mkdir()
    require_access(tmp_path)
    (tmp_path / "log.0000000002").mkdir()
    with pytest.raises(DatabaseError, match=r"log.0000000002: it is a directory and should be a file: move it away$"):
        require_access(tmp_path)


def test_a_link_that_leads_nowhere_is_told(tmp_path: Path) -> None:
    (tmp_path / TRIPLETS).symlink_to("gone")
    with pytest.raises(DatabaseError, match=r"it is a symbolic link to gone, which does not exist"):
        require_access(tmp_path)


def test_a_read_only_disk_is_told_with_what_helps(tmp_path: Path) -> None:
    error = unusable(tmp_path, OSError(errno.EROFS, "x", str(tmp_path / TRIPLETS)))
    assert str(error).endswith("Read-only file system: mount it read-write, or use another --dbdir")
