# SPDX-License-Identifier: GPL-2.0-or-later
"""Whitelist files -> whitelists, at start and on HUP.

A line or file that can't be used costs a complaint, never an error.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from postgrey_py.greylist.settings import Settings
from postgrey_py.greylist.whitelist import ClientWhitelist, Line, RecipientWhitelist

OPTIONAL_SUFFIX = ".local"


class WhitelistFiles:
    """The whitelists of these settings as they were last read.

    `complaints` has what there was to say about the files and lines at start.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._read = [
            path for path in (*settings.whitelist_clients, *settings.whitelist_recipients) if os.access(path, os.R_OK)
        ]
        client_lines, self._unreadable_clients = _read_files(settings.whitelist_clients)
        recipient_lines, self._unreadable_recipients = _read_files(settings.whitelist_recipients)
        self.clients = ClientWhitelist(client_lines)
        self.recipients = RecipientWhitelist(recipient_lines)
        self.complaints = (
            *self._unreadable_clients,
            *_as_text(self.clients.warnings),
            *self._unreadable_recipients,
            *_as_text(self.recipients.warnings),
        )

    def lost_to(self, user: str) -> list[str]:
        """Complaints about files that were read, but can't be any more: this user, who we are now, must not."""
        return [
            f"{path} can't be read by user {user}, so SIGHUP will not read it again: chown or chmod it"
            for path in dict.fromkeys(self._read)
            if not os.access(path, os.R_OK)
        ]

    def reload(self) -> list[str]:
        """Read the files again; returns what there is to complain of.

        Unlike in 1.37, a list stays whole as it was where one of its files could be read before and can't any more.
        """
        complaints: list[str] = []
        lines, unreadable = _read_files(self._settings.whitelist_clients)
        if set(unreadable) <= set(self._unreadable_clients):
            self.clients = ClientWhitelist(lines)
            self._unreadable_clients = unreadable
            complaints += unreadable
            complaints += _as_text(self.clients.warnings)
        else:
            complaints += [*unreadable, "the client whitelist stays as it was"]
        lines, unreadable = _read_files(self._settings.whitelist_recipients)
        if set(unreadable) <= set(self._unreadable_recipients):
            self.recipients = RecipientWhitelist(lines)
            self._unreadable_recipients = unreadable
            complaints += unreadable
            complaints += _as_text(self.recipients.warnings)
        else:
            complaints += [*unreadable, "the recipient whitelist stays as it was"]
        return complaints


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
            name = os.fsencode(path).decode("latin-1")
            lines += (Line(name, number, entry) for number, entry in enumerate(text.split("\n"), start=1))
    return lines, complaints


def _as_text(warnings: Iterable[str]) -> list[str]:
    """Warnings that quote a file's bytes as Latin-1, as the text that the file's author saw."""
    return [os.fsdecode(warning.encode("latin-1")) for warning in warnings]
