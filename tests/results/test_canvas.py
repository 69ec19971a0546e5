"""Pictures are complete, well-formed and reproducible, whatever names they contain."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import matplotlib
import pytest
from helpers.pictures import ODD, counts, history, texts

from zoo.errors import StorageError
from zoo.results import canvas
from zoo.results.confusion import draw_confusion
from zoo.results.curves import draw_curves


def test_odd_class_names_stay_text(tmp_path: Path):
    draw_confusion(counts(len(ODD)), ODD, tmp_path / "confusion.svg", "a&b<c> $x$ \x00")
    shown = texts(tmp_path / "confusion.svg")
    assert shown.count("a&b<c>") == shown.count("$x$") == shown.count("日本語") == shown.count("50% _{}^\\") == 2
    assert "lone���" in shown
    assert "a&b<c> $x$ �" in shown
    assert any(text.startswith("a very") and "…" in text and text.endswith("in one") for text in shown)
    draw_curves(history(3), tmp_path / "curves.svg", "<a&b> $\\frac{1}$ " * 20)
    assert any("…" in text and text.startswith("<a&b>") for text in texts(tmp_path / "curves.svg"))


def test_written_twice_are_the_same_bytes_and_settings_stay(tmp_path: Path):
    before = dict(matplotlib.rcParams)
    drawn = []
    for name, size in (("one", before["font.size"]), ("two", 31.0)):
        with matplotlib.rc_context({"font.size": size, "lines.linewidth": size}):
            draw_curves(history(5, "val"), tmp_path / f"{name}.svg", "run", selected_epoch=3)
            draw_confusion(counts(4), list("abcd"), tmp_path / f"{name} matrix.svg", "run")
        drawn.append([(tmp_path / f"{name}{rest}.svg").read_bytes() for rest in ("", " matrix")])
    assert drawn[0] == drawn[1]
    assert dict(matplotlib.rcParams) == before


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "curves.svg"
    draw_curves(history(2), path, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoo.system.files.os.fsync", full)
    with pytest.raises(StorageError, match="No space left"):
        draw_curves(history(2), path, "new")
    assert "old" in texts(path)
    assert [child.name for child in tmp_path.iterdir()] == ["curves.svg"]


def test_importing_is_cheap_and_drawing_leaves_pyplot_alone(tmp_path: Path):
    code = (
        "import sys; from pathlib import Path; from zoo.results import confusion, curves\n"
        "assert not {'torch', 'matplotlib'} & set(sys.modules)\n"
        f"curves.draw_curves([{{'epoch': 1, 'train.loss': 1.0}}], Path({str(tmp_path / 'c.svg')!r}), 'run')\n"
        "assert not {'torch', 'matplotlib.pyplot'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_long_texts_lose_their_middle_and_fit():
    text = "photographs of " + "very " * 20 + "small birds"
    short = canvas.ellipsize(text, 100)
    assert canvas.width(short) <= 100 < canvas.width(text)
    assert text.startswith(short.partition("…")[0])
    assert text.endswith(short.partition("…")[2])
    assert canvas.ellipsize("bird", 100) == "bird"


@pytest.mark.parametrize(("kind", "start"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_a_figure_is_written_in_both_kinds(tmp_path: Path, kind: str, start: bytes):
    with canvas.style():
        figure = canvas.figure("a title", 2)
        canvas.write(figure, tmp_path / "picture", "a title", kind)
    assert (tmp_path / "picture").read_bytes().startswith(start)
