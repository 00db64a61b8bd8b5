# SPDX-License-Identifier: GPL-2.0-or-later
"""Who a command runs as: root becomes the server's user, and nobody else becomes anybody."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest

from postgrey_py.commands import run_as
from postgrey_py.errors import PostgreyError
from tests.support.servers import ROOT

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture
def ordinary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY.pw_uid)


@pytest.mark.usefixtures("ordinary")
@pytest.mark.parametrize("user", [None, "nobody", str(NOBODY.pw_uid)])
def test_an_ordinary_user_stays_who_he_is(user: str | None) -> None:
    run_as.run_as(user)


@pytest.mark.usefixtures("ordinary")
def test_an_ordinary_user_can_not_become_another() -> None:
    with pytest.raises(PostgreyError, match=r"^only root can run this as root: leave --user out, or run it as root$"):
        run_as.run_as("root")


@pytest.mark.root
def test_a_user_who_is_named_must_exist() -> None:
    with pytest.raises(PostgreyError, match=r"^there is no user no-such-user here \(--user\)$"):
        run_as.run_as("no-such-user")


@pytest.mark.root
@pytest.mark.parametrize(
    ("user", "uid"), [("'nobody'", NOBODY.pw_uid), (f"'{NOBODY.pw_uid}'", NOBODY.pw_uid), ("'root'", 0)]
)
def test_root_becomes_the_user_for_good(user: str, uid: int) -> None:
    program = f"import os; from postgrey_py.commands import run_as; run_as.run_as({user}); print(os.getresuid())"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    assert (result.stdout.strip(), result.stderr) == (str((uid, uid, uid)), "")
