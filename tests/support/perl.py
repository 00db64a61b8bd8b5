# SPDX-License-Identifier: GPL-2.0-or-later
"""Asks Perl itself what its patterns match."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

# As 1.37 does it: bytes, no case. A pattern that Perl refuses matches with "E".
_PROGRAM = r"""
no warnings;
while (<STDIN>) {
    my ($p, @texts) = map { pack 'H*', $_ } split / /, $_ =~ s/\n//r, -1;
    my $q = eval { qr{$p}i };
    print defined $q ? join('', map { $_ =~ $q ? 1 : 0 } @texts) : 'E', "\n";
}
"""


def ask_perl(patterns: Sequence[str], texts: Sequence[str]) -> list[list[bool] | None]:
    """Which of the texts each pattern matches; None for a pattern that Perl refuses. All is Latin-1."""
    octets = [text.encode("latin-1").hex() for text in texts]
    lines = "".join(" ".join([pattern.encode("latin-1").hex(), *octets]) + "\n" for pattern in patterns)
    done = subprocess.run(
        ["perl", "-e", _PROGRAM], input=lines, capture_output=True, text=True, check=True, timeout=120
    )
    answers = done.stdout.splitlines()
    assert len(answers) == len(patterns), done.stderr
    return [None if answer == "E" else [letter == "1" for letter in answer] for answer in answers]
