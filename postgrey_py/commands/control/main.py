# SPDX-License-Identifier: GPL-2.0-or-later
"""The `postgreyctl` command: carry out one sub-command, and print what came of it."""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from postgrey_py.commands.command import run_command
from postgrey_py.commands.control.client import Client, NoServerError, find_socket
from postgrey_py.commands.control.mails import read_log_line, read_operands, read_time
from postgrey_py.commands.control.options import JSON, NAME, Options, make_options, make_parser
from postgrey_py.commands.control.show import (
    show_allowance,
    show_clean_up,
    show_decision,
    show_pause,
    show_reload,
    show_status,
)
from postgrey_py.commands.control.show_explanation import show_explanation
from postgrey_py.commands.control.show_records import (
    count_changes,
    show_changes,
    show_client,
    show_import,
    show_triplet,
)
from postgrey_py.commands.control.stopped import explain_from_files, find_settings
from postgrey_py.commands.control.transfer import (
    STANDARD_INPUT,
    export_from_files,
    export_from_server,
    import_into_server,
    open_export,
    read_contents,
)
from postgrey_py.errors import PostgreyError, UsageError
from postgrey_py.protocol.control import to_wire

# For an allowance that does not say.
DEFAULT_SECONDS = 3600


def main(arguments: Sequence[str]) -> int:
    """Run the command; returns its exit status: 0, 1 for a failure or an unhealthy server, 2 for wrong usage."""
    return run_command(f"{NAME}.8", make_parser(), make_options, _run, arguments)


def _run(options: Options) -> None:
    if options.command == "explain":
        _explain(options)
        return
    if options.command == "export":
        _export(options)
        return
    client = Client(_find_socket(options))
    with contextlib.closing(client):
        _COMMANDS[options.command](client, options)


def _find_socket(options: Options) -> str:
    return find_socket(NAME, options.control, options.dbdir, options.server_options)


def _explain(options: Options) -> None:
    """Have a decision explained by the server or, where none runs, from its files. Raises PostgreyError."""
    if options.line is not None:
        mail = read_log_line(options.line, options.name, options.helo)
    else:
        client, sender, recipient = options.operands
        mail = read_operands(client, sender, recipient, options.name, options.helo)
    at = None if options.at is None else read_time(options.at, datetime.now().astimezone())
    try:
        connection = Client(_find_socket(options))
    except NoServerError as error:
        print(f"{NAME}: {error}; this is what its files say, allowances and a pause left out", file=sys.stderr)
        result = explain_from_files(find_settings(options.dbdir, options.server_options), mail, at)
    else:
        with contextlib.closing(connection):
            result = connection.ask("explain", {**{k: to_wire(v) for k, v in mail._asdict().items()}, "at": at})
    _print(options, result, show_explanation)


def _export(options: Options) -> None:
    """Print the records of the server or, where none runs, those in its files. Raises PostgreyError."""
    try:
        connection = Client(_find_socket(options))
    except NoServerError as error:
        print(f"{NAME}: {error}; these are the records in its files", file=sys.stderr)
        export_from_files(find_settings(options.dbdir, options.server_options), sys.stdout.write)
    else:
        with contextlib.closing(connection):
            export_from_server(connection, sys.stdout.write)


def _import(client: Client, options: Options) -> None:
    """Merge the records of a file into the server, if whoever sits there wants that. Raises PostgreyError."""
    name = options.operands[0]
    with open_export(name) as file:
        contents = read_contents(file, "standard input" if name == STANDARD_INPUT else name)
        # Whether they fit is known before anybody is asked.
        client.ask("import", {"header": contents.header})
        if not options.yes:
            _confirm(options, f"{contents.text()}; the first: {contents.first}\n")
        _print(options, import_into_server(client, file, name, contents.header), show_import)


def _confirm(options: Options, text: str) -> None:
    """Ask whoever sits there whether so many records are meant. Raises UsageError, PostgreyError."""
    sys.stderr.write(f"{NAME}: {options.command}: {text}")
    if not sys.stdin.isatty():
        raise UsageError(f"{options.command}: that is more than one record: say --yes")
    sys.stderr.write("all of these? [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise PostgreyError("nothing was changed")


def _pending(client: Client, options: Options) -> None:
    _list(client, options, show_triplet, {**_choice(options), "limit": options.limit})


def _trusted(client: Client, options: Options) -> None:
    arguments = {name: getattr(options, name) for name in ("client", "older", "newer", "limit")}
    _list(client, options, show_client, arguments)


def _list(
    client: Client, options: Options, show: Callable[[Mapping[str, Any]], str], arguments: Mapping[str, Any]
) -> None:
    """Print the records that a command sends, and how many more there are."""
    items, result = client.ask_all(options.command, arguments)
    if options.format == JSON:
        print(json.dumps(items))
    else:
        sys.stdout.writelines(show(one) for one in items)
    if result["count"] > result["sent"]:
        print(f"{NAME}: {result['count'] - result['sent']} more; --limit=N shows more", file=sys.stderr)


def _change(client: Client, options: Options) -> None:
    """Change records; more than one only with --yes, or when whoever sits there says so."""
    choice = _choice(options)
    if not (options.client or options.sender or options.recipient):
        raise UsageError(f"{options.command}: whose mail? Name --client, --sender or --recipient")
    if options.yes:
        _print(options, client.ask(options.command, {**choice, "apply": True}), show_changes)
        return
    wanted = client.ask(options.command, choice)
    if count_changes(wanted) > 1:
        _confirm(options, show_changes(wanted))
    result = client.ask(options.command, {**choice, "apply": True}) if count_changes(wanted) else wanted
    _print(options, result, show_changes)


def _choice(options: Options) -> dict[str, Any]:
    return {name: getattr(options, name) for name in ("client", "sender", "recipient", "older", "newer")}


def _trust(client: Client, options: Options) -> None:
    _print(options, client.ask("trust", {"client": options.operands[0]}), show_client)


def _distrust(client: Client, options: Options) -> None:
    _print(options, client.ask("distrust", {"client": options.operands[0]}), lambda one: f"was: {show_client(one)}")


def _status(client: Client, options: Options) -> None:
    status = client.ask("status", {})
    _print(options, status, show_status)
    if not status["healthy"]:
        raise PostgreyError("the server is not healthy")


def _allow(client: Client, options: Options) -> None:
    if not (options.client or options.sender or options.recipient):
        raise UsageError("allow: whose mail? Name --client, --sender or --recipient")
    arguments = {
        "seconds": options.duration or DEFAULT_SECONDS,
        "client": options.client,
        "sender": options.sender,
        "recipient": options.recipient,
        "once": options.once,
        "comment": options.comment,
    }
    _print(options, client.ask("allow", arguments), show_allowance)


def _allowed(client: Client, options: Options) -> None:
    allowances = list(client.items("allowed", {}))
    if options.format == JSON:
        print(json.dumps(allowances))
    else:
        sys.stdout.writelines(show_allowance(one) for one in allowances)


def _disallow(client: Client, options: Options) -> None:
    number = options.operands[0]
    if not number.isdigit():
        raise UsageError(f"disallow: {number} is no number of an allowance; postgreyctl allowed lists them")
    _print(options, client.ask("disallow", {"number": int(number)}), lambda one: f"ended: {show_allowance(one)}")


def _pause(client: Client, options: Options) -> None:
    _print(options, client.ask("pause", {"seconds": options.duration}), lambda one: f"paused {show_pause(one)}\n")


def _resume(client: Client, options: Options) -> None:
    _print(
        options, client.ask("resume", {}), lambda one: f"mail is greylisted again; it was paused {show_pause(one)}\n"
    )


def _reload(client: Client, options: Options) -> None:
    result = client.ask("reload", {})
    _print(options, result, show_reload)
    if result["failures"]:
        raise PostgreyError(f"{result['failures']} files or lines are not in force")


def _clean_up(client: Client, options: Options) -> None:
    _print(options, client.ask("clean-up", {}), show_clean_up)


def _watch(client: Client, options: Options) -> None:
    arguments = {name: getattr(options, name) for name in ("client", "sender", "recipient", "action")}
    is_coloured = sys.stdout.isatty()
    for decision in _told(client.items("watch", arguments)):
        sys.stdout.write(
            f"{json.dumps(decision)}\n" if options.format == JSON else show_decision(decision, is_coloured)
        )
        sys.stdout.flush()


def _told(items: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the decisions, with the time filled in; what was lost is told to the terminal."""
    for item in items:
        if "lost" in item:
            print(f"{NAME}: {item['lost']} decisions came too fast", file=sys.stderr)
        else:
            yield {**item, "time": item["time"] or int(time.time())}


def _print(options: Options, result: Mapping[str, Any], show: Callable[[Mapping[str, Any]], str]) -> None:
    sys.stdout.write(f"{json.dumps(result)}\n" if options.format == JSON else show(result))


_COMMANDS: Mapping[str, Callable[[Client, Options], None]] = {
    "allow": _allow,
    "allowed": _allowed,
    "clean-up": _clean_up,
    "disallow": _disallow,
    "distrust": _distrust,
    "forget": _change,
    "import": _import,
    "pause": _pause,
    "pending": _pending,
    "release": _change,
    "reload": _reload,
    "resume": _resume,
    "status": _status,
    "trust": _trust,
    "trusted": _trusted,
    "watch": _watch,
}
