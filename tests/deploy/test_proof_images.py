from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from zoo.deploy import proof_images
from zoo.deploy.proof_images import ProofImages, images_of, set_apart
from zoo.errors import ZooError
from zoo.results.folder import RunFolder


def run_of(place: Path, data: str) -> RunFolder:
    place.mkdir()
    text = f"name: a\nbackbone: {{name: test_resnet, weights: random}}\ndata: {data}\nimage_size: 32\n"
    (place / "recipe.yaml").write_text(text, encoding="utf-8")
    return RunFolder(place)


def test_a_run_on_files_gives_its_validation_files(tmp_path: Path, image_folder: Callable[..., Path]) -> None:
    root = image_folder({"train/a": 3, "train/b": 3, "val/a": 2, "val/b": 2})
    found = images_of(run_of(tmp_path / "run", f"{{kind: folder, root: '{root}'}}"), None, ("a", "b"))
    assert [f"{path.parent.name}/{path.name}" for path in found.pictures if isinstance(path, Path)] == [
        *("a/000.png", "a/001.png", "b/000.png", "b/001.png")
    ]
    assert {path.parents[1].name for path in found.pictures if isinstance(path, Path)} == {"val"}
    assert (found.targets.tolist(), next(iter(found)).size) == ([0, 0, 1, 1], (40, 30))


def test_a_run_without_files_gives_its_stored_images(tmp_path: Path) -> None:
    found = images_of(
        run_of(tmp_path / "run", "{kind: synthetic, train_images: 80, test_images: 10, classes: 4}"), None, ("a",) * 4
    )
    assert found.source.startswith("validation images of")
    assert (len(found), next(iter(found)).mode) == (len(found.targets), "RGB")


def test_a_folder_knows_the_classes_that_the_model_knows(check_folder: Path) -> None:
    found = images_of(None, check_folder, ("dog", "cat"))
    names = [path.parent.name for path in found.pictures if isinstance(path, Path)]
    assert found.targets.tolist() == [{"dog": 0, "cat": 1}.get(name, -1) for name in names]


def test_a_class_that_came_after_the_run_moves_no_other(tmp_path: Path, image_folder: Callable[..., Path]) -> None:
    """Classes are matched by name: `aaa` is sorted before all others, but the model has no output for it."""
    root = image_folder({f"{split}/{name}": 2 for split in ("train", "val") for name in ("aaa", "cat", "dog")})
    found = images_of(run_of(tmp_path / "run", f"{{kind: folder, root: '{root}'}}"), None, ("cat", "dog"))
    assert found.targets.tolist() == [-1, -1, 0, 0, 1, 1]
    assert "the run's images now have other classes" in found.notes[0]
    assert any(line.endswith("that the model does not know: aaa") for line in found.notes)


def test_classes_of_a_folder_are_matched_as_eval_does(image_folder: Callable[..., Path]) -> None:
    root = image_folder({"Cat/deeper": 2, "dog": 1, "n02123045": 1, "other": 1})
    found = images_of(None, root, ("dog", "cat", "tabby"), {"n02123045": 2})
    assert found.targets.tolist() == [1, 1, 0, 2, -1]


def test_a_folder_of_splits_gives_its_validation_images(image_folder: Callable[..., Path]) -> None:
    root = image_folder({"train/a": 3, "train/b": 3, "valid/a": 1, "valid/b": 2})
    assert images_of(None, root, ("a", "b")).targets.tolist() == [0, 1, 1]


def test_it_says_why_no_accuracy_is_compared(tmp_path: Path, image_folder: Callable[..., Path]) -> None:
    strange = images_of(None, image_folder({"x": 1, "y": 1}), ("a", "b"))
    assert strange.targets.tolist() == [-1, -1]
    assert "accuracies are not compared: no class in common" in strange.notes[0]
    flat = tmp_path / "flat"
    flat.mkdir()
    (flat / "1.png").touch()
    assert "accuracies are not compared" in images_of(None, flat, ("a", "b")).notes[0]


def test_calibration_takes_training_images_of_the_run(tmp_path: Path, image_folder: Callable[..., Path]) -> None:
    root = image_folder({"train/a": 3, "train/b": 3, "val/a": 2, "val/b": 2})
    run = run_of(tmp_path / "run", f"{{kind: folder, root: '{root}'}}")
    calibration, counted = set_apart(run, images_of(run, None, ("a", "b")), 4)
    assert {path.parents[1].name for path in calibration.pictures if isinstance(path, Path)} == {"train"}
    assert (len(calibration), len(counted)) == (4, 4)
    # The proof counts all training images, so none of them is free for calibration, and the images are divided.
    calibration, counted = set_apart(run, images_of(None, root / "train", ("a", "b")), 100)
    assert_apart(calibration, counted, 6)


def test_without_a_run_a_half_is_calibrated_on(check_folder: Path, tmp_path: Path, image_folder: Callable[..., Path]) -> None:
    images = images_of(None, check_folder, ("dog", "cat"))
    assert_apart(*set_apart(None, images, 100), len(images))
    assert len(set_apart(None, images, 2)[0]) == 2
    gone = run_of(tmp_path / "run", f"{{kind: folder, root: '{tmp_path / 'gone'}'}}")
    assert_apart(*set_apart(gone, images, 100), len(images))
    with pytest.raises(ZooError, match="--precision int8: only one image"):
        set_apart(None, images.take(np.array([0])), 100)


def assert_apart(calibration: ProofImages, counted: ProofImages, count: int) -> None:
    assert len(calibration) + len(counted) == len({*map(str, calibration.pictures), *map(str, counted.pictures)}) == count
    assert len(calibration) <= len(counted) == len(counted.targets)


def test_many_images_are_taken_evenly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(100):
        (tmp_path / f"{number:02}.png").touch()
    monkeypatch.setattr(proof_images, "MOST_IMAGES", 5)
    assert [path.stem for path in images_of(None, tmp_path, ("a",)).pictures if isinstance(path, Path)] == [
        "00",
        "25",
        "50",
        "74",
        "99",
    ]


def test_what_is_not_there_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="--check: the model is not from a run"):
        images_of(None, None, ("a",))
    with pytest.raises(ZooError, match="no images in"):
        images_of(None, tmp_path, ("a",))
    run = run_of(tmp_path / "run", f"{{kind: folder, root: '{tmp_path / 'gone'}'}}")
    with pytest.raises(ZooError, match="give other images with --check FOLDER") as caught:
        images_of(run, None, ("a",))
    assert str(caught.value).count("(") == 1


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"nothing")
    with pytest.raises(ZooError, match=r"bad\.png: not an image"):
        images_of(None, tmp_path, ("a",)).image(0)
