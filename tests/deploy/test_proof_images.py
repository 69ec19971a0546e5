from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.deploy import proof_images
from zoo.deploy.proof_images import images_of
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
    with pytest.raises(ZooError, match="--check: the model is of no run"):
        images_of(None, None, ("a",))
    with pytest.raises(ZooError, match="no images in"):
        images_of(None, tmp_path, ("a",))
    run = run_of(tmp_path / "run", f"{{kind: folder, root: '{tmp_path / 'gone'}'}}")
    with pytest.raises(ZooError, match="give others: --check FOLDER"):
        images_of(run, None, ("a",))


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"nothing")
    with pytest.raises(ZooError, match=r"bad\.png: not an image"):
        images_of(None, tmp_path, ("a",)).image(0)
