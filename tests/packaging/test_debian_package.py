# SPDX-License-Identifier: GPL-2.0-or-later
"""Our Debian package by itself, on a machine with systemd: installed, hardened, restarted, removed, purged."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.machine import ROOTS, Machine, build_package
from tests.packaging.namespaces import wait_until
from tests.support.policy import make_request
from tests.support.servers import ROOT

pytestmark = pytest.mark.proof

PORT = 10023
DEFERRED = "DEFER_IF_PERMIT 4.2.0 Greylisted, see http://postgrey.schweikert.ch/help/example.org.html"
RESTARTS = 10

# Asks over a Unix socket in there, as Postfix would.
ASK_UNIX = """
use IO::Socket::UNIX;
my $server = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "$ARGV[0]: $!";
print $server "request=smtpd_access_policy\\nclient_address=192.0.2.7\\nclient_name=mail.example.com\\n",
    "sender=alice\\@example.com\\nrecipient=bob\\@example.org\\ninstance=1\\netrn_domain=\\n\\n";
$server->flush;
print scalar <$server>;
"""


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def suite(request: pytest.FixtureRequest) -> str:
    build_package(request.param)
    return str(request.param)


@pytest.fixture
def machine(suite: str, tmp_path: Path) -> Iterator[Machine]:
    """A machine with nothing installed, and our package in /srv."""
    with Machine(suite, tmp_path) as machine:
        machine.bring(build_package(suite))
        yield machine


@pytest.fixture
def installed(machine: Machine) -> Machine:
    """A machine with our package installed."""
    machine.apt("install", "/srv/postgrey-py_1.0.0-1_all.deb")
    return machine


def configure(machine: Machine, options: str) -> None:
    machine.write("/etc/default/postgrey", f'POSTGREY_OPTS="{options}"\n')
    machine.shell("systemctl restart postgrey || { journalctl -u postgrey --no-pager; exit 1; }")


def main_pid(machine: Machine) -> str:
    return machine.shell("systemctl show --value -p MainPID postgrey").strip()


def list_files(machine: Machine) -> set[str]:
    """What a package could leave behind, without the books of dpkg and its friends."""
    listing = machine.shell(
        "find / -xdev -path /srv -prune -o -path /root -prune -o -print; find /run /tmp -not -path '/run/systemd/*'"
    )
    books = r"/var/(lib|cache|log)/(apt|dpkg|ucf|systemd|debconf|private)(/|$)|/var/(log|cache)/|/etc/.*[-~]$|/run/"
    return {path for path in listing.splitlines() if not re.match(books, path)}


def test_commands_and_paths_are_debians(installed: Machine) -> None:
    assert "default: /var/lib/postgrey)" in installed.shell("postgrey --help")
    for command in ("/usr/sbin/postgrey", "/usr/sbin/policy-test", "/usr/sbin/postgrey_clients_dump"):
        assert installed.shell(f"{command} --version; [ -e /usr/share/man/man8/{Path(command).name}.8.gz ]")
    for command in ("/usr/bin/postgreyreport", "/usr/bin/postgrey-search"):
        assert installed.shell(f"{command} --version; [ -e /usr/share/man/man1/{Path(command).name}.1.gz ]")
    assert installed.shell("stat -c '%U %G' /var/lib/postgrey") == "postgrey postgrey\n"
    for name in ("default/postgrey", "postgrey/whitelist_clients", "postgrey/whitelist_recipients"):
        assert installed.shell(f"ucfq --with-colons /etc/{name}") == f"/etc/{name}:postgrey-py:Yes:No\n"
    assert installed.ask(PORT, make_request()) == [DEFERRED]


def test_removal_leaves_the_configuration_and_purge_nothing(machine: Machine) -> None:
    before = list_files(machine)
    machine.apt("install", "/srv/postgrey-py_1.0.0-1_all.deb")
    assert machine.ask(PORT, make_request()) == [DEFERRED]
    machine.write("/etc/postgrey/whitelist_clients.local", "own.example\n")

    machine.apt("remove", "postgrey-py")
    assert machine.shell("systemctl is-active postgrey || true").strip() == "inactive"
    kept = list_files(machine) - before
    assert {"/etc/default/postgrey", "/etc/postgrey/whitelist_clients", "/var/lib/postgrey/postgrey.db"} <= kept
    assert not [path for path in kept if path.startswith(("/usr", "/lib"))]
    machine.apt("install", "/srv/postgrey-py_1.0.0-1_all.deb")
    assert machine.ask(PORT, make_request(client_name="own.example")) == ["DUNNO"]
    assert machine.shell("systemctl is-enabled postgrey").strip() == "enabled"

    machine.apt("purge", "postgrey-py")
    assert list_files(machine) - before == {"/etc/postgrey", "/etc/postgrey/whitelist_clients.local"}
    assert before <= list_files(machine)
    assert machine.shell("ucfq --with-colons /etc/default/postgrey") == "/etc/default/postgrey:::\n"
    machine.apt("install", "/srv/postgrey-py_1.0.0-1_all.deb")
    assert machine.ask(PORT, make_request()) == [DEFERRED]


@pytest.mark.parametrize("first", ["postgrey", "/srv/postgrey-py_1.0.0-1_all.deb"])
def test_purging_what_was_replaced_hurts_nobody(machine: Machine, first: str) -> None:
    names = ["postgrey", "/srv/postgrey-py_1.0.0-1_all.deb"]
    second = names[1 - names.index(first)]
    gone = "postgrey" if first == "postgrey" else "postgrey-py"
    machine.apt("install", first)
    machine.write("/etc/default/postgrey", f'POSTGREY_OPTS="--inet={PORT} --delay=77"\n')
    machine.apt("install", second)
    wait_until(lambda: bool(machine.shell(f"ss -Hltn sport = :{PORT}")))
    files = "/etc/default/postgrey /etc/postgrey/* /etc/init.d/postgrey /etc/logcheck/*/postgrey /var/lib/postgrey/*.db"
    before = machine.shell(f"ls -l {files}; cat {files} | md5sum")
    machine.apt("purge", gone)
    assert machine.shell(f"ls -l {files}; cat {files} | md5sum") == before
    assert machine.shell("systemctl is-active postgrey; systemctl is-enabled postgrey") == "active\nenabled\n"
    assert machine.shell(f"dpkg-query -W -f '${{db:Status-Status}}' {gone} 2>/dev/null || true") in (
        "",
        "not-installed",
    )


def test_a_service_that_was_disabled_stays_so(machine: Machine) -> None:
    machine.apt("install", "postgrey")
    machine.shell("systemctl disable --now postgrey")
    machine.apt("install", "/srv/postgrey-py_1.0.0-1_all.deb")
    assert machine.shell("systemctl is-enabled postgrey || true").strip() == "disabled"


def test_files_that_nobody_changed_become_ours_and_debians_again(machine: Machine) -> None:
    machine.apt("install", "postgrey")
    perls = machine.shell("md5sum /etc/default/postgrey /etc/postgrey/*")
    machine.apt("install", "/srv/postgrey-py_1.0.0-1_all.deb")
    machine.shell("cmp /etc/default/postgrey /usr/share/postgrey-py/default")
    machine.shell("cmp /etc/postgrey/whitelist_clients /usr/share/postgrey-py/whitelist_clients")
    machine.apt("install", "postgrey")
    assert machine.shell("md5sum /etc/default/postgrey /etc/postgrey/*") == perls


def test_an_upgrade_restarts_it_and_asks_nothing(installed: Machine) -> None:
    configure(installed, f"--inet={PORT} --delay=77")
    installed.ask(PORT, make_request(policy_test_time="1000000000"))
    pid = main_pid(installed)
    installed.shell(
        "dpkg-deb -R /srv/postgrey-py_1.0.0-1_all.deb /tmp/next\n"
        "sed -i 's/^Version: .*/Version: 1.0.0-2/' /tmp/next/DEBIAN/control\n"
        "dpkg-deb -b /tmp/next /srv/postgrey-py_1.0.0-2_all.deb"
    )
    installed.apt("install", "/srv/postgrey-py_1.0.0-2_all.deb")
    assert installed.shell("systemctl is-active postgrey").strip() == "active"
    assert main_pid(installed) != pid
    (reply,) = installed.ask(PORT, make_request(policy_test_time="1000000078"))
    assert reply.startswith("PREPEND X-Greylist: delayed 78 seconds")


def test_the_unit_is_sound_and_rated_well(installed: Machine) -> None:
    units = "/lib/systemd/system/postgrey.service /lib/systemd/system/postgrey.socket"
    # Without man-db there is no manual to look for.
    assert installed.shell(f"systemd-analyze verify --man=no {units}") == ""
    rating = installed.shell("systemd-analyze security --no-pager postgrey.service")
    exposure = re.search(r"Overall exposure level for postgrey.service: (\d+\.\d)", rating)
    assert exposure is not None
    assert float(exposure[1]) <= 2.0, rating


def test_the_process_has_no_power_left(installed: Machine) -> None:
    status = installed.shell(f"cat /proc/{main_pid(installed)}/status")
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    assert fields["Name"] == "postgrey"
    for kind in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
        assert int(fields[kind], 16) == 0
    assert fields["NoNewPrivs"] == "1"
    assert fields["Seccomp"] == "2"
    uid = installed.shell("id -u postgrey").strip()
    assert fields["Uid"].split() == [uid] * 4
    namespace = ["nsenter", f"--target={main_pid(installed)}", "--mount"]
    for directory in ("/usr", "/etc", "/boot"):
        assert "Read-only" in installed.run(*namespace, "touch", f"{directory}/x", status=1).stdout


def test_database_and_sockets_may_be_where_they_are_wanted(installed: Machine) -> None:
    # As Postfix has it: only its own user, and root, can enter.
    installed.shell(
        "useradd --system postfix\n"
        "install -d -o root /var/spool/postfix\n"
        "install -d -o postfix -m 0700 /var/spool/postfix/private\n"
        "install -d -o postgrey -m 0700 /srv/greylist"
    )
    sockets = ["/run/postgrey/policy", "/var/spool/postfix/private/postgrey"]
    configure(installed, " ".join(["--dbdir=/srv/greylist", *(f"--unix={path}" for path in sockets)]))
    for path in sockets:
        assert installed.run("perl", "-e", ASK_UNIX, path).stdout == f"action={DEFERRED}\n"
    assert installed.shell("ls /srv/greylist/postgrey.db")
    # The second start finds the socket that it could not remove.
    installed.shell("systemctl restart postgrey")
    assert installed.run("perl", "-e", ASK_UNIX, sockets[1]).stdout == f"action={DEFERRED}\n"
    configure(installed, f"--inet=*:{PORT} --inet=10024 --privacy")
    assert installed.ask(PORT, make_request()) == installed.ask(10024, make_request()) == [DEFERRED]


def test_repairs_are_allowed(installed: Machine) -> None:
    installed.ask(PORT, make_request(policy_test_time="1000000000"))
    # Files that came without their logs, one of them damaged.
    installed.shell(
        "systemctl stop postgrey; cd /var/lib/postgrey; rm log.*\n"
        "dd if=/dev/urandom of=postgrey_clients.db bs=8 count=1 seek=1 conv=notrunc status=none\n"
        "systemctl start postgrey || { journalctl -u postgrey --no-pager; exit 1; }"
    )
    (reply,) = installed.ask(PORT, make_request(policy_test_time="1000000300"))
    assert reply.startswith("PREPEND X-Greylist: delayed 300 seconds")
    names = installed.shell("ls /var/lib/postgrey")
    assert "postgrey.db.before-reset-" in names
    assert "postgrey_clients.db.damaged-" in names


def test_it_logs_to_the_facility_mail_and_logcheck_keeps_quiet(installed: Machine) -> None:
    installed.ask(PORT, make_request(queue_id="4ABC"), make_request(client_name="x.debian.org"))
    installed.shell("systemctl reload postgrey; systemctl restart postgrey")
    lines = installed.shell("journalctl -u postgrey -o short --facility=mail --no-pager _COMM=postgrey")
    for text in (
        "action=greylist, reason=new",
        "HUP received",
        "listening on inet:127.0.0.1:10023",
        "starting",
        "stopped",
    ):
        assert text in lines
    installed.write("/tmp/log", "".join(f"{line}\n" for line in lines.splitlines() if "postgrey[" in line))
    assert installed.shell("grep -cE 'postgrey\\[' /tmp/log") != "0\n"
    assert installed.shell("grep -vEf /etc/logcheck/ignore.d.server/postgrey /tmp/log || true") == ""


def test_reload_reads_the_whitelists_anew(installed: Machine) -> None:
    pid = main_pid(installed)
    friend = make_request(client_name="mail.friend.example")
    assert installed.ask(PORT, friend) == [DEFERRED]
    installed.write("/etc/postgrey/whitelist_clients.local", "friend.example\n")
    installed.shell("systemctl reload postgrey")
    wait_until(lambda: installed.ask(PORT, friend) == ["DUNNO"])
    assert main_pid(installed) == pid


def test_a_start_that_fails_is_seen(installed: Machine) -> None:
    installed.write("/etc/default/postgrey", 'POSTGREY_OPTS="--inet=10023 --user=nobody-here"\n')
    assert installed.shell("systemctl restart postgrey && echo fine || echo failed").splitlines()[-1] == "failed"
    assert "there is no user nobody-here" in installed.shell("journalctl -u postgrey --no-pager")


def test_ten_restarts_with_the_socket_refuse_no_connection(installed: Machine) -> None:
    installed.shell("systemctl stop postgrey && systemctl enable --now postgrey.socket && systemctl start postgrey")
    done = threading.Event()
    failures: list[str] = []
    counts: list[int] = []

    def ask_all_the_time() -> None:
        count = 0
        while not done.is_set():
            try:
                installed.ask(PORT, *[make_request()] * 1)
                count += 1
            except AssertionError as error:
                failures.append(str(error))
        counts.append(count)

    askers = [threading.Thread(target=ask_all_the_time) for _ in range(3)]
    pids = {main_pid(installed)}
    try:
        for asker in askers:
            asker.start()
        for _ in range(RESTARTS):
            # So many in so short a time are too many for systemd otherwise.
            installed.shell("systemctl reset-failed postgrey; systemctl restart postgrey")
            pids.add(main_pid(installed))
    finally:
        done.set()
        for asker in askers:
            asker.join()
    assert failures == []
    assert len(pids) == RESTARTS + 1
    assert all(count > RESTARTS for count in counts), counts


def test_the_socket_goes_with_the_package(installed: Machine) -> None:
    installed.shell("systemctl stop postgrey && systemctl enable --now postgrey.socket")
    assert installed.ask(PORT, make_request()) == [DEFERRED]
    installed.apt("remove", "postgrey-py")
    assert installed.shell(f"ss -Hltn sport = :{PORT}") == ""


def test_exim_defers_and_then_accepts_with_the_header(installed: Machine) -> None:
    installed.apt("install", "exim4-daemon-light")
    configure(installed, f"--inet={PORT} --exim --delay=60")
    statements = re.search(
        r"(?<=at its end:\n\n)(  warn\n.*?)(?=\nThen: )", (ROOT / "debian/README.exim").read_text(), re.S
    )
    assert statements is not None
    installed.shell("useradd -m bob; install -d -m 1777 /var/mail")
    installed.write(
        "/etc/exim4/exim4.conf",
        "primary_hostname = mx.example.org\nacl_smtp_rcpt = check\nqualify_domain = example.org\nbegin acl\ncheck:\n"
        f"{statements[0]}\n  accept\n"
        "begin routers\nlocal:\n  driver = accept\n  transport = mailbox\n"
        "begin transports\nmailbox:\n  driver = appendfile\n  file = /tmp/inbox\n  user = bob\n  group = bob\n",
    )

    def deliver(recipients: int = 1) -> str:
        to = "".join(f"RCPT TO:<bob{number}@example.org>\r\n" for number in range(recipients))
        mail = (
            f"EHLO mail.example.com\r\nMAIL FROM:<alice@example.com>\r\n{to}"
            "DATA\r\nSubject: hello\r\n\r\nhello\r\n.\r\nQUIT\r\n"
        )
        return installed.run("sh", "-c", "exim4 -odf -oMa 192.0.2.7 -bs", stdin=mail, status=None).stdout

    assert re.search(r"^451 (4\.2\.0 )?Greylisted, see", deliver(2), re.MULTILINE), deliver(2)
    installed.shell("[ ! -e /tmp/inbox ]")
    # A minute passes in the database instead: its records become that much older.
    installed.shell("systemctl stop postgrey")
    age_database(installed, 61)
    installed.shell("systemctl start postgrey || { journalctl -u postgrey --no-pager; exit 1; }")
    assert "250 OK id=" in deliver(2)
    inbox = installed.shell("cat /tmp/inbox || { cat /var/log/exim4/*; exit 1; }")
    assert re.findall(r"^X-Greylist: delayed \d+ seconds by postgrey-1\.0\.0 at ", inbox, re.MULTILINE)
    played = installed.run(
        "sh",
        "-c",
        "exim4 -bh 198.51.100.9",
        stdin=("EHLO other.example.com\r\nMAIL FROM:<carol@example.com>\r\nRCPT TO:<bob@example.org>\r\nQUIT\r\n"),
        status=None,
    )
    assert re.search(r"^451 (4\.2\.0 )?Greylisted", played.stdout, re.MULTILINE)


def age_database(machine: Machine, seconds: int) -> None:
    """Make every triplet this much older, with Berkeley DB's own tools."""
    machine.shell("db5.3_dump -p -h /var/lib/postgrey -f /tmp/dump /var/lib/postgrey/postgrey.db")
    dump = machine.shell("cat /tmp/dump")
    older = re.sub(r"(?m)^ (\d+),(\d+)$", lambda m: f" {int(m[1]) - seconds},{int(m[2]) - seconds}", dump)
    machine.write("/tmp/dump", older)
    machine.shell(
        "rm /var/lib/postgrey/*; db5.3_load -f /tmp/dump /var/lib/postgrey/postgrey.db\n"
        "chown -R postgrey:postgrey /var/lib/postgrey"
    )


def test_lintian_has_nothing_to_say(suite: str) -> None:
    said = (ROOTS / f"{suite}-package" / "lintian.txt").read_text()
    assert not re.search(r"^[EW]:", said, re.MULTILINE), said
