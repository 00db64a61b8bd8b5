# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole Postfix of its own: configuration, queue and log below one directory, loopback only.

It takes mail for example.org, asks the policy server about each recipient, and writes what it delivers to
files. A connection may claim any client address and name (XCLIENT). Nothing of the system's Postfix but its
programs is used, no name is looked up, and mail to other domains is discarded.
"""

from __future__ import annotations

import email
import os
import re
import shutil
import signal
import smtplib
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from email.message import Message
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, TypeVar

from tests.support.servers import free_port

POSTFIX = "/usr/sbin/postfix"
SENDER = "alice@example.com"
RECIPIENT = "bob@example.org"
TIMEOUT = 30.0

# pytest's temporary directories are closed to other users, and Postfix's daemons become one. They have
# changed to the queue directory before that, so what they use must lie below it and be named relative to it.
MAIN_CF = """\
compatibility_level = 3.6
queue_directory = {queue}
data_directory = data
maillog_file = /dev/stdout
myhostname = mx.example.org
mydestination =
mynetworks = 127.0.0.0/8
inet_interfaces = 127.0.0.1
inet_protocols = all
smtpd_peername_lookup = no
smtp_dns_support_level = disabled
default_transport = discard
virtual_mailbox_domains = example.org
virtual_mailbox_maps = static:every-recipient-exists
virtual_transport = mailbox
mailbox_destination_recipient_limit = 1
alias_maps =
alias_database =
smtpd_authorized_xclient_hosts = 127.0.0.1
smtpd_recipient_restrictions = {restrictions}
smtpd_soft_error_limit = 1000
smtpd_hard_error_limit = 1000
"""

MASTER_CF = """\
127.0.0.1:{port} inet n - n - - smtpd
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
discard   unix  -       -       n       -       -       discard
anvil     unix  -       -       n       -       1       anvil
postlog   unix-dgram n  -       n       -       1       postlogd
mailbox   unix  -       n       n       -       -       pipe
  user=nobody argv=/usr/bin/tee mailbox/${{queue_id}}.${{user}}
"""

Answer = TypeVar("Answer")


class XClient(NamedTuple):
    """Whom a connection claims to come from, in the notation of XCLIENT."""

    address: str
    name: str = "mail.example.com"


UNKNOWN_CLIENT = XClient("[UNAVAILABLE]", "[UNAVAILABLE]")


class Postfix:
    """One Postfix that asks `policy_service` (as in main.cf); a context manager that ends all its processes.

    `restrictions` are those of recipients where they are not the usual ones.
    """

    def __init__(self, directory: Path, policy_service: str, restrictions: str = "") -> None:
        restrictions = restrictions or f"reject_unauth_destination, check_policy_service {policy_service}"
        self.config = directory / "etc"
        self.queue = directory / "queue"
        self.mailbox = self.queue / "mailbox"
        self.log_path = directory / "maillog"
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        for path in (directory, self.config, self.queue, self.queue / "data", self.mailbox):
            path.mkdir()
            path.chmod(0o755)
        shutil.chown(self.queue / "data", user="postfix")
        shutil.chown(self.mailbox, user="nobody")
        main_cf = self.config / "main.cf"
        main_cf.write_text(MAIN_CF.format(queue=self.queue, restrictions=restrictions))
        # Postfix would wait two seconds lest somebody is still writing this file.
        os.utime(main_cf, (0, 0))
        (self.config / "master.cf").write_text(MASTER_CF.format(port=self.port))

    def start(self) -> Postfix:
        """Start it, once for this directory, and return when it accepts connections."""
        command = [POSTFIX, "-c", str(self.config), "start-fg"]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.wait_for_log("daemon started")
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """End the master and every process of it."""
        assert self.process is not None
        deadline = time.monotonic() + TIMEOUT
        while not (master := self.master_pid()) and self.process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.02)
        if master is not None:
            with suppress(ProcessLookupError):
                # `postfix stop` does the same, and then sleeps for a second.
                os.kill(master, signal.SIGTERM)
        try:
            self.process.wait(timeout=TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if master is not None:
            with suppress(ProcessLookupError):
                os.killpg(master, signal.SIGKILL)

    def master_pid(self) -> int | None:
        """The process id of the master, which is its process group too; None while it is starting."""
        pid_file = self.queue / "pid" / "master.pid"
        text = pid_file.read_text().strip() if pid_file.exists() else ""
        return int(text) if text else None

    def log(self) -> str:
        return self.log_path.read_text(encoding="latin-1")

    def wait_for_log(self, text: str) -> None:
        """Return as soon as `text` is in the log; AssertionError when it does not come."""
        deadline = time.monotonic() + TIMEOUT
        while text not in self.log():
            assert self.process is not None
            assert self.process.poll() is None, f"Postfix ended:\n{self.log()}"
            assert time.monotonic() < deadline, f"{text!r} did not appear in the log:\n{self.log()}"
            time.sleep(0.02)

    def complaints(self) -> list[str]:
        """The lines of the log that say that something is wrong."""
        complaint = re.compile(r"(warning|error|fatal|panic): |Server configuration problem")
        return [line for line in self.log().splitlines() if complaint.search(line)]

    @contextmanager
    def connect(self, client: XClient) -> Iterator[smtplib.SMTP]:
        """An SMTP connection from `client` that has said EHLO."""
        with smtplib.SMTP("127.0.0.1", self.port, timeout=TIMEOUT) as smtp:
            smtp.ehlo("localhost")
            code, text = smtp.docmd("XCLIENT", f"NAME={client.name} ADDR={client.address}")
            assert code == 220, text
            smtp.ehlo("mail.example.com")
            yield smtp

    def offer(self, client: XClient, recipient: str = RECIPIENT, sender: str = SENDER) -> str:
        """What Postfix answers to `recipient` of a message that is then given up."""
        with self.connect(client) as smtp:
            return offer(smtp, [recipient], sender)[0]

    def send(self, client: XClient, recipients: Iterable[str] = (RECIPIENT,), sender: str = SENDER) -> list[Message]:
        """What is delivered of a message to `recipients`, in their order; none of it when one is not accepted."""
        recipients = list(recipients)
        with self.connect(client) as smtp:
            if not all(reply.startswith("250 ") for reply in offer(smtp, recipients, sender)):
                return []
            return self.finish(smtp, recipients)

    def finish(self, smtp: smtplib.SMTP, recipients: Iterable[str] = (RECIPIENT,)) -> list[Message]:
        """Send the text of the message whose `recipients` were accepted, and return what is delivered to each."""
        code, text = smtp.data("Subject: test\r\n\r\nThe body.\r\n")
        assert code == 250, text
        queue_id = text.decode().rpartition(" ")[2]
        self.wait_for_log(f"{queue_id}: removed")
        users = [recipient.partition("@")[0] for recipient in recipients]
        return [email.message_from_bytes((self.mailbox / f"{queue_id}.{user}").read_bytes()) for user in users]

    def __enter__(self) -> Postfix:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def offer(smtp: smtplib.SMTP, recipients: Iterable[str] = (RECIPIENT,), sender: str = SENDER) -> list[str]:
    """Begin a message on `smtp` (giving up one that was begun) and return the answer to each recipient."""
    smtp.rset()
    code, text = smtp.mail(sender)
    assert code == 250, text
    replies = [smtp.rcpt(recipient) for recipient in recipients]
    return [f"{code} {text.decode('latin-1')}" for code, text in replies]


def retry(attempt: Callable[[], Answer], until: Callable[[Answer], bool] = bool) -> Answer:
    """Repeat `attempt` until its answer pleases, as a client does whose mail was deferred."""
    deadline = time.monotonic() + TIMEOUT
    while not until(answer := attempt()):
        assert time.monotonic() < deadline, f"still {answer!r}"
        time.sleep(0.1)
    return answer
