# SPDX-License-Identifier: GPL-2.0-or-later
"""Linux namespaces in which system services can be installed, started and killed without a trace on this machine.

The mounts, the processes and the network of a namespace go with its first process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

START_TIMEOUT = 60.0
COMMAND_TIMEOUT = 250.0

PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


# Requests from standard input, one after the other, over one connection; the replies go to standard output.
ASK = """
import socket, sys
with socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=30) as client:
    for request in sys.stdin.buffer.read().split(b"\\n\\n")[:-1]:
        client.sendall(request + b"\\n\\n")
        reply = b""
        while not reply.endswith(b"\\n\\n"):
            part = client.recv(4096)
            if not part:
                sys.exit(f"no reply to {request}: {reply}")
            reply += part
        sys.stdout.buffer.write(reply)
"""


def wait_until(holds: Callable[[], bool], timeout: float = START_TIMEOUT) -> None:
    """Come back as soon as `holds` does; AssertionError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not holds():
        assert time.monotonic() < deadline, f"waited in vain for {timeout} seconds"
        time.sleep(0.05)


class Namespace:
    """Namespaces of their own for mounts, processes, network, host name and control groups, while it is open.

    `setup` is a Bash script that runs as the first process in there, with `arguments` as $1 and so on. Once it has
    mounted what it wants it must end in `exec` of a program that reaps its children, or in a loop that does.
    Its output goes to the file `log`.
    """

    def __init__(self, setup: str, arguments: Sequence[str], log: Path) -> None:
        self.log = log
        self._script = setup
        self._arguments = list(arguments)
        self._outer: subprocess.Popen[bytes] | None = None
        self.pid = 0

    def __enter__(self) -> Namespace:
        kinds = ["--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup"]
        command = ["unshare", *kinds, "--fork", "--kill-child", "bash", "-euc", self._script, "setup", *self._arguments]
        with self.log.open("ab") as log:
            self._outer = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children")
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline and self._outer.poll() is None:
            if pids := children.read_text().split():
                self.pid = int(pids[0])
                return self
            time.sleep(0.01)
        raise AssertionError(f"no namespace:\n{self.log.read_text()}")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._outer is not None:
            # The kernel takes all others along with the first process, which unshare reaps, and then ends itself.
            if self.pid and self._outer.poll() is None:
                os.kill(self.pid, signal.SIGKILL)
            else:
                self._outer.kill()
            self._outer.wait()
        wait_until(lambda: not os.path.exists(f"/proc/{self.pid}"))

    def run(
        self, *command: str, status: int | None = 0, stdin: str | None = None, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in there, with standard error in its output; `status` is what it must exit with, if any."""
        result = subprocess.run(
            ["nsenter", f"--target={self.pid}", "--all", "--root", "--wd", *command],
            input=stdin or "",
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="surrogateescape",
            env={"PATH": PATH, "LC_ALL": "C.UTF-8", "HOME": "/root", **(env or {})},
            timeout=COMMAND_TIMEOUT,
        )
        assert status in (None, result.returncode), f"{command} exited with {result.returncode}:\n{result.stdout}"
        return result

    def ask(self, port: int, *requests: bytes) -> list[str]:
        """The replies to these requests from the server at this port of 127.0.0.1, without `action=`."""
        command = ["nsenter", f"--target={self.pid}", "--net", sys.executable, "-c", ASK, str(port)]
        result = subprocess.run(command, input=b"".join(requests), capture_output=True, timeout=COMMAND_TIMEOUT)
        assert result.returncode == 0, result.stderr.decode()
        replies = result.stdout.decode("latin-1").split("\n\n")[:-1]
        assert len(replies) == len(requests), replies
        return [reply.removeprefix("action=") for reply in replies]

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Make this file in there."""
        self.run(
            "bash", "-euc", 'mkdir -p "$(dirname "$1")"; cat >"$1"; chmod "$2" "$1"', "-", path, f"{mode:o}", stdin=text
        )

    def shell(self, script: str, status: int | None = 0) -> str:
        """Run a shell script in there; returns what it prints."""
        return self.run("bash", "-euc", script, status=status).stdout


# Changes to /etc, /usr/sbin, /lib and /var go to memory, and are gone afterwards. Bash reaps orphans, as init does.
PRIVATE_SYSTEM = """
mount --make-rprivate /
mount -t proc proc /proc
ip link set lo up
mkdir -p "$1"
mount -t tmpfs tmpfs "$1"
for directory in /etc /usr/sbin /usr/lib /var; do
    mkdir -p "$1/upper$directory" "$1/work$directory"
    mount -t overlay -o "lowerdir=$directory,upperdir=$1/upper$directory,workdir=$1/work$directory" overlay "$directory"
done
mount -t tmpfs -o mode=755 tmpfs /run
touch "$1/ready"
while :; do
    sleep 3600 &
    wait
done
"""


class PrivateSystem(Namespace):
    """The machine as it is but for a /run of its own, and changes to its other directories that nobody else sees."""

    def __init__(self, directory: Path) -> None:
        self._scratch = directory / "changes"
        super().__init__(PRIVATE_SYSTEM, [str(self._scratch)], directory / "setup.log")

    def __enter__(self) -> PrivateSystem:
        super().__enter__()
        try:
            wait_until(lambda: self.run("test", "-e", str(self._scratch / "ready"), status=None).returncode == 0)
        except AssertionError:
            self.__exit__(None, None, None)
            raise AssertionError(f"the private system is not ready:\n{self.log.read_text()}") from None
        return self
