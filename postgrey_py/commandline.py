# SPDX-License-Identifier: GPL-2.0-or-later
"""The command-line grammar of Postgrey's programs on top of argparse, and the manual page behind --man.

1.37 reads its command line as Perl's Getopt::Long does in POSIX order: names are not abbreviated, short options are
not bundled, one dash before a long name is as good as two, and a value that must come is taken whatever it looks like.
argparse does none of that; `canonical_arguments` writes the line so that it can't go wrong there.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

from postgrey_py.errors import PostgreyError, UsageError

# The options that every command answers itself, by the first that is given.
INFORMATION = {
    "help": "show this help and exit",
    "man": "show the manual and exit",
    "version": "show the version and exit",
}


class Parser(argparse.ArgumentParser):
    """An argparse parser with Postgrey's grammar, whose errors are UsageError instead of an exit."""

    def __init__(self, prog: str, description: str, usage: str | None = None) -> None:
        super().__init__(
            prog=prog,
            description=description,
            usage=usage,
            add_help=False,
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        self._by_name: dict[str, argparse.Action] = {}
        # In the order in which they were added; what is no option is an operand.
        self.options: list[argparse.Action] = []
        self.operands: list[argparse.Action] = []
        # What a shell may offer for an option that takes other values, too; for the first operand by its name.
        self.suggestions: dict[str, tuple[str, ...]] = {}

    def option(self, *names: str, suggest: Iterable[str] = (), **keywords: object) -> None:
        """Add an option; names without dashes (`delay`, `v`), the rest as for add_argument.

        A shell offers the values `suggest`, whatever others may be taken.
        """
        action = self.add_argument(*(_dashed(name) for name in names), **keywords)  # type: ignore[arg-type]
        self._by_name.update(dict.fromkeys(names, action))
        self.options.append(action)
        self.suggestions[action.dest] = tuple(suggest)

    def operand(self, name: str, suggest: Iterable[str] = (), **keywords: object) -> None:
        """Add an argument that is no option, which --help leaves to the usage; the rest as for add_argument."""
        action = self.add_argument(name, help=argparse.SUPPRESS, **keywords)  # type: ignore[arg-type]
        self.operands.append(action)
        self.suggestions[name] = tuple(suggest)

    def information_option(self, name: str) -> None:
        """Add an option of INFORMATION."""
        self.option(name, *(["h"] if name == "help" else []), action="store_true", default=None, help=INFORMATION[name])

    def parse(self, arguments: Sequence[str]) -> dict[str, Any]:
        """Return the options and operands of this command line by their fields' names. Raises UsageError."""
        return vars(self.parse_args(canonical_arguments(arguments, self._by_name)))

    def error(self, message: str) -> NoReturn:
        raise UsageError(message.removeprefix("argument "))


def canonical_arguments(arguments: Sequence[str], options: dict[str, argparse.Action]) -> list[str]:
    """Return the same command line in the one form that argparse reads the same way.

    That is `--name=value` and `--flag`, and last what is no option. Raises UsageError.
    """
    canonical: list[str] = []
    operands: list[str] = []
    rest = list(arguments)
    while rest:
        argument = rest.pop(0)
        if argument == "--":
            return [*canonical, *operands, "--", *rest]
        if not argument.startswith("-") or argument == "-":
            # 1.37: an init script that quotes an empty variable passes an empty argument.
            operands += [argument] if argument else []
            continue
        name, equals, value = argument.lstrip("-").partition("=")
        action = options.get(name)
        if action is None or argument.startswith("---"):
            raise UsageError(f"{argument}: no such option{_suggest(name, options)}")
        if action.nargs == 0:
            if equals:
                raise UsageError(f"{argument}: this option takes no value")
            canonical.append(_dashed(name))
            continue
        if not equals and action.nargs == argparse.OPTIONAL:
            # 1.37: the value may be the next argument, unless that is an option.
            takes_next = bool(rest) and not rest[0].startswith("-")
            value = rest.pop(0) if takes_next else ""
        elif not equals:
            if not rest:
                raise UsageError(f"{argument}: this option needs a value")
            value = rest.pop(0)
        if value == "--":
            # unlike 1.37, because argparse, up to Python 3.12, takes this for no value at all.
            raise UsageError(f"{_canonical_name(action)}: '--' is not a value")
        canonical.append(f"{_canonical_name(action)}={value}")
    return [*canonical, *operands]


def _suggest(name: str, options: dict[str, argparse.Action]) -> str:
    """Return the end of an error about this name: the option that was probably meant, or nothing."""
    wanted = name.replace("_", "-").lower()
    if wanted.startswith("no-"):
        # The nearest would be its opposite.
        return ""
    visible = [known for known, action in options.items() if action.help != argparse.SUPPRESS and len(known) > 1]
    if name and all(letter in options and options[letter].nargs == 0 for letter in name):
        return f"; did you mean {' '.join(f'-{letter}' for letter in name)}?"
    if len(name) > 1 and name[1:].isdigit() and name[0] in options and options[name[0]].nargs != 0:
        return f"; did you mean -{name[0]}={name[1:]}?"
    starting = [known for known in visible if len(wanted) > 1 and known.startswith(wanted)]
    # Of no use but to the one who mistyped.
    from difflib import get_close_matches

    near = starting if len(starting) == 1 else get_close_matches(wanted, visible, n=1, cutoff=0.7)
    near = near or get_close_matches(re.split("[^a-z0-9-]", wanted)[0], visible, n=1, cutoff=0.8)
    if not near:
        return ""
    return f"; did you mean --{near[0]}?"


def _dashed(name: str) -> str:
    return f"-{name}" if len(name) == 1 else f"--{name}"


def _canonical_name(action: argparse.Action) -> str:
    return next(name for name in action.option_strings if name.startswith("--"))


def take_information(given: dict[str, Any]) -> str | None:
    """Take the options of INFORMATION out of what was given; return the first that is, None without any."""
    asked = [name for name in INFORMATION if given.pop(name)]
    return asked[0] if asked else None


def show_information(parser: Parser, page: str, version: str, name: str) -> None:
    """Print what an option of INFORMATION asks for; `page` is the manual's. Raises PostgreyError."""
    if name == "help":
        sys.stdout.write(parser.format_help())
    elif name == "version":
        sys.stdout.write(f"{parser.prog} {version}\n")
    else:
        show_manual(page)


@contextlib.contextmanager
def writing_output() -> Iterator[None]:
    """Write to standard output in here, as programs do that know nothing of signals: end silently where nobody reads.

    Raises PostgreyError where it can't be written for another reason.
    """
    previous = signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        yield
        sys.stdout.flush()
    except OSError as error:
        drop_output()
        raise PostgreyError(f"can't write the output: {error.strerror}") from error
    finally:
        signal.signal(signal.SIGPIPE, previous)


def drop_output() -> None:
    """Let what is still buffered go nowhere, so that the interpreter does not complain of it at the end."""
    with contextlib.suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def show_manual(page: str) -> NoReturn:
    """Become the program that shows this manual page (`postgrey.8`). Raises PostgreyError where there is none."""
    path = find_manual(page)
    viewer = shutil.which("man")
    if viewer is None:
        raise PostgreyError(f"there is no man program here to show {path}")
    sys.stdout.flush()
    # Python ignores it, and so would man and all that it starts: each would complain when nobody reads any more.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    os.execv(viewer, [viewer, "-l", str(path)])


def find_manual(page: str) -> Path:
    """Return the path of this manual page: beside the source, or where it was installed. Raises PostgreyError."""
    section = f"man{page.rpartition('.')[2]}"
    installed = [prefix / "share" / "man" / section for prefix in find_prefixes()]
    for directory in (Path(__file__).resolve().parents[1] / "man", *installed):
        for path in (directory / page, directory / f"{page}.gz"):
            if path.is_file():
                return path
    raise PostgreyError(f"the manual page {page} is not installed")


def find_prefixes() -> list[Path]:
    """Below which directories `share` with our files may be: that of the command first, wherever pip put it."""
    command = Path(sys.argv[0]).resolve().parent.parent
    return [command, Path(sys.prefix), Path("/usr/local"), Path("/usr")]
