"""The page in a real browser: it requests nothing else, logs no messages, fits a phone, and has a dark mode."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.chromium import PROGRAM, tab

from zoo.ranking.leaderboard import build
from zoo.ranking.page import html

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="chromium is not installed")]


def test_the_page_asks_for_nothing_and_fits_a_phone(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text(html(build([folder]), title="x" * 200, notes=["n" * 300]), encoding="utf-8")
    with tab(tmp_path / "profile") as shown:
        for width in (320, 1200):
            for dark in (False, True):
                shown.requests.clear()
                shown.show(path, width=width, dark=dark)
                assert [each for each in shown.requests if not each.startswith("data:")] == [path.as_uri()]
                assert shown.messages == []
                assert shown.value("document.documentElement.scrollWidth") <= width
                assert shown.value("[...document.images].every(image => image.naturalWidth > 0)")
                filtered = shown.value("getComputedStyle(document.querySelector('img')).filter")
                assert filtered == ("invert(0.89) hue-rotate(180deg)" if dark else "none")
        # An image from another address, which a name might insert, is blocked.
        path.write_text(path.read_text(encoding="utf-8").replace("</body>", "<img src='http://127.0.0.1:9/a.png'></body>"))
        shown.show(path)
        assert any("Content Security Policy" in message for message in shown.messages)
