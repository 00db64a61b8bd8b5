# SPDX-License-Identifier: GPL-2.0-or-later
"""Start-up files fit the place of the program; the packages' tests run them."""

from __future__ import annotations

import pytest

from postgrey_py.daemon.startup_files import STARTUP_FILES, Installation, fit
from tests.support.servers import ROOT

THERE = Installation("/opt/my postgrey/bin/postgrey", "")
WITH_PATH = Installation("/opt/p/bin/postgrey", "/src/100%:/b")


@pytest.mark.parametrize("kind", STARTUP_FILES)
def test_every_kind_has_a_file_and_the_program_is_in_it(kind: str) -> None:
    template = (ROOT / "scripts" / STARTUP_FILES[kind]).read_text()
    fitted = fit(kind, template, Installation("/somewhere/bin/postgrey", ""))
    assert "/usr/sbin/postgrey" not in fitted.replace("PATH=", "")
    names_program = "/usr/sbin/postgrey" in template or "/opt/postgrey/bin/postgrey" in template
    assert ("/somewhere/bin/postgrey" in fitted) is names_program


def test_a_script_has_its_program_in_quotes() -> None:
    assert fit("init.d", "DAEMON=/usr/sbin/postgrey\nrest\n", THERE) == "DAEMON='/opt/my postgrey/bin/postgrey'\nrest\n"
    assert fit("init.d-redhat", "DAEMON=/usr/sbin/postgrey\n", WITH_PATH) == (
        "DAEMON=/opt/p/bin/postgrey\nexport PYTHONPATH=/src/100%:/b\n"
    )


def test_a_unit_has_the_prefix_of_its_program_inside_the_quotes() -> None:
    unit = "[Service]\nExecStart=!/usr/sbin/postgrey --x\n"
    assert fit("systemd", unit, THERE) == '[Service]\nExecStart="!/opt/my postgrey/bin/postgrey" --x\n'
    assert fit("systemd", unit, WITH_PATH) == (
        '[Service]\nEnvironment="PYTHONPATH=/src/100%%:/b"\nExecStart=!/opt/p/bin/postgrey --x\n'
    )


def test_a_manifest_is_xml_and_has_the_manuals_beside_the_program() -> None:
    manifest = '<a v="/opt/postgrey/bin/postgrey"/><b v="/opt/postgrey/share/man"/></method_environment>'
    fitted = fit("smf", manifest, Installation("/a&b/bin/postgrey", "/src"))
    assert '<a v="/a&amp;b/bin/postgrey"/><b v="/a&amp;b/share/man"/>' in fitted
    assert '<envvar name="PYTHONPATH" value="/src"/>' in fitted
