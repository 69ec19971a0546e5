from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.reports import all_of, text_of, tree
from helpers.scoring import state_of

from zoo.recipe.dump import dump_recipe
from zoo.recipe.load import load_recipe
from zoo.report.page import MOST_BYTES
from zoo.training import report
from zoo.training.report import report_run
from zoo.training.run import train


@pytest.fixture
def done(image_folder: Callable[..., Path], tiny: Path) -> Path:
    """Train on image files with a test set; return the run folder."""
    root = image_folder({"train/<b>cat": 12, "train/dog": 12, "test/<b>cat": 6, "test/dog": 6})
    return train(load_recipe(tiny, [f"data={{kind: folder, root: {root}}}", "train.epochs=1"]))


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    """Write the folder of a run on digits that has only its recipe; return it."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.yaml").write_text(dump_recipe(load_recipe(Path("quickstart"), ["data.max_train=40"])))
    return tmp_path / "run"


def test_a_run_ends_with_its_page_and_another_time_it_is_the_same(done: Path, tmp_path: Path) -> None:
    own = (done / "report.html").read_bytes()
    assert len(own) <= MOST_BYTES
    before = state_of(done)
    facts, path = report_run(done, tmp_path / "again.html")
    assert path.read_bytes() == own
    assert state_of(done) == before
    root = tree(own.decode())
    shown = text_of(root)
    accuracy = json.loads((done / "result.json").read_text())["test"]["accuracy"]
    assert f"{accuracy:.1%}".replace("%", " %") + " of 12 test images right." in shown
    assert facts.problems == []
    pictures = [picture.get("alt", "") for picture in all_of(root, "img")]
    assert sum("as the model saw it" in alt for alt in pictures) in (7, 8)
    assert {"train/<b>cat/000.png: <b>cat", "train/dog/000.png: dog"} <= set(pictures)


def test_a_page_says_which_images_it_cannot_show(done: Path, tmp_path: Path) -> None:
    def shown() -> str:
        return text_of(tree(report_run(done, tmp_path / "again.html")[1].read_text()))

    images = tmp_path / "images"
    (images / "test/dog/000.png").unlink()
    assert "1 of the images that were scored are no longer found" in shown()
    shutil.copytree(images / "train/dog", images / "train/cow")
    assert "the data has other classes now" in shown()
    shutil.rmtree(images)
    text = shown()
    assert "The images are not shown: data.root" in text
    assert "test/dog/" in text
    pictures = [picture.get("alt", "") for picture in all_of(tree((tmp_path / "again.html").read_text()), "img")]
    assert pictures
    assert not any("labeled" in alt for alt in pictures)
    (done / "recipe.yaml").write_text("nonsense: [")
    assert "Without its recipe, the images of the run are not found." in shown()


@pytest.mark.parametrize("step", ['"x"', "null", "1.5", "[1]", "-7", "1e400", "99999"])
def test_damaged_files_do_not_stop_a_page(step: str, digits: Path) -> None:
    (digits / "metrics.jsonl").write_text(f'{{"epoch": 1, "step": {step}}}\n')
    (digits / "environment.json").write_text("[1]")
    _, path = report_run(digits)
    assert text_of(tree(path.read_text()))


def test_a_page_that_fails_leaves_the_run_done(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("no ink")

    with monkeypatch.context() as patched:
        patched.setattr(report, "write_page", fail)
        run = train(load_recipe(tiny, ["train.epochs=1", "data.train_images=40"]))
    assert (run / "result.json").exists()
    assert not (run / "report.html").exists()
    captured = capsys.readouterr()
    assert captured.err == f"warning: {run / 'report.html'} was not written: no ink (zoo report {run} tries again)\n"
    assert "report.html" not in captured.out
    # A run that was killed before its end has no result.json.
    (run / "result.json").unlink()
    facts, path = report_run(run)
    assert facts.result is None
    shown = text_of(tree(path.read_text()))
    assert "Not finished after epoch 1 of 1." in shown
    assert f"zoo train --resume {run}" in shown
    assert "as the model saw" in path.read_text()
