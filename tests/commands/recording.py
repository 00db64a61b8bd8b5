# SPDX-License-Identifier: GPL-2.0-or-later
"""What a real Postfix logs while a real server greylists its mail, and the database that is left."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.postfix.instance import Postfix, XClient, offer, retry
from tests.support.servers import POSTGREY, PolicyServer

DELAY = 2


class Recording(NamedTuple):
    """The log of Postfix, that of the server without times, and its dbdir."""

    log: str
    server_log: str
    dbdir: Path


def record_mail(
    directory: Path, traffic: Callable[[Postfix], None], options: Sequence[str] = (), main_cf: str = ""
) -> Recording:
    """Let `traffic` offer mail to a Postfix with these additions to main.cf, which asks a server with these options."""
    server = PolicyServer(POSTGREY, directory / "db", [f"--delay={DELAY}", *options])
    postfix = Postfix(directory / "postfix", f"inet:127.0.0.1:{server.port}")
    path = postfix.config / "main.cf"
    path.write_text(path.read_text() + main_cf)
    # Postfix would wait two seconds lest somebody is still writing this file.
    os.utime(path, (0, 0))
    with server, postfix:
        traffic(postfix)
    # The shell that started Postfix has a word to say about how that ended.
    log = "".join(line for line in postfix.log().splitlines(keepends=True) if " postfix/" in line)
    return Recording(log, server.log(), server.dbdir)


def ordinary_traffic(postfix: Postfix) -> None:
    """Mail that Perl's report judges rightly, one for each client that is lost."""
    alice, neighbour = XClient("198.51.100.7"), XClient("198.51.100.200", "mail2.example.com")
    postfix.offer(XClient("203.0.113.7", "mail.example.net"), sender="Lost-17@Example.NET")
    postfix.offer(XClient("192.0.2.9", "[UNAVAILABLE]"), sender="spam@example.net")
    postfix.offer(XClient("198.18.5.77", "host-5-77.pool.example"), sender="pool@example.net")
    postfix.offer(XClient("203.0.113.99", "mx.example.org"), sender="twice@example.org")
    postfix.offer(XClient("203.0.113.99", "mx.example.org"), sender="twice@example.org")
    postfix.offer(alice)
    postfix.offer(XClient("203.0.113.50", "lists.example.org"), sender="list-1-bounce+x@example.org")
    with postfix.connect(XClient("203.0.113.60", "mail.example.edu")) as smtp:
        offer(smtp, ["bob@example.org", "Carol@Example.ORG"], "two@example.edu")
    retry(lambda: postfix.send(neighbour))
    retry(lambda: postfix.send(XClient("203.0.113.50", "lists.example.org"), sender="list-2-bounce+y@example.org"))
    retry(lambda: postfix.send(XClient("203.0.113.60", "mail.example.edu"), sender="two@example.edu"))
    # Known by now: the first recipient is accepted, and the second refused under a queue id.
    with postfix.connect(alice) as smtp:
        offer(smtp, ["bob@example.org", "dave@example.org"])


def odd_traffic(postfix: Postfix) -> None:
    """Mail that came back although Perl's report lists it, and mail that is lost and that it does not list."""
    returning = {
        "unknown@example.com": XClient("198.51.100.1", "[UNAVAILABLE]"),
        "pool@example.com": XClient("198.51.100.2", "host-198-51-100-2.pool.example"),
        "prvs=1234567890=batv@example.com": XClient("198.51.100.3"),
        '"with blank"@example.com': XClient("198.51.100.4"),
        "six@example.com": XClient("IPV6:2001:db8::6"),
        "": XClient("198.51.100.5"),
    }
    for sender, client in returning.items():
        retry(lambda: postfix.send(client, sender=sender))  # noqa: B023
    postfix.offer(XClient("203.0.113.1"), sender="")
    postfix.offer(XClient("IPV6:2001:db8:1::1", "mail6.example.com"))
    postfix.offer(XClient("203.0.113.2"), sender="a/b@example.com")
    postfix.offer(XClient("203.0.113.3"), sender='"a> to=<x"@example.com')
    with postfix.connect(XClient("198.51.100.4")) as smtp:
        offer(smtp, ["bob@example.org", "alias@example.org", "alias2@example.org"], '"with blank"@example.com')
