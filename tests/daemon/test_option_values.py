# SPDX-License-Identifier: GPL-2.0-or-later
"""Values of the server's options by themselves; `test_options` has them on command lines."""

from __future__ import annotations

import argparse

import pytest

from postgrey_py.daemon.option_values import number_up_to, read_retry_window, read_socket_mode, split_listener
from postgrey_py.greylist.settings import SECONDS_PER_DAY, SECONDS_PER_HOUR


def test_a_listener_has_a_host_and_a_port() -> None:
    assert split_listener("[::1]:10023") == ("::1", "10023")
    with pytest.raises(argparse.ArgumentTypeError, match="is not \\[HOST:\\]PORT"):
        split_listener("localhost:")


def test_a_number_has_a_border() -> None:
    read = number_up_to(10, " of days")
    assert (read("0"), read("+10")) == (0, 10)
    with pytest.raises(argparse.ArgumentTypeError, match="'11' is not a whole number of days from 0 to 10"):
        read("11")


def test_a_retry_window_is_in_days_or_hours() -> None:
    assert (read_retry_window("2"), read_retry_window("6H")) == (2 * SECONDS_PER_DAY, 6 * SECONDS_PER_HOUR)
    with pytest.raises(argparse.ArgumentTypeError):
        read_retry_window("h")


def test_a_mode_is_octal_and_0_the_default() -> None:
    assert (read_socket_mode("660"), read_socket_mode("0"), read_socket_mode("")) == (0o660, None, None)
    with pytest.raises(argparse.ArgumentTypeError):
        read_socket_mode("8")
