# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian machines to install packages on: systemd as first process, no network, changes in memory only.

The root they share, and the package of this tree, are made once by build-aux/debian-root and build-aux/debian-package;
that takes a network, the machines do not.
"""

from __future__ import annotations

import functools
import itertools
import os
import subprocess
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

from tests.packaging.namespaces import Namespace, wait_until
from tests.support.servers import ROOT

# Where roots are kept, a directory that git ignores.
ROOTS = ROOT / "build" / "debian"

# Who builds the package in a suite, and with which options. In bookworm root does, who can run all the tests; in trixie
# an ordinary user, as on the machines of distributions, and without tests.
BUILDS = {
    "trixie": ("builder", "nocheck"),
    "bookworm": ("root", ""),
}

# The first test in a suite waits for its package and its root.
TIMEOUT = 2400

_numbers = itertools.count(1)

SETUP = """
root=$1/root
mkdir -p "$1"
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
mkdir "$1/upper" "$1/work" "$root"
mount -t overlay -o "lowerdir=$2,upperdir=$1/upper,workdir=$1/work" overlay "$root"
ip link set lo up
hostname greylist
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in full null random tty urandom zero; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/.old"
mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
# There is no kernel of its own to load modules into.
ln -s /dev/null "$root/etc/systemd/system/systemd-modules-load.service"
cd "$root"
pivot_root . .old
umount -l /.old
rmdir /.old
exec env -i container=other PATH=/usr/sbin:/usr/bin:/sbin:/bin /sbin/init
"""


def _find_control_groups() -> Path:
    """Where systemd can keep its services, in a control group below which nobody else has any."""
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    paths = [path for _, path, kind, *_ in mounts if kind == "cgroup2"]
    assert paths, "no control groups (cgroup2) are mounted, which a machine with systemd needs"
    return Path(paths[0])


class Machine(Namespace):
    """A Debian machine of its own while it is open, with the packages in its apt archive at hand.

    Its root is that of this suite, or another one.
    """

    def __init__(self, suite: str, directory: Path, root: Path | None = None) -> None:
        self.suite = suite
        self._group = _find_control_groups() / f"postgrey-py-{os.getpid()}-{next(_numbers)}"
        root = root or make_root(suite)
        # The first process joins a control group, which then is the root of all those that systemd sees.
        join = f'mkdir -p {self._group}; echo $$ >{self._group}/cgroup.procs; exec unshare --cgroup bash -euc "$@"'
        arguments = [SETUP, "setup", str(directory / "machine"), str(root)]
        super().__init__(join, arguments, directory / "machine.log")

    def __enter__(self) -> Machine:
        super().__enter__()
        try:
            wait_until(lambda: self._state() == "running")
        except AssertionError:
            state = self._state()
            self.__exit__(None, None, None)
            raise AssertionError(f"the machine is {state}:\n{self.log.read_text()}") from None
        return self

    def _state(self) -> str:
        return self.run("systemctl", "is-system-running", "--wait", status=None).stdout.strip()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        for directory, _, _ in os.walk(self._group, topdown=False):
            os.rmdir(directory)

    def apt(self, *arguments: str) -> str:
        """Run apt-get as an administrator's script does: no terminal, no questions, no option about conffiles."""
        env = {"DEBIAN_FRONTEND": "noninteractive"}
        return self.run("apt-get", "--yes", "--quiet", *arguments, env=env).stdout

    def bring(self, file: Path) -> str:
        """Copy a file into the machine's /srv; returns its path there."""
        path = f"/srv/{file.name}"
        with file.open("rb") as source:
            subprocess.run(
                ["nsenter", f"--target={self.pid}", "--all", "--root", "--wd", "sh", "-c", 'cat >"$0"', path],
                stdin=source,
                check=True,
            )
        return path


@functools.cache
def _start_preparations() -> tuple[dict[str, Future[Path]], dict[str, Future[Path]]]:
    """Build the package of this tree, and a root to try it in, in all suites at the same time."""
    executor = ThreadPoolExecutor(len(BUILDS))
    roots = {suite: executor.submit(_make_root, suite) for suite in BUILDS}
    return roots, {suite: executor.submit(_build_package, suite) for suite in BUILDS}


def _make_root(suite: str) -> Path:
    root = ROOTS / f"{suite}-system"
    _make("debian-root", suite, "system", str(root))
    return root


def _build_package(suite: str) -> Path:
    user, options = BUILDS[suite]
    package, root = ROOTS / f"{suite}-package", ROOTS / f"{suite}-build"
    env = {**os.environ, "DEB_BUILD_OPTIONS": options, "PYTEST_ADDOPTS": ""}
    _make("debian-package", suite, str(root), str(package), user, env=env)
    (file,) = package.glob("postgrey-py_*_all.deb")
    return file


def _make(script: str, *arguments: str, env: dict[str, str] | None = None) -> None:
    result = subprocess.run(
        [ROOT / "build-aux" / script, *arguments],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    assert result.returncode == 0, result.stdout


def make_root(suite: str) -> Path:
    """The root of machines of this suite."""
    return _start_preparations()[0][suite].result()


def build_package(suite: str) -> Path:
    """The Debian package of this tree, built and tested in a root of this suite."""
    return _start_preparations()[1][suite].result()
