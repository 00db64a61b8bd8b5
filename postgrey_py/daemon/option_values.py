# SPDX-License-Identifier: GPL-2.0-or-later
"""Values of the server's options, read for argparse: each function raises ArgumentTypeError where a value is wrong."""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Callable
from importlib.util import find_spec

from postgrey_py.greylist.settings import NO_CONTROL, SECONDS_PER_DAY, SECONDS_PER_HOUR
from postgrey_py.greylist.suspicion import SUSPICIONS, USUAL_SUSPICIONS

# 1.37: what an --auto-whitelist-clients without a value means.
AUTO_WHITELIST_CLIENTS = 5

# Beyond these a number is a slip of the hand.
MAX_DELAY = 365 * SECONDS_PER_DAY
_MAX_DAYS = 36500
_MAX_COUNT = 1_000_000_000

# Packages of the extra `web` and what they are imported as.
_WEB = {"aiohttp": "aiohttp", "prometheus-client": "prometheus_client"}


def read_text(value: str) -> str | None:
    """A text for the mail server, a character for each byte; None (the default) where it is empty."""
    octets = os.fsencode(value)
    if b"\n" in octets or b"\r" in octets:
        raise argparse.ArgumentTypeError(f"{value!r} has a line break, which would end the answer")
    return octets.decode("latin-1") or None


def read_path(value: str) -> str:
    """Return this path made absolute."""
    if not value:
        raise argparse.ArgumentTypeError("the path is empty")
    # Absolute, because the server leaves its directory when it goes into the background.
    return os.path.abspath(value)


def read_control(value: str) -> str:
    """Return this path made absolute, or "none" as it is."""
    return value if value == NO_CONTROL else read_path(value)


def read_metrics(value: str) -> str:
    """Return a listener as it is written, if `split_listener` understands it and the libraries for it are there."""
    split_listener(value)
    missing = [package for package, module in _WEB.items() if find_spec(module) is None]
    if missing:
        raise argparse.ArgumentTypeError(
            f"this needs the Python {'package' if len(missing) == 1 else 'packages'} {' and '.join(missing)}:"
            f" pip install 'postgrey-py[web]', or apt install {' '.join(f'python3-{package}' for package in missing)}"
        )
    return value


def number_up_to(maximum: int, unit: str = "") -> Callable[[str], int]:
    """Return a function for argparse that reads a whole number from 0 to this; `unit` (" of days") is for its error."""

    def convert(value: str) -> int:
        if not re.fullmatch(r"\+?\d{1,18}", value, re.ASCII) or int(value) > maximum:
            raise argparse.ArgumentTypeError(f"{value!r} is not a whole number{unit} from 0 to {maximum}")
        return int(value)

    return convert


def read_days(value: str) -> int:
    """Return the seconds of a number of days."""
    return number_up_to(_MAX_DAYS, " of days")(value) * SECONDS_PER_DAY


def read_retry_window(value: str) -> int:
    """Return the seconds of a number of days or, with an h behind it, of hours."""
    hours = value[:-1] if value[-1:] in ("h", "H") else None
    if not re.fullmatch(r"\d{1,7}[hH]?", value, re.ASCII) or int(hours or value) > _MAX_DAYS:
        raise argparse.ArgumentTypeError(f"{value!r} is neither a number of days nor, with an h, of hours ('6h')")
    return int(hours) * SECONDS_PER_HOUR if hours else int(value) * SECONDS_PER_DAY


def read_auto_whitelist_clients(value: str) -> int:
    """Return the number of mails; of the option without a value, what 1.37 takes."""
    return number_up_to(_MAX_COUNT, " of mails")(value) if value else AUTO_WHITELIST_CLIENTS


def read_suspicions(value: str) -> tuple[str, ...]:
    """Return the suspicions that count; of the option without a value, the usual ones."""
    if not value:
        return USUAL_SUSPICIONS
    names = tuple(dict.fromkeys(name.strip() for name in value.split(",")))
    for name in names:
        if name not in SUSPICIONS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(SUSPICIONS)}")
    return names


def read_listen_queue_size(value: str) -> int | None:
    """Return the number of connections; None (the default) for 0."""
    # 1.37: 0 means the default.
    return number_up_to(_MAX_COUNT)(value) or None


def read_socket_mode(value: str) -> int | None:
    """Return an octal mode; None (the default) for 0."""
    if not re.fullmatch(r"[0-7]{0,4}", value, re.ASCII):
        raise argparse.ArgumentTypeError(f"{value!r} is not an octal mode such as 0666")
    # 1.37: 0 means the default.
    return int(value or "0", 8) or None


def read_listener(value: str) -> str:
    """Return a listener as it is written, if `split_listener` understands it."""
    split_listener(value)
    return value


def split_listener(value: str) -> tuple[str, str]:
    """Host and port of `PORT`, `HOST:PORT`, `[V6]:PORT`, `V6:PORT`, `*:PORT` or `:PORT`; the host "*" is every address.

    Raises argparse.ArgumentTypeError.
    """
    host, colon, port = value.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    is_number = port.isascii() and port.isdigit()
    is_too_large = is_number and (len(port) > 5 or int(port) > 65535)
    if not port or "]" in port or is_too_large or not (is_number or colon):
        raise argparse.ArgumentTypeError(f"{value!r} is not [HOST:]PORT")
    return (host or "*") if colon else "localhost", port
