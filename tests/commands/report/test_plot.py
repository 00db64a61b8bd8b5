# SPDX-License-Identifier: GPL-2.0-or-later
"""`postgreyreport --plot`: a picture of every summary, and a clear word where matplotlib is missing."""

from __future__ import annotations

import random
import re
from datetime import date, timedelta
from pathlib import Path
from xml.etree import ElementTree

import pytest
from matplotlib.image import imread

from postgrey_py.commands.report.plot import DELAY_COLOR, DOTS_PER_INCH, INCHES, LAYERS, draw
from postgrey_py.commands.report.summary import Summary, Tally
from tests.commands.generated_log import World
from tests.commands.reporting import report
from tests.commands.running import REPORT, run

SVG = "{http://www.w3.org/2000/svg}"


def make_summary(days: int, delays: list[int], scale: int = 100) -> Summary:
    chance = random.Random(5)
    total = Tally(delays=sorted(delays))
    by_day: dict[date | None, Tally] = {None: Tally(1)}
    for number in range(days):
        deferred = chance.randrange(scale, 2 * scale)
        tally = Tally(deferred, deferred // 3, chance.randrange(scale), chance.randrange(scale))
        by_day[date(2026, 2, 20) + timedelta(days=number)] = tally
        total.deferred += tally.deferred
        total.came_back += tally.came_back
    return Summary(total, by_day, {}, has_pass_lines=True)


WEEK = make_summary(7, [310, 400, 700, 5000])


def draw_svg(summary: Summary) -> ElementTree.Element:
    return ElementTree.fromstring(draw(summary, "svg"))


def comments(summary: Summary) -> list[str]:
    """The texts of a picture, each of which stands as a comment beside its outlines."""
    return re.findall(r"<!-- (.*?) -->", draw(summary, "svg").decode())


def filled_with(color: str, picture: ElementTree.Element) -> int:
    """How many outlines have this colour inside."""
    return sum(f"fill: {color}" in path.get("style", "") for path in picture.iter(f"{SVG}path"))


def test_svg_has_a_bar_for_each_day_and_kind() -> None:
    picture = draw_svg(WEEK)
    for layer in LAYERS:
        bars = filled_with(layer.color, picture)
        # One is in the legend, and the delays have the colour of what came back.
        assert bars >= 8 if layer.color == DELAY_COLOR else bars == 8, layer


def test_picture_says_what_it_shows() -> None:
    texts = comments(WEEK)
    for text in ("Greylisting, 20 to 26 February 2026", "Mails per day", "Fri 20 Feb", "Thu 26 Feb", "5 min", "1 hour"):
        assert text in texts
    assert {layer.label for layer in LAYERS} <= set(texts)
    assert any(text.endswith("came back, half of them within 9 min") for text in texts)
    assert "median 9 min" in texts
    assert "95 % within 1 h 23 min" in texts


@pytest.mark.parametrize(
    ("summary", "text"),
    [
        (make_summary(1, [300]), "Greylisting, 20 February 2026"),
        (make_summary(30, [300, 301]), "Greylisting, 20 February to 21 March 2026"),
        (make_summary(400, list(range(1, 3_000_000, 1000))), "Greylisting, 20 February 2026 to 26 March 2027"),
        (make_summary(3, [0, 0, 1, 10**9]), "1 s"),
        (make_summary(3, [], scale=10_000_000), "10 million"),
        (make_summary(3, []), "The log does not say how long it took"),
        (make_summary(3, [], scale=1), "No mail came back"),
        (make_summary(0, []), "The log has no mail with a date"),
        (make_summary(0, []), "0 mails deferred"),
        # Nothing but mail of known triplets.
        (Summary(Tally(known=3), {date(2026, 2, 20): Tally(known=3)}, {}, has_pass_lines=True), "No mail came back"),
        (Summary(Tally(1), {date(2026, 2, 20): Tally(1)}, {}, has_pass_lines=False), "No mail came back"),
    ],
)
def test_every_summary_can_be_drawn(summary: Summary, text: str) -> None:
    assert text in comments(summary)


def test_one_mail_is_no_mails() -> None:
    summary = Summary(Tally(1), {date(2026, 2, 20): Tally(1)}, {}, has_pass_lines=False)
    assert any(text.startswith("1 mail deferred ") for text in comments(summary))


@pytest.mark.parametrize(
    ("days", "labels"),
    [
        (10, ["Fri 20 Feb", "Sat 21 Feb", "Sun 22 Feb"]),
        (20, ["20 Feb", "22 Feb", "24 Feb"]),
        # The first Monday, and every one after it.
        (60, ["23 Feb", "2 Mar", "9 Mar", "16 Mar", "23 Mar", "30 Mar", "6 Apr", "13 Apr", "20 Apr"]),
    ],
)
def test_days_are_named_as_far_as_there_is_room(days: int, labels: list[str]) -> None:
    shown = [text for text in comments(make_summary(days, [])) if re.fullmatch(r"(\w{3} )?\d+ (Feb|Mar|Apr)", text)]
    assert shown[: len(labels)] == labels


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("days", [1, 2, 8, 31, 90])
def test_drawing_makes_no_noise(days: int, capfd: pytest.CaptureFixture[str]) -> None:
    draw(make_summary(days, [300, 3000, 100_000]), "png")
    assert capfd.readouterr() == ("", "")


def test_same_summary_makes_the_same_file() -> None:
    assert draw(WEEK, "svg") == draw(WEEK, "svg")


def test_png_has_the_size_of_a_page_and_its_colours(world: tuple[World, Path], tmp_path: Path) -> None:
    assert report(world[1], "".join(world[0].lines), f"--plot={tmp_path / 'week.png'}") == ""
    pixels = imread(tmp_path / "week.png")
    assert pixels.shape[:2] == (INCHES[1] * DOTS_PER_INCH, INCHES[0] * DOTS_PER_INCH)
    found = {
        tuple(round(255 * float(part)) for part in pixel[:3]) for pixel in pixels.reshape(-1, pixels.shape[2])[::7]
    }
    for layer in LAYERS:
        assert tuple(bytes.fromhex(layer.color[1:])) in found


def test_plot_and_summary_can_be_had_at_once(world: tuple[World, Path], tmp_path: Path) -> None:
    output = report(world[1], "".join(world[0].lines), f"--plot={tmp_path / 'week.svg'}", "--summary")
    assert output.startswith("Greylisting from ")
    ElementTree.parse(tmp_path / "week.svg")


def test_full_disk_is_told(world: tuple[World, Path], tmp_path: Path) -> None:
    (tmp_path / "week.png").symlink_to("/dev/full")
    outcome = run(REPORT, f"--dbdir={world[1]}", f"--plot={tmp_path / 'week.png'}")
    assert outcome == ("", f"postgreyreport: can't write {tmp_path / 'week.png'}: No space left on device\n", 1)


def test_missing_matplotlib_is_told_in_one_line(world: tuple[World, Path], tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text("raise ImportError(\"No module named 'matplotlib'\", name='matplotlib')\n")
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n")
    arguments = (f"--dbdir={world[1]}", f"--plot={tmp_path / 'week.svg'}")
    outcome = run(REPORT, *arguments, env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).parents[3]}"})
    assert (outcome.stdout, outcome.status) == ("", 1)
    assert outcome.stderr.startswith("postgreyreport: --plot needs matplotlib (No module named 'matplotlib'): install ")
    assert outcome.stderr.count("\n") == 1
    assert not (tmp_path / "week.svg").exists()
