# SPDX-License-Identifier: GPL-2.0-or-later
"""What the figures depend on: processors, file system, the price of an fsync, memory of a server."""

from __future__ import annotations

import os
import platform
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

_MEMORY_FILE_SYSTEMS = ("tmpfs", "ramfs")


def file_system(directory: Path) -> str:
    """The type of the file system that holds `directory`, as stat(1) names it."""
    command = ["stat", "--file-system", "--format=%T", str(directory)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def is_in_memory(directory: Path) -> bool:
    """Whether an fsync in `directory` costs nothing, so that the figures say little about a mail server."""
    return file_system(directory) in _MEMORY_FILE_SYSTEMS


def fsync_time(directory: Path, times: int = 200) -> float:
    """How many milliseconds an appended block and its fsync take: the median of `times`."""
    waits = []
    with tempfile.TemporaryFile(dir=directory, buffering=0) as file:
        for _ in range(times):
            start = time.perf_counter()
            file.write(b"x" * 512)
            os.fsync(file.fileno())
            waits.append(time.perf_counter() - start)
    return statistics.median(waits) * 1e3


def slow_disk(directory: Path, delay: float) -> dict[str, str]:
    """The environment of a program for which every fsync takes `delay` milliseconds longer than it does here.

    The library that sees to it is compiled into `directory`. An empty environment when `delay` is 0.
    """
    if not delay:
        return {}
    source, library = Path(__file__).with_name("slowsync.c"), directory / "slowsync.so"
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return {"LD_PRELOAD": str(library), "SLOWSYNC_US": str(round(delay * 1000))}


def describe(directory: Path, delay: float = 0) -> str:
    """One line about the machine as it is now; `delay` is what slow_disk adds, a high load average means noise."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    added = f" + {delay:g} ms added" if delay else ""
    return (
        f"{os.cpu_count()} x {model}, {file_system(directory)}, fsync {fsync_time(directory):.2f} ms{added}, "
        f"load average {os.getloadavg()[0]:.2f}, Python {platform.python_version()}"
    )


def peak_memory(pid: int) -> int:
    """The largest resident size so far, in KiB, of process `pid` and its children added up."""
    peak = 0
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            peak = int(line.split()[1])
    for thread in Path(f"/proc/{pid}/task").iterdir():
        peak += sum(peak_memory(int(child)) for child in (thread / "children").read_text().split())
    return peak


def busy_time() -> float:
    """How many seconds all processors together have worked since the machine started, or were held back from it."""
    user, nice, system, _idle, _wait, interrupt, soft_interrupt, stolen = map(
        int, Path("/proc/stat").read_text().partition("\n")[0].split()[1:9]
    )
    return (user + nice + system + interrupt + soft_interrupt + stolen) / os.sysconf("SC_CLK_TCK")


def wait_until_idle(patience: float) -> None:
    """Return as soon as the processors do next to nothing for half a second; at the latest after `patience` seconds."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        busy = busy_time()
        time.sleep(0.5)
        if busy_time() - busy < 0.1:
            return


def finished_children_time() -> float:
    """How many seconds of processor time the children of this process have used that it has waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def processor_time(pid: int) -> float:
    """How many seconds of processor time process `pid` has used so far, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
