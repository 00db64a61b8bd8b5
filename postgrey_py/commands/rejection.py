# SPDX-License-Identifier: GPL-2.0-or-later
"""Takes apart the line that Postfix logs of a refused recipient; for the report and for `policy-test`.

    NOQUEUE: reject: RCPT from NAME[ADDRESS]: 450 4.2.0 <RECIPIENT>: Recipient address rejected: TEXT;
    from=<SENDER> to=<RECIPIENT> proto=ESMTP helo=<HELO>

Sender, recipient and HELO are the words of strangers. Every pattern takes a time linear in the length of the line.
"""

from __future__ import annotations

import re
from typing import NamedTuple

# An address as Postfix logs it; in double quotes anything may stand. There is but one way to match each.
ADDRESS = r'([^">]*(?:"(?:[^"\\]|\\.)*"[^">]*)*|[^>]*)'
# The name of a client is what the DNS has of it. The port is there with smtpd_client_port_logging.
CLIENT = r"([^\[\s]*)\[([^\]\s]*)\](?::\w+)?"

_START = re.compile(rf"(?:\w+: )?(?:[\w-]+-)?reject(_warning)?: (\S+) from {CLIENT}: (\d)\d\d ", re.ASCII)
_BEGINNING = re.compile(r"(?:\w+: )?(?:[\w-]+-)?reject(?:_warning)?: ", re.ASCII)
_DSN = re.compile(r"\d\.\d{1,3}\.\d{1,3} ", re.ASCII)
_CORRESPONDENTS = re.compile(rf"; from=<{ADDRESS}> to=<{ADDRESS}>(?= proto=|\s*$)", re.ASCII)
_REASON = ">: Recipient address rejected: "

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|\\(.)')
_ESCAPED = re.compile(r"\\(.)")

# So long may sender and recipient be, each byte of them escaped, and so often may a stranger repeat what stands before
# the sender: Postfix takes lines of 2,048 bytes.
_MOST_BYTES = 8192
_MOST_CANDIDATES = 256


class Rejection(NamedTuple):
    """A refused recipient.

    `is_warning`: Postfix only says so, and accepts it (warn_if_reject). `stage` is RCPT, or an earlier or later
    command; `code` is the first digit of the reply.
    """

    is_warning: bool
    stage: str
    client_name: str
    client_address: str
    code: str
    sender: str
    recipient: str


def is_rejection(line: str, start: int) -> bool:
    """Whether the message that starts here says that something was rejected."""
    return _BEGINNING.match(line, start) is not None


def read_rejection(line: str, start: int) -> Rejection | None:
    """Return what the message that starts here says; None when it does not say whose mail to whom was rejected."""
    found = _START.match(line, start)
    if found is None:
        return None
    correspondents = _find_correspondents(line, found.end())
    if correspondents is None:
        return None
    warning, stage, name, address, code = found.groups()
    return Rejection(warning is not None, stage, name, address, code, *correspondents)


def _find_correspondents(line: str, start: int) -> tuple[str, str] | None:
    """Return sender and recipient, from behind the code of the reply.

    What stands between `from=<` and `proto=` may stand there more than once, because a stranger has put it into his
    recipient, before the right one, or into his HELO, behind it. The right recipient is the one that also stands at the
    start of the reply; of several such the longest, in which the others are, and of equal ones the first.
    """
    dsn = _DSN.match(line, start)
    reply = dsn.end() if dsn else start
    best: tuple[str, str] | None = None
    explained = 0
    place = start
    for _ in range(_MOST_CANDIDATES):
        place = line.find("; from=<", place)
        if place < 0:
            break
        found = _CORRESPONDENTS.match(line, place, place + _MOST_BYTES)
        place += 1
        if found is None:
            continue
        pair = unquote(found[1]), unquote(found[2])
        length = max(
            (len(name) + 1 for name in (pair[1], found[2]) if line.startswith(f"<{name}{_REASON}", reply)), default=0
        )
        if best is None or length > explained:
            best, explained = pair, length
    return best


def unquote(address: str) -> str:
    """The address as Postfix has it in its requests: without the quotes that it has in the log."""
    if '"' not in address and "\\" not in address:
        return address
    return _QUOTED.sub(lambda quoted: _ESCAPED.sub(r"\1", quoted[1]) if quoted[2] is None else quoted[2], address)
