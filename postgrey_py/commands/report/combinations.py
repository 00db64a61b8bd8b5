# SPDX-License-Identifier: GPL-2.0-or-later
"""Options of `postgreyreport` that have no effect beside others: refused or told, never ignored in silence.

What 1.37's report ignores in silence is told, so that scripts which were written for it go on; of our own options, what
can't be meant is refused. Called by `report`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from postgrey_py.commands.report.options import Options
from postgrey_py.errors import UsageError


def check_combination(options: Options) -> list[str]:
    """Return what is to be told of options that have no effect. Raises UsageError for those that make no sense."""
    if options.debug_db:
        _check_debugging(options)
    elif options.summary or options.plot:
        _check_summary(options)
    if options.lookup_by_host and options.lookup_by_subnet:
        raise UsageError("--lookup-by-host and --lookup-by-subnet: say one, or neither to look up both")
    return list(_unused(options))


def _check_debugging(options: Options) -> None:
    if not options.debug_re:
        raise UsageError("--debug_db: say with --debug_re=PATTERN for which clients")
    for name in _names({"summary": options.summary, "plot": options.plot, "format": options.format}):
        raise UsageError(f"--{name}: --debug_db prints records and no report")


def _check_summary(options: Options) -> None:
    for name in (*_given_checks(options), *_given_layout(options)):
        raise UsageError(f"--{name} is about the list, --summary and --plot are about all mail")
    if options.format and not options.summary:
        raise UsageError("--format: --plot draws and prints nothing, unless --summary is given too")


def _unused(options: Options) -> Iterator[str]:
    layout = _given_layout(options)
    if options.debug_db:
        for name in (*layout, *_given_checks(options)):
            yield f"--{name} has no effect with --debug_db"
    elif options.format in ("csv", "json"):
        for name in layout:
            yield f"--{name} has no effect with --format={options.format}"
    elif not options.single_line:
        for name in (name for name in layout if name in ("show_time", "tab")):
            yield f"--{name} has no effect with --nosingle_line"
    if options.nameserver and not _given_checks(options):
        yield "--nameserver has no effect without --check_sender or --skip_dnsbl"
    if options.debug_re and not options.debug_db:
        yield "--debug_re has no effect without --debug_db"


def _given_layout(options: Options) -> list[str]:
    """The options about the look of the list that were given, as 1.37 spells them."""
    return _names(
        {
            "show_time": options.show_time,
            "show_tries": options.show_tries,
            "tab": options.tab,
            "separate_by_ip": options.separate_by_ip,
            "separate_by_subnet": options.separate_by_subnet,
            "nosingle_line": not options.single_line,
        }
    )


def _given_checks(options: Options) -> list[str]:
    """The options about the list that ask the DNS, those that were given."""
    return _names({"check_sender": options.check_sender, "skip_dnsbl": options.skip_dnsbl})


def _names(values: Mapping[str, object]) -> list[str]:
    """The names of the options that were given, of these with their values."""
    return [name for name, value in values.items() if value]
