# SPDX-License-Identifier: GPL-2.0-or-later
"""Read whitelist files for the commands. What their lines mean is the business of `greylist`."""

from __future__ import annotations

import os
from collections.abc import Sequence

from postgrey_py.greylist.whitelist import Line

# With this at the end of the name, a file holds one's own entries, which not everybody has.
OPTIONAL_SUFFIX = ".local"


def read_lines(path: str) -> list[Line]:
    """Return the lines of a file, Latin-1 text as the rules want it. Raises OSError."""
    with open(path, "rb") as file:
        text = file.read().decode("latin-1")
    name = os.fsencode(path).decode("latin-1")
    return [Line(name, number, entry) for number, entry in enumerate(text.split("\n"), start=1)]


def read_lists(paths: Sequence[str], is_named: bool) -> tuple[list[Line], list[str]]:
    """Return the lines of the files that the server reads, and a complaint for each that can't be read.

    One that nobody has named, and that with one's own entries, may be missing.
    """
    lines: list[Line] = []
    complaints: list[str] = []
    for path in paths:
        try:
            lines += read_lines(path)
        except FileNotFoundError as error:
            if is_named and not path.endswith(OPTIONAL_SUFFIX):
                complaints.append(f"can't open {path}: {error.strerror}")
        except OSError as error:
            complaints.append(f"can't open {path}: {error.strerror}")
    return lines, complaints
