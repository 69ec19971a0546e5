"""The output of `zoo predict` on the console and in files."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from helpers import photographs
from helpers.models import CLASSES

from zoo.cli import main


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    place = tmp_path / "photos"
    place.mkdir()
    for number, side in enumerate(photographs.SIDES):
        photographs.picture(side, number).save(place / f"{side}.png")
    return place


def test_aligned_lines(model_folder: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(model_folder), "photos", "--topk", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [f"photos/{side}.png" for side in sorted(photographs.SIDES)]
    assert len({line.index(" %") for line in lines}) == 1
    assert all(line.count(" %") == 2 for line in lines)


def test_a_file_name_can_neither_break_a_line_nor_command_a_terminal(
    model_folder: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "left.png").rename(photos / "a\n\x1b[31mred.png")
    assert main(["predict", str(model_folder), "photos"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[0].startswith("photos/a\\n\\x1b[31mred.png ")


def test_an_unreadable_image_is_a_row_and_exit_code_3(
    model_folder: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "m.jpg").write_bytes(b"")
    assert main(["predict", str(model_folder), "photos", "--csv"]) == 3
    printed = capsys.readouterr()
    rows = list(csv.DictReader(io.StringIO(printed.out)))
    assert {Path(row["filename"]).name: row["error"] for row in rows if row["error"]} == {"m.jpg": "empty file"}
    assert len(rows) == 5
    assert printed.err == (
        "error: images: 1 of 5 images could not be read, first: photos/m.jpg: empty file"
        " (their rows say why; all others are done)\n"
    )


def test_json_and_all_probabilities(model_folder: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["predict", str(model_folder), "photos/left.png", "--json", "--probabilities"]) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert sum(row[f"prob:{name}"] for name in CLASSES) == pytest.approx(1)
    assert row["prob"] == max(row[f"prob:{name}"] for name in CLASSES)


def test_files_hold_what_the_console_shows(model_folder: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["predict", str(model_folder), "photos"]
    assert main([*command, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    for name in ("out.csv", "out.jsonl"):
        assert main([*command, "--out", name]) == 0
    assert [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()] == shown
    with open("out.csv", newline="", encoding="utf-8") as file:
        assert [row["label"] for row in csv.DictReader(file)] == [row["label"] for row in shown]
    assert "4 rows in out.csv" in capsys.readouterr().out
    assert sorted(path.name for path in Path().iterdir() if path.name.startswith((".out", "out"))) == ["out.csv", "out.jsonl"]


def test_below_the_least_confidence_no_class_is_named(
    model_folder: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["predict", str(model_folder), "photos", "--min-confidence", "1", "--topk", "1"]) == 0
    assert capsys.readouterr().out.count(")?") >= 1
    assert main(["predict", str(model_folder), "photos", "--min-confidence", "1", "--json"]) == 0
    assert None in {row["label"] for row in json.loads(capsys.readouterr().out)}


def test_another_model_is_no_resumption(model_folder: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from zoo.inference.journal import Journal

    Journal(Path("out.csv"), {"model": "another"}, resume=False).close(whole=False)
    assert main(["predict", str(model_folder), "photos", "--out", "out.csv", "--resume"]) == 2
    assert "started with other settings: model, " in capsys.readouterr().err


def test_the_views_of_the_run_are_averaged_and_said(model_folder: Path, photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def predicted(*flags: str) -> tuple[str, str]:
        assert main(["predict", str(model_folder), "photos", "--csv", *flags]) == 0
        return capsys.readouterr()

    plain, mirrored = predicted(), predicted("--tta", "hflip")
    assert plain.out != mirrored.out
    assert plain.err == mirrored.err == ""
    config = json.loads((model_folder / "config.json").read_text())
    (model_folder / "config.json").write_text(json.dumps(config | {"tta": "hflip"}))
    own = predicted()
    assert own.out == mirrored.out
    assert own.err == "note: predictions average each image and its mirror, as the run was scored; --tta none: one view\n"
    assert predicted("--tta", "none") == plain
