from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.deploy.conftest import CLASSES
from zoo.deploy.subject import Subject, subject_of
from zoo.errors import ZooError
from zoo.system.files import digest


def test_it_knows_its_classes_pixels_and_weights(subject: Subject, model_folder: Path) -> None:
    assert (subject.name, subject.classes, subject.size) == ("model", CLASSES, 32)
    assert subject.config["crop_pct"] == 0.875
    assert subject.digest == digest(model_folder / "model.safetensors")
    assert subject.backbone.startswith("test_resnet")
    assert (subject.run, subject.result) == (None, None)


def test_a_path_of_dots_or_links_has_the_name_of_its_folder(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "photos"
    shutil.copytree(model_folder, run / "model")
    (run / "recipe.yaml").touch()
    (tmp_path / "latest").symlink_to(run)
    monkeypatch.chdir(run / "model")
    assert [subject_of(place).name for place in ("..", "../../latest", run)] == ["photos"] * 3


def test_another_image_size_changes_the_pixels(model_folder: Path) -> None:
    assert subject_of(model_folder, 48).config["input_size"] == (3, 48, 48)


def test_an_exported_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.onnx").touch()
    with pytest.raises(ZooError, match="give the run that it came from"):
        subject_of(tmp_path / "a.onnx")
