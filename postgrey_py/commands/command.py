# SPDX-License-Identifier: GPL-2.0-or-later
"""The frame of every command: options that all have, one-line errors, closed pipes, signals, the exit status.

A tool is a module with a `make_parser()`, a frozen dataclass that has a field for each of its options and operands, a
`run(options)`, which may return an exit status, and a `main` that hands all three to `run_command`:

    def main(arguments: Sequence[str]) -> int:
        return run_command("postgrey-search.1", make_parser(), Options, run, arguments)

`run` prints to `sys.stdout`, which takes any text (UTF-8; bytes that are none come as surrogates, as `os.fsdecode`
makes them), and raises PostgreyError for what it can't do.
"""

from __future__ import annotations

import contextlib
import io
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import NamedTuple, NoReturn, TypeVar

from postgrey_py import __version__
from postgrey_py.commandline import INFORMATION, Parser, drop_output, show_information, take_information
from postgrey_py.errors import PostgreyError, UsageError

T = TypeVar("T")

_STOPPING_SIGNALS = (signal.SIGTERM, signal.SIGHUP)


class Statuses(NamedTuple):
    """The exit statuses of a tool that has failed, and of one whose command line is wrong.

    With `to_output`, errors go to standard output, where monitoring systems read.
    """

    failed: int = 1
    misused: int = 2
    to_output: bool = False


STATUSES = Statuses()


class _Stopped(SystemExit):
    """A signal told the tool to stop; it unwinds first, so that nothing is left behind.

    asyncio hands SystemExit on from wherever it comes, and nothing else but KeyboardInterrupt.
    """

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = signal.Signals(number)


def add_common_options(parser: Parser) -> None:
    """Add --help, --man and --version, which `run_command` answers."""
    for name in INFORMATION:
        parser.information_option(name)


def run_command(
    manual: str,
    parser: Parser,
    make_options: Callable[..., T],
    run: Callable[[T], int | None],
    arguments: Sequence[str],
    statuses: Statuses = STATUSES,
) -> int:
    """Run a tool; returns its exit status: that of `run`, or one of `statuses` after an error.

    `manual` is the name of its page (`postgrey-search.1`); the `parser` has the common options. `make_options` makes
    what `run` takes of all others, by name. When a signal stops the tool or nobody reads its output any more, it cleans
    up and then ends by that signal, as other programs do.
    """
    if sys.stderr is None:
        # Else print() would take standard output for it. It stays open until the end of the program.
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if sys.stdout is None:
        print(f"{parser.prog}: can't write the output: it is closed", file=sys.stderr)
        return statuses.failed
    errors = sys.stdout if statuses.to_output else sys.stderr
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    try:
        with _signals_unwind():
            status = _run(manual, parser, make_options, run, arguments)
            sys.stdout.flush()
    except UsageError as error:
        print(f"{parser.prog}: {error}; see {parser.prog} --help", file=errors)
        return statuses.misused
    except PostgreyError as error:
        _flush_quietly()
        print(f"{parser.prog}: {error}", file=errors)
        return statuses.failed
    except BrokenPipeError:
        _end_by(signal.SIGPIPE)
    except KeyboardInterrupt:
        _end_by(signal.SIGINT)
    except _Stopped as stopped:
        _end_by(stopped.number)
    except OSError as error:
        # Files that a tool reads are its own business; what is left is the output.
        drop_output()
        print(f"{parser.prog}: can't write the output: {error.strerror or error}", file=sys.stderr)
        return statuses.failed
    return status


def _run(
    manual: str,
    parser: Parser,
    make_options: Callable[..., T],
    run: Callable[[T], int | None],
    arguments: Sequence[str],
) -> int:
    given = parser.parse(arguments)
    if asked := take_information(given):
        show_information(parser, manual, __version__, asked)
        return 0
    return run(make_options(**given)) or 0


@contextlib.contextmanager
def _signals_unwind() -> Iterator[None]:
    """Let the signals that end a program raise instead; one that is ignored (nohup) stays ignored."""

    def stop(number: int, _: FrameType | None) -> None:
        for other in caught:
            # A second signal must not break off what the first one began.
            signal.signal(other, signal.SIG_IGN)
        raise _Stopped(number)

    caught = [number for number in _STOPPING_SIGNALS if signal.getsignal(number) is signal.SIG_DFL]
    for number in caught:
        signal.signal(number, stop)
    try:
        yield
    finally:
        for number in caught:
            signal.signal(number, signal.SIG_DFL)


def _end_by(number: signal.Signals) -> NoReturn:
    """Put out what was printed, and end as this signal ends a program that knows nothing of it."""
    # From here on a second one ends it at once, should nobody read what it puts out.
    signal.signal(number, signal.SIG_DFL)
    _flush_quietly()
    os.kill(os.getpid(), number)
    # Only where the signal is blocked.
    os._exit(128 + number)


def _flush_quietly() -> None:
    """Put out what was printed before an error; that the output fails as well is not worth a second message."""
    try:
        sys.stdout.flush()
    except OSError:
        drop_output()
