# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines that Postfix logs about one mail: refused, or accepted and delivered."""

from __future__ import annotations

STAMP = "2026-07-21T09:57:31+02:00"
SECONDS = 1_784_620_651

ACCEPT = "3F2504E0AB: client=mail.example.com[198.51.100.7]"
FROM = "3F2504E0AB: from=<alice@example.com>, size=420, nrcpt=1 (queue active)"
TO = "3F2504E0AB: to=<bob@example.org>, relay=mailbox, delay=0.01, delays=0/0/0/0, dsn=2.0.0, status=sent (ok)"
REMOVED = "3F2504E0AB: removed"
REJECT = (
    "NOQUEUE: reject: RCPT from mail.example.com[198.51.100.7]: 450 4.2.0 <bob@example.org>: Recipient address rejected"
    ": Greylisted; from=<alice@example.com> to=<bob@example.org> proto=ESMTP helo=<mail.example.com>"
)


def lines(*texts: str, stamp: str = STAMP, program: str = "postfix/smtpd[4648]") -> str:
    return "".join(f"{stamp} mx {program}: {text}\n" for text in texts)
