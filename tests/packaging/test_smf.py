# SPDX-License-Identifier: GPL-2.0-or-later
"""SMF's manifest keeps to the grammar and to what the method script reads; the script starts, refreshes and stops.

There is no SMF here: a stub of svcprop answers from the manifest, with the quotes that the real one puts into its
answers, and another takes the place of smf_include.sh. The shell is that of illumos and Solaris 11, ksh93; the server
is the real one.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.packaging.namespaces import PrivateSystem, wait_until
from tests.packaging.test_init_scripts import PORT
from tests.support.policy import make_request
from tests.support.servers import ROOT

pytestmark = pytest.mark.root

MANIFEST = ROOT / "scripts" / "smf" / "postgrey.xml"
METHOD = ROOT / "scripts" / "smf" / "svc-postgrey"
DATA = Path(__file__).with_name("data")

EXIT_ERR_FATAL, EXIT_ERR_CONFIG = 95, 96
FMRI = "svc:/network/postgrey:default"

# The characters before which svcprop(1) puts a backslash; not, for one, `$`.
QUOTED_BY_SVCPROP = ";&()|^<>\n \t\\\"'`"

# /sbin/sh there is a ksh93 with these aliases, which Debian's has no more; $0 is the script, its arguments follow.
SBIN_SH = ["ksh93", "-c", """alias stop='kill -s STOP' suspend='kill -s STOP $$' type='whence -v'; . "$0" """]


def read_properties() -> dict[str, str]:
    """The properties of the group `postgrey`, by name."""
    service = ElementTree.parse(MANIFEST).getroot().find("service")
    assert service is not None
    return {node.attrib["name"]: node.attrib["value"] for node in service.findall("property_group[@name='postgrey']/*")}


def validate(path: Path) -> subprocess.CompletedProcess[str]:
    command = ["xmllint", "--noout", "--nonet", "--dtdvalid", str(DATA / "service_bundle.dtd"), str(path)]
    return subprocess.run(command, capture_output=True, text=True)


def test_the_manifest_is_valid() -> None:
    result = validate(MANIFEST)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("text", "replacement"),
    [
        ('enabled="false"', 'enabled="no"'),
        ('restart_on="none" type="service"', 'type="service"'),
        ("<stability", "<steadiness"),
        ('timeout_seconds="600"', ""),
        ('<property_group name="startd"', '<stability value="Stable"/><property_group name="startd"'),
    ],
)
def test_the_grammar_finds_mistakes(tmp_path: Path, text: str, replacement: str) -> None:
    manifest = MANIFEST.read_text()
    assert text in manifest
    (tmp_path / "wrong.xml").write_text(manifest.replace(text, replacement, 1))
    result = validate(tmp_path / "wrong.xml")
    assert "validity error" in result.stderr
    assert result.returncode == 3


def test_the_manifest_says_what_is_wanted_of_it() -> None:
    service = ElementTree.parse(MANIFEST).getroot().find("service")
    assert service is not None
    assert service.attrib["name"] == "network/postgrey"
    assert service.find("instance[@name='default']") is not None
    needed = {node.attrib["value"] for node in service.findall("dependency/service_fmri")}
    assert {"svc:/milestone/network", "svc:/system/filesystem/local"} <= needed
    assert [node.attrib["value"] for node in service.findall("dependent/service_fmri")] == ["svc:/network/smtp:postfix"]
    methods = {node.attrib["name"]: node.attrib["exec"] for node in service.findall("exec_method")}
    assert set(methods) == {"start", "stop", "refresh"}
    assert all(command.startswith(f"/lib/svc/method/{METHOD.name} %m") for command in methods.values())


def test_manifest_template_and_script_have_the_same_properties() -> None:
    service = ElementTree.parse(MANIFEST).getroot().find("service")
    assert service is not None
    described = [node.attrib["name"] for node in service.findall("template/pg_pattern/prop_pattern")]
    read = re.findall(r"^\s*read_properties ([a-z ]+) \|\||\$\(property ([a-z]+)\)", METHOD.read_text(), re.MULTILINE)
    names = [name for groups in read for group in groups for name in group.split()]
    assert sorted(names) == sorted(described) == sorted(read_properties())


class Service:
    """svc:/network/postgrey:default as the method script sees it."""

    def __init__(self, system: PrivateSystem) -> None:
        self.system = system
        self.properties = {name: [value] for name, value in read_properties().items()}
        self.set(program="/usr/sbin/postgrey", dbdir="/var/postgrey")

    def set(self, **properties: str | list[str]) -> None:
        """Change properties, and have svcprop answer so."""
        for name, value in properties.items():
            self.properties[name] = [value] if isinstance(value, str) else value
        answers = "".join(
            f"    postgrey/{name}) cat <<'END'\n{' '.join(quote(value) for value in values)}\nEND\n    ;;\n"
            for name, values in self.properties.items()
        )
        stub = f'[ "$1" = -p ] && [ "$3" = {FMRI} ] || exit 2\ncase "$2" in\n{answers}    *) exit 1 ;;\nesac\n'
        self.system.write("/usr/sbin/svcprop", f"#!/bin/sh\n{stub}", mode=0o755)

    def run(self, *arguments: str, status: int = 0) -> str:
        env = {"SMF_FMRI": FMRI}
        return self.system.run(*SBIN_SH, "/lib/svc/method/svc-postgrey", *arguments, status=status, env=env).stdout

    def contract(self) -> str:
        # One of those that start it may take a moment longer to end than `start` does.
        return self.system.shell("until [ $(pgrep -xc postgrey) = 1 ]; do sleep 0.05; done; pgrep -x postgrey").strip()

    def ask(self, **attributes: str) -> str:
        return self.system.ask(PORT, make_request(**attributes))[0]


def quote(value: str) -> str:
    """A value as svcprop(1) prints it."""
    return "".join(f"\\{char}" if char in QUOTED_BY_SVCPROP else char for char in value) or '""'


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    with PrivateSystem(tmp_path) as system:
        program = shlex.join([sys.executable, str(ROOT / "scripts" / "postgrey")])
        wrapper = f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {program} "$@"\n'
        system.write("/usr/sbin/postgrey", wrapper, mode=0o755)
        system.write("/lib/svc/method/svc-postgrey", METHOD.read_text(), mode=0o755)
        system.write("/lib/svc/share/smf_include.sh", (DATA / "smf_include.sh").read_text())
        system.shell(
            "sed -i /^postgrey:/d /etc/passwd /etc/group\n"
            "echo postgrey:x:64901: >>/etc/group\n"
            "echo postgrey:x:64901:64901::/:/usr/sbin/nologin >>/etc/passwd\n"
            "mkdir -p /etc/postfix; touch /etc/postfix/postgrey_whitelist_{clients,recipients}"
        )
        yield Service(system)


def test_start_makes_the_database_and_serves(service: Service) -> None:
    service.run("start")
    assert service.ask().startswith("DEFER_IF_PERMIT 4.2.0 Greylisted, see")
    assert service.system.shell("stat -c '%U %G %a' /var/postgrey") == "postgrey postgrey 700\n"
    assert service.system.shell(f"ps -o user= -p {service.contract()}").strip() == "postgrey"


@pytest.mark.parametrize(
    "text",
    [
        'Not yet; "%s" seconds & $HOME $(id) ${IFS} `date` <a|b> (c)',
        "* ? [a-z] {a,b} !x # it's 100% back\\slash \\$HOME",
        "~ or ~root, #1",
        "#1 ^ = a=b",
    ],
)
def test_texts_may_hold_any_character(service: Service, text: str) -> None:
    service.set(text=text, options=f"--inet=127.0.0.1:{PORT}  --delay=60")
    service.run("start")
    assert service.ask() == f"DEFER_IF_PERMIT 4.2.0 {text.replace('%s', '60')}"


def test_paths_may_hold_any_character(service: Service) -> None:
    service.set(dbdir="/var/post grey/$HOME", options=f"--inet=*:{PORT} --delay=60")
    service.run("start")
    assert service.ask()
    assert service.system.shell("ls '/var/post grey/$HOME/postgrey.db'")


def test_options_may_be_values_of_their_own(service: Service) -> None:
    service.set(options=[f"--inet=127.0.0.1:{PORT}", "--greylist-action=DEFER Wait a * $bit,"])
    service.run("start")
    assert service.ask().startswith("DEFER Wait a * $bit, 4.2.0 Greylisted")


def test_refresh_reads_the_whitelists_anew(service: Service) -> None:
    service.run("start")
    pid = service.contract()
    assert service.ask(client_name="mail.friend.example").startswith("DEFER")
    service.system.write("/etc/postfix/postgrey_whitelist_clients.local", "friend.example\n")
    service.run("refresh", pid)
    wait_until(lambda: service.ask(client_name="mail.friend.example") == "DUNNO")
    assert service.contract() == pid


def test_refresh_tells_what_it_could_not_use_and_does_not_fail(service: Service) -> None:
    # SMF would give the processes up, and put the service into maintenance.
    service.run("start")
    pid = service.contract()
    service.system.write("/etc/postfix/postgrey_whitelist_clients.local", "friend.example\n192.0.2.0/99\n")
    assert "clients.local line 2" in service.run("refresh", pid)
    wait_until(lambda: service.ask(client_name="mail.friend.example") == "DUNNO")
    service.set(options="--inet=nonsense")
    assert "nonsense" in service.run("refresh", pid)
    service.set(program="/usr/sbin/missing")
    assert "/usr/sbin/missing" in service.run("refresh", pid)
    assert service.contract() == pid


def test_configtest_fails_for_what_refresh_tells(service: Service) -> None:
    service.run("configtest")
    service.system.write("/etc/postfix/postgrey_whitelist_recipients.local", "two words\n")
    assert "recipients.local line 1" in service.run("configtest", status=1)
    service.set(options="--inet=nonsense")
    assert "nonsense" in service.run("configtest", status=2)
    service.set(program="/usr/sbin/missing")
    assert "/usr/sbin/missing" in service.run("configtest", status=EXIT_ERR_CONFIG)


def test_stop_comes_back_when_all_is_over(service: Service) -> None:
    service.run("start")
    pid = service.contract()
    service.run("stop", pid)
    service.system.run("pgrep", "-x", "postgrey", status=1)
    service.run("stop", pid)


def test_stop_kills_what_does_not_end(service: Service) -> None:
    service.system.shell("sed -i s/^STOP_SECONDS=30/STOP_SECONDS=1/ /lib/svc/method/svc-postgrey")
    service.run("start")
    pid = service.contract()
    service.system.shell(f"kill -STOP {pid}")
    assert "is killed" in service.run("stop", pid)
    service.system.run("pgrep", "-x", "postgrey", status=1)


def test_what_an_administrator_must_correct_is_an_error_of_configuration(service: Service) -> None:
    service.set(options="--inet=nonsense")
    assert "nonsense" in service.run("start", status=EXIT_ERR_CONFIG)
    service.set(program="/usr/sbin/missing")
    assert "/usr/sbin/missing" in service.run("start", status=EXIT_ERR_CONFIG)
    del service.properties["user"]
    service.set()
    assert "postgrey/user" in service.run("start", status=EXIT_ERR_CONFIG)
    assert "Usage" in service.run("restart", status=EXIT_ERR_CONFIG)


def test_a_database_directory_for_nobody_is_not_left_behind(service: Service) -> None:
    service.set(user="nobody-here")
    service.run("start", status=EXIT_ERR_CONFIG)
    service.system.run("test", "-e", "/var/postgrey", status=1)


def test_what_fails_is_fatal(service: Service) -> None:
    service.set(user="nobody-here", dbdir="/tmp")
    assert "there is no user nobody-here" in service.run("start", status=EXIT_ERR_FATAL)
    service.run("stop", "not-a-contract", status=EXIT_ERR_FATAL)
    service.run("refresh", "not-a-contract", status=EXIT_ERR_FATAL)
