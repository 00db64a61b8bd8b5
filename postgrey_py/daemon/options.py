# SPDX-License-Identifier: GPL-2.0-or-later
"""The server's command line -> Settings: every option of 1.37 with its grammar, checked."""

from __future__ import annotations

import argparse
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

from postgrey_py.commandline import Parser, take_information
from postgrey_py.daemon.logs import FACILITIES
from postgrey_py.daemon.option_values import (
    AUTO_WHITELIST_CLIENTS,
    MAX_DELAY,
    number_up_to,
    read_auto_whitelist_clients,
    read_control,
    read_days,
    read_listen_queue_size,
    read_listener,
    read_metrics,
    read_path,
    read_retry_window,
    read_socket_mode,
    read_suspicions,
    read_text,
)
from postgrey_py.daemon.option_warnings import find_option_warnings
from postgrey_py.daemon.startup_files import STARTUP_FILES
from postgrey_py.errors import UsageError
from postgrey_py.greylist.actions import DEFERRING
from postgrey_py.greylist.address import IPV4_BITS, IPV6_BITS
from postgrey_py.greylist.settings import CONTROL_NAME, JSON, PATHS, SECONDS_PER_DAY, TEXT, Settings
from postgrey_py.greylist.suspicion import SUSPICIONS
from postgrey_py.publicsuffix import needs_public_suffixes, require_public_suffixes

MAX_LISTEN_QUEUE_SIZE = 999

# unlike 1.37, which takes its default instead without a word.
_ZERO_IS_DEFAULT = ("delay", "max_age", "ipv4cidr", "ipv6cidr")


class CommandLine(NamedTuple):
    """The request of a command line: an `action`, and its settings.

    The actions are "serve", "check", "help", "man", "version", and each kind of start-up file, to print it.
    `warnings` are for the log: what was given but is not used, or can't work.
    """

    action: str
    settings: Settings
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """The options and operands that are no settings."""

    check: bool
    lookup_by_subnet: bool
    noaction: bool
    print_startup_file: str | None
    stray: list[str]


def parse_command_line(arguments: Sequence[str], has_listener: bool = False) -> CommandLine:
    """Read the command line. Raises UsageError, whose text names option and value.

    `has_listener` says that the server has where to listen already, without --inet and --unix.
    """
    given = make_parser().parse(arguments)
    if information := take_information(given):
        return CommandLine(information, Settings(), ())
    asked = _Asked(**{field.name: given.pop(field.name) for field in fields(_Asked)})
    if asked.print_startup_file:
        return CommandLine(asked.print_startup_file, Settings(), ())
    if asked.noaction:
        raise UsageError(
            "--noaction: there is nothing that postgrey could do without doing it; to see what it would defer, put"
            " warn_if_reject before check_policy_service in main.cf, and try options and lists with --check"
        )
    if stray := [argument for argument in asked.stray if argument != "--"]:
        raise UsageError(f"{stray[0]}: options only, please; is there a quote missing?")
    action = "check" if asked.check else "serve"
    # A unit whose sockets systemd holds names none on its command line.
    if action == "serve" and not has_listener and not given["inet"] and not given["unix"]:
        raise UsageError("--unix or --inet must be given")
    values: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    warnings = [
        f"--{name.replace('_', '-')}=0 means the default here" for name in _ZERO_IS_DEFAULT if values.get(name) == 0
    ]
    for name in (name for name in _ZERO_IS_DEFAULT if values.get(name) == 0):
        del values[name]
    size = values.get("listen_queue_size")
    if size is not None and size > MAX_LISTEN_QUEUE_SIZE:
        # 1.37: cuts it without a word.
        warnings.append(f"--listen-queue-size={size} is more than the most, {MAX_LISTEN_QUEUE_SIZE}, which is taken")
        values["listen_queue_size"] = MAX_LISTEN_QUEUE_SIZE
    values.update((name, tuple(value)) for name, value in values.items() if isinstance(value, list))
    settings = replace(_defaults(), **values)
    if option := needs_public_suffixes(settings):
        require_public_suffixes(option)
    return CommandLine(action, settings, (*warnings, *find_option_warnings(settings, values)))


def make_parser() -> Parser:
    """The parser of the server's options; also what the manual and the shell completions are checked against."""
    parser = Parser(
        "postgrey",
        "Greylisting policy server for Postfix and Exim.",
        usage="postgrey (--inet=[HOST:]PORT | --unix=PATH) [option ...]",
    )
    defaults = Settings()
    days = SECONDS_PER_DAY

    def flag(*names: str, help: str) -> None:
        parser.option(*names, action="store_true", default=None, help=help)

    def value(*names: str, type: Callable[[str], Any], metavar: str, help: str, **more: Any) -> None:
        parser.option(*names, type=type, metavar=metavar, help=help, **more)

    value(
        "auto-whitelist-clients",
        type=read_auto_whitelist_clients,
        metavar="N",
        nargs=argparse.OPTIONAL,
        help=f"trust a client after N mails that came back; 0: never (default: {AUTO_WHITELIST_CLIENTS})",
    )
    flag("check", help="check options and whitelists, and exit: 0 fine, 1 warnings, 2 wrong options")
    value(
        "control",
        type=read_control,
        metavar="PATH",
        help=f"socket for postgreyctl; none: no such socket (default: {PATHS.control or f'{CONTROL_NAME} in dbdir'})",
    )
    flag("daemonize", "d", help="run in the background and log to syslog")
    value("dbdir", type=read_path, metavar="PATH", help=f"directory of the database (default: {PATHS.dbdir})")
    value(
        "delay", type=number_up_to(MAX_DELAY), metavar="N", help=f"greylist for N seconds (default: {defaults.delay})"
    )
    flag("exim", help="close the connection after each answer, as Exim wants it")
    value(
        "greylist-action",
        type=read_text,
        metavar="ACTION",
        help=f"action for greylisted mail (default: {defaults.greylist_action})",
        suggest=DEFERRING,
    )
    value(
        "greylist-text", type=read_text, metavar="TEXT", help="text for greylisted mail; %%s: seconds left, %%r: domain"
    )
    value(
        "greylist-recipients",
        type=read_path,
        metavar="FILE",
        action="append",
        help="greylist these recipients only; repeatable",
    )
    value("group", type=str, metavar="GROUP", help=f"run as this group (default for root: {PATHS.group})")
    parser.information_option("help")
    value("hostname", type=read_text, metavar="NAME", help="name for the header (default: the name of this host)")
    flag("ignore-test-time", help="do not let requests say what time it is (policy_test_time)")
    value(
        "inet",
        "i",
        type=read_listener,
        metavar="[HOST:]PORT",
        action="append",
        help="listen here (without HOST: on localhost)",
    )
    value(
        "ipv4cidr",
        type=number_up_to(IPV4_BITS),
        metavar="N",
        help=f"size of an IPv4 client's network (default: {defaults.ipv4cidr})",
    )
    value(
        "ipv6cidr",
        type=number_up_to(IPV6_BITS),
        metavar="N",
        help=f"size of an IPv6 client's network (default: {defaults.ipv6cidr})",
    )
    value(
        "listen-queue-size",
        type=read_listen_queue_size,
        metavar="N",
        help=f"connections that may wait (at most {MAX_LISTEN_QUEUE_SIZE})",
    )
    value(
        "log-format",
        type=str,
        choices=(TEXT, JSON),
        metavar="FORMAT",
        help="log lines of text (default), or an object of JSON each",
    )
    flag("lookup-by-domain", help="know all machines of a sender's domain as one client, too")
    flag("lookup-by-host", help="know clients by their own address, not by their network")
    flag("lookup-by-subnet", help="know clients by their network (default)")
    parser.information_option("man")
    value(
        "max-age",
        type=read_days,
        metavar="N",
        help=f"forget what was not seen for N days (default: {defaults.max_age // days})",
    )
    value(
        "metrics",
        type=read_metrics,
        metavar="[HOST:]PORT",
        help="serve a page about the server, and its metrics, here (without HOST: on localhost)",
    )
    value(
        "never-trust-clients",
        type=read_path,
        metavar="FILE",
        action="append",
        help="clients that never get onto the auto-whitelist; repeatable",
    )
    flag("noaction", "no-action", "n", help=argparse.SUPPRESS)
    value(
        "only-suspects",
        type=read_suspicions,
        metavar="WHAT,...",
        nargs=argparse.OPTIONAL,
        help=f"greylist clients only for one of these: {', '.join(SUSPICIONS)} (all but the last)",
        suggest=SUSPICIONS,
    )
    value("pidfile", type=read_path, metavar="PATH", help="write the process id here (with --daemonize)")
    value(
        "print-startup-file",
        type=str,
        choices=tuple(STARTUP_FILES),
        metavar="KIND",
        help="print a start-up file that fits where this program is",
    )
    flag("privacy", help="store addresses as SHA-1 hashes")
    flag("quiet", "q", help="log warnings and errors only")
    value(
        "retry-window",
        type=read_retry_window,
        metavar="N[h]",
        help=f"wait N days (h: hours) for the first retry (default: {defaults.retry_window // days})",
    )
    value(
        "socketmode",
        type=read_socket_mode,
        metavar="MODE",
        help=f"mode of Unix sockets (default: 0{defaults.socketmode:o})",
    )
    value(
        "syslogfacility",
        "syslog-facility",
        "facility",
        type=str,
        metavar="FACILITY",
        dest="syslog_facility",
        help=f"syslog facility (default: {defaults.syslog_facility})",
        suggest=FACILITIES,
    )
    flag("training", help="let pass what would be deferred, and say so in the log")
    value("unix", "u", type=read_path, metavar="PATH", action="append", help="listen on a Unix socket")
    value("user", type=str, metavar="USER", help=f"run as this user (default for root: {PATHS.user})")
    flag("verbose", "v", help="log more")
    parser.information_option("version")
    value("whitelist-clients", type=read_path, metavar="FILE", action="append", help="clients to let pass; repeatable")
    value(
        "whitelist-recipients",
        type=read_path,
        metavar="FILE",
        action="append",
        help="recipients to let pass; repeatable",
    )
    for name, whom in (("senders", "senders"), ("unverified-senders", "senders, forged or not,")):
        value(
            f"whitelist-{name}", type=read_path, metavar="FILE", action="append", help=f"{whom} to let pass; repeatable"
        )
    value("x-greylist-header", type=read_text, metavar="TEXT", help="header for mail that was delayed; %%t %%v %%d %%h")
    parser.operand("stray", nargs=argparse.REMAINDER)
    return parser


def _defaults() -> Settings:
    """The defaults that depend on this host and on who starts the server."""
    if os.geteuid() == 0:
        return Settings(hostname=read_text(socket.gethostname()) or "", user=PATHS.user, group=PATHS.group)
    # unlike 1.37, which an ordinary user must tell who that user is.
    return Settings(hostname=read_text(socket.gethostname()) or "")
