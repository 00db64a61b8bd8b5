# SPDX-License-Identifier: GPL-2.0-or-later
"""explain without a server: from a copy of the database, the lists, and what is known of the server's options."""

from __future__ import annotations

import sys
import time
from typing import Any

from postgrey_py.commands.control.mails import Mail
from postgrey_py.commands.control.options import NAME
from postgrey_py.commands.server_arguments import ServerFields
from postgrey_py.commands.server_options import settings_of
from postgrey_py.database.snapshot import open_snapshot
from postgrey_py.greylist.explanation import explain
from postgrey_py.greylist.policy import Policy
from postgrey_py.greylist.request import request_about
from postgrey_py.greylist.settings import Settings
from postgrey_py.greylist.tables import Records
from postgrey_py.greylist.whitelists import KINDS, USUAL, Watch, Whitelists
from postgrey_py.listfiles import as_text, read_list_files
from postgrey_py.protocol.descriptions import describe_explanation
from postgrey_py.publicsuffix import find_domain_of


def find_settings(dbdir: str | None, server_options: str | None) -> Settings:
    """Return the settings that the server would have, as far as they decide. Raises PostgreyError."""
    wanted = ServerFields(
        auto_whitelist_clients=None,
        dbdir=dbdir,
        delay=None,
        greylist_recipients=None,
        ipv4cidr=None,
        ipv6cidr=None,
        lookup_by_domain=None,
        lookup_by_host=None,
        max_age=None,
        never_trust_clients=None,
        only_suspects=None,
        privacy=None,
        retry_window=None,
        training=None,
        whitelist_clients=None,
        whitelist_recipients=None,
        whitelist_senders=None,
        whitelist_unverified_senders=None,
    )
    return settings_of(NAME, wanted, server_options)


def explain_from_files(settings: Settings, mail: Mail, at: int | None) -> dict[str, Any]:
    """Return the explanation that a server with these settings would give. Raises PostgreyError.

    Allowances and a pause are not looked at: they are orders to a server.
    """
    defaults = Settings()
    watch = Watch(time.thread_time)
    found: dict[str, Any] = {}
    for name, kind in KINDS.items():
        paths = getattr(settings, kind.files)
        if not paths and name not in USUAL:
            continue
        # Those that the server reads by default need not be there.
        lines, complaints = read_list_files(paths, is_named=paths != getattr(defaults, kind.files))
        found[name] = kind.make(lines, watch)
        for complaint in complaints.values():
            print(f"{NAME}: {as_text(complaint)}", file=sys.stderr)
    lists = Whitelists(**found)
    request = request_about(mail.client, mail.name, mail.helo, mail.sender, mail.recipient)
    policy = Policy(settings, lists, domain_of=find_domain_of(settings))
    with open_snapshot(settings.dbdir) as snapshot:
        records = Records(snapshot.triplets, snapshot.clients)
        now = int(time.time()) if at is None else at
        return describe_explanation(explain(policy, lists, settings, request, mail.helo, records, now))
