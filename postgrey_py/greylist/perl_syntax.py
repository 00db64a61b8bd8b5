# SPDX-License-Identifier: GPL-2.0-or-later
"""Translates a pattern in Perl's syntax into one that `regex` reads alike, and estimates what trying it can cost.

Conservative: a construct that is not known here is refused rather than handed on, because `regex` gives some of them a
meaning that Perl does not (fuzzy matching, named lists), and some take gigabytes or seconds (recursion, huge repeats).
Nothing is compiled or matched here; `patterns` does that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from postgrey_py.errors import PatternError
from postgrey_py.greylist.pattern_cost import HOPELESS, Atom, OpenGroup, characters_of
from postgrey_py.greylist.perl_escapes import (
    CHARACTER_SETS,
    CLASSES,
    PROPERTY,
    SAME_ESCAPES,
    WRITTEN_OUT,
    octets_with,
    one_character,
    translate_set,
)

# Nobody writes longer ones by hand; compiling takes some 5 microseconds a character.
MAX_CHARACTERS = 8192
MAX_DEPTH = 50
MAX_CAPTURES = 99
# Perl's own limit.
MAX_REPEATS = 65534
# `regex` writes out what must be repeated: (a{1000}){1000} as a million nodes.
MAX_NODES = 20_000

_TOKEN = re.compile(
    rf"""
      \\ (?P<escape> {PROPERTY} | x(?:\{{[0-9a-fA-F]{{1,8}}\}}|(?!\{{)[0-9a-fA-F]{{0,2}}) | o\{{[0-7]{{1,8}}\}}
        | [NbB]\{{[\w\ +]+\}} | [kg]\{{-?\w+\}} | [kg]<\w+> | [kg]'\w+' | g-?\d+ | c[\x20-\x7e] | \d+ | [^pPkgocx] )
    # One way to read each piece: with two of them, a set that does not end would take for ever.
    | (?P<set> \[ \^? \]? (?: \[:\^?\w+:\] | (?! \[:\^?\w+:\] ) [^\]\\] | \\{PROPERTY} | \\ (?! {PROPERTY} ) . )* \] )
    | \(\?P=(?P<reference> [A-Za-z_]\w* )\)
    | \(\? (?P<flags> \^?[a-z]*(?:-[a-z]+)?[:)] )
    | \(\? (?P<look> [=!>|] | <[=!] )
    | \(\?\( (?P<condition> \d{{1,4}} | <\w+> | '\w+' ) \)
    | \(\? (?P<name> P?<[A-Za-z_]\w*> | '[A-Za-z_]\w*' )
    | (?P<open> \( (?![?*]) )
    | (?P<close> \) )
    | (?P<quantifier> (?: [*+?] | \{{\d+(?:,\d*)?\}} | \{{,\d+\}} ) [?+]? )
    | (?P<bar> \| )
    | (?P<anchor> [\^$] )
    | (?P<literal> [^\\\[()] )
    """,
    re.ASCII | re.VERBOSE | re.DOTALL,
)
_REFUSED = re.compile(r"\(\?[^)]{0,6}\)?|\(\*\w*|\\.?|\[.{0,8}", re.DOTALL)

# `re` reads these as `regex` does.
_PLAIN = re.compile(r"[\w@=:/,~%. <>;!\"'&-]", re.ASCII)
_PLAIN_SET = re.compile(r"\[\^?(?:[\w.@:/,]|-(?!-)|\\[dDwWsS.\[\]/-])+\]", re.ASCII)


class Translation(NamedTuple):
    """A pattern for `regex`; and one for `re` where that reads it alike, in which no group captures.

    One that `is_anchored` is found at the start of a text without line ends, or not at all. `coefficient` and `work`
    are those of `pattern_cost`.
    """

    text: str
    plain: str | None
    is_anchored: bool
    coefficient: int
    work: int

    def cost(self, characters: int) -> int:
        """Return the largest number of tries by `re` on a text of so many characters."""
        work = self.work if self.is_anchored else self.work + 1
        return self.coefficient * characters**work if work < 10 else HOPELESS


def translate(pattern: str) -> Translation:
    """Translate this pattern, Latin-1 text. Raises PatternError, which says why it is refused."""
    if len(pattern) > MAX_CHARACTERS:
        raise PatternError(f"it has more than {MAX_CHARACTERS} characters")
    return _Translator(pattern).run()


class _Translator:
    """Reads one pattern from left to right."""

    def __init__(self, pattern: str) -> None:
        self._pattern = pattern
        self._tokens = list(_tokens(pattern))
        self._groups = sum(kind in ("open", "name") for kind, _ in self._tokens)
        self._captures = any(_refers_to_a_group(kind, text) for kind, text in self._tokens)
        if self._captures and self._groups > MAX_CAPTURES:
            raise PatternError(f"it has more than {MAX_CAPTURES} groups, and refers to some of them")
        self._opened = 0
        self._open_groups = [OpenGroup()]
        self._output: list[str] = []
        self._plain: list[str] | None = []
        self._has_branches = False

    def run(self) -> Translation:
        for kind, text in self._tokens:
            getattr(self, f"_read_{kind}")(text)
        if len(self._open_groups) > 1:
            raise PatternError("a ( is not closed")
        group = self._open_groups[0]
        group.end_branch()
        self._emit(")" * len(group.flag_groups), "")
        if group.nodes > MAX_NODES:
            raise PatternError("what must be repeated adds up to too much")
        # What begins with any characters is found from the start on, or not at all.
        is_anchored = self._pattern.startswith(("^", ".*", ".+")) and not self._has_branches
        plain = None if self._plain is None else "".join(self._plain)
        return Translation("".join(self._output), plain, is_anchored, group.coefficient, group.work)

    def _emit(self, text: str, plain: str | None) -> None:
        """Add to the pattern for `regex`, and to that for `re`; with None there can be none for `re`."""
        self._output.append(text)
        if plain is None:
            self._plain = None
        elif self._plain is not None:
            self._plain.append(plain)

    def _add(self, text: str, plain: str | None, atom: Atom) -> None:
        self._open_groups[-1].atoms.append(atom)
        self._emit(text, plain)

    def _add_character(self, text: str) -> None:
        """Add a pattern for one character that `re` reads alike."""
        self._add(text, text, Atom(characters_of(text)))

    def _read_literal(self, character: str) -> None:
        if _PLAIN.match(character):
            self._add_character(character)
        else:
            # Perl takes a brace that is no quantifier for itself.
            self._add(f"\\{character}" if character in "{}]" else character, None, Atom())

    def _read_anchor(self, character: str) -> None:
        self._add(character, character, Atom(frozenset(), can_repeat=False))

    def _read_set(self, text: str) -> None:
        if _PLAIN_SET.fullmatch(text):
            self._add_character(text)
        else:
            self._add(translate_set(text), None, Atom())

    def _read_escape(self, escape: str) -> None:
        first = escape[0]
        if escape in CLASSES:
            self._add_character(f"\\{escape}")
        elif escape in SAME_ESCAPES:
            is_class = escape in "XDSWdsw"
            atom = Atom(can_repeat=is_class, is_optional=not is_class)
            self._add(f"\\{escape}", r"\b" if escape == "b" else None, atom)
        elif escape == "z":
            self._add(r"\Z", None, Atom(can_repeat=False, is_optional=True))
        elif escape in WRITTEN_OUT:
            self._add(WRITTEN_OUT[escape], None, Atom())
        elif escape in CHARACTER_SETS:
            self._add(f"[{CHARACTER_SETS[escape]}]", None, Atom())
        elif first in "pP":
            self._add(f"[{octets_with(escape)}]", None, Atom())
        elif first in "kg":
            self._read_reference(escape[1:].strip("{}<>'"))
        elif first in "123456789" and (len(escape) == 1 or int(escape) <= self._groups):
            self._read_reference(escape)
        elif len(escape) == 1 and escape.isascii() and not escape.isalnum() and escape.isprintable():
            self._add_character(f"\\{escape}")
        else:
            self._add(one_character(escape), None, Atom())

    def _read_reference(self, name: str) -> None:
        if name.startswith("-"):
            name = str(self._opened + 1 - int(name[1:5]))
        if name.lstrip("-").isdigit() and not 1 <= int(name) <= self._groups:
            raise PatternError(f"there is no group {name}")
        if name in [str(group.number) for group in self._open_groups]:
            # `regex` and Perl differ about these.
            raise PatternError(f"group {name} is referred to inside itself")
        self._add(rf"\g<{name}>", None, Atom(is_optional=True))

    def _read_open(self, _: str) -> None:
        self._opened += 1
        self._begin("(" if self._captures else "(?:", "(?:")
        self._open_groups[-1].number = self._opened

    def _read_name(self, name: str) -> None:
        self._opened += 1
        self._begin(f"(?P<{name.strip('P<>' + chr(39)) if name[0] != 'P' else name[2:-1]}>", None)
        self._open_groups[-1].number = self._opened

    def _read_look(self, text: str) -> None:
        self._begin(f"(?{text}", None)

    def _read_condition(self, group: str) -> None:
        self._begin(f"(?({group.strip('<>' + chr(39))})", None)

    def _read_flags(self, text: str) -> None:
        group = f"(?{_translate_flags(text[:-1], self._pattern)}:"
        if text.endswith(":"):
            self._begin(group, "(?:" if group == "(?:" else None)
        else:
            # To the end of the group that it is in, through all of its branches.
            self._open_groups[-1].flag_groups.append(group)
            self._emit(group, None)

    def _begin(self, text: str, plain: str | None) -> None:
        if len(self._open_groups) > MAX_DEPTH:
            raise PatternError(f"its groups are nested more than {MAX_DEPTH} deep")
        self._open_groups.append(OpenGroup())
        self._emit(text, plain)

    def _read_bar(self, _: str) -> None:
        group = self._open_groups[-1]
        self._has_branches = self._has_branches or len(self._open_groups) == 1
        group.end_branch()
        text = f"{')' * len(group.flag_groups)}|{''.join(group.flag_groups)}"
        self._emit(text, text)

    def _read_close(self, _: str) -> None:
        if len(self._open_groups) == 1:
            raise PatternError("a ) closes nothing")
        group = self._open_groups.pop()
        group.end_branch()
        text = ")" * (len(group.flag_groups) + 1)
        self._add(text, text, group.as_atom())

    def _read_quantifier(self, text: str) -> None:
        atoms = self._open_groups[-1].atoms
        if not atoms or not atoms[-1].can_repeat:
            raise PatternError(f"there is nothing for {text} to repeat")
        least, most = _bounds(text)
        if max(least, most or 0) > MAX_REPEATS:
            raise PatternError(f"{text} repeats more than {MAX_REPEATS} times")
        if most is not None and most < least:
            raise PatternError(f"{text} is the wrong way round")
        atoms[-1].repeat(least, most)
        text = text.replace("{,", "{0,")
        is_possessive = len(text) > 1 and text.endswith("+")
        self._emit(text, None if is_possessive else text)


def _tokens(pattern: str) -> Iterator[tuple[str, str]]:
    """Kind and text of each token. Raises PatternError where there is none that is known."""
    position = 0
    while position < len(pattern):
        token = _TOKEN.match(pattern, position)
        if token is None or token.lastgroup is None:
            refused = _REFUSED.match(pattern, position)
            raise PatternError(f"{refused[0] if refused else pattern[position]} is not supported")
        yield token.lastgroup, token[token.lastgroup]
        position = token.end()


def _refers_to_a_group(kind: str, text: str) -> bool:
    return kind in ("reference", "condition") or (kind == "escape" and text[0] in "123456789kg")


def _bounds(quantifier: str) -> tuple[int, int | None]:
    """The least and the most that a quantifier allows; None for any number."""
    if quantifier[0] != "{":
        return {"*": (0, None), "+": (1, None), "?": (0, 1)}[quantifier[0]]
    least, comma, most = quantifier[1 : quantifier.index("}")].partition(",")
    # More digits than Perl's limit has are too many in any case.
    numbers = [int(number[:9]) if number else None for number in (least, most)]
    return numbers[0] or 0, numbers[1] if comma else numbers[0]


def _translate_flags(flags: str, pattern: str) -> str:
    """The flags among these that say something here: letters switched on and off."""
    on, _, off = flags.removeprefix("^").partition("-")
    if unknown := set(on + off) - set("imsxnadp"):
        raise PatternError(f"the flag {min(unknown)} is not supported")
    if "x" in on and any(character in " \t\n\r#" for character in pattern):
        raise PatternError("the flag x is not supported where there is white space")
    if flags.startswith("^"):
        off = "".join(flag for flag in "ims" if flag not in on)
    on = "".join(flag for flag in "ims" if flag in on and flag not in off)
    off = "".join(flag for flag in "ims" if flag in off)
    return f"{on}-{off}" if off else on
