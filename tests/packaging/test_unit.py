# SPDX-License-Identifier: GPL-2.0-or-later
"""The systemd unit of an installation by pip, on a machine with systemd and without our package."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.packaging.machine import BUILDS, TIMEOUT, Machine
from tests.packaging.namespaces import wait_until
from tests.packaging.test_wheel import Distributions, distributions
from tests.support.policy import make_request

pytestmark = [pytest.mark.proof, pytest.mark.root, pytest.mark.timeout(TIMEOUT)]

__all__ = ["distributions"]

PORT = 10023
DEFERRED = "DEFER_IF_PERMIT 4.2.0 Greylisted, see http://postgrey.schweikert.ch/help/example.org.html"
CLIENTS = "/etc/postfix/postgrey_whitelist_clients"

# As the README has it for new users.
SETUP = """
groupadd --system postgrey; groupadd --system postfix
useradd --system --gid postgrey --home-dir /var/spool/postfix/postgrey --shell /usr/sbin/nologin postgrey
useradd --system --gid postfix postfix
mkdir -p /var/spool/postfix
cp /opt/postgrey/share/postgrey-py/whitelists/* /etc/postfix/
for kind in systemd systemd-socket; do
    unit=/etc/systemd/system/postgrey.service
    [ $kind = systemd ] || unit=/etc/systemd/system/postgrey.socket
    PYTHONPATH=$(echo /opt/postgrey/lib/python*/site-packages) \
        /opt/postgrey/bin/postgrey --print-startup-file=$kind >$unit
done
systemctl daemon-reload
"""


@pytest.fixture(scope="module", params=list(BUILDS))
def shared(
    request: pytest.FixtureRequest, distributions: Distributions, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Machine]:
    """The wheel below the prefix /opt/postgrey, for the Python of the machine and its libraries."""
    directory = tmp_path_factory.mktemp("unit")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--no-index", "--no-deps"]
    where = [f"--root={directory}", "--prefix=/opt/postgrey", "--ignore-installed"]
    subprocess.run([*pip, *where, distributions.wheel], check=True)
    for script in (directory / "opt" / "postgrey" / "bin").iterdir():
        script.write_text("#!/usr/bin/python3\n" + script.read_text().partition("\n")[2])
    archive = directory / "postgrey.tar"
    subprocess.run(["tar", "-C", directory, "-cf", archive, "opt"], check=True)
    with Machine(request.param, directory) as machine:
        machine.shell(f"tar -xf {machine.bring(archive)} -C / --no-same-owner; mkdir -p /etc/postfix")
        machine.shell(SETUP)
        yield machine


@pytest.fixture
def machine(shared: Machine) -> Iterator[Machine]:
    shared.shell("install -d -o postgrey -g postfix -m 0751 /var/spool/postfix/postgrey")
    yield shared
    shared.shell(
        "systemctl stop postgrey.socket postgrey.service\n"
        f"rm -rf /var/spool/postfix/postgrey /etc/default/postgrey /etc/sysconfig/postgrey {CLIENTS}.local\n"
        "rm -rf /etc/postfix/*recipients.local\n"
        "systemctl reset-failed"
    )


def state(machine: Machine) -> str:
    return machine.shell("systemctl is-active postgrey || true").strip()


def journal(machine: Machine) -> str:
    return machine.shell("journalctl -u postgrey --no-pager -o cat")


def test_it_serves_from_its_prefix(machine: Machine) -> None:
    machine.shell("systemctl start postgrey || { journalctl -u postgrey --no-pager; exit 1; }")
    assert machine.ask(PORT, make_request()) == [DEFERRED]
    machine.shell("systemctl reload postgrey; systemctl restart postgrey; systemctl stop postgrey")


@pytest.mark.parametrize(
    ("file", "text", "mode", "said"),
    [
        (f"{CLIENTS}.local", "friend.example\n/(/\n", 0o644, "clients.local line 2"),
        (f"{CLIENTS}.local", "friend.example\n192.0.2.0/99\n", 0o644, "clients.local line 2"),
        ("/etc/postfix/postgrey_whitelist_recipients.local", "two words\n", 0o644, "recipients.local line 1"),
        ("/etc/postfix/postgrey_whitelist_recipients.local", "", 0o600, "recipients.local"),
        ("/etc/default/postgrey", "POSTGREY_OPTS='--inet=10023 --delya=60'\n", 0o644, "--delya=60"),
        ("/etc/sysconfig/postgrey", "POSTGREY_DELAY=--delay=soon\n", 0o644, "soon"),
    ],
)
def test_reload_fails_visibly_and_hurts_nobody(machine: Machine, file: str, text: str, mode: int, said: str) -> None:
    machine.shell("systemctl start postgrey")
    pid = machine.shell("systemctl show --value -p MainPID postgrey")
    machine.write(file, text, mode)
    assert "failed" in machine.run("systemctl", "reload", "postgrey", status=1).stdout
    assert said in journal(machine)
    assert state(machine) == "active"
    assert "ExecReload" in machine.shell("systemctl status --no-pager postgrey")
    assert machine.shell("systemctl show --value -p MainPID postgrey") == pid
    if "friend" in text:
        wait_until(lambda: machine.ask(PORT, make_request(client_name="friend.example")) == ["DUNNO"])
    machine.shell(f"rm {file}; systemctl reload postgrey")


def test_ports_below_1024_take_what_the_unit_says(machine: Machine) -> None:
    drop_in = "/run/systemd/system/postgrey.service.d/port.conf"
    unit = machine.shell("cat /etc/systemd/system/postgrey.service")
    (lines,) = re.findall(r"(?:^#     .*\n)+", unit, re.MULTILINE)
    machine.write("/etc/default/postgrey", "POSTGREY_OPTS='--inet=127.0.0.1:783'\n")
    machine.run("systemctl", "start", "postgrey", status=1)
    machine.write(drop_in, re.sub(r"^#     ", "", lines, flags=re.MULTILINE))
    try:
        machine.shell("systemctl daemon-reload; systemctl restart postgrey")
        assert machine.ask(783, make_request()) == [DEFERRED]
        pid = machine.shell("systemctl show --value -p MainPID postgrey").strip()
        assert "CapEff:\t0000000000000000" in machine.shell(f"cat /proc/{pid}/status")
    finally:
        machine.shell(f"rm -r {drop_in.rpartition('/')[0]}; systemctl daemon-reload")


def test_epels_variables_are_obeyed(machine: Machine) -> None:
    machine.write(
        "/etc/sysconfig/postgrey",
        'POSTGREY_TYPE="--unix=/var/spool/postfix/postgrey/socket"\nPOSTGREY_PID="--pidfile=/var/run/postgrey.pid"\n'
        'POSTGREY_GROUP="--group=postgrey"\nPOSTGREY_USER="--user=postgrey"\nPOSTGREY_DELAY="--delay=60"\n'
        'POSTGREY_OPTS="--greylist-text=wait_%s"\n',
    )
    machine.shell("systemctl start postgrey; systemctl reload postgrey")
    ask = (
        "import socket; s = socket.socket(socket.AF_UNIX); s.connect('/var/spool/postfix/postgrey/socket');"
        f"s.sendall({make_request()!r}); print(s.recv(999).decode())"
    )
    answer = machine.run("setpriv", "--reuid=postfix", "--clear-groups", "python3", "-c", ask).stdout
    assert answer.strip() == "action=DEFER_IF_PERMIT 4.2.0 wait_60"
    assert machine.shell(f"ss -Hltn sport = :{PORT}") == ""


def test_with_the_socket_no_listener_need_be_named(machine: Machine) -> None:
    machine.write("/etc/default/postgrey", "POSTGREY_OPTS=\n")
    machine.shell("systemctl start postgrey.socket; systemctl start postgrey.service; systemctl reload postgrey")
    assert machine.ask(PORT, make_request()) == [DEFERRED]


@pytest.mark.parametrize("fault", ["missing", "options"])
def test_what_gets_no_better_is_an_error_at_once(machine: Machine, fault: str) -> None:
    if fault == "missing":
        machine.shell("mv /opt/postgrey/bin/postgrey /opt/postgrey/bin/away")
    else:
        machine.write("/etc/default/postgrey", "POSTGREY_OPTS='--inet=nonsense'\n")
    try:
        machine.run("systemctl", "start", "postgrey", status=1)
        assert state(machine) == "failed"
        assert machine.shell("systemctl show --value -p NRestarts postgrey").strip() == "0"
        status = {"missing": "203", "options": "2"}[fault]
        assert machine.shell("systemctl show --value -p ExecMainStatus postgrey").strip() == status
    finally:
        machine.shell("[ ! -e /opt/postgrey/bin/away ] || mv /opt/postgrey/bin/away /opt/postgrey/bin/postgrey")
