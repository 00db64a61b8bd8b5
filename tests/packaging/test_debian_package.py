# SPDX-License-Identifier: GPL-2.0-or-later
"""Our Debian package on a machine with systemd: installed, hardened, restarted, replaced, removed, purged."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.machine import BUILDS, ROOTS, TIMEOUT, Machine, build_package
from tests.packaging.namespaces import wait_until
from tests.support.policy import make_request
from tests.support.servers import ROOT

pytestmark = [pytest.mark.proof, pytest.mark.root, pytest.mark.timeout(TIMEOUT)]

PORT = 10023
DEFERRED = "DEFER_IF_PERMIT 4.2.0 Greylisted, see http://postgrey.schweikert.ch/help/example.org.html"
RESTARTS = 10
PACKAGE = "/srv/postgrey-py_1.0.0-1_all.deb"

# What administrators and programs other than this package change in a directory tree, from the first boot on.
OTHER_FILES = re.compile(
    r"/(dev|proc|sys|root|srv|tmp)(/|$)|/run/(?!postgrey)|/etc/(passwd|group|shadow|gshadow|subuid|subgid)-$"
    r"|/var/(cache|log)/|/var/lib/(apt|dpkg|ucf|private)/|/var/lib/systemd/(?!deb-systemd)|/etc/\.pwd\.lock$"
)

# Asks over a Unix socket in there, as Postfix would.
ASK_UNIX = """
use IO::Socket::UNIX;
my $server = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "$ARGV[0]: $!";
print $server "request=smtpd_access_policy\\nclient_address=192.0.2.7\\nclient_name=mail.example.com\\n",
    "sender=alice\\@example.com\\nrecipient=bob\\@example.org\\ninstance=1\\netrn_domain=\\n\\n";
$server->flush;
print scalar <$server>;
"""


# Asks one request after the other, each over a new connection, until standard input ends; prints how many.
ASK_ALL_THE_TIME = """
import select, socket, sys
port, request, count = int(sys.argv[1]), sys.argv[2].encode(), 0
while not select.select([sys.stdin], [], [], 0)[0]:
    with socket.create_connection(("127.0.0.1", port), timeout=60) as client:
        client.sendall(request)
        reply = b""
        while not reply.endswith(b"\\n\\n"):
            part = client.recv(4096)
            if not part:
                sys.exit(f"closed after {reply}")
            reply += part
    count += 1
print(count)
"""


@pytest.fixture(scope="module", params=list(BUILDS))
def suite(request: pytest.FixtureRequest) -> str:
    build_package(request.param)
    return str(request.param)


@pytest.fixture
def machine(suite: str, tmp_path: Path) -> Iterator[Machine]:
    """A machine with nothing installed, and our package in /srv."""
    with Machine(suite, tmp_path) as machine:
        machine.bring(build_package(suite))
        yield machine


@pytest.fixture(scope="module")
def shared(suite: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    with Machine(suite, tmp_path_factory.mktemp("shared")) as machine:
        machine.bring(build_package(suite))
        machine.apt("install", PACKAGE)
        yield machine


@pytest.fixture
def installed(shared: Machine) -> Iterator[Machine]:
    """A machine with our package installed, as it was for those who had a server before."""
    reset(shared)
    yield shared
    reset(shared)


def reset(machine: Machine) -> None:
    """Have options, whitelists and database as at first."""
    machine.shell(
        "systemctl disable --now --quiet postgrey.socket\n"
        "systemctl stop postgrey\n"
        "rm -rf /var/lib/postgrey/* /etc/postgrey/*.local\n"
        "cp /usr/share/postgrey-py/default /etc/default/postgrey\n"
        "systemctl reset-failed postgrey\n"
        "systemctl start postgrey\n"
    )


def configure(machine: Machine, options: str) -> None:
    machine.write("/etc/default/postgrey", f'POSTGREY_OPTS="{options}"\n')
    machine.shell("systemctl restart postgrey || { journalctl -u postgrey --no-pager; exit 1; }")


def upgrade(machine: Machine) -> None:
    """Install a later version of the package."""
    machine.shell(
        f"dpkg-deb -R {PACKAGE} /tmp/next\n"
        "sed -i 's/^Version: .*/Version: 1.0.0-2/' /tmp/next/DEBIAN/control\n"
        "dpkg-deb -b /tmp/next /srv/postgrey-py_1.0.0-2_all.deb; rm -r /tmp/next"
    )
    machine.apt("install", "--reinstall", "/srv/postgrey-py_1.0.0-2_all.deb")


def main_pid(machine: Machine) -> str:
    return machine.shell("systemctl show --value -p MainPID postgrey").strip()


def list_files(machine: Machine) -> set[str]:
    """All files that a package could leave behind."""
    return {path for path in machine.shell("find / /run -xdev").splitlines() if not OTHER_FILES.match(path)}


def test_commands_and_paths_are_debians(installed: Machine) -> None:
    assert "default: /var/lib/postgrey)" in installed.shell("postgrey --help")
    for command in (
        "/usr/sbin/postgrey",
        "/usr/sbin/policy-test",
        "/usr/sbin/postgrey_clients_dump",
        "/usr/sbin/postgreyctl",
    ):
        assert installed.shell(f"{command} --version; [ -e /usr/share/man/man8/{Path(command).name}.8.gz ]")
    for command in ("/usr/bin/postgreyreport", "/usr/bin/postgrey-search", "/usr/bin/postgrey-check"):
        assert installed.shell(f"{command} --version; [ -e /usr/share/man/man1/{Path(command).name}.1.gz ]")
    assert installed.shell("stat -c '%U %G' /var/lib/postgrey") == "postgrey postgrey\n"
    for name in ("postgrey/whitelist_clients", "postgrey/whitelist_recipients"):
        assert installed.shell(f"ucfq --with-colons /etc/{name}") == f"/etc/{name}:postgrey-py:Yes:No\n"
    assert installed.ask(PORT, make_request()) == [DEFERRED]


def test_removal_leaves_the_configuration_and_purge_nothing(machine: Machine) -> None:
    before = list_files(machine)
    machine.apt("install", PACKAGE)
    assert machine.ask(PORT, make_request()) == [DEFERRED]
    machine.write("/etc/postgrey/whitelist_clients.local", "own.example\n")

    machine.apt("remove", "postgrey-py")
    assert machine.shell("systemctl is-active postgrey || true").strip() == "inactive"
    kept = list_files(machine) - before
    assert {"/etc/default/postgrey", "/etc/postgrey/whitelist_clients", "/var/lib/postgrey/postgrey.db"} <= kept
    assert not [path for path in kept if path.startswith(("/usr", "/lib", "/run"))]

    machine.apt("install", PACKAGE)
    assert machine.ask(PORT, make_request(client_name="own.example")) == ["DUNNO"]
    assert machine.shell("systemctl is-enabled postgrey").strip() == "enabled"

    for commands in (["remove", "purge"], ["purge"]):
        for command in commands:
            machine.apt(command, "postgrey-py")
        # Of the administrator's own files nothing goes.
        assert list_files(machine) ^ before == {"/etc/postgrey", "/etc/postgrey/whitelist_clients.local"}
        assert machine.shell("ucfq --with-colons /etc/default/postgrey") == "/etc/default/postgrey:::\n"
        assert machine.shell("dpkg-query -W -f '${db:Status-Status}' postgrey-py 2>/dev/null || true") in (
            "",
            "not-installed",
        )
        machine.apt("install", PACKAGE)
        assert machine.ask(PORT, make_request()) == [DEFERRED]
        assert machine.shell("systemctl is-enabled postgrey").strip() == "enabled"


@pytest.mark.parametrize("first", ["postgrey", PACKAGE], ids=["postgrey", "postgrey-py"])
def test_purging_what_was_replaced_hurts_nobody(machine: Machine, first: str) -> None:
    names = ["postgrey", PACKAGE]
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


@pytest.mark.parametrize("first", ["postgrey", PACKAGE], ids=["postgrey", "postgrey-py"])
def test_what_removal_leaves_belongs_to_the_last_that_was_there(machine: Machine, first: str) -> None:
    packages = {"postgrey": "postgrey", PACKAGE: "postgrey-py"}
    (second,) = set(packages) - {first}
    machine.apt("install", first)
    machine.apt("install", second)
    machine.apt("remove", packages[second])
    files = ["/etc/default/postgrey", "/etc/postgrey/whitelist_clients", "/var/lib/postgrey/postgrey.db"]
    machine.apt("purge", packages[first])
    machine.run("ls", *files)
    machine.apt("purge", packages[second])
    for file in files:
        machine.run("test", "-e", file, status=1)


def test_a_service_that_was_disabled_stays_so(machine: Machine) -> None:
    machine.apt("install", "postgrey")
    machine.shell("systemctl disable --now postgrey")
    machine.apt("install", PACKAGE)
    assert machine.shell("systemctl is-enabled postgrey || true").strip() == "disabled"
    assert machine.shell("systemctl is-active postgrey || true").strip() == "inactive"


def test_files_that_nobody_changed_become_ours_and_debians_again(machine: Machine) -> None:
    machine.apt("install", "postgrey")
    perls = machine.shell("md5sum /etc/default/postgrey /etc/postgrey/*")
    machine.apt("install", PACKAGE)
    machine.shell("cmp /etc/default/postgrey /usr/share/postgrey-py/default")
    machine.shell("cmp /etc/postgrey/whitelist_clients /usr/share/postgrey-py/whitelist_clients")
    machine.apt("install", "postgrey")
    assert machine.shell("md5sum /etc/default/postgrey /etc/postgrey/*") == perls


def test_a_new_installation_takes_no_time_from_requests(machine: Machine) -> None:
    machine.apt("install", PACKAGE)
    for _ in range(2):
        assert "--ignore-test-time" in machine.shell("cat /etc/default/postgrey").partition("POSTGREY_OPTS")[2]
        assert machine.ask(PORT, make_request(policy_test_time="1000000000")) == [DEFERRED]
        assert machine.ask(PORT, make_request(policy_test_time="1000000301")) == [DEFERRED]
        assert machine.shell("ucfq --with-colons /etc/default/postgrey") == "/etc/default/postgrey:postgrey-py:Yes:No\n"
        machine.shell("rm -f /var/lib/postgrey/*; systemctl restart postgrey")
        upgrade(machine)


@pytest.mark.parametrize("is_changed", [False, True])
def test_a_swap_changes_no_options(machine: Machine, is_changed: bool) -> None:
    machine.apt("install", "postgrey")
    if is_changed:
        machine.write("/etc/default/postgrey", f'POSTGREY_OPTS="--inet={PORT} --delay=60"\n')
    before = machine.shell("grep ^POSTGREY_OPTS= /etc/default/postgrey")
    machine.apt("install", PACKAGE)
    upgrade(machine)
    assert machine.shell("grep ^POSTGREY_OPTS= /etc/default/postgrey") == before


def test_an_upgrade_restarts_it_and_asks_nothing(machine: Machine) -> None:
    machine.apt("install", PACKAGE)
    configure(machine, f"--inet={PORT} --delay=77")
    machine.ask(PORT, make_request(policy_test_time="1000000000"))
    pid = main_pid(machine)
    upgrade(machine)
    assert machine.shell("systemctl is-active postgrey").strip() == "active"
    assert main_pid(machine) != pid
    (reply,) = machine.ask(PORT, make_request(policy_test_time="1000000078"))
    assert reply.startswith("PREPEND X-Greylist: delayed 78 seconds")


def test_the_unit_is_sound_and_rated_well(installed: Machine) -> None:
    units = "/lib/systemd/system/postgrey.service /lib/systemd/system/postgrey.socket"
    # Without man-db there is no manual to look for.
    assert installed.shell(f"systemd-analyze verify --man=no {units}") == ""
    rating = installed.shell(f"systemd-analyze security --no-pager --offline=true {units.split()[0]}")
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
    selection = "-u postgrey --facility=mail _COMM=postgrey"
    # One of those selected, lest journalctl skips another one behind it.
    cursor = installed.shell(f"journalctl -n 1 --show-cursor {selection}").split()[-1]
    installed.ask(PORT, make_request(queue_id="4ABC"), make_request(client_name="x.debian.org"))
    installed.shell("systemctl reload postgrey; systemctl restart postgrey")
    lines = installed.shell(f"journalctl -o short --no-pager --after-cursor='{cursor}' {selection}")
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


def test_a_reload_fails_visibly_for_what_is_of_no_use(installed: Machine) -> None:
    pid = main_pid(installed)
    installed.write("/etc/postgrey/whitelist_clients.local", "friend.example\n192.0.2.0/99\n")
    for command in ("systemctl reload postgrey", "service postgrey reload"):
        installed.run(*command.split(), status=1)
    assert "whitelist_clients.local line 2" in installed.shell("journalctl -u postgrey --no-pager")
    wait_until(lambda: installed.ask(PORT, make_request(client_name="friend.example")) == ["DUNNO"])
    assert main_pid(installed) == pid


def test_the_init_script_of_a_removed_package_does_nothing(machine: Machine) -> None:
    machine.apt("install", PACKAGE)
    machine.apt("remove", "postgrey-py")
    for action in ("start", "stop", "reload", "status", "configtest"):
        assert machine.shell(f"sh /etc/init.d/postgrey {action}") == ""


def test_links_between_pages_hold(installed: Machine) -> None:
    directory = "/usr/share/doc/postgrey-py"
    for page in installed.shell(f"find {directory} -name '*.md'").split():
        for link in re.findall(r"\]\((?!https?:)([^)]*)\)", installed.shell(f"cat {page}")):
            installed.run("test", "-e", f"{page.rpartition('/')[0]}/{link}")


def test_a_start_that_fails_is_seen(installed: Machine) -> None:
    installed.write("/etc/default/postgrey", 'POSTGREY_OPTS="--inet=10023 --user=nobody-here"\n')
    assert installed.shell("systemctl restart postgrey && echo fine || echo failed").splitlines()[-1] == "failed"
    assert "there is no user nobody-here" in installed.shell("journalctl -u postgrey --no-pager")


def test_a_server_that_hangs_is_started_again(installed: Machine) -> None:
    installed.write("/run/systemd/system/postgrey.service.d/watchdog.conf", "[Service]\nWatchdogSec=1s\n")
    try:
        installed.shell("systemctl daemon-reload; systemctl restart postgrey")
        pid = main_pid(installed)
        installed.shell(f"kill -STOP {pid}")
        wait_until(lambda: main_pid(installed) not in (pid, "0"))
        wait_until(lambda: installed.shell("systemctl is-active postgrey || true").strip() == "active")
        assert installed.ask(PORT, make_request()) == [DEFERRED]
    finally:
        installed.shell("rm -r /run/systemd/system/postgrey.service.d; systemctl daemon-reload")


def test_a_text_among_the_options_holds(installed: Machine) -> None:
    configure(installed, f"--inet={PORT} --greylist-text=wait")
    assert installed.ask(PORT, make_request()) == ["DEFER_IF_PERMIT 4.2.0 wait"]


def test_ten_restarts_with_the_socket_refuse_no_connection(installed: Machine) -> None:
    installed.shell("systemctl stop postgrey && systemctl enable --now postgrey.socket && systemctl start postgrey")
    command = ["nsenter", f"--target={installed.pid}", "--net", sys.executable, "-c", ASK_ALL_THE_TIME, str(PORT)]
    askers = [
        subprocess.Popen(
            [*command, make_request(client_address=f"192.0.2.{number}").decode()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(3)
    ]
    pids = {main_pid(installed)}
    try:
        for _ in range(RESTARTS):
            # So many in so short a time are too many for systemd otherwise.
            installed.shell("systemctl reset-failed postgrey; systemctl restart postgrey")
            pids.add(main_pid(installed))
    finally:
        outcomes = [asker.communicate(timeout=120)[0] for asker in askers]
    assert [asker.returncode for asker in askers] == [0, 0, 0], outcomes
    assert all(int(outcome) > 10 * RESTARTS for outcome in outcomes), outcomes
    assert len(pids) == RESTARTS + 1


def test_the_socket_goes_with_the_package(machine: Machine) -> None:
    machine.apt("install", PACKAGE)
    machine.shell("systemctl stop postgrey && systemctl enable --now postgrey.socket")
    assert machine.ask(PORT, make_request()) == [DEFERRED]
    machine.apt("remove", "postgrey-py")
    assert machine.shell(f"ss -Hltn sport = :{PORT}") == ""


def test_exim_defers_and_then_accepts_with_the_header(machine: Machine) -> None:
    machine.apt("install", PACKAGE, "exim4-daemon-light")
    configure(machine, f"--inet={PORT} --exim --delay=2")
    statements = re.search(
        r"(?<=at its end:\n\n)(  warn\n.*?)(?=\nThen: )", (ROOT / "debian/README.exim").read_text(), re.DOTALL
    )
    assert statements is not None
    machine.shell("useradd -m bob; install -d -m 1777 /var/mail")
    machine.write(
        "/etc/exim4/exim4.conf",
        "primary_hostname = mx.example.org\nacl_smtp_rcpt = check\nqualify_domain = example.org\nbegin acl\ncheck:\n"
        f"{statements[0]}\n  accept\n"
        "begin routers\nlocal:\n  driver = accept\n  transport = mailbox\n"
        "begin transports\nmailbox:\n  driver = appendfile\n  file = /tmp/inbox\n  user = bob\n  group = bob\n",
    )

    def deliver() -> str:
        """What Exim says to a client that sends a mail to two recipients."""
        mail = (
            "EHLO mail.example.com\r\nMAIL FROM:<alice@example.com>\r\n"
            "RCPT TO:<bob@example.org>\r\nRCPT TO:<robert@example.org>\r\n"
            "DATA\r\nSubject: hello\r\n\r\nhello\r\n.\r\nQUIT\r\n"
        )
        return machine.run("exim4", "-odf", "-oMa", "192.0.2.7", "-bs", stdin=mail, status=None).stdout

    answer = deliver()
    assert len(re.findall(r"^451 Greylisted, see http://\S+\r?$", answer, re.MULTILINE)) == 2, answer
    machine.shell("[ ! -e /tmp/inbox ]")
    wait_until(lambda: "250 OK id=" in deliver())
    mails = machine.shell("cat /tmp/inbox").split("From alice@example.com")[1:]
    assert len(mails) == 2
    for mail in mails:
        (header,) = re.findall(r"^X-Greylist: (.*)$", mail, re.MULTILINE)
        assert re.match(r"delayed \d+ seconds by postgrey-1\.0\.0 at ", header)

    # As the file tells to try it.
    other = "EHLO other.example.com\r\nMAIL FROM:<carol@example.com>\r\nRCPT TO:<bob@example.org>\r\nQUIT\r\n"
    played = machine.run("exim4", "-bh", "198.51.100.9", stdin=other, status=None).stdout
    assert re.search(r"^451 Greylisted, see", played, re.MULTILINE), played


def test_lintian_has_nothing_to_say(suite: str) -> None:
    said = (ROOTS / f"{suite}-package" / "lintian.txt").read_text()
    assert not re.search(r"^[EW]:", said, re.MULTILINE), said
