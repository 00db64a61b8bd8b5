# SPDX-License-Identifier: GPL-2.0-or-later
"""Users and groups by name and number, and becoming one for good."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys

import pytest

from postgrey_py.accounts import Account, acting_as, become, find_group, find_user, name_of_user
from postgrey_py.errors import AccountError
from tests.support.servers import ROOT

NOBODY = pwd.getpwnam("nobody")
ACCOUNT = Account(NOBODY.pw_uid, NOBODY.pw_gid, "nobody")


@pytest.mark.parametrize("user", ["nobody", str(NOBODY.pw_uid)])
def test_users_are_found_by_name_and_number(user: str) -> None:
    assert find_user(user) == ACCOUNT


@pytest.mark.parametrize("user", ["no-such-user", "", "-1", "4294967294", "9" * 30, "\u0660"])
def test_a_user_that_is_not_there_is_an_error(user: str) -> None:
    with pytest.raises(AccountError, match=f"^there is no user {user}$"):
        find_user(user)


@pytest.mark.parametrize("group", [grp.getgrgid(NOBODY.pw_gid).gr_name, str(NOBODY.pw_gid)])
def test_groups_are_found_by_name_and_number(group: str) -> None:
    assert find_group(group) == NOBODY.pw_gid


@pytest.mark.parametrize("group", ["no-such-group", "", "-1", "4294967294", "9" * 30])
def test_a_group_that_is_not_there_is_an_error(group: str) -> None:
    with pytest.raises(AccountError, match=f"^there is no group {group}$"):
        find_group(group)


@pytest.mark.parametrize(("uid", "name"), [(0, "root"), (4294967294, "uid 4294967294"), (10**30, f"uid {10**30}")])
def test_users_have_names_for_messages(uid: int, name: str) -> None:
    assert name_of_user(uid) == name


@pytest.mark.root
def test_root_becomes_the_account_with_its_groups_alone() -> None:
    program = (
        "import os\nfrom postgrey_py.accounts import become, find_user\n"
        "os.setgroups([0, 1, 2])\nbecome(find_user('nobody'))\nprint(os.getresuid(), os.getresgid(), os.getgroups())"
    )
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True)
    uid, gid = ACCOUNT.uid, ACCOUNT.gid
    groups = sorted(os.getgrouplist("nobody", gid))
    assert (result.stdout.strip(), result.stderr) == (f"{(uid,) * 3} {(gid,) * 3} {groups}", "")


@pytest.mark.root
def test_nobody_can_not_become_another() -> None:
    with acting_as(ACCOUNT), pytest.raises(AccountError, match=r"^can't become user root: "):
        become(Account(0, 0, "root"))
    assert (os.geteuid(), os.getegid()) == (0, 0)


@pytest.mark.root
def test_rights_of_an_account_are_had_for_a_while() -> None:
    with acting_as(ACCOUNT):
        assert (os.geteuid(), os.getegid()) == (ACCOUNT.uid, ACCOUNT.gid)
    assert (os.geteuid(), os.getegid()) == (0, 0)
    with pytest.raises(ZeroDivisionError), acting_as(ACCOUNT):
        raise ZeroDivisionError
    assert (os.geteuid(), os.getegid()) == (0, 0)
