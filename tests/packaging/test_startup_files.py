# SPDX-License-Identifier: GPL-2.0-or-later
"""Start-up files fit wherever pip put the program: into virtual environments anywhere, or below a prefix.

Each start-up file is used for real where its interpreter is; the unit is asked for what systemd would say to it, and
runs in tests/packaging/test_unit.py.
"""

from __future__ import annotations

import shlex
import sys
import sysconfig
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

from postgrey_py.daemon.startup_files import STARTUP_FILES, Installation, fit, print_startup_file
from postgrey_py.errors import PostgreyError
from tests.packaging.namespaces import PrivateSystem
from tests.packaging.test_smf import validate
from tests.packaging.test_wheel import Distributions, distributions
from tests.support.policy import make_request
from tests.support.servers import ROOT

pytestmark = pytest.mark.root

__all__ = ["distributions"]

PORT = 10023


@dataclass
class Installed:
    """The program installed by pip in a system of its own, below this directory."""

    system: PrivateSystem
    directory: str
    environment: dict[str, str]

    def startup_file(self, kind: str) -> str:
        command = [f"{self.directory}/bin/postgrey", f"--print-startup-file={kind}"]
        return self.system.run(*command, env=self.environment).stdout

    def serves(self) -> None:
        (reply,) = self.system.ask(PORT, make_request())
        assert reply.startswith("DEFER_IF_PERMIT")


def make_environment(system: PrivateSystem, directory: str) -> None:
    """A virtual environment with the libraries that the program needs, and without the program."""
    system.run(sys.executable, "-m", "venv", "--without-pip", directory)
    packages = f"{directory}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"
    libraries = {sysconfig.get_path(kind) for kind in ("purelib", "platlib")}
    system.write(f"{packages}/libraries.pth", "".join(f"{path}\n" for path in libraries))


def pip_install(system: PrivateSystem, environment: str, *arguments: str) -> None:
    pip = [sys.executable, "-m", "pip", "--python", f"{environment}/bin/python", "--disable-pip-version-check", "-q"]
    system.run(*pip, "install", "--no-index", "--no-deps", *arguments)


def in_environment(directory: str) -> Callable[[PrivateSystem, Path], Installed]:
    def install(system: PrivateSystem, wheel: Path) -> Installed:
        make_environment(system, directory)
        pip_install(system, directory, str(wheel))
        return Installed(system, directory, {})

    return install


def below_prefix(directory: str) -> Callable[[PrivateSystem, Path], Installed]:
    def install(system: PrivateSystem, wheel: Path) -> Installed:
        make_environment(system, "/opt/bare")
        pip_install(system, "/opt/bare", f"--prefix={directory}", str(wheel))
        (packages,) = system.shell(f"echo {shlex.quote(directory)}/lib/python*/site-packages").splitlines()
        return Installed(system, directory, {"PYTHONPATH": packages})

    return install


INSTALLATIONS = {
    "as the README says": in_environment("/opt/postgrey"),
    "an environment elsewhere": in_environment("/srv/mail/greylisting/venv"),
    "a path that must be quoted": in_environment("/opt/100%/a&b"),
    "below a prefix": below_prefix("/opt/prefix"),
    "in /usr/local": below_prefix("/usr/local"),
}


@pytest.fixture(params=INSTALLATIONS)
def installed(request: pytest.FixtureRequest, distributions: Distributions, tmp_path: Path) -> Iterator[Installed]:
    with PrivateSystem(tmp_path) as system:
        system.shell(
            "for directory in /opt /srv /usr/local; do mount -t tmpfs -o mode=755 tmpfs $directory; done\n"
            "sed -i /^postgrey:/d /etc/passwd /etc/group\n"
            "echo postgrey:x:64901: >>/etc/group\n"
            "echo postgrey:x:64901:64901::/:/usr/sbin/nologin >>/etc/passwd\n"
            "rm -rf /usr/sbin/postgrey /etc/default/postgrey /var/lib/postgrey\n"
            "install -d -o postgrey -m 0700 /var/lib/postgrey\n"
            "mkdir -p /etc/postfix; touch /etc/postfix/postgrey_whitelist_{clients,recipients}"
        )
        for file in ("/etc/default/postgrey", "/etc/sysconfig/postgrey"):
            system.write(file, f'POSTGREY_TYPE=\nPOSTGREY_OPTS="--dbdir=/var/lib/postgrey --inet={PORT}"\n')
        yield INSTALLATIONS[request.param](system, distributions.wheel)


@pytest.mark.parametrize("kind", ["init.d", "init.d-redhat"])
def test_init_scripts_fit(installed: Installed, kind: str) -> None:
    installed.system.write("/etc/init.d/postgrey", installed.startup_file(kind), mode=0o755)
    for action in ("start", "status", "reload", "restart", "configtest"):
        installed.system.run("/etc/init.d/postgrey", action)
    installed.serves()
    installed.system.run("/etc/init.d/postgrey", "stop")


@pytest.mark.parametrize("name", ["postgrey", "postgrey.redhat"])
def test_init_scripts_find_the_program_that_came_with_them(installed: Installed, name: str) -> None:
    script = f"{installed.directory}/share/postgrey-py/init.d/{name}"
    installed.system.run("ln", "-s", script, "/etc/init.d/linked")
    for path in (script, "/etc/init.d/linked"):
        installed.system.run("sh", path, "start", env=installed.environment)
        installed.serves()
        installed.system.run("sh", path, "stop")
    installed.system.run("cp", script, "/etc/init.d/copied")
    assert "is missing" in installed.system.run("sh", "/etc/init.d/copied", "start", status=5).stdout


def test_the_unit_fits(installed: Installed) -> None:
    installed.system.write("/run/systemd/system/postgrey.service", installed.startup_file("systemd"))
    installed.system.write("/run/systemd/system/postgrey.socket", installed.startup_file("systemd-socket"))
    verify = ["systemd-analyze", "verify", "--man=no", "/run/systemd/system/postgrey.service"]
    assert installed.system.run(*verify).stdout == ""
    installed.system.shell(f"mv {shlex.quote(installed.directory)}/bin/postgrey /opt/away")
    assert "is not executable" in installed.system.run(*verify, status=1).stdout


def test_the_manifest_fits(installed: Installed, tmp_path: Path) -> None:
    manifest = tmp_path / "postgrey.xml"
    manifest.write_text(installed.startup_file("smf"))
    assert validate(manifest).returncode == 0
    root = ElementTree.parse(manifest).getroot()
    named = [node.attrib for node in root.iter() if {"name", "value"} <= set(node.attrib)]
    values = {attributes["name"]: attributes["value"] for attributes in named}
    assert values["program"] == f"{installed.directory}/bin/postgrey"
    assert values.get("PYTHONPATH", "") == installed.environment.get("PYTHONPATH", "")
    installed.system.run(values["program"], "--version", env={"PYTHONPATH": values.get("PYTHONPATH", "")})
    method = ROOT / "scripts" / "smf" / "svc-postgrey"
    assert installed.startup_file("smf-method") == method.read_text()


def test_the_manual_is_found(installed: Installed) -> None:
    manual = installed.system.run(f"{installed.directory}/bin/postgrey", "--man", env=installed.environment).stdout
    assert "SYNOPSIS" in manual


@pytest.mark.parametrize("kind", STARTUP_FILES)
def test_in_its_usual_place_the_files_are_those_of_the_tree(kind: str) -> None:
    text = (ROOT / "scripts" / STARTUP_FILES[kind]).read_text()
    prefix = "/opt/postgrey/bin" if kind == "smf" else "/usr/sbin"
    assert fit(kind, text, Installation(f"{prefix}/postgrey", "")) == text


def test_where_a_package_has_its_own_files_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(STARTUP_FILES, "systemd", "systemd/not-here")
    with pytest.raises(PostgreyError, match="a package of a distribution has start-up files of its own"):
        print_startup_file("systemd")
