"""`zoo eval`: its output, its files and its errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.command_line import mistake, printed
from helpers.scoring import model_folder, state_of

from zoo.cli import main
from zoo.recipe.load import load_recipe
from zoo.training.run import train

Draw = Callable[..., Path]


@pytest.fixture
def model(tmp_path: Path) -> str:
    return str(model_folder(tmp_path / "model", ("ant", "bee", "cat")))


def test_the_scores_are_aligned_lines(capsys: pytest.CaptureFixture[str], image_folder: Draw, model: str) -> None:
    root = image_folder({"test/ant": 2, "test/bee": 2, "test/cat": 2, "train/ant": 1})
    lines = printed(capsys, "eval", model, "--data", str(root)).splitlines()
    assert lines[0] == f"model      {model}"
    assert lines[1] == f"data       {root}: test, 6 images"
    assert lines[2].startswith("test       accuracy ")
    assert lines[2].endswith(" on 6 images")
    assert [line[:11] for line in lines[3:]] == ["loss       ", "top5       ", "macro F1   ", "ECE        "]


def test_json_is_one_object(capsys: pytest.CaptureFixture[str], image_folder: Draw, model: str, tmp_path: Path) -> None:
    root = image_folder({"ant": 2, "wasp": 1})
    out = tmp_path / "out"
    arguments = ["eval", "--data", str(root), model, "--tta", "hflip", "--json", "--out", str(out), "--batch-size", "2"]
    values = json.loads(printed(capsys, *arguments))
    assert (values["n"], values["left_out"], values["tta"], values["split"], values["data"]) == (2, 1, "hflip", "all", str(root))
    assert values == json.loads((out / "eval.json").read_text())


def test_words_of_a_data_set_follow(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    model = str(model_folder(tmp_path / "model", ("class0", "class1")))
    words = ["kind=synthetic", "classes=2", "test_images=4", "train_images=20"]
    assert json.loads(printed(capsys, "eval", model, "--data", *words, "--json"))["n"] == 4
    assert mistake(capsys, "eval", model, "--data", "kind=synthetic", "clases=2").startswith("error: data.clases: unknown key")


def test_images_that_cannot_be_read_are_exit_code_three(
    capsys: pytest.CaptureFixture[str], image_folder: Draw, model: str
) -> None:
    root = image_folder({"ant": 2, "bee": 2})
    (root / "ant" / "000.png").write_bytes(b"")
    assert main(["eval", model, "--data", str(root)]) == 3
    captured = capsys.readouterr()
    assert "on 3 images" in captured.out
    assert (
        captured.err == f"error: {root}: 1 of 4 images cannot be read, first: ant/000.png: empty file (the others are scored)\n"
    )


def test_mistakes_are_one_line(capsys: pytest.CaptureFixture[str], image_folder: Draw, model: str, tmp_path: Path) -> None:
    root = str(image_folder({"ant": 1, "bee": 1}))
    assert mistake(capsys, "eval", model) == f"error: {model}: only a run has images of its own (give images with --data)"
    assert mistake(capsys, "eval", str(tmp_path / "none"), "--data", root).startswith(f"error: {tmp_path / 'none'}: no such")
    assert "unexpected 'max_test=3'" in mistake(capsys, "eval", model, "max_test=3")
    assert "unexpected 'max_test=3'" in mistake(capsys, "eval", model, "--data", root, "max_test=3")
    assert "must be >= 1, found 0" in mistake(capsys, "eval", model, "--data", root, "--batch-size", "0")
    assert "no such folder" in mistake(capsys, "eval", model, "--data", str(tmp_path / "nowhere"))


def test_a_run_is_scored_as_it_was_and_stays_as_it_is(capsys: pytest.CaptureFixture[str], tiny: Path, tmp_path: Path) -> None:
    run = train(load_recipe(tiny, ["train.epochs=1", "data.train_images=80"]))
    capsys.readouterr()
    before = state_of(run)
    result = json.loads((run / "result.json").read_text())
    out = tmp_path / "out"
    assert "the logits equal the run's saved logits, bit for bit" in printed(capsys, "eval", str(run), "--out", str(out))
    values = json.loads((out / "eval.json").read_text())
    assert {name: values[name] for name in result["test"]} == result["test"]
    assert json.loads(printed(capsys, "eval", str(run / "model"), "--json"))["loss"] == result["test"]["loss"]
    # The same images, each averaged with its mirror.
    seen = json.loads(printed(capsys, "eval", str(run), "--tta", "hflip", "--json"))
    assert (seen["n"], seen["data"]) == (30, "synthetic")
    assert "is in the run" in mistake(capsys, "eval", str(run), "--out", str(run / "eval"))
    assert state_of(run) == before
    (run / "result.json").unlink()
    assert f"is not finished (zoo train --resume {run})" in mistake(capsys, "eval", str(run))
