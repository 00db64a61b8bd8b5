# SPDX-License-Identifier: GPL-2.0-or-later
"""Warnings of options that are legal and do something else than who gave them expects, or nothing."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from postgrey_py.greylist.actions import find_consequence
from postgrey_py.greylist.settings import Settings


def find_option_warnings(settings: Settings, given: Collection[str]) -> list[str]:
    """Return what there is to say about these settings; `given` names the options of the command line, as fields."""
    warnings = list(_find_idle_options(settings, given))
    consequence = find_consequence(settings.greylist_action, settings.exim)
    if consequence is not None:
        action = settings.greylist_action.encode("latin-1").decode("utf-8", "replace")
        warnings.append(f"--greylist-action={action}: {consequence}")
    if settings.retry_window < settings.delay:
        warnings.append(
            f"no mail can ever pass: the retry window ({settings.retry_window} seconds)"
            f" is over before the delay ({settings.delay} seconds) is"
        )
    return warnings


def _find_idle_options(settings: Settings, given: Collection[str]) -> Iterator[str]:
    """Warnings of what is given and has no effect."""
    if "pidfile" in given and not settings.daemonize:
        yield "--pidfile is not written without --daemonize"
    if "syslog_facility" in given and not settings.daemonize:
        yield "--syslog-facility has no effect without --daemonize: the log goes to standard error"
    if "socketmode" in given and not settings.unix:
        yield "--socketmode has no effect without --unix"
    if "verbose" in given and settings.quiet:
        yield "--verbose has no effect with --quiet"
    if settings.never_trust_clients and not settings.auto_whitelist_clients:
        yield "--never-trust-clients has no effect with --auto-whitelist-clients=0: nobody is trusted"
    for name in ("ipv4cidr", "ipv6cidr"):
        if name in given and settings.lookup_by_host:
            yield f"--{name} has no effect with --lookup-by-host"
