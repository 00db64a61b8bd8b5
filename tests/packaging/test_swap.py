# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's postgrey, our package in its place, and Debian's again, on a machine with systemd: nobody notices.

Each step is what an administrator types; what clients are told, and the files in /etc, are the same afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.machine import BUILDS, TIMEOUT, Machine, build_package
from tests.packaging.namespaces import wait_until
from tests.support.policy import make_request
from tests.support.servers import ROOT

pytestmark = [pytest.mark.proof, pytest.mark.root, pytest.mark.timeout(TIMEOUT)]

PORT = 10023
DELAY = 60
TEXT = 'Not yet, "%r" says: %s seconds, please'
OPTIONS = f"--delay={DELAY} --inet={PORT}"

CONFIGURATION = {
    "/etc/default/postgrey": f"# our own\nPOSTGREY_OPTS=\"{OPTIONS}\"\nPOSTGREY_TEXT='{TEXT}'\n",
    "/etc/postgrey/whitelist_clients": "# short\nown-client.example\n/^own\\d+\\.pattern\\.example$/\n",
    "/etc/postgrey/whitelist_recipients": "own-recipient@\n",
    "/etc/postgrey/whitelist_clients.local": "local-client.example\n192.0.2.192/28\n",
    "/etc/postgrey/whitelist_recipients.local": "local-recipient.example\n",
}

TRIPLETS = 500
PENDING = 20
HOUR = 3600

GREYLISTED = f"DEFER_IF_PERMIT 4.2.0 {TEXT.replace('%r', 'example.org').replace('%s', str(DELAY))}"
HEADER = "PREPEND X-Greylist: delayed "


class Correspondents:
    """The clients, senders and recipients of this story. `name` keeps those of one chapter apart from another's."""

    def __init__(self, machine: Machine, name: str) -> None:
        self.machine = machine
        self.name = name
        self.start = int(time.time()) - 30 * HOUR

    def ask(self, *requests: dict[str, object]) -> list[str]:
        return self.machine.ask(PORT, *(make_request(**{k: str(v) for k, v in r.items()}) for r in requests))

    def triplet(self, number: int, at: int) -> dict[str, object]:
        """A request of one of many clients, at this time (seconds since the first)."""
        return {
            "client_address": f"10.{number // 256}.{number % 256}.25",
            "client_name": f"mail{number}.{self.name}.example",
            "sender": f"sender-{number}@{self.name}.example",
            "recipient": "bob@example.org",
            "policy_test_time": self.start + at,
        }

    def trusted_client(self, mail: int, at: int) -> dict[str, object]:
        """A request of the client that is to be trusted, each time with another sender."""
        return {
            "client_address": f"203.0.113.{sum(self.name.encode()) % 256}",
            "client_name": f"trusted.{self.name}.example",
            "sender": f"{'abcdefghijklmnop'[mail]}-writes@{self.name}.example",
            "recipient": "bob@example.org",
            "policy_test_time": self.start + at,
        }

    def introduce(self) -> None:
        """500 triplets pass, 20 more have been tried once, and one client has come back often enough to be trusted."""
        assert set(self.ask(*(self.triplet(n, 0) for n in range(TRIPLETS)))) == {GREYLISTED}
        assert all(r.startswith(HEADER) for r in self.ask(*(self.triplet(n, DELAY) for n in range(TRIPLETS))))
        pending = [self.triplet(TRIPLETS + n, 0) for n in range(PENDING)]
        assert set(self.ask(*pending)) == {GREYLISTED}
        for mail in range(5):
            first = (mail + 1) * 2 * HOUR
            assert self.ask(self.trusted_client(mail, first)) == [GREYLISTED]
            assert self.ask(self.trusted_client(mail, first + DELAY))[0].startswith(HEADER)

    def are_known(self) -> None:
        """Those who passed pass at once, also mail of the trusted client that was never seen before."""
        known = self.ask(*(self.triplet(n, 20 * HOUR) for n in range(TRIPLETS)))
        assert set(known) == {"DUNNO"}
        assert self.ask(self.trusted_client(9, 20 * HOUR)) == ["DUNNO"]

    def come_back(self) -> None:
        """Those who were deferred under the other server, and try again under this one, pass."""
        pending = [self.triplet(TRIPLETS + n, DELAY + 1) for n in range(PENDING)]
        assert all(reply.startswith(f"{HEADER}{DELAY + 1} seconds") for reply in self.ask(*pending))


def is_configured(machine: Machine) -> None:
    """Files and answers are those of CONFIGURATION."""
    for path, text in CONFIGURATION.items():
        assert machine.run("cat", path).stdout == text
        assert machine.run("stat", "-c", "%a %U:%G", path).stdout == "644 root:root\n"
    own = [
        {"client_name": "mx.own-client.example"},
        {"client_name": "own7.pattern.example"},
        {"recipient": "own-recipient@example.org"},
        {"client_name": "local-client.example"},
        {"client_name": "unknown", "client_address": "192.0.2.200"},
        {"recipient": "anybody@local-recipient.example"},
    ]
    assert machine.ask(PORT, *(make_request(**request) for request in own)) == ["DUNNO"] * len(own)
    stranger = f"stranger-{time.monotonic_ns()}@example.com"
    assert machine.ask(PORT, make_request(sender=stranger.translate(str.maketrans("0123456789", "abcdefghij")))) == [
        GREYLISTED
    ]


def serves(machine: Machine, package: str, program: str) -> None:
    """The service runs, is enabled, and is this program of this package."""
    # Debian's unit does not tell when the server is ready.
    wait_until(lambda: bool(machine.shell(f"ss -Hltn sport = :{PORT}")))
    assert machine.shell("systemctl is-active postgrey").strip() == "active"
    assert machine.shell("systemctl is-enabled postgrey").strip() == "enabled"
    pid = machine.shell("systemctl show --value -p MainPID postgrey").strip()
    assert program in machine.shell(f"readlink /proc/{pid}/exe")
    assert machine.shell(f"ps -o user= -p {pid}").strip() == "postgrey"
    assert machine.shell("dpkg-query -W -f '${db:Status-Status}' " + package) == "installed"
    assert machine.shell("dpkg --audit") == ""
    assert "x" in machine.shell("stat -c %A /etc/init.d/postgrey")


@pytest.fixture(scope="module", params=list(BUILDS))
def suite(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def machine(suite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    package = build_package(suite)
    with Machine(suite, tmp_path_factory.mktemp("swap")) as machine:
        machine.bring(package)
        yield machine


def test_there_and_back(machine: Machine) -> None:
    machine.apt("install", "postgrey")
    for path, text in CONFIGURATION.items():
        machine.write(path, text)
    machine.shell("systemctl restart postgrey")
    serves(machine, "postgrey", "perl")
    is_configured(machine)
    first = Correspondents(machine, "first")
    first.introduce()
    first.are_known()

    print(machine.apt("install", "/srv/postgrey-py_1.0.0-1_all.deb"))
    serves(machine, "postgrey-py", "python3")
    is_configured(machine)
    first.are_known()
    first.come_back()
    second = Correspondents(machine, "second")
    second.introduce()

    print(machine.apt("install", "postgrey"))
    serves(machine, "postgrey", "perl")
    is_configured(machine)
    first.are_known()
    second.are_known()
    second.come_back()


def test_without_systemd_a_stopped_postgrey_goes_by_the_line_in_the_readme(suite: str, tmp_path: Path) -> None:
    line = "/etc/init.d/postgrey stop; chmod -x /etc/init.d/postgrey"
    assert f"    {line}\n" in (ROOT / "README.md").read_text()
    # Packages find out by this directory, and by nothing else, that systemd runs.
    without = ["unshare", "--mount", "sh", "-c", 'mount -t tmpfs tmpfs /run/systemd && exec "$@"', "sh"]
    install = [*without, "apt-get", "--yes", "--quiet", "install", "/srv/postgrey-py_1.0.0-1_all.deb"]
    with Machine(suite, tmp_path) as machine:
        machine.bring(build_package(suite))
        machine.apt("install", "postgrey")
        for path, text in CONFIGURATION.items():
            machine.write(path, text)
        machine.shell("systemctl stop postgrey")
        failure = machine.run(*install, status=100, env={"DEBIAN_FRONTEND": "noninteractive"}).stdout
        assert "installed postgrey package pre-removal script subprocess returned error exit status 1" in failure
        machine.run(*without, "sh", "-c", line)
        machine.run(*install, env={"DEBIAN_FRONTEND": "noninteractive"})
        # The init script may have started it; systemd, which is there after all, is asked what was installed.
        machine.run(*without, "/etc/init.d/postgrey", "stop")
        machine.shell("systemctl daemon-reload; systemctl restart postgrey")
        serves(machine, "postgrey-py", "python3")
        is_configured(machine)
