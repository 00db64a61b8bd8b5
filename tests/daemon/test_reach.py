# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgrey_py.accounts import Account
from postgrey_py.daemon.reach import find_unreachable_sockets

US = Account(os.getuid() or 64901, os.getgid(), "postgrey")


@pytest.fixture
def dbdir() -> Iterator[Path]:
    """A directory of the server's user below directories that everybody can enter, which pytest's own are not."""
    with tempfile.TemporaryDirectory() as above:
        Path(above).chmod(0o755)
        directory = Path(above) / "db"
        directory.mkdir()
        if os.getuid() == 0:
            os.chown(directory, US.uid, US.gid)
        yield directory
        directory.chmod(0o700)


@pytest.mark.parametrize("mode", [0o700, 0o600, 0o744, 0o766])
def test_a_socket_in_a_directory_of_ones_own_is_out_of_reach(dbdir: Path, mode: int) -> None:
    dbdir.chmod(mode)
    (warning,) = find_unreachable_sockets((f"{dbdir}/socket",), US)
    assert warning.startswith(f"--unix={dbdir}/socket: only postgrey can enter {dbdir}, ")
    assert f"chmod 0711 {dbdir}" in warning


@pytest.mark.parametrize("mode", [0o711, 0o751, 0o710, 0o755, 0o701])
def test_a_directory_that_others_enter_will_do(dbdir: Path, mode: int) -> None:
    dbdir.chmod(mode)
    assert find_unreachable_sockets((f"{dbdir}/socket",), US) == []


def test_directories_further_up_count(dbdir: Path) -> None:
    (dbdir / "sockets").mkdir(0o755)
    dbdir.chmod(0o700)
    (warning,) = find_unreachable_sockets(("/socket", f"{dbdir}/sockets/socket"), US)
    assert f"can enter {dbdir}," in warning


@pytest.mark.root
def test_a_closed_directory_of_somebody_elses_may_be_the_mail_servers(dbdir: Path) -> None:
    os.chown(dbdir, US.uid + 1, -1)
    dbdir.chmod(0o700)
    assert find_unreachable_sockets((f"{dbdir}/socket",), US) == []


@pytest.mark.root
def test_nobody_but_root_enters_what_is_roots_alone(dbdir: Path) -> None:
    os.chown(dbdir, 0, -1)
    dbdir.chmod(0o700)
    assert len(find_unreachable_sockets((f"{dbdir}/socket",), US)) == 1


@pytest.mark.parametrize("account", [None, Account(0, 0, "root")])
def test_a_trial_is_for_its_own_user(dbdir: Path, account: Account | None) -> None:
    dbdir.chmod(0o700)
    assert find_unreachable_sockets((f"{dbdir}/socket",), account) == []


def test_directories_that_are_not_there_are_told_elsewhere() -> None:
    assert find_unreachable_sockets(("/nonexistent/postgrey/socket",), US) == []
