# SPDX-License-Identifier: GPL-2.0-or-later
"""Estimates what a pattern costs, from its parts: the tries on a text, and the nodes that it is compiled to.

In a text of n characters something can end in at most `coefficient * n ** degree` places, and finding them takes at
most `coefficient * n ** work` tries; n times as many where it may begin at any character. `perl_syntax` builds the
estimate while it reads a pattern.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache

# More than this is as good as for ever.
HOPELESS = 10**12

_ALL_OCTETS = "".join(map(chr, range(256)))


@dataclass(slots=True)
class Atom:
    """One thing in a sequence, with its quantifier.

    `characters` are those that it may be where it is a single one; none where it matches an end only. One that is
    `is_optional` may match nothing at all.
    """

    characters: frozenset[str] | None = None
    coefficient: int = 1
    degree: int = 0
    work: int = 0
    nodes: int = 1
    is_variable: bool = False
    is_optional: bool = False
    can_repeat: bool = True

    def repeat(self, least: int, most: int | None) -> None:
        """Take the thing `least` to `most` times; None for any number of times."""
        is_single = self.coefficient == 1 and self.degree == 0
        if most is None:
            # Only what matches in one way, and something, does not make it exponential.
            self.coefficient, self.degree = (1, 1) if is_single and not self.is_optional else (HOPELESS, 0)
            self.work += 1
        else:
            tries = self.coefficient**most if self.coefficient == 1 or most < 40 else HOPELESS
            self.coefficient = min(tries * (most - least + 1), HOPELESS)
            self.work += self.degree * max(most - 1, 0)
            self.degree *= most
        self.nodes *= max(least, 1)
        self.is_variable = most != least
        self.is_optional = self.is_optional or least == 0
        self.can_repeat = False


@dataclass(slots=True)
class OpenGroup:
    """A group that is open, or the whole pattern: its branches so far, and the atoms of the last one.

    `number` is that of a group that can be referred to. `flag_groups` are the openings of groups that stand for flags
    switched on until the end of this one.
    """

    atoms: list[Atom] = field(default_factory=list)
    coefficient: int = 0
    degree: int = 0
    work: int = 0
    nodes: int = 0
    may_be_empty: bool = False
    number: int | None = None
    flag_groups: list[str] = field(default_factory=list)

    def end_branch(self) -> None:
        coefficient, degree = 1, 0
        for number, atom in enumerate(self.atoms):
            following = self.atoms[number + 1] if number + 1 < len(self.atoms) else None
            self.work = max(self.work, degree + atom.work)
            if not _has_one_end(atom, following):
                coefficient = min(coefficient * atom.coefficient, HOPELESS)
                degree += atom.degree
        self.coefficient = min(self.coefficient + coefficient, HOPELESS)
        self.degree = max(self.degree, degree)
        self.work = max(self.work, degree)
        self.nodes += sum(atom.nodes for atom in self.atoms)
        self.may_be_empty = self.may_be_empty or all(atom.is_optional for atom in self.atoms)
        self.atoms = []

    def as_atom(self) -> Atom:
        """The group, all of whose branches are ended, as a part of what is around it."""
        return Atom(None, self.coefficient, self.degree, self.work, self.nodes, is_optional=self.may_be_empty)


def _has_one_end(atom: Atom, following: Atom | None) -> bool:
    """Whether a repeat can end in one place only, because what must come next is none of what it repeats."""
    if not atom.is_variable or atom.characters is None or following is None or following.is_optional:
        return False
    return following.characters is not None and not atom.characters & following.characters


@lru_cache(1024)
def characters_of(pattern: str) -> frozenset[str]:
    """The Latin-1 characters that this pattern for a single one finds, without regard to case."""
    return frozenset(re.findall(pattern, _ALL_OCTETS, re.IGNORECASE | re.ASCII | re.DOTALL))
