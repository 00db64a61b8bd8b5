# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgrey --check`, as root and as somebody else."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.daemon.conftest import StartServer
from tests.support.servers import POSTGREY, ROOT, STOCK_CLIENTS, STOCK_RECIPIENTS

STOCK = (f"--whitelist-clients={STOCK_CLIENTS}", f"--whitelist-recipients={STOCK_RECIPIENTS}")
# An account that is on every system, and that is not ours.
NOBODY = ("--user=nobody", f"--group={65534}")


def check(*options: str, preexec: Callable[[], object] | None = None) -> subprocess.CompletedProcess[str]:
    """The outcome of a check with these options, in which the last of several --user counts."""
    own = [f"--user={os.geteuid()}", f"--group={os.getegid()}"]
    return subprocess.run(
        [*POSTGREY, "--check", *own, *options],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        preexec_fn=preexec,
    )


def complaints(done: subprocess.CompletedProcess[str]) -> list[str]:
    return [line.removeprefix("postgrey: ") for line in done.stderr.splitlines()]


def test_nothing_is_wrong_with_the_stock_lists(tmp_path: Path) -> None:
    done = check(*STOCK, f"--dbdir={tmp_path / 'none'}")
    assert (done.returncode, done.stderr) == (0, "")


def test_warnings_make_the_status_1(tmp_path: Path) -> None:
    path = tmp_path / "clients"
    path.write_text("good.example\nwhat is this\n")
    done = check(f"--whitelist-clients={path}", STOCK[1])
    assert done.returncode == 1
    assert complaints(done)[0].startswith(f"{path} line 2: doesn't look like a hostname")


@pytest.mark.parametrize("option", ["--delay=0", "--retry-window=0"])
def test_options_that_cannot_work_do_too(option: str) -> None:
    assert check(*STOCK, option).returncode == 1


def test_a_list_that_is_missing_does_too(tmp_path: Path) -> None:
    done = check(f"--whitelist-clients={tmp_path / 'missing'}", STOCK[1])
    assert done.returncode == 1
    assert str(tmp_path / "missing") in done.stderr


@pytest.mark.parametrize("option", ["--delay=x", "--nonsense", "stray"])
def test_a_wrong_command_line_is_2(option: str) -> None:
    assert check(*STOCK, option).returncode == 2


def test_a_user_that_does_not_exist_is_1() -> None:
    done = check(*STOCK, "--user=nobody-of-that-name")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)


def test_nothing_is_touched(tmp_path: Path, start: StartServer) -> None:
    start()
    before = sorted(path.name for path in tmp_path.rglob("*"))
    options = ("-d", f"--pidfile={tmp_path / 'pid'}", f"--unix={tmp_path / 'socket'}", f"--dbdir={tmp_path / 'db'}")
    assert check(*STOCK, *options).returncode == 0
    assert check(*STOCK, f"--dbdir={tmp_path / 'other'}").returncode == 0
    assert sorted(path.name for path in tmp_path.rglob("*")) == before


@pytest.mark.root
def test_root_looks_with_the_eyes_of_the_server(tmp_path: Path) -> None:
    path = tmp_path / "clients"
    path.write_text("good.example\n")
    path.chmod(0o600)
    options = (f"--whitelist-clients={path}", STOCK[1])
    assert check(*options).returncode == 0
    done = check(*options, *NOBODY)
    assert done.returncode == 1
    assert complaints(done)[0].startswith(f"{path} can't be read by user nobody")


@pytest.mark.root
def test_the_server_says_so_too(tmp_path: Path, start: StartServer) -> None:
    path = tmp_path / "clients"
    path.write_text("good.example\n")
    path.chmod(0o600)
    (tmp_path / "db").mkdir()
    os.chown(tmp_path / "db", 65534, 65534)
    # Nobody must be able to come as far as the list and the database.
    for directory in (tmp_path, *list(tmp_path.parents)[:-2]):
        directory.chmod(directory.stat().st_mode | 0o055)
    server = start(f"--whitelist-clients={path}", *NOBODY)
    assert f"{path} can't be read by user nobody" in server.log()


@pytest.mark.root
def test_an_ordinary_user_can_check_what_root_will_start(tmp_path: Path) -> None:
    def become_nobody() -> None:
        os.setgid(65534)
        os.setuid(65534)

    def is_readable(path: Path) -> bool:
        return all(parent.stat().st_mode & 0o005 for parent in path.parents)

    if not is_readable(ROOT):
        pytest.fail(f"{ROOT} must be readable for everybody")
    done = check("--user=root", f"--whitelist-clients={os.devnull}", STOCK[1], preexec=become_nobody)
    assert (done.returncode, done.stderr) == (0, "")
