# SPDX-License-Identifier: GPL-2.0-or-later
"""The manual's RECIPES do what they promise: its very lines, on a real server and, where it takes one, a real Postfix.

Paths and ports are those of the test, and `systemctl` is what it comes to for a server in the foreground.
"""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from postgrey_py.database.environment import TRIPLETS
from postgrey_py.database.snapshot import open_snapshot
from tests.packaging.namespaces import wait_until
from tests.postfix.instance import Postfix, XClient
from tests.support.policy import ask
from tests.support.servers import POSTGREY, ROOT, PolicyServer
from tests.test_manual import render

pytestmark = pytest.mark.root

POSTGREYCTL = f"{sys.executable} {ROOT}/scripts/postgreyctl"
FIRST = XClient("198.51.100.7")
GREYLISTED = "450 4.2.0 <bob@example.org>: Recipient address rejected: Greylisted"


def read_recipe(title: str) -> list[str]:
    """The displays of this recipe, each its lines as they are."""
    recipes = re.search(r"^RECIPES\n(.*?)^\S", render(ROOT / "man" / "postgrey.8"), re.MULTILINE | re.DOTALL)
    assert recipes is not None
    found = re.search(rf"^   {re.escape(title)}\n(.*?)(?=^   \S|\Z)", recipes[1], re.MULTILINE | re.DOTALL)
    assert found is not None, title
    displays = re.findall(r"(?:^ {7}.*\n)+", found[1], re.MULTILINE)
    return [re.sub(r"^ {7}", "", display, flags=re.MULTILINE) for display in displays]


class Host:
    """A server with whitelists of its own, and a shell in which the paths of the manual are its."""

    def __init__(self, directory: Path, delay: int) -> None:
        self.directory = directory
        self.lists = directory / "lists"
        self.lists.mkdir()
        options = [f"--delay={delay}"]
        for kind in ("clients", "recipients"):
            file = self.lists / f"postgrey_whitelist_{kind}"
            shutil.copy(ROOT / "whitelists" / file.name, file)
            options += [f"--whitelist-{kind}={file}", f"--whitelist-{kind}={file}.local"]
        self.server = PolicyServer(POSTGREY, directory / "db", options)

    def run(self, script: str) -> str:
        """What these lines of the manual print."""
        for path, ours in {
            "/var/spool/postfix/postgrey": str(self.server.dbdir),
            "/etc/postfix": str(self.lists),
            "/backup": str(self.directory / "backup"),
            "10023": str(self.server.port),
            "chown postgrey": "chown root",
            "postgreyctl ": f"{POSTGREYCTL} --control={self.server.dbdir}/postgrey.control ",
        }.items():
            script = script.replace(path, ours)
        reload = f"systemctl() {{ kill -HUP {self.server.pid}; }}\nset -e\n"
        return subprocess.run(
            ["bash", "-c", reload + script], capture_output=True, text=True, check=True, timeout=60
        ).stdout

    def reload_by(self, script: str) -> None:
        """Run these lines, and come back when the lists have been read."""
        before = self.count_reloads()
        self.run(script)
        wait_until(lambda: self.count_reloads() > before)

    def count_reloads(self) -> int:
        return self.server.log().count("reloading whitelists")

    def ask(self, **attributes: str) -> str:
        return ask(self.server.port, **attributes)

    def passes(self, **attributes: str) -> bool:
        return not self.defers(**attributes)

    def defers(self, **attributes: str) -> bool:
        return self.ask(**attributes).startswith("DEFER")

    def records(self) -> list[str]:
        """The keys of all triplets."""
        with open_snapshot(str(self.server.dbdir), [TRIPLETS]) as snapshot:
            return [key.decode("latin-1") for key, _ in snapshot.triplets]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    host = Host(tmp_path, delay=300)
    with host.server:
        yield host


@pytest.fixture
def quick_host(tmp_path: Path) -> Iterator[Host]:
    """One on which mail passes after a second."""
    host = Host(tmp_path, delay=1)
    with host.server:
        yield host


def test_let_a_client_through_now(host: Host) -> None:
    request = {"client_address": "192.0.2.7", "client_name": "mail.example.com"}
    for_a_while, for_good = read_recipe("Let a client through now")
    assert host.ask(**request).startswith("DEFER")
    host.run(for_a_while)
    assert host.ask(**request) == "DUNNO"
    host.run("postgreyctl disallow 1")
    assert host.ask(**request).startswith("DEFER")
    host.reload_by(for_good)
    wait_until(lambda: host.ask(**request) == "DUNNO")
    assert host.ask(client_address="192.0.2.8").startswith("DEFER")


def test_mute_greylisting_for_an_hour(host: Host) -> None:
    requests = [{"client_address": "192.0.2.7"}, {"client_address": "2001:db8::7", "client_name": "unknown"}]
    host.run(read_recipe("Mute greylisting for an hour")[0])
    for request in requests:
        assert host.ask(**request) == "DUNNO"
    host.run("postgreyctl resume")
    for request in requests:
        assert host.defers(**request)
    assert "can't" not in host.server.log()


def test_opt_a_recipient_out(host: Host) -> None:
    host.reload_by(read_recipe("Opt a recipient out")[0])
    wait_until(lambda: host.ask(recipient="bob@example.org") == host.ask(recipient="bob+list@example.org") == "DUNNO")
    assert host.ask(recipient="robert@example.org").startswith("DEFER")


def test_a_probe_that_leaves_nothing(host: Host) -> None:
    probe, _ = read_recipe("Probe it")
    assert host.run(probe) == "action=DUNNO\n\n"
    assert host.ask().startswith("DEFER")
    assert len(host.records()) == 1


def test_a_probe_that_proves_that_the_database_works(quick_host: Host) -> None:
    _, probe = read_recipe("Probe it")
    for _ in range(3):
        assert quick_host.run(probe).startswith("action=DEFER_IF_PERMIT")
        # A mail that passes after the delay, of a second here, tells that it is over.
        sender = f"{time.monotonic_ns()}x@example.com"
        assert quick_host.ask(sender=sender).startswith("DEFER")
        wait_until(partial(quick_host.passes, sender=sender))
    assert sum("probe.invalid" in key for key in quick_host.records()) == 1
    quick_host.server.signal(signal.SIGUSR1)
    # Of the probe and the three mails.
    quick_host.server.wait_for_log("cleaning main database finished. before: 4, after: 3")


def test_after_a_database_was_restored(quick_host: Host) -> None:
    assert quick_host.ask(sender="known@example.com").startswith("DEFER")
    quick_host.server.stop()
    backup = quick_host.directory / "backup"
    backup.mkdir()
    for file in ("postgrey.db", "postgrey_clients.db"):
        shutil.copy(quick_host.server.dbdir / file, backup / file)
    quick_host.server.start()
    quick_host.ask(sender="later@example.com")
    (recipe,) = read_recipe("After a database was restored")
    stopping, restoring, starting = re.split(r"^systemctl \w+ postgrey\n", recipe, flags=re.MULTILINE)
    assert stopping == starting == ""
    quick_host.server.stop()
    quick_host.run(restoring)
    quick_host.server.start()
    assert len(quick_host.records()) == 1
    wait_until(
        lambda: (
            quick_host.ask(sender="known@example.com") == "DUNNO"
            or "PREPEND" in quick_host.ask(sender="known@example.com")
        )
    )
    assert quick_host.ask(sender="later@example.com").startswith("DEFER")
    assert (quick_host.server.dbdir / "before" / "postgrey.db").exists()


def run_postfix(host: Host, recipe: str) -> Postfix:
    """A Postfix with the restrictions of this display."""
    name, _, restrictions = recipe.partition(" =\n")
    assert name == "smtpd_recipient_restrictions"
    directory = host.directory / "postfix"
    # Postfix's daemons become a user of their own, which can enter its queue only.
    restrictions = restrictions.replace("/etc/postfix", str(directory / "queue"))
    return Postfix(directory, "", re.sub(r":10023\b", f":{host.server.port}", restrictions.rstrip()))


def test_dry_run(host: Host) -> None:
    with run_postfix(host, read_recipe("Dry run")[0]) as postfix:
        assert postfix.offer(FIRST).startswith("250 ")
        postfix.wait_for_log("NOQUEUE: reject_warning: RCPT from mail.example.com[198.51.100.7]: 450 4.2.0 ")
        assert len(host.records()) == 1
        assert [line for line in postfix.complaints() if "reject_warning" not in line] == []


def test_let_a_sender_through(host: Host) -> None:
    restrictions, command = read_recipe("Let a sender through")
    postfix = run_postfix(host, restrictions)
    table = command.replace("/etc/postfix", str(postfix.queue)).replace("postfix reload\n", "")
    subprocess.run(["bash", "-euc", table], check=True)
    with postfix:
        assert postfix.offer(FIRST, sender="alice@partner.example").startswith("250 ")
        assert postfix.offer(FIRST, sender="alice@mail.partner.example").startswith("250 ")
        assert postfix.offer(FIRST).startswith(GREYLISTED)
        assert postfix.complaints() == []


def test_two_hosts_and_one_server(host: Host) -> None:
    recipe = read_recipe("Two MX hosts, one server")[1]
    with run_postfix(host, recipe.replace("192.0.2.10", "127.0.0.1")) as postfix:
        assert postfix.offer(FIRST).startswith(GREYLISTED)
        assert host.ask(client_address="198.51.100.7", sender="alice@example.com").startswith("DEFER")
        assert len(host.records()) == 1
        host.server.stop()
        assert postfix.offer(FIRST).startswith("250 ")


def test_a_backup_mx_is_let_through(host: Host) -> None:
    host.reload_by(read_recipe("A backup MX")[0])
    wait_until(lambda: host.ask(client_address="192.0.2.11") == "DUNNO")


def test_every_recipe_is_tried() -> None:
    recipes = re.search(r"^RECIPES\n(.*?)^\S", render(ROOT / "man" / "postgrey.8"), re.MULTILINE | re.DOTALL)
    assert recipes is not None
    titles = re.findall(r"^   (\S.*)$", recipes[1], re.MULTILINE)
    here = Path(__file__).read_text()
    assert len(titles) == 9
    assert [title for title in titles if f'read_recipe("{title}")' not in here] == []
