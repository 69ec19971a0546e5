"""The picture of `zoo scout`."""

from __future__ import annotations

from pathlib import Path

from scout.test_rows import BAD, CONTROL, FAILED, GOOD

from zoo.scout.plot import draw_scout


def test_it_shows_what_was_measured_and_not_the_control(tmp_path: Path) -> None:
    assert draw_scout([GOOD, BAD, FAILED, CONTROL], tmp_path / "a.svg", "<photos>")
    text = (tmp_path / "a.svg").read_text()
    assert "2 backbones on &lt;photos&gt;" in text
    assert ">good<" in text
    assert not draw_scout([FAILED, CONTROL], tmp_path / "b.svg", "photos")
    assert not (tmp_path / "b.svg").exists()
