# SPDX-License-Identifier: GPL-2.0-or-later
"""The `postgrey` command: wiring only, in the order that privileges and detaching ask for."""

from __future__ import annotations

import os
import socket
import sys
import traceback
from collections.abc import Sequence
from contextlib import ExitStack

from postgrey_py import __version__
from postgrey_py.commandline import INFORMATION, show_information, writing_output
from postgrey_py.daemon.background import Readiness, detach
from postgrey_py.daemon.check import check
from postgrey_py.daemon.listeners import bind_listeners, bind_metrics, close_listeners
from postgrey_py.daemon.logs import Log, find_syslog_trouble, open_log
from postgrey_py.daemon.options import CommandLine, make_parser, parse_command_line
from postgrey_py.daemon.pidfile import Pidfile
from postgrey_py.daemon.process import (
    drop_privileges,
    find_account,
    open_standard_streams,
    prepare_process,
    spare_garbage_collector,
)
from postgrey_py.daemon.reach import find_unreachable_sockets
from postgrey_py.daemon.server import Server, serve
from postgrey_py.daemon.startup_files import print_startup_file
from postgrey_py.daemon.systemd import PassedSocket, take_passed_sockets
from postgrey_py.daemon.unix_listener import bind_unix, make_directory_of
from postgrey_py.daemon.whitelists import WhitelistFiles
from postgrey_py.database.environment import Environment
from postgrey_py.database.store import Store
from postgrey_py.errors import PostgreyError, StartupError, UsageError
from postgrey_py.greylist.loglines import Level
from postgrey_py.greylist.settings import PATHS, Settings
from postgrey_py.greylist.texts import ReplyTexts

# Of the control socket.
CONTROL_MODE = 0o600


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit status: 0, 1 after an error, 2 for a wrong command line.

    With --check, 1 also tells of warnings.
    """
    open_standard_streams()
    try:
        passed = take_passed_sockets(os.environ)
        command_line = parse_command_line(arguments, has_listener=bool(passed))
        if command_line.action == "serve":
            _run(command_line, list(arguments), passed)
        else:
            with writing_output():
                return _tell(command_line)
    except UsageError as error:
        print(f"postgrey: {error}; see postgrey --help", file=sys.stderr)
        return 2
    except PostgreyError as error:
        print(f"postgrey: {error}", file=sys.stderr)
        return 1
    return 0


def _tell(command_line: CommandLine) -> int:
    """Print what was asked for instead of serving; returns the exit status. Raises PostgreyError."""
    if command_line.action == "check":
        return check(command_line)
    if command_line.action in INFORMATION:
        show_information(make_parser(), "postgrey.8", __version__, command_line.action)
    else:
        print_startup_file(command_line.action)
    return 0


def _run(command_line: CommandLine, arguments: list[str], passed: list[PassedSocket]) -> None:
    """Start the server and serve until it is told to stop. Raises PostgreyError."""
    settings = command_line.settings
    readiness = Readiness()
    log = open_log(settings)
    try:
        with ExitStack() as cleanup:
            account = find_account(settings)
            prepare_process(arguments)
            log.line(Level.NOTICE, f"postgrey {__version__} starting, {describe_settings(settings)}")
            whitelists = WhitelistFiles(settings, lambda text: log.complain(text))
            unreachable = find_unreachable_sockets(settings.unix, account)
            complaints = [*command_line.warnings, *whitelists.complaints, *unreachable]
            _complain(log, complaints, on_terminal=settings.daemonize)
            log.line(Level.NOTICE, whitelists.summary())
            if settings.daemonize and (trouble := find_syslog_trouble()):
                print(
                    f"postgrey: nothing will be logged: {trouble}; start syslog, or leave --daemonize out",
                    file=sys.stderr,
                )
            listeners = bind_listeners(settings, account, passed)
            cleanup.callback(close_listeners, listeners)
            web = _bind_metrics(settings, log)
            cleanup.callback(close_listeners, web)
            if settings.daemonize:
                readiness = detach([*listeners, *web])
                # The first log's socket is closed now, and had the process id of the parent.
                log = open_log(settings)
                if settings.pidfile is not None:
                    cleanup.callback(Pidfile(settings.pidfile).remove)
            if account is not None and settings.control_path() == PATHS.control is not None:
                make_directory_of(PATHS.control, account)
            drop_privileges(account)
            if account is not None:
                _complain(log, whitelists.lost_to(account.name), on_terminal=False)
            environment = Environment(settings.dbdir, settings.auto_whitelist_clients > 0, log.complain)
            cleanup.callback(environment.close)
            control = _bind_control(settings, log)
            if control is not None:
                cleanup.callback(close_listeners, [control])
            store = Store(environment)
            spare_garbage_collector()
            texts = ReplyTexts(settings, __version__)
            serve(
                lambda loop: Server(settings, texts, store, whitelists, log, listeners, loop, control, web),
                readiness.ready,
            )
    except PostgreyError as error:
        # Only now, when everything is put away: whoever hears of it may start another at once.
        if settings.daemonize:
            log.line(Level.CRITICAL, f"FATAL: {error}")
        readiness.failed(str(error))
        raise
    except Exception as error:
        # In the background nobody would see the traceback.
        if settings.daemonize:
            place = traceback.format_exc().strip().replace("\n", " | ")
            log.line(Level.CRITICAL, f"FATAL: a bug: {place}")
        readiness.failed(f"a bug: {error!r}")
        raise
    log.line(Level.NOTICE, "stopped")


def describe_settings(settings: Settings) -> str:
    """Return what the log says at the start: where the records are, and what decides."""
    lookup = "host" if settings.lookup_by_host else f"subnet (/{settings.ipv4cidr}, /{settings.ipv6cidr})"
    if settings.lookup_by_domain:
        lookup += " and domain"
    return (
        f"dbdir={settings.dbdir}, delay={settings.delay}s, lookup by {lookup},"
        f" client lists: {' '.join(settings.whitelist_clients)},"
        f" recipient lists: {' '.join(settings.whitelist_recipients)}"
    )


def _bind_metrics(settings: Settings, log: Log) -> list[socket.socket]:
    """Bind where the page and the metrics are to be. Where that is not possible the log says so, and mail goes on."""
    if settings.metrics is None:
        return []
    try:
        return bind_metrics(settings.metrics)
    except StartupError as error:
        log.complain(f"{error}; there are no metrics")
        return []


def _bind_control(settings: Settings, log: Log) -> socket.socket | None:
    """Bind the control socket. Where that is not possible the log says so, and mail goes on without."""
    path = settings.control_path()
    if path is None:
        return None
    try:
        return bind_unix(path, CONTROL_MODE, None, option="--control")
    except StartupError as error:
        log.complain(f"{error}; postgreyctl can't reach this server")
        return None


def _complain(log: Log, texts: list[str], on_terminal: bool) -> None:
    """Log these warnings; on the terminal too, where the log is elsewhere."""
    for text in texts:
        log.complain(text)
        if on_terminal:
            print(f"postgrey: {text}", file=sys.stderr)
