# SPDX-License-Identifier: GPL-2.0-or-later
"""Text becomes markup: every value that the page shows goes through `show`, whoever it comes from.

The page is XML as well as HTML, so that both kinds of parser can check it.
"""

from __future__ import annotations

import time
from html import escape

# In place of a number that is not known.
DASH = "\N{EN DASH}"
# Between a number and its unit, where no line may break. The only space beside the usual one that is left as it is.
NARROW = "\N{NARROW NO-BREAK SPACE}"


def show(text: str) -> str:
    """Return the text as content or attribute of an element.

    What can't be seen is written as Python writes it: control characters, which XML has no place for, marks of
    direction, which would turn the words around it, and octets that are no text.
    """
    if not text.isprintable():
        text = "".join(char if char.isprintable() or char == NARROW else ascii(char)[1:-1] for char in text)
    return escape(text)


def stranger(text: str) -> str:
    """Return a text that others have chosen, apart from its surroundings: it may be written from right to left."""
    return f"<bdi>{show(text)}</bdi>"


def moment(seconds: int, form: str) -> str:
    """Return a time in words, by `form` as strftime takes it, with the time that machines read."""
    local = time.localtime(seconds)
    return f'<time datetime="{time.strftime("%Y-%m-%dT%H:%M:%S%z", local)}">{show(time.strftime(form, local))}</time>'


def meter(part: float, whole: float, kind: str) -> str:
    """Return a bar for a cell of a table; the cell beside it has the number."""
    width = min(100.0, 100 * part / whole) if whole else 0.0
    # A little is more than nothing.
    width = max(width, 0.8) if part else 0.0
    return (
        '<svg class="meter" aria-hidden="true" width="100%" height="10">'
        f'<rect class="{kind}" width="{width:.1f}%" height="10"/></svg>'
    )


def column(title: str, kind: str = "") -> str:
    """Return the head of a column."""
    return f'<th scope="col"{_classed(kind)}>{show(title)}</th>'


def row(head: str, *cells: str) -> str:
    """Return a row of a table, with markup as the head of the row and cells that `cell` and `number` make."""
    return f'<tr><th scope="row">{head}</th>{"".join(cells)}</tr>'


def cell(markup: str, kind: str = "") -> str:
    """Return a cell of a table."""
    return f"<td{_classed(kind)}>{markup}</td>"


def number(value: int) -> str:
    """Return a cell with a number; a zero is paler, so that the others stand out."""
    return cell(f"{value:,}", "n" if value else "n zero")


def table(caption: str, columns: list[str], rows: list[str], groups: str = "") -> str:
    """Return a table in a box of its own, which scrolls by mouse and by keyboard where the window is narrow.

    `groups` has the heads of groups of columns.
    """
    heads = f"{f'<tr>{groups}</tr>' if groups else ''}<tr>{''.join(columns)}</tr>"
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{show(caption)}"><table>'
        f"<caption>{show(caption)}</caption><thead>{heads}</thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _classed(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
