# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgreyreport`: the mail that was deferred and never came back, or what greylisting did in figures and pictures.

What only some reports need is imported when they do: it would double the time that a start takes.
"""

from __future__ import annotations

import gc
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from io import FileIO
from typing import TYPE_CHECKING

from postgrey_py.commands.command import run_command
from postgrey_py.commands.formats import write_csv, write_json
from postgrey_py.commands.logfiles import LogText, open_log_files
from postgrey_py.commands.logorder import TimeWatch, in_order_of_time
from postgrey_py.commands.logtime import LogClock
from postgrey_py.commands.maillog import EventReader, compile_greylist_text
from postgrey_py.commands.report.combinations import check_combination
from postgrey_py.commands.report.debugging import print_records
from postgrey_py.commands.report.greylist_text import pattern_of_text
from postgrey_py.commands.report.history import Deferral, History, IsWanted, make_network_namer
from postgrey_py.commands.report.listing import COLUMNS, ListingStyle, format_lines, in_order_of_address, rows, show
from postgrey_py.commands.report.options import GREYLIST_TEXT, Options, make_parser
from postgrey_py.commands.report.summary import (
    Summary,
    format_summary,
    summarize,
    write_summary_csv,
    write_summary_json,
)
from postgrey_py.commands.report.text_guess import TextGuess
from postgrey_py.commands.report.verdicts import Verdicts, judge
from postgrey_py.commands.run_as import run_as
from postgrey_py.commands.server_options import settings_of
from postgrey_py.database.environment import TRIPLETS
from postgrey_py.database.snapshot import open_snapshot
from postgrey_py.errors import PostgreyError
from postgrey_py.greylist.actions import find_consequence
from postgrey_py.greylist.settings import Settings

if TYPE_CHECKING:
    from postgrey_py.commands.report.sender_checks import SenderChecks

# Makes a picture of a summary, "svg" or "png".
Draw = Callable[[Summary, str], bytes]


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit status: 0, 1 after an error, 2 for a wrong command line."""
    return run_command("postgreyreport.1", make_parser(), Options, run, arguments)


def run(options: Options) -> None:
    """Do what the command line asks for. Raises PostgreyError."""
    for remark in check_combination(options):
        _say(remark)
    settings = settings_of("postgreyreport", options.server_fields(), options.server_options, options.verbose)
    if consequence := find_consequence(settings.greylist_action):
        _say(f"--greylist-action={show(settings.greylist_action)} of the server {consequence}")
    greylist_text = _greylist_pattern(options, settings)
    has_greylist_text = compile_greylist_text(greylist_text)
    guess = TextGuess(has_greylist_text)
    is_wanted = _load_client_filter(options)
    draw = _load_plot() if options.plot else None
    checks = _load_checks(options)
    with ExitStack() as cleanup:
        # Nothing here makes cycles, and to look for them among so many objects takes a tenth of the time.
        gc.disable()
        cleanup.callback(gc.enable)
        # Everything is opened as who we are; then root becomes the user who reads what strangers wrote.
        clock = LogClock(time.time())
        watch = TimeWatch(clock)

        def look(name: str, block: bytes) -> None:
            watch.look(name, block)
            guess.look(block)

        log = LogText(in_order_of_time(open_log_files(options.files), clock), look)
        picture = cleanup.enter_context(_create(options.plot)) if options.plot else None
        run_as(options.user)
        snapshot = cleanup.enter_context(open_snapshot(settings.dbdir, (TRIPLETS,)))
        is_lookup_known = options.lookup_by_host or options.lookup_by_subnet
        verdicts = Verdicts(snapshot.triplets, settings, is_lookup_known)
        if complaint := verdicts.complaint():
            _say(complaint)
        if options.debug_db:
            events = EventReader(log, has_greylist_text)
            print_records(events, verdicts, options.debug_re)
            _complain_of(log, watch, events, options)
            return
        counts_passes = options.summary or draw is not None
        history = History(settings, clock, is_wanted, counts_passes, options.delay or 0)
        events = EventReader(log, has_greylist_text)
        for event in events:
            history.add(event)
        deferrals = history.deferrals(events.is_of_postfix)
        if options.delay is None and history.shortest_delay is not None and history.shortest_delay < settings.delay:
            # The server had another delay then.
            verdicts.delay = history.shortest_delay
        lost = judge(deferrals, verdicts)
        if options.verbose:
            _say(f"{log.total} lines; {len(deferrals)} triplets were deferred, {len(lost)} of them never came back")
        if counts_passes:
            summary = summarize(history, deferrals, clock, make_network_namer(settings))
            if options.plot is not None and draw is not None and picture is not None:
                _write(picture, options.plot, draw(summary, options.plot.rpartition(".")[2]))
            if options.summary:
                _print_summary(summary, options.format)
        else:
            _print_report(in_order_of_address(lost), checks, options, clock, settings)
        # 1.37: who names a text gets what has it, be that nothing.
        guess.is_needed &= options.greylist_text is None and not deferrals and not history.would_be_deferred()
        problem = guess.complaint(greylist_text)
        _complain_of(log, watch, events, options, is_explained=problem is not None)
        if problem is not None:
            raise PostgreyError(problem)


def _greylist_pattern(options: Options, settings: Settings) -> str:
    """The pattern of the text that the server defers mail with."""
    if options.greylist_text is not None:
        return options.greylist_text
    if settings.greylist_text == Settings().greylist_text:
        return GREYLIST_TEXT
    # The log may begin before the server had this text.
    return f"{pattern_of_text(settings.greylist_text)}|{GREYLIST_TEXT}"


def _load_client_filter(options: Options) -> IsWanted | None:
    """Return a test for the clients that the report is about; None where it is about all. Raises PostgreyError."""
    if not (options.skip_clients or options.match_clients or options.skip_pool):
        return None
    from postgrey_py.commands.report.client_filter import ClientFilter

    return ClientFilter(options.skip_clients, options.match_clients, options.skip_pool, _say).is_wanted


def _load_plot() -> Draw:
    """Return the drawing function. Raises PostgreyError where matplotlib is missing."""
    try:
        from postgrey_py.commands.report.plot import draw
    except ImportError as error:
        raise PostgreyError(
            f"--plot needs matplotlib ({error}): install Debian's python3-matplotlib, or postgrey-py[plot] with pip"
        ) from error
    return draw


def _create(path: str) -> FileIO:
    try:
        return open(path, "wb", buffering=0)
    except OSError as error:
        raise PostgreyError(f"can't write {path}: {error.strerror}") from error


def _write(file: FileIO, path: str, octets: bytes) -> None:
    try:
        while octets:
            octets = octets[file.write(octets) :]
    except OSError as error:
        raise PostgreyError(f"can't write {path}: {error.strerror}") from error


def _load_checks(options: Options) -> SenderChecks | None:
    """Return the checks that ask the DNS; None where nothing is to be asked."""
    if not options.skip_dnsbl and not options.check_sender:
        return None
    from postgrey_py.commands.report.sender_checks import SenderChecks

    return SenderChecks(options.nameserver)


def _print_report(
    lost: Sequence[Deferral],
    checks: SenderChecks | None,
    options: Options,
    clock: LogClock,
    settings: Settings,
) -> None:
    passed: Mapping[int, str] = {}
    if checks is not None:
        lost = checks.leave_out_listed(lost, options.skip_dnsbl)
        passed = checks.check_senders(lost, options.check_sender)
        if checks.is_given_up:
            _say("no name server answers: what was to be looked up is left out")
    if options.format == "csv":
        write_csv(COLUMNS, rows(lost, passed, clock))
    elif options.format == "json":
        write_json(rows(lost, passed, clock))
    else:
        name_network = make_network_namer(settings)
        sys.stdout.writelines(format_lines(lost, passed, _style(options), name_network))


def _style(options: Options) -> ListingStyle:
    return ListingStyle(
        show_time=options.show_time,
        show_tries=options.show_tries,
        check_sender=bool(options.check_sender),
        tab=options.tab,
        single_line=options.single_line,
        separate_by_ip=options.separate_by_ip,
        separate_by_subnet=options.separate_by_subnet,
    )


def _print_summary(summary: Summary, form: str | None) -> None:
    if form == "csv":
        write_summary_csv(summary)
    elif form == "json":
        write_summary_json(summary)
    else:
        sys.stdout.writelines(format_summary(summary))


def _complain_of(
    log: LogText, watch: TimeWatch, events: EventReader, options: Options, is_explained: bool = False
) -> None:
    complaints = [complaint for complaint in (log.complaint(), watch.complaint()) if complaint is not None]
    if log.emptiness is not None:
        # A summary says so itself.
        complaints += [] if options.summary else [log.emptiness]
    elif not events.has_events and not is_explained:
        complaints.append(
            f"nothing in the log is about greylisting ({log.total} lines): no rejection of Postfix has its text "
            "(--greylist-text), and postgrey has no line action= in it"
        )
    for complaint in complaints:
        # Where both go to one place, it stands at the end.
        sys.stdout.flush()
        _say(complaint)


def _say(text: str) -> None:
    """Print a message on standard error."""
    print(f"postgreyreport: {text}", file=sys.stderr)
