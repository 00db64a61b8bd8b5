# SPDX-License-Identifier: GPL-2.0-or-later
"""Whitelist files -> whitelists, at start and on HUP.

A line or file that can't be used costs a complaint, never an error.
"""

from __future__ import annotations

from collections.abc import Sequence

from postgrey_py.greylist.settings import Settings
from postgrey_py.greylist.whitelist import ClientWhitelist, Line, RecipientWhitelist

OPTIONAL_SUFFIX = ".local"


def read_clients(settings: Settings) -> tuple[ClientWhitelist, list[str]]:
    """The client whitelist, and a complaint for each of its files that could not be read."""
    lines, unreadable = _read_files(settings.whitelist_clients)
    return ClientWhitelist(lines), unreadable


def read_recipients(settings: Settings) -> tuple[RecipientWhitelist, list[str]]:
    """The recipient whitelist, and a complaint for each of its files that could not be read."""
    lines, unreadable = _read_files(settings.whitelist_recipients)
    return RecipientWhitelist(lines), unreadable


def _read_files(paths: Sequence[str]) -> tuple[list[Line], list[str]]:
    """The lines of these files, and a complaint for each that can't be read."""
    lines: list[Line] = []
    complaints: list[str] = []
    for path in paths:
        try:
            with open(path, "rb") as file:
                text = file.read().decode("latin-1")
        except FileNotFoundError as error:
            # Not everybody has entries of their own.
            if not path.endswith(OPTIONAL_SUFFIX):
                complaints.append(f"can't open {path}: {error.strerror}")
        except OSError as error:
            complaints.append(f"can't open {path}: {error.strerror}")
        else:
            lines += (Line(path, number, entry) for number, entry in enumerate(text.split("\n"), start=1))
    return lines, complaints
