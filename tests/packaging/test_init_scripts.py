# SPDX-License-Identifier: GPL-2.0-or-later
"""The init.d scripts, run for real as root: the daemon becomes the user postgrey, and is seen, stopped and reloaded."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.packaging.namespaces import PrivateSystem, wait_until
from tests.support.policy import make_request
from tests.support.servers import ROOT

pytestmark = pytest.mark.root

PORT = 10023
TEXT = "Come back later, please; it's %s seconds"

# Where the unchanged tree has its whitelist.
OWN_CLIENTS = "/etc/postfix/postgrey_whitelist_clients.local"


@dataclass
class Script:
    """One of the scripts, installed in a system of its own."""

    system: PrivateSystem
    path: str
    options_file: str
    options_variable: str
    pidfile: str = "/run/postgrey.pid"

    def configure(self, options: str, text: str = "") -> None:
        lines = f"{self.options_variable}={shlex.quote(options)}\nPOSTGREY_TEXT={shlex.quote(text)}\n"
        self.system.write(self.options_file, lines)

    def run(self, action: str, status: int = 0) -> str:
        return self.system.run("sh", self.path, action, status=status).stdout

    def pid(self) -> int:
        return int(self.system.shell(f"cat {self.pidfile}"))

    def is_alive(self, pid: int) -> bool:
        # One that nobody has waited for yet is dead.
        state = "^State:[[:space:]]*[^Z[:space:]]"
        return self.system.run("grep", "-qs", state, f"/proc/{pid}/status", status=None).returncode == 0

    def ask(self, **attributes: str) -> str:
        return self.system.ask(PORT, make_request(**attributes))[0]


SCRIPTS = {
    "debian": ("scripts/init.d/postgrey", "/etc/default/postgrey", "POSTGREY_OPTS"),
    "redhat": ("scripts/init.d/postgrey.redhat", "/etc/sysconfig/postgrey", "OPTIONS"),
}


@contextmanager
def install(kind: str, directory: Path) -> Iterator[Script]:
    """One of SCRIPTS in a system of its own, with the program of this tree as a package installs it."""
    source, options_file, variable = SCRIPTS[kind]
    with PrivateSystem(directory) as system:
        installed = "/etc/init.d/postgrey"
        system.write(installed, (ROOT / source).read_text(), mode=0o755)
        program = shlex.join([sys.executable, str(ROOT / "scripts" / "postgrey")])
        wrapper = f'#!/bin/sh\nPYTHONPATH={shlex.quote(str(ROOT))} exec {program} "$@"\n'
        system.write("/usr/sbin/postgrey", wrapper, mode=0o755)
        system.shell(
            # Red Hat has no group nogroup.
            f"sed -i '/^postgrey:/d{';/^nogroup:/d' * (kind == 'redhat')}' /etc/passwd /etc/group\n"
            "echo postgrey:x:64901: >>/etc/group\n"
            "echo postgrey:x:64901:64901::/var/lib/postgrey:/usr/sbin/nologin >>/etc/passwd\n"
            "rm -rf /var/lib/postgrey; install -d -o postgrey -g postgrey /var/lib/postgrey\n"
            "mkdir -p /etc/postfix /run/lock/subsys; touch /etc/postfix/postgrey_whitelist_{clients,recipients}"
        )
        yield Script(system, installed, options_file, variable)


@pytest.fixture(params=SCRIPTS)
def script(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Script]:
    with install(request.param, tmp_path) as installed:
        installed.configure(f"--inet=127.0.0.1:{PORT} --dbdir=/var/lib/postgrey --delay=60", TEXT)
        yield installed


def test_start_obeys_the_options_file(script: Script) -> None:
    script.run("start")
    assert script.ask() == f"DEFER_IF_PERMIT 4.2.0 {TEXT.replace('%s', '60')}"
    name = script.system.shell(f"ps -o user=,comm= -p {script.pid()}")
    assert name.split() == ["postgrey", "postgrey"]


def test_the_text_may_be_among_the_options(script: Script) -> None:
    script.configure(f"--inet=127.0.0.1:{PORT} --dbdir=/var/lib/postgrey --greylist-text=Later")
    script.run("start")
    assert script.ask() == "DEFER_IF_PERMIT 4.2.0 Later"


def test_start_takes_the_defaults_without_an_options_file(script: Script) -> None:
    script.system.shell(f"rm {script.options_file}; install -d -o postgrey /var/spool/postfix/postgrey")
    script.run("start")
    assert script.run("status")


def test_status_and_a_second_start_see_the_running_daemon(script: Script) -> None:
    assert script.run("status", status=3)
    script.run("start")
    pid = script.pid()
    assert "running" in script.run("status")
    script.run("start")
    assert script.pid() == pid
    assert script.system.shell("pgrep -xc postgrey") == "1\n"


def test_stop_comes_back_when_the_daemon_is_gone(script: Script) -> None:
    script.run("start")
    script.ask()
    pid = script.pid()
    script.run("stop")
    assert not script.is_alive(pid)
    assert script.system.run("test", "-e", script.pidfile, status=None).returncode == 1
    script.run("status", status=3)
    script.run("stop")


def test_stop_kills_a_daemon_that_does_not_end(script: Script) -> None:
    script.system.shell(f"sed -i 's,TERM/30,TERM/1,; s/^STOP_SECONDS=30/STOP_SECONDS=1/' {script.path}")
    script.run("start")
    pid = script.pid()
    script.system.shell(f"kill -STOP {pid}")
    script.run("stop")
    assert not script.is_alive(pid)


def test_restart_brings_a_new_daemon(script: Script) -> None:
    script.run("start")
    pid = script.pid()
    script.run("restart")
    assert script.pid() != pid
    assert not script.is_alive(pid)
    assert script.ask()
    script.run("stop")
    script.run("restart")
    assert script.ask()


def test_try_restart_leaves_a_stopped_daemon_alone(script: Script) -> None:
    script.run("try-restart")
    script.run("status", status=3)
    script.run("start")
    pid = script.pid()
    script.run("try-restart")
    assert script.pid() != pid


def test_status_knows_a_daemon_that_died(script: Script) -> None:
    script.run("start")
    script.system.shell(f"kill -KILL {script.pid()}; while [ -d /proc/{script.pid()} ]; do sleep 0.02; done")
    script.run("status", status=1)
    script.run("start")
    script.run("status")


@pytest.mark.parametrize("action", ["reload", "force-reload"])
def test_reload_reads_the_whitelists_anew(script: Script, action: str) -> None:
    script.run(action, status=7)
    script.run("start")
    pid = script.pid()
    assert script.ask(client_name="mail.friend.example").startswith("DEFER")
    script.system.write(OWN_CLIENTS, "friend.example\n")
    script.run(action)
    wait_until(lambda: script.ask(client_name="mail.friend.example") == "DUNNO")
    assert script.pid() == pid


# What a list may have that is of no use, and the words that tell.
USELESS = {
    "a pattern of the clients": ("clients.local", "/(/\n", 0o644, "clients.local line 2"),
    "a network of the clients": ("clients.local", "192.0.2.0/99\n", 0o644, "clients.local line 2"),
    "a recipient": ("recipients.local", "two words\n", 0o644, "recipients.local line 2"),
    "a list for root only": ("clients.local", "", 0o600, "clients.local"),
    "a directory": ("recipients.local", None, 0, "recipients.local"),
}


@pytest.mark.parametrize("fault", USELESS)
def test_reload_tells_what_it_could_not_use_and_uses_the_rest(script: Script, fault: str) -> None:
    name, line, mode, said = USELESS[fault]
    script.run("start")
    path = f"/etc/postfix/postgrey_whitelist_{name}"
    if line is None:
        script.system.shell(f"mkdir {path}")
    else:
        script.system.write(path, f"friend.example\n{line}", mode)
    assert said in script.run("reload", status=1)
    if line and name == "clients.local":
        wait_until(lambda: script.ask(client_name="mail.friend.example") == "DUNNO")
    script.run("status")
    script.system.shell(f"rm -r {path}")
    script.run("reload")


def test_reload_tells_that_the_next_start_would_fail(script: Script) -> None:
    script.run("start")
    pid = script.pid()
    script.configure(f"--inet=127.0.0.1:{PORT} --dbdir=/var/lib/postgrey --delya=60")
    assert "--delya=60" in script.run("reload", status=1)
    assert "--delya=60" in script.run("restart", status=2)
    assert script.pid() == pid
    assert script.ask()


def test_configtest_asks_without_a_server(script: Script) -> None:
    script.run("configtest")
    script.system.write(OWN_CLIENTS, "192.0.2.0/99\n")
    assert "line 1" in script.run("configtest", status=1)
    script.configure("--inet=nonsense")
    assert "nonsense" in script.run("configtest", status=2)
    script.run("status", status=3)


def test_a_missing_program_is_an_error(script: Script) -> None:
    script.run("start")
    script.system.shell("mv /usr/sbin/postgrey /usr/sbin/elsewhere")
    for action in ("restart", "reload", "configtest"):
        assert "/usr/sbin/postgrey is missing" in script.run(action, status=5)
    script.run("status")
    script.run("stop")
    assert "/usr/sbin/postgrey is missing" in script.run("start", status=5)
    script.run("status", status=3)
    script.system.shell(f"echo DAEMON=/usr/sbin/elsewhere >>{script.options_file}")
    script.run("start")
    assert script.ask()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (f"--inet=127.0.0.1:{PORT} --delya=60", "--delya=60: no such option"),
        (f"--inet=127.0.0.1:{PORT} --dbdir=/nonexistent", "dbdir /nonexistent is not usable"),
        (f"--inet=127.0.0.1:{PORT} --user=nobody-here", "there is no user nobody-here"),
    ],
)
def test_start_fails_visibly_with_the_daemon(script: Script, options: str, said: str) -> None:
    script.configure(options)
    result = script.system.run("sh", script.path, "start", status=None)
    assert result.returncode in (1, 2)
    assert said in result.stdout
    script.system.run("timeout", "30", "sh", "-c", "while pgrep -x postgrey; do sleep 0.02; done")


def test_a_pidfile_that_names_another_process_fools_nobody(script: Script) -> None:
    script.system.shell(f"sleep 600 </dev/null >/dev/null 2>&1 & echo $! >{script.pidfile}")
    pid = script.pid()
    assert script.system.run("sh", script.path, "status", status=None).returncode in (1, 3)
    script.run("stop")
    assert script.is_alive(pid)
    script.system.shell(f"echo {pid} >{script.pidfile}")
    script.run("start")
    assert script.pid() != pid
    assert script.ask()


def test_wrong_words_are_refused(script: Script) -> None:
    assert "Usage" in script.run("begin", status=2)
    assert "Usage" in script.system.run("sh", script.path, status=2).stdout


# The values that EPEL's package has, and the directory as it makes it, with Postfix's group.
EPEL = """
POSTGREY_TYPE="--unix=/var/spool/postfix/postgrey/socket"
POSTGREY_PID="--pidfile=/var/run/postgrey.pid"
POSTGREY_GROUP="--group=postgrey"
POSTGREY_USER="--user=postgrey"
POSTGREY_DELAY="--delay=77"
POSTGREY_OPTS="--privacy"
"""
EPEL_SOCKET = "/var/spool/postfix/postgrey/socket"


@pytest.fixture
def redhat(tmp_path: Path) -> Iterator[Script]:
    """The script for Red Hat, with the directories of EPEL's package."""
    with install("redhat", tmp_path) as script:
        script.system.shell(
            "rm -rf /etc/sysconfig/postgrey /var/spool/postfix\n"
            "install -d /var/spool/postfix; install -d -o postgrey -g postfix -m 0751 /var/spool/postfix/postgrey"
        )
        yield script


def can_connect(script: Script, user: str) -> bool:
    """Whether this user can reach EPEL's socket, as Postfix does."""
    code = f"import socket; socket.socket(socket.AF_UNIX).connect({EPEL_SOCKET!r})"
    command = ["setpriv", f"--reuid={user}", "--clear-groups", "/usr/bin/python3", "-c", code]
    return script.system.run(*command, status=None).returncode == 0


def test_epels_variables_are_obeyed(redhat: Script) -> None:
    redhat.system.write(redhat.options_file, EPEL)
    redhat.run("start")
    assert can_connect(redhat, "postfix")
    assert can_connect(redhat, "nobody")
    assert not redhat.system.shell(f"ss -Hltn sport = :{PORT}")
    assert redhat.system.shell("stat -c '%U %G' /var/spool/postfix/postgrey/postgrey.db") == "postgrey postgrey\n"
    redhat.run("reload")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (f'POSTGREY_TYPE="--inet=127.0.0.1:{PORT}"', "wait 300 seconds"),
        (f'POSTGREY_TYPE="--inet=127.0.0.1:{PORT}"; POSTGREY_DELAY="--delay=44"', "wait 44 seconds"),
        (f'POSTGREY_TYPE=; POSTGREY_OPTS="--inet={PORT} --delay=33"', "wait 33 seconds"),
        (f'OPTIONS="--inet={PORT} --delay=22"', "wait 22 seconds"),
        (f'OPTIONS="--inet={PORT}"; POSTGREY_DELAY="--delay=11"', "wait 11 seconds"),
    ],
)
def test_each_of_epels_variables_may_be_alone(redhat: Script, line: str, expected: str) -> None:
    redhat.system.write(redhat.options_file, f"{line}\nPOSTGREY_TEXT='wait %s seconds'\n")
    redhat.run("start")
    assert redhat.ask() == f"DEFER_IF_PERMIT 4.2.0 {expected}"


@pytest.mark.parametrize("value", ["--pidfile=/run/other.pid", "--pidfile /run/other.pid"])
def test_epels_pidfile_and_user_are_obeyed(redhat: Script, value: str) -> None:
    redhat.system.shell("chown nobody /var/spool/postfix/postgrey")
    redhat.system.write(redhat.options_file, f'POSTGREY_PID="{value}"\nPOSTGREY_USER=--user=nobody\n')
    redhat.pidfile = "/run/other.pid"
    redhat.run("start")
    assert redhat.system.shell(f"ps -o user= -p {redhat.pid()}").strip() == "nobody"
    redhat.run("status")
    redhat.run("stop")
    redhat.system.run("test", "-e", redhat.pidfile, status=1)


def test_without_options_it_listens_where_postfix_asks_by_either_instruction(redhat: Script) -> None:
    redhat.run("start")
    assert can_connect(redhat, "postfix")
    assert redhat.ask().startswith("DEFER")


@pytest.mark.parametrize("mode", ["0700", "0710", "0750"])
def test_a_closed_directory_leaves_the_port(redhat: Script, mode: str) -> None:
    redhat.system.shell(f"chmod {mode} /var/spool/postfix/postgrey; chgrp postgrey /var/spool/postfix/postgrey")
    redhat.run("start")
    assert redhat.ask().startswith("DEFER")
    redhat.system.run("test", "-e", EPEL_SOCKET, status=1)
    redhat.run("reload")


def test_a_socket_that_postfix_cannot_reach_is_told(redhat: Script) -> None:
    redhat.system.write(redhat.options_file, EPEL)
    redhat.system.shell("chmod 0700 /var/spool/postfix/postgrey")
    said = f"only postgrey can enter {EPEL_SOCKET.rpartition('/')[0]}"
    assert said in redhat.run("start")
    assert said in redhat.run("reload", status=1)
