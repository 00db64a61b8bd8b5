# SPDX-License-Identifier: GPL-2.0-or-later
"""Unix sockets: their owner and mode, in directories of whoever, and whatever others put in the way."""

from __future__ import annotations

import os
import pwd
import socket
import stat
from contextlib import suppress
from pathlib import Path

import pytest

from postgrey_py.accounts import Account
from postgrey_py.daemon.unix_listener import bind_unix, make_directory_of
from postgrey_py.errors import StartupError
from tests.daemon.processes import changing


def nobody() -> Account:
    found = pwd.getpwnam("nobody")
    return Account(found.pw_uid, found.pw_gid, found.pw_name)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


@pytest.mark.parametrize("mode", [0o666, 0o660, 0o600, 0o777, 0o700, 0o006])
def test_mode_is_what_was_asked_for(mode: int, tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        with bind_unix(str(tmp_path / "s"), mode, None):
            assert mode_of(tmp_path / "s") == mode
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(umask)


@pytest.mark.root
@pytest.mark.parametrize("owner", ["root", "nobody", "daemon"])
@pytest.mark.parametrize("directory_mode", [0o755, 0o700, 0o2775, 0o1777])
def test_socket_is_the_accounts_whosever_the_directory_is(
    owner: str, directory_mode: int, open_directory: Path
) -> None:
    place = open_directory / "place"
    place.mkdir()
    os.chown(place, pwd.getpwnam(owner).pw_uid, pwd.getpwnam(owner).pw_gid)
    place.chmod(directory_mode)
    with bind_unix(str(place / "s"), 0o660, nobody()):
        status = (place / "s").lstat()
        assert (status.st_uid, status.st_gid, mode_of(place / "s")) == (nobody().uid, nobody().gid, 0o660)
        assert (os.geteuid(), os.getegid()) == (0, 0)


def test_file_is_removed_unless_it_is_another_by_now(tmp_path: Path) -> None:
    path = tmp_path / "s"
    listener = bind_unix(str(path), 0o600, None)
    listener.remove_file()
    assert not path.exists()
    # Kept open, so that its inode is not given to another.
    with listener, socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        again = bind_unix(str(tmp_path / "t"), 0o600, None)
        (tmp_path / "t").rename(tmp_path / "u")
        path.rename(tmp_path / "t")
        again.remove_file()
        again.close()
        assert (tmp_path / "t").exists()


@pytest.mark.parametrize("kind", ["file", "directory", "fifo", "link to a socket", "dangling link", "live"])
def test_what_is_no_stale_socket_stays(kind: str, tmp_path: Path) -> None:
    path, victim = tmp_path / "s", tmp_path / "victim"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(victim))
        other.listen()
        if kind == "file":
            path.touch()
        elif kind == "directory":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
        elif kind == "live":
            path.hardlink_to(victim)
        else:
            path.symlink_to(victim if kind == "link to a socket" else tmp_path / "nothing")
        before = (victim.stat(), path.lstat().st_mode)
        with pytest.raises(StartupError, match=f"^--unix={path}: (there is a file that is no socket|another server)"):
            bind_unix(str(path), 0o600, None)
        assert (victim.stat(), path.lstat().st_mode) == before


@pytest.mark.parametrize("surplus", [0, 1, 100])
def test_path_that_is_too_long_is_told_with_its_length(surplus: int, tmp_path: Path) -> None:
    path = str(tmp_path / "")
    path += "/" + "s" * (107 - len(path) - 1 + surplus)
    if surplus == 0:
        bind_unix(path, 0o600, None).close()
        return
    with pytest.raises(StartupError) as refusal:
        bind_unix(path, 0o600, None)
    assert str(refusal.value) == (
        f"--unix={path}: can't listen there: the path has {107 + surplus} bytes;"
        " the limit for a socket is 108 bytes with the one that ends it"
    )


@pytest.mark.root
@pytest.mark.parametrize("owner", ["nobody", "daemon"])
def test_root_is_never_led_to_another_file(owner: str, open_directory: Path) -> None:
    """While somebody else changes, all the time, what the name leads to."""
    victim = open_directory / "victim"
    victim.write_text("precious\n")
    victim.chmod(0o600)
    place = open_directory / "place"
    place.mkdir()
    os.chown(place, pwd.getpwnam(owner).pw_uid, -1)
    path = place / "s"
    with changing(path, victim):
        for _ in range(2000):
            with suppress(StartupError):
                listener = bind_unix(str(path), 0o666, nobody())
                listener.remove_file()
                listener.close()
    assert (victim.read_text(), mode_of(victim), victim.owner()) == ("precious\n", 0o600, "root")
    # Whatever was left there, what failed above was a matter of the other's changes alone.
    path.unlink(missing_ok=True)
    with bind_unix(str(path), 0o666, nobody()):
        assert (mode_of(path), path.owner()) == (0o666, "nobody")


@pytest.mark.root
def test_directory_for_a_socket_is_made_for_its_user(tmp_path: Path) -> None:
    make_directory_of(str(tmp_path / "run" / "control"), nobody())
    made = (tmp_path / "run").stat()
    assert (made.st_uid, made.st_gid, stat.S_IMODE(made.st_mode)) == (nobody().uid, nobody().gid, 0o755)
    (tmp_path / "own").mkdir(0o700)
    make_directory_of(str(tmp_path / "own" / "control"), nobody())
    assert (tmp_path / "own").stat().st_uid == 0
    make_directory_of(str(tmp_path / "missing" / "run" / "control"), nobody())
    assert not (tmp_path / "missing").exists()


@pytest.mark.root
@pytest.mark.parametrize(("user", "mode"), [(65534, 0o755), (0, 0o1777), (0, 0o775)])
def test_directory_for_a_socket_is_not_made_where_others_may_write(user: int, mode: int, tmp_path: Path) -> None:
    os.chown(tmp_path, user, 0)
    tmp_path.chmod(mode)
    make_directory_of(str(tmp_path / "run" / "control"), nobody())
    assert not (tmp_path / "run").exists()
