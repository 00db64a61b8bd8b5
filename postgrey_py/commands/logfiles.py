# SPDX-License-Identifier: GPL-2.0-or-later
"""The text of log files, plain or compressed, one after the other; used by every tool that reads a mail log.

What a line means is not known here: see `maillog` and `deliveries`.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import importlib
import io
import lzma
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from postgrey_py.commands.formats import printable
from postgrey_py.commands.journal import as_lines
from postgrey_py.errors import PostgreyError

STANDARD_INPUT = "-"

# No log has longer lines; a file without line ends must not fill the memory.
MAX_LINE_BYTES = 64 << 10

_SHOWN_BYTES = 60
# Each block is searched several times, and should stay in the processor's cache meanwhile.
_BLOCK_BYTES = 64 << 10

_UTF_16 = (b"\xff\xfe", b"\xfe\xff")
_GZIP, _BZIP2, _XZ, _ZSTD = b"\x1f\x8b", b"BZh", b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"


class LogFile(NamedTuple):
    """An open file, and what to call it in a message."""

    name: str
    file: io.BufferedIOBase
    is_standard_input: bool = False


# Is told of each block, and of which file it is.
Watcher = Callable[[str, bytes], None]


class LogText:
    """The text of several files in order, and a count of the lines that the caller could not read.

    It comes in blocks of whole lines, so that the few which matter can be found without touching the others. `total` is
    how many lines there were, `lines_of_block` how many the last block has. Raises PostgreyError for a file that can't
    be read to its end.

    The caller says in `has_bare_messages` whether there are lines without heads; then those that look like no line of a
    log are none to complain of. How many lines are empty it counts in `blank`.
    """

    def __init__(self, files: Sequence[LogFile], watch: Watcher | None = None) -> None:
        self.total = 0
        self.lines_of_block = 0
        self.blank = 0
        self.has_bare_messages = False
        self._skipped = _Skipped()
        self._strange = _Skipped()
        self._files = files
        self._watch = watch
        self._name = ""
        self._block = b""
        self._lines_before = 0

    def blocks(self) -> Iterator[bytes]:
        """All text; each block ends with a line end."""
        for name, file, _ in self._files:
            self._name, self._lines_before = name, 0
            try:
                for self._block in as_lines(_whole_lines(file)):
                    self.lines_of_block = self._block.count(b"\n")
                    if self._watch is not None:
                        self._watch(name, self._block)
                    yield self._block
                    self._lines_before += self.lines_of_block
                    self.total += self.lines_of_block
            except (OSError, EOFError, lzma.LZMAError, zlib.error) as error:
                place = f"{name} behind line {self._lines_before}"
                raise PostgreyError(f"can't read {place}: {_explain(error)}") from error

    def skip(self, start: int, is_strange: bool = False) -> None:
        """Count the line that starts here in the last block as one that can't be read.

        `is_strange` tells that it does not even look like a line of a log.
        """
        skipped = self._strange if is_strange else self._skipped
        skipped.count += 1
        if skipped.count == 1:
            within = self._block.count(b"\n", 0, start) + 1
            line = self._block[start : start + _SHOWN_BYTES].partition(b"\n")[0]
            skipped.first = f"{self._name} line {self._lines_before + within}: '{printable(line)}'"
            skipped.place = self.total + within

    @property
    def skipped(self) -> int:
        """The number of lines that could not be read."""
        return self._skipped.count + (0 if self.has_bare_messages else self._strange.count)

    @property
    def emptiness(self) -> str | None:
        """One line that says that there was nothing to read; None when there was something."""
        if self.total != self.blank:
            return None
        names = self._files[0].name if len(self._files) == 1 else f"all {len(self._files)} files"
        return f"the log is empty: {names}"

    def complaint(self) -> str | None:
        """Return one line about all lines that were skipped; None when there were none.

        Raises PostgreyError when there were no others.
        """
        if not self.skipped:
            return None
        kinds = (self._skipped,) if self.has_bare_messages else (self._skipped, self._strange)
        first = min((kind for kind in kinds if kind.count), key=lambda kind: kind.place).first
        if self.skipped == self.total - self.blank:
            raise PostgreyError(f"no line could be read, the first is {first}: is that a mail log?")
        if self.skipped == 1:
            return f"1 line could not be read and was skipped: {first}"
        return f"{self.skipped} lines could not be read and were skipped, the first: {first}"


@dataclass(slots=True)
class _Skipped:
    """The number of lines of a kind that could not be read; what to say of the first, and how many lines it ends."""

    count: int = 0
    first: str = ""
    place: int = 0


def open_log_files(paths: Sequence[str]) -> list[LogFile]:
    """These files, open; standard input for "-", and where there are none. Raises PostgreyError.

    All are opened at once, so that a misspelled name is told before much is read, and so that root can open what the
    user that it then becomes may not.
    """
    return [_open_file(path) for path in paths or (STANDARD_INPUT,)]


def _whole_lines(file: io.BufferedIOBase) -> Iterator[bytes]:
    rest = b""
    while block := file.read1(_BLOCK_BYTES):
        end = block.rfind(b"\n") + 1
        if end:
            yield rest + block[:end]
            rest = b""
        rest += block[end:]
        if len(rest) > MAX_LINE_BYTES:
            yield rest + b"\n"
            rest = b""
    if rest:
        yield rest + b"\n"


def _open_file(path: str) -> LogFile:
    name = "standard input" if path == STANDARD_INPUT else path
    if path == STANDARD_INPUT and sys.stdin is None:
        raise PostgreyError(f"can't open {name}: it is closed")
    try:
        raw = os.dup(sys.stdin.fileno()) if path == STANDARD_INPUT else os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        file = open(raw, "rb")  # noqa: SIM115 - it stays open until the end of the program
        return LogFile(name, _decompress(name, file), path == STANDARD_INPUT)
    except OSError as error:
        raise PostgreyError(f"can't open {name}: {_explain(error)}") from error


def _decompress(name: str, file: io.BufferedReader) -> io.BufferedIOBase:
    """The contents of a file, which may begin like one that is compressed, whatever its name is."""
    start = file.peek(len(_XZ))
    if start.startswith(_UTF_16):
        raise PostgreyError(f"{name} is in UTF-16: put `iconv -f utf-16 -t utf-8` before this command")
    if start.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file)
    if start.startswith(_BZIP2):
        return bz2.BZ2File(file)
    if start.startswith(_XZ):
        return lzma.LZMAFile(file)
    if start.startswith(_ZSTD):
        return _decompress_zstd(name, file)
    return file


def _decompress_zstd(name: str, file: io.BufferedReader) -> io.BufferedIOBase:
    """By Python 3.14's own module, else by the zstd command, which is where such logs come from."""
    with contextlib.suppress(ImportError):
        zstd = importlib.import_module("compression.zstd")
        opened: io.BufferedIOBase = zstd.ZstdFile(file)
        return opened
    command = shutil.which("zstd")
    if command is None:
        raise PostgreyError(f"{name} is compressed with zstd, which is missing here: install the command zstd")
    if not file.seekable():
        raise PostgreyError(f"{name} is compressed with zstd: put `zstd -dc |` before this command")
    # The command goes by the position of the descriptor, which the first look has moved on.
    os.lseek(file.fileno(), file.tell(), os.SEEK_SET)
    return io.BufferedReader(_CommandOutput([command, "-dcq"], file))


class _CommandOutput(io.RawIOBase):
    """The output of a command that reads a file. Its end raises OSError where the command has failed."""

    def __init__(self, command: Sequence[str], file: io.BufferedReader) -> None:
        self._process = subprocess.Popen(command, stdin=file, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        assert self._process.stdout is not None
        octets = self._process.stdout.read1(len(buffer))  # type: ignore[attr-defined]
        buffer[: len(octets)] = octets
        if not octets and len(buffer):
            self._finish()
        return len(octets)

    def _finish(self) -> None:
        assert self._process.stderr is not None
        complaint = self._process.stderr.read().decode("ascii", "backslashreplace")
        if self._process.wait():
            raise OSError(complaint or f"zstd failed with status {self._process.returncode}")

    def close(self) -> None:
        if not self.closed and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        super().close()


def _explain(error: Exception) -> str:
    """Return the text of an error of the operating system or a decompressor, in one line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())
