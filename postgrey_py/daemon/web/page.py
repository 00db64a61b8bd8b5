# SPDX-License-Identifier: GPL-2.0-or-later
"""The page `/` as octets, and the headers that it is sent with.

One file with nothing from elsewhere: its style is inside, its pictures are drawn here, and it has no script. The policy
of its contents allows that and nothing more.
"""

from __future__ import annotations

import base64
import hashlib
from importlib.resources import files
from urllib.parse import quote

from postgrey_py.daemon.web import sections
from postgrey_py.daemon.web.markup import moment, show, stranger
from postgrey_py.daemon.web.view import Mode, View
from postgrey_py.daemon.web.words import Mood, Statement, lede, silence, span, statement

_STYLE = files(__package__).joinpath("style.css").read_text(encoding="utf-8")
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Content-Security-Policy": (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; img-src data:; frame-ancestors 'none';"
        " base-uri 'none'; form-action 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

# Shapes tell the moods apart as well as colours do: a hook, an exclamation mark, a cross, two bars.
_SIGNS = {
    Mood.WELL: "M7 12.5 10.5 16 17 8.5",
    Mood.WORRY: "M12 6.5v7M12 16.8v.4",
    Mood.BAD: "M8 8l8 8M16 8l-8 8",
    Mood.PAUSED: "M9.5 8v8M14.5 8v8",
}
# The sign in the tab of a browser has no style sheet.
_ICON_COLORS = {Mood.WELL: "#1a7f4b", Mood.WORRY: "#b26a00", Mood.BAD: "#c0362c", Mood.PAUSED: "#4a6785"}


def render(view: View) -> bytes:
    """Return the page that shows this view, in UTF-8."""
    said = statement(view)
    title = f"{said.text.rstrip('.')} · {view.host}"
    body = "".join(
        (
            _top(view),
            f"<main>{_health(view, said)}{sections.figures(view)}{sections.decisions(view)}",
            f'<div class="pair">{sections.waits(view)}{sections.waiting(view)}</div>{sections.lists(view)}</main>',
            sections.foot(view),
        )
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"/>'
        '<meta name="viewport" content="width=device-width, initial-scale=1"/>'
        '<meta name="color-scheme" content="light dark"/><meta name="robots" content="noindex"/>'
        f'<title>{show(title)}</title><link rel="icon" href="{_icon(said.mood)}"/>'
        f"<style>{_STYLE}</style></head><body>{body}</body></html>\n"
    ).encode()


def _top(view: View) -> str:
    return (
        f"<header><p><b>Greylisting</b> at {stranger(view.host)}</p>"
        f'<p class="asof"><span>{moment(view.now, "%a %d %b, %H:%M:%S")}</span> <a href="">Reload</a></p></header>'
    )


def _health(view: View, said: Statement) -> str:
    troubles = [(one.is_grave, one.text) for one in view.troubles]
    if view.mode is not Mode.GREYLISTING and view.mode_detail:
        troubles.insert(0, (view.mode is Mode.DOWN, view.mode_detail))
    quiet = silence(view)
    if quiet is not None:
        troubles.append(
            (False, f"Nobody has asked for {span(quiet)}: does the mail server run, and does it still ask here?")
        )
    items = "".join(f'<li class="{"bad" if is_grave else "worry"}">{show(text)}</li>' for is_grave, text in troubles)
    listed = f'<ul class="troubles">{items}</ul>' if items else ""
    return (
        f'<section class="health {said.mood.value}" aria-labelledby="health">'
        f'<svg class="sign" aria-hidden="true" viewBox="0 0 24 24"><circle cx="12" cy="12" r="11"/>'
        f'<path d="{_SIGNS[said.mood]}"/></svg><div><h1 id="health">{show(said.text)}</h1>'
        f'<p class="lede">{show(lede(view))}</p>{listed}</div></section>'
    )


def _icon(mood: Mood) -> str:
    picture = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24" fill="none" stroke-width="3"'
        f' stroke-linecap="round" stroke-linejoin="round"><circle cx="12" cy="12" r="12" fill="{_ICON_COLORS[mood]}"/>'
        f'<path stroke="#fff" d="{_SIGNS[mood]}"/></svg>'
    )
    return f"data:image/svg+xml,{quote(picture)}"
