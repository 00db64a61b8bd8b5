# SPDX-License-Identifier: GPL-2.0-or-later
"""Start and stop policy servers, ours and Perl's, as child processes on loopback.

Perl Postgrey is the unmodified Debian package that `make` unpacks into `.reference/postgrey`.
"""

from __future__ import annotations

import getpass
import grp
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
POSTGREY = (sys.executable, str(ROOT / "scripts" / "postgrey"))
REFERENCE = ROOT / ".reference" / "postgrey"
PERL_POSTGREY = (str(REFERENCE / "usr" / "sbin" / "postgrey"),)
STOCK_CLIENTS = REFERENCE / "usr" / "share" / "postgrey" / "whitelist_clients"
STOCK_RECIPIENTS = REFERENCE / "usr" / "share" / "postgrey" / "whitelist_recipients"

START_TIMEOUT = 30.0
STOP_TIMEOUT = 30.0


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class PolicyServer:
    """One policy server in the foreground, its log in a file; a context manager that stops it by process id.

    `command` is POSTGREY or PERL_POSTGREY; `options` come behind the listener, dbdir, user and group,
    which are set here. Whitelists are empty unless `options` name some.
    """

    def __init__(
        self,
        command: Sequence[str],
        dbdir: Path,
        options: Sequence[str] = (),
        port: int | None = None,
        env: dict[str, str] | None = None,
    ) -> None:
        self.dbdir = dbdir
        self.port = port or free_port()
        self.log_path = dbdir.with_name(dbdir.name + ".log")
        nothing = dbdir.with_name("empty-whitelist")
        defaults = [f"--{kind}={nothing}" for kind in ("whitelist-clients", "whitelist-recipients")]
        self.argv = [
            *command,
            f"--inet=127.0.0.1:{self.port}",
            f"--dbdir={dbdir}",
            f"--user={getpass.getuser()}",
            f"--group={grp.getgrgid(os.getgid()).gr_name}",
            *(default for default in defaults if not any(o.startswith(default.split("=")[0]) for o in options)),
            *options,
        ]
        self.env = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
        self._process: subprocess.Popen[bytes] | None = None
        dbdir.mkdir(mode=0o700, exist_ok=True)
        nothing.touch()

    def start(self) -> PolicyServer:
        """Start it and return once it accepts connections."""
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self.env)
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=5).close()
            except ConnectionRefusedError:
                time.sleep(0.02)
            else:
                return self
        self.kill()
        raise AssertionError(f"{self.argv} does not serve:\n{self.log()}")

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The server's process; AssertionError before it was started."""
        assert self._process is not None
        return self._process

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self) -> int:
        """Send TERM and return the exit status."""
        # Perl Postgrey can lose a TERM that comes right after a request: ask again until it is gone.
        deadline = time.monotonic() + STOP_TIMEOUT
        while time.monotonic() < deadline:
            self.process.send_signal(signal.SIGTERM)
            try:
                return self.process.wait(timeout=2)
            except subprocess.TimeoutExpired:
                continue
        self.kill()
        raise AssertionError(f"process {self.pid} did not stop on TERM")

    def kill(self) -> None:
        """Kill it with -9, and wait until it is gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def log(self) -> str:
        """Everything it has written to its standard error so far."""
        return self.log_path.read_text(encoding="latin-1")

    def wait_for_log(self, text: str, timeout: float = 20.0) -> str:
        """The log, as soon as `text` is in it; AssertionError after `timeout` seconds."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            log = self.log()
            if text in log:
                return log
            time.sleep(0.02)
        raise AssertionError(f"{text!r} did not appear in the log:\n{self.log()}")

    def __enter__(self) -> PolicyServer:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            if kind is None:
                self.stop()
            else:
                self.kill()
