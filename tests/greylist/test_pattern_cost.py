# SPDX-License-Identifier: GPL-2.0-or-later
"""What is estimated of parts of patterns: how many tries, how many nodes."""

from __future__ import annotations

import pytest

from postgrey_py.greylist.pattern_cost import HOPELESS, Atom, OpenGroup, characters_of


def repeated(least: int, most: int | None, **atom: int) -> Atom:
    made = Atom(**atom)  # type: ignore[arg-type]
    made.repeat(least, most)
    return made


def test_an_endless_repeat_of_one_thing_ends_anywhere() -> None:
    atom = repeated(1, None)
    assert (atom.coefficient, atom.degree, atom.work) == (1, 1, 1)
    assert not atom.can_repeat


def test_an_endless_repeat_of_what_has_many_ends_is_hopeless() -> None:
    assert repeated(1, None, degree=1).coefficient == HOPELESS
    assert repeated(1, None, coefficient=2).coefficient == HOPELESS
    assert repeated(0, None, is_optional=True).coefficient == HOPELESS


def test_a_limited_repeat_multiplies() -> None:
    assert repeated(0, 3).coefficient == 4
    assert repeated(2, 2, degree=1).degree == 2
    assert repeated(2, 3, coefficient=2).coefficient == 2**3 * 2


def test_as_many_choices_as_need_not_be_counted_are_hopeless() -> None:
    assert repeated(39, 39, coefficient=2).coefficient == 2**39
    assert repeated(40, 40, coefficient=2).coefficient == HOPELESS


def test_nodes_grow_with_what_must_be_there() -> None:
    assert repeated(0, None, nodes=3).nodes == 3
    assert repeated(5, None, nodes=3).nodes == 15


def test_only_what_may_be_missing_is_optional() -> None:
    assert repeated(0, 1).is_optional
    assert not repeated(1, 2).is_optional
    assert repeated(1, 2).is_variable
    assert not repeated(2, 2).is_variable


def letters(text: str, least: int = 1, most: int | None = 1) -> Atom:
    atom = Atom(frozenset(text))
    if (least, most) != (1, 1):
        atom.repeat(least, most)
    return atom


def degree_of(*atoms: Atom) -> int:
    group = OpenGroup(atoms=list(atoms))
    group.end_branch()
    return group.degree


def test_a_repeat_before_something_else_ends_in_one_place() -> None:
    assert degree_of(letters("a", 1, None), letters("b")) == 0
    assert degree_of(letters("ab", 1, None), letters("b")) == 1
    assert degree_of(letters("a", 1, None)) == 1
    assert degree_of(letters("a", 1, None), letters("b", 0, 1)) == 1


def test_branches_add_up() -> None:
    group = OpenGroup()
    for text in "abc":
        group.atoms.append(letters(text))
        group.end_branch()
    assert (group.coefficient, group.nodes, group.may_be_empty) == (3, 3, False)
    group.end_branch()
    assert (group.coefficient, group.may_be_empty) == (4, True)
    assert group.as_atom().is_optional


@pytest.mark.parametrize(
    ("pattern", "characters"), [("a", "aA"), ("[^\\x00-\\xfe]", "\xff"), (r"\d", "0123456789"), ("\xe4", "\xe4")]
)
def test_characters_are_found_without_regard_to_case(pattern: str, characters: str) -> None:
    assert characters_of(pattern) == set(characters)
