# SPDX-License-Identifier: GPL-2.0-or-later
"""The actions of access(5), as far as they tell what becomes of mail that is answered with one to defer it.

The answer is the action, a space and the text of --greylist-text; Postfix reads the first word, in either case.
"""

from __future__ import annotations

import re

DEFERRING = ("DEFER", "DEFER_IF_PERMIT", "DEFER_IF_REJECT")

# What becomes of the mail; each continues "--greylist-action=X: ".
_BOUNCES = "refuses mail for good: senders are told not to try again, and all first mail is lost"
_ACCEPTS = "accepts mail at once, whatever the restrictions behind say: nothing is greylisted"
_PASSES = "lets mail go on to the restrictions behind: nothing is greylisted"
_FAILS = "makes Postfix answer 451 4.3.5 Server configuration error to all mail that would be greylisted"

_CONSEQUENCES = {
    "REJECT": _BOUNCES,
    "OK": _ACCEPTS,
    "RELAY": _ACCEPTS,
    "PERMIT": _ACCEPTS,
    "DUNNO": _PASSES,
    "INFO": f"{_PASSES}; Postfix only logs the text",
    "WARN": f"{_PASSES}; Postfix only logs the text",
    "PREPEND": f"{_PASSES}; the text is added as a header",
    "BCC": f"{_PASSES}; a copy is sent to what the text begins with",
    "DISCARD": "accepts mail and throws it away: neither sender nor recipient hears of it",
    "HOLD": "accepts mail and keeps it in the hold queue, until somebody lets it go with postsuper -H",
    "FILTER": "accepts mail and sends it to another transport: nothing is greylisted",
    "REDIRECT": "accepts mail and sends it to another address: nothing is greylisted",
}

# Restrictions of postconf(5) that may stand for an action; what follows them is read as more restrictions.
_RESTRICTION = re.compile(r"(reject|permit|check|warn_if_reject|sleep|defer_unless)\w*", re.IGNORECASE)

_ARGUMENTS = re.compile(r"[ \t]")


def find_consequence(action: str, for_exim: bool = False) -> str | None:
    """Return what becomes of mail that is answered with this action, or None where it is deferred as it should be.

    `for_exim` says that Exim asks, whose statements in the manual look for an action that begins with DEFER.
    """
    word, _, argument = action.partition(" ") if " " in action else action.partition("\t")
    name = word.upper()
    # A reply code.
    code = re.fullmatch(r"([45])[0-9][0-9]", word)
    if name in DEFERRING or (code and code[1] == "4"):
        return _find_slip(word, argument) or _find_exims_view(action, for_exim)
    if code:
        return _BOUNCES
    if name in _CONSEQUENCES:
        return _CONSEQUENCES[name]
    near = _nearest(word)
    hint = f"; did you mean {near}?" if near else ""
    if _RESTRICTION.fullmatch(word):
        return f"is a restriction, and the text behind it would be read as more restrictions, which {_FAILS}{hint}"
    return f"{_FAILS}, for that is no action of access(5), unless a restriction class of yours has the name{hint}"


def _find_slip(word: str, argument: str) -> str | None:
    """Return the remark about an action that defers, but otherwise than was meant: `defer if permit`."""
    whole = re.sub(r"[\s-]+", "_", f"{word} {argument}".strip()).upper()
    if argument.strip() and whole in DEFERRING:
        return f"defers at once, with a text that begins with '{argument.strip()}'; did you mean {whole}?"
    return None


def _find_exims_view(action: str, for_exim: bool) -> str | None:
    if for_exim and not action.startswith("DEFER"):
        return "is no deferral to Exim, which looks for DEFER in capital letters: nothing is greylisted"
    return None


def _nearest(word: str) -> str | None:
    """The known action that was probably meant."""
    # Of no use but to the one who mistyped.
    from difflib import get_close_matches

    known = [*DEFERRING, *_CONSEQUENCES]
    name = re.sub(r"[\s-]+", "_", word).strip("_").upper()
    return next(iter(get_close_matches(name, known, n=1, cutoff=0.7)), None)
