# SPDX-License-Identifier: GPL-2.0-or-later
"""Replace a small file, so that either the old or the new contents survive."""

from __future__ import annotations

import os


def replace_file(path: str, octets: bytes, *, is_durable: bool = True) -> None:
    """Write a file beside this one, and put it in its place. Raises OSError.

    One that is durable is on the disk before, and its name afterwards; the other may be empty after a power failure.
    """
    temporary = f"{path}.new"
    with open(temporary, "wb") as file:
        file.write(octets)
        file.flush()
        if is_durable:
            os.fsync(file.fileno())
    os.replace(temporary, path)
    if not is_durable:
        return
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
