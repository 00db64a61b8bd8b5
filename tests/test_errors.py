# SPDX-License-Identifier: GPL-2.0-or-later
"""Whoever catches PostgreyError catches everything that is raised on purpose."""

from __future__ import annotations

import inspect

import pytest

from postgrey_py import errors
from postgrey_py.errors import PostgreyError
from postgrey_py.greylist.networks import NetworkError

RAISED = [found for _, found in inspect.getmembers(errors, inspect.isclass)]


@pytest.mark.parametrize("error", [*RAISED, NetworkError])
def test_every_error_is_one_that_an_administrator_is_told(error: type[Exception]) -> None:
    assert issubclass(error, PostgreyError)
    assert str(error("can't")) == "can't"


def test_none_is_a_kind_of_another_but_of_the_first() -> None:
    assert all(error.__bases__ == (PostgreyError,) for error in RAISED if error is not PostgreyError)
