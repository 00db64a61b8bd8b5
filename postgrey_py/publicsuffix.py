# SPDX-License-Identifier: GPL-2.0-or-later
"""The public suffix list: from which domain on a name belongs to one owner. Read once, at start.

Private suffixes count: two customers below that of a hosting company are two owners. Needs the package publicsuffix2;
the list itself is the system's where there is one, since that is newer.
"""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

from postgrey_py.errors import UsageError
from postgrey_py.greylist.domains import DomainOf, no_domain
from postgrey_py.greylist.lowercase import ascii_lower
from postgrey_py.greylist.settings import Settings
from postgrey_py.greylist.suspicion import Suspicion

# Debian's package publicsuffix; Fedora's publicsuffix-list.
SYSTEM_LISTS = (
    Path("/usr/share/publicsuffix/public_suffix_list.dat"),
    Path("/usr/share/publicsuffix/effective_tld_names.dat"),
)
REMEMBERED_NAMES = 4096

GENERIC_NAME = Suspicion.GENERIC_NAME.value


def require_public_suffixes(option: str) -> None:
    """Raise UsageError, about this option, where the package that reads the list is missing."""
    if find_spec("publicsuffix2") is None:
        raise UsageError(
            f"{option}: this needs the Python package publicsuffix2: pip install 'postgrey-py[domains]',"
            " or apt install python3-publicsuffix2"
        )


def load_public_suffixes(paths: tuple[Path, ...] = SYSTEM_LISTS) -> DomainOf:
    """Return what finds the organisational domain of a name, by the first of these lists that can be read.

    A name that is none, and one that is a public suffix itself, has no such domain. Without any list it goes by the one
    that comes with the package.
    """
    # Nobody else needs it.
    from publicsuffix2 import PublicSuffixList

    suffixes = None
    for path in paths:
        try:
            with path.open(encoding="utf-8") as file:
                suffixes = PublicSuffixList(file)
        except (OSError, UnicodeDecodeError):
            continue
        break
    known = suffixes or PublicSuffixList()

    @lru_cache(REMEMBERED_NAMES)
    def domain_of(name: str) -> str | None:
        labels = ascii_lower(name).removesuffix(".").split(".")
        if len(labels) < 2 or not all(labels) or labels[-1].isdigit():
            return None
        suffix = known.get_tld(".".join(labels), strict=True)
        # A name below a top-level domain that the list does not know: the rule is `*` then.
        length = len(suffix.split(".")) if suffix else 1
        return ".".join(labels[-length - 1 :]) if len(labels) > length else None

    return domain_of


def needs_public_suffixes(settings: Settings) -> str | None:
    """Return the option for which domains have to be told apart; None where that is not needed."""
    if settings.lookup_by_domain:
        return "--lookup-by-domain"
    if settings.whitelist_senders:
        return "--whitelist-senders"
    return "--only-suspects=generic-name" if GENERIC_NAME in settings.only_suspects else None


def find_domain_of(settings: Settings) -> DomainOf:
    """Return what these settings need to find domains by. Raises UsageError."""
    option = needs_public_suffixes(settings)
    if option is None:
        return no_domain
    require_public_suffixes(option)
    return load_public_suffixes()
