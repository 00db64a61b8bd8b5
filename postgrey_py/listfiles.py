# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads the files of lists, for the server and for the commands."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence

from postgrey_py.errors import ListFileError
from postgrey_py.greylist.list_lines import Line, decode_list

# A list of ten thousand entries has a fiftieth of this.
MAX_BYTES = 16 << 20
# How long to wait for who writes to a pipe.
PIPE_SECONDS = 5.0

# With this at the end of the name, a file holds one's own entries, which not everybody has.
OPTIONAL_SUFFIX = ".local"

_CHUNK = 1 << 20


def read_list_file(path: str) -> list[Line]:
    """The lines of this file. Raises ListFileError.

    A pipe is read to its end, but not waited for without end; /dev/null is empty.
    """
    try:
        return _read_lines(path)
    except OSError as error:
        raise ListFileError(_cant_open(path, error)) from error


def _read_lines(path: str) -> list[Line]:
    """The lines of this file. Raises ListFileError, or OSError as open() does."""
    octets = bytearray()
    # A named pipe that nobody writes to would keep the start waiting.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + PIPE_SECONDS
        while chunk := _read(descriptor, deadline, path):
            octets += chunk
            if len(octets) > MAX_BYTES:
                raise ListFileError(f"{path} is too long for a list: it has more than {MAX_BYTES >> 20} MiB")
    finally:
        os.close(descriptor)
    return decode_list(bytes(octets), os.fsencode(path).decode("latin-1"))


def read_list_files(paths: Sequence[str], is_named: bool = True) -> tuple[list[Line], dict[str, str]]:
    """The lines of the files of a list, and a complaint for each that can't be read, by path.

    The file for one's own entries may be missing; when nobody has named the files, any of them.
    """
    lines: list[Line] = []
    complaints: dict[str, str] = {}
    for path in paths:
        try:
            lines += _read_lines(path)
        except ListFileError as error:
            complaints[path] = str(error)
        except FileNotFoundError as error:
            if is_named and not path.endswith(OPTIONAL_SUFFIX):
                complaints[path] = _cant_open(path, error)
        except OSError as error:
            complaints[path] = _cant_open(path, error)
    return lines, complaints


def _cant_open(path: str, error: OSError) -> str:
    return f"can't open {path}: {error.strerror}"


def as_text(remark: str) -> str:
    """A remark that quotes a file's bytes as Latin-1, as the text that the file's author saw."""
    return os.fsdecode(remark.encode("latin-1", "replace"))


def _read(descriptor: int, deadline: float, path: str) -> bytes:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(max(deadline - time.monotonic(), 0) * 1000):
        raise ListFileError(f"{path} is no file: nothing came from it for {PIPE_SECONDS:.0f} seconds")
    return os.read(descriptor, _CHUNK)
