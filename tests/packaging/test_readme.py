# SPDX-License-Identifier: GPL-2.0-or-later
"""The README's sections for those who install it and are new to greylisting, word for word, on a minimal machine.

The commands are taken out of the text. Installing takes a network, and is done in a root that is only entered; all that
follows is done on a machine that boots from it.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.packaging.machine import TIMEOUT, Machine
from tests.packaging.test_wheel import copy_tree
from tests.support.servers import ROOT

pytestmark = [pytest.mark.proof, pytest.mark.root, pytest.mark.timeout(TIMEOUT)]

# In a root that is only entered there is no systemd to talk to, and nobody to answer apt.
ENTER = """
mount --make-rprivate /
mount --rbind /dev "$1/dev"
mount -t proc proc "$1/proc"
exec chroot "$1" env -i DEBIAN_FRONTEND=noninteractive HOME=/root PATH=/usr/sbin:/usr/bin:/sbin:/bin bash -euxc "
    systemctl() { [ \\"\\$*\\" = daemon-reload ]; }
    apt() { command apt -y \\"\\$@\\"; }
    cd /src
    $2"
"""

# Sends one mail's envelope as a client elsewhere would, whose name is the argument; prints the answer to the recipient.
OFFER = """
import smtplib, sys
client = smtplib.SMTP("127.0.0.1", 25)
client.ehlo("localhost")
client.docmd("XCLIENT", f"NAME={sys.argv[1]} ADDR=192.0.2.7")
client.ehlo("mail.example.com")
client.mail("alice@example.com")
print(*client.rcpt("bob@example.org"))
"""


def read_displays(heading: str, indentation: int) -> list[str]:
    """The displays with this indentation in a section of the README."""
    section = (ROOT / "README.md").read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    displays = re.findall(rf"(?:^ {{{indentation}}}.*\n)+", section, re.MULTILINE)
    return [re.sub(rf"^ {{{indentation}}}", "", display, flags=re.MULTILINE) for display in displays]


def make_minimal_root(root: Path) -> Path:
    """A small system with systemd and Postfix, which fetches packages as this machine does."""
    lists = [Path("/etc/apt/sources.list"), *Path("/etc/apt/sources.list.d").iterdir()]
    sources = [path for path in lists if path.is_file() and path.stat().st_size]
    packages = "ca-certificates,dbus,iproute2,postfix,procps,systemd-sysv"
    options = ["--quiet", "--variant=minbase", "--skip=cleanup/apt/lists", f"--include={packages}"]
    subprocess.run(
        ["mmdebstrap", *options, platform.freedesktop_os_release()["VERSION_CODENAME"], root, *sources], check=True
    )
    pip = Path(os.environ.get("XDG_CONFIG_HOME", Path.home() / ".config")) / "pip" / "pip.conf"
    files = ["/etc/pip.conf", "/etc/resolv.conf", "/etc/hosts", "/etc/ssl/certs/ca-certificates.crt"]
    for path in (*Path("/etc/apt/apt.conf.d").iterdir(), *map(Path, files), pip):
        target = root / ("root/.config/pip/pip.conf" if path == pip else path.relative_to("/"))
        if path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            # What is there may be a link out of the root: replace it, do not write through it.
            target.unlink(missing_ok=True)
            shutil.copy(path, target)
    return root


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which the section Install was followed."""
    directory = tmp_path_factory.mktemp("readme")
    root = make_minimal_root(directory / "root")
    copy_tree(root / "src")
    (commands,) = read_displays("Install", 4)
    enter = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "bash", "-euc", ENTER, "enter"]
    result = subprocess.run(
        [*enter, root, commands.replace('"', '\\"')], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    assert result.returncode == 0, result.stdout.decode()
    with Machine("bookworm", directory, root) as machine:
        machine.shell(
            "postconf -e inet_interfaces=loopback-only mydestination=example.org local_recipient_maps= \\\n"
            "    smtpd_authorized_xclient_hosts=127.0.0.1 maillog_file=/var/log/maillog\n"
            "systemctl restart postfix"
        )
        machine.write("/tmp/offer.py", OFFER)
        yield machine


def test_who_is_new_gets_what_is_promised(machine: Machine) -> None:
    user, lists, start, postfix, deferral, _, whitelist = read_displays("If you are new to greylisting", 7)
    for commands in (user, lists, start, postfix):
        machine.shell(commands)
    assert machine.shell("python3 /tmp/offer.py mail.example.com").startswith("450 b'4.2.0 <bob@example.org>:")
    decision, rejection = (re.sub(r"\[\d{3}\]", "[]", line) for line in deferral.splitlines())
    journal = machine.shell("journalctl -u postgrey --no-pager -o short; postfix check; cat /var/log/maillog")
    seen = re.sub(r"\[\d+\]: ", "[]: ", journal)
    assert decision in seen
    assert rejection in seen
    machine.shell(whitelist)
    assert machine.shell("python3 /tmp/offer.py mx.partner.example").startswith("250 ")
    machine.shell("systemctl restart postgrey; systemctl stop postgrey")
