"""The page in a real browser: it requests nothing else, logs no messages, and fits a phone."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.chromium import PROGRAM, Tab, tab
from helpers.reports import ODD, RESULT, facts, images, run_folder, scored

from zoo.report.facts import read_facts
from zoo.report.gallery import Images
from zoo.report.page import write_page
from zoo.results.result import Result

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed")]

ROWS = [{"epoch": 1, "step": 2, "lr": 1e-3, "train.loss": 1.0, "train.accuracy": 0.5}]


def pages(place: Path) -> dict[str, Path]:
    """Write the pages of three runs: with odd and long names, with many classes, and unfinished."""
    paths = {name: place / f"{name}.html" for name in ("odd", "many", "unfinished")}
    found = scored(len(ODD), 300, names=ODD)
    result = Result.model_validate(RESULT)
    environment = {"command": ["zoo", "train", "x" * 300], "platform": "p" * 200, "device": "a GPU", "date": "today"}
    odd = facts(
        ODD, found, history=ROWS, result=result, environment=environment, problems=["A file of a long name: " + "n" * 300]
    )
    write_page(odd, images(found, ODD), paths["odd"])
    names = [f"class{number}" for number in range(300)]
    many = scored(300, 900)
    write_page(facts(names, many), images(many, names), paths["many"])
    write_page(read_facts(run_folder(place / "run", done=False)), Images(missing="Gone."), paths["unfinished"])
    return paths


def check(shown: Tab, path: Path, *, width: int, dark: bool) -> None:
    shown.requests.clear()
    shown.show(path, width=width, dark=dark)
    asked = [address for address in shown.requests if not address.startswith("data:")]
    assert asked == [path.absolute().as_uri()]
    assert shown.messages == []
    assert shown.value("document.documentElement.scrollWidth") <= width
    assert shown.value("[...document.images].every(image => image.complete && image.naturalWidth > 0 && image.alt)")
    assert shown.value("document.scripts.length") == 0


def test_pages_ask_for_nothing_and_fit_a_phone(tmp_path: Path) -> None:
    with tab(tmp_path / "profile") as shown:
        # The checks work: they find the request, the message and the overflow of a bad page.
        bad = tmp_path / "bad.html"
        bad.write_text("<div style='width:3000px'><img src='http://127.0.0.1:9/a.png'><script>console.error(1)</script></div>")
        shown.show(bad, width=400)
        assert "http://127.0.0.1:9/a.png" in shown.requests
        assert shown.messages
        assert shown.value("document.documentElement.scrollWidth") > 400
        shown.messages.clear()
        for path in pages(tmp_path).values():
            for width in (320, 400, 1200):
                for dark in (False, True):
                    check(shown, path, width=width, dark=dark)
        # Sections and charts are dark in dark mode and light in light mode.
        for dark in (False, True):
            shown.show(tmp_path / "odd.html", dark=dark)
            background = shown.value("getComputedStyle(document.querySelector('section')).backgroundColor")
            assert background == ("rgb(28, 28, 28)" if dark else "rgb(255, 255, 255)")
            filtered = shown.value("getComputedStyle(document.querySelector('.chart img')).filter")
            assert filtered == ("invert(0.89) hue-rotate(180deg)" if dark else "none")
        # Names are shown as text, even if they contain tags.
        assert shown.value("document.body.innerText.includes('<script>alert(1)</script>')")
        assert shown.value("document.querySelectorAll('script').length") == 0
