# SPDX-License-Identifier: GPL-2.0-or-later
"""Collected lines that tests and fuzzing begin with: `tests/corpus`, one Latin-1 text a line."""

from __future__ import annotations

from tests.support.servers import ROOT

CORPUS = ROOT / "tests" / "corpus"


def read_corpus(name: str) -> list[str]:
    """The lines of this file."""
    return CORPUS.joinpath(name).read_bytes().decode("latin-1").removesuffix("\n").split("\n")
