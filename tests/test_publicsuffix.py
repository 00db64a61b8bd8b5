# SPDX-License-Identifier: GPL-2.0-or-later
from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from postgrey_py.errors import UsageError
from postgrey_py.publicsuffix import load_public_suffixes, require_public_suffixes


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("mail-wr1-f41.google.com", "google.com"),
        ("MAIL.Google.COM.", "google.com"),
        ("google.com", "google.com"),
        ("mx.example.co.uk", "example.co.uk"),
        ("co.uk", None),
        ("com", None),
        # Private suffixes: each customer is an owner.
        ("a.github.io", "a.github.io"),
        ("mx.a.github.io", "a.github.io"),
        ("github.io", None),
        ("ec2-1-2-3-4.us-west-2.compute.amazonaws.com", "ec2-1-2-3-4.us-west-2.compute.amazonaws.com"),
        # Not on the list.
        ("mail.host.example", "host.example"),
        ("xn--mnchen-3ya.de", "xn--mnchen-3ya.de"),
        ("mail.m\xc3\xbcnchen.de", "m\xc3\xbcnchen.de"),
        ("localhost", None),
        ("", None),
        (".", None),
        ("a..b", None),
        ("192.0.2.7", None),
    ],
)
def test_domain_that_belongs_to_one_owner(name: str, domain: str | None) -> None:
    assert load_public_suffixes()(name) == domain


def test_list_of_the_system_comes_first(tmp_path: Path) -> None:
    newer = tmp_path / "newer"
    newer.write_text("com\n// ===BEGIN PRIVATE DOMAINS===\ngoogle.com\n", encoding="utf-8")
    assert load_public_suffixes((tmp_path / "nothing", newer))("mx.a.google.com") == "a.google.com"


def test_list_that_can_not_be_read_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "list").write_bytes(b"\xff\xfe")
    assert load_public_suffixes((tmp_path / "list", tmp_path / "nothing"))("mx.example.co.uk") == "example.co.uk"


def test_missing_package_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    require_public_suffixes("--lookup-by-domain")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr("postgrey_py.publicsuffix.find_spec", lambda _: None)
    with pytest.raises(UsageError, match="--lookup-by-domain: this needs the Python package publicsuffix2: pip"):
        require_public_suffixes("--lookup-by-domain")
