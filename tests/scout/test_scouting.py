"""A whole `zoo scout` with a stand-in for the measurement: rows, failures, resuming."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from zoo.errors import ZooError
from zoo.scout import rows
from zoo.scout.scouting import look_at, native_size, run_scout
from zoo.scout.settings import Settings
from zoo.scout.subject import find_subject
from zoo.system import workers
from zoo.system.console import Console

Draw = Callable[..., Path]


@pytest.fixture
def photos(image_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return image_folder({"a": 12, "b": 8})


def scout(
    photos: Path, models: list[str], unknown: tuple[str, ...] = (), **changes: Any
) -> tuple[Path, dict[Any, dict[str, Any]]]:
    overrides = changes.pop("overrides", ["image_size=32"])
    out = changes.pop("out", None)
    subject = find_subject(str(photos), overrides)
    chosen = Settings(
        **{"recipe": subject.recipe.model_dump(mode="json"), "image_size": 32, "max_images": 15, "folds": 3} | changes
    )
    folder, found = run_scout(subject, models, unknown, chosen, out=out, timeout=20, console=Console(), target="helpers.scouted")
    return folder, {rows.key(row): row for row in found}


def test_whatever_becomes_of_a_backbone_is_a_row(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    models = ["resnet18.tv_in1k", "resnet26.bt_in1k", "resnet34.tv_in1k"]
    folder, found = scout(photos, models, ("nothing9",))
    control = ("resnet18.tv_in1k", True)
    assert {key: row["status"] for key, row in found.items()} == {
        ("resnet18.tv_in1k", False): "ok",
        ("resnet26.bt_in1k", False): "oom",
        ("resnet34.tv_in1k", False): "killed",
        ("nothing9", False): "unknown",
        control: "ok",
    }
    assert "did you mean" in found["nothing9", False]["error"] or "unknown model" in found["nothing9", False]["error"]
    assert found["resnet34.tv_in1k", False]["param_count"] == 1.5
    # The control has random weights and no license; the others have the weights of the recipe, with their license.
    assert (found[control]["weights"], found[control]["license"], found[control].get("minutes")) == ("random", None, None)
    first = found["resnet18.tv_in1k", False]
    assert (first["weights"], first["license"]) == ("auto", "bsd-3-clause")
    assert found["resnet18.tv_in1k", False]["images"] == 15
    written = json.loads((folder / "results.json").read_text())
    assert [row["model"] for row in written] == [*models, "nothing9", "resnet18.tv_in1k"]
    with open(folder / "results.csv", newline="") as handle:
        table = list(csv.DictReader(handle))
    assert "probe_folds" not in table[0]
    assert len(table) == 5
    error = capsys.readouterr().err
    assert "1/5 resnet18.tv_in1k probe 90.00 %, " in error
    assert "5/5 random weights (resnet18.tv_in1k) probe 20.00 %, " in error


def test_an_interrupted_scouting_is_resumed(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = workers.run

    def stop(work: workers.WorkerCall, *more: Any, **options: Any) -> workers.Outcome:
        request = work.arguments.get("request")
        if request and request.candidate.name.startswith("resnet50."):
            raise KeyboardInterrupt
        return real(work, *more, **options)

    models = ["resnet18.tv_in1k", "resnet50.tv_in1k"]
    with monkeypatch.context() as patch:
        patch.setattr(workers, "run", stop)
        with pytest.raises(KeyboardInterrupt):
            scout(photos, models)
    (known,) = json.loads(Path("runs/scout/results.json").read_text())
    folder, found = scout(photos, models)
    assert folder == Path("runs/scout")
    assert found["resnet18.tv_in1k", False]["date"] == known["date"]
    assert {row["status"] for row in found.values()} == {"ok"}
    # It is finished, so the next one gets a new folder.
    assert scout(photos, models)[0] == Path("runs/scout-2")


def test_rows_of_other_images_or_settings_are_not_mixed(photos: Path) -> None:
    folder, _ = scout(photos, ["resnet18.tv_in1k"])
    assert scout(photos, ["resnet18.tv_in1k", "resnet50.tv_in1k"], out=folder)[0] == folder
    with pytest.raises(ZooError, match=r"--out: .* holds rows with other settings or hardware: max_images 15 -> 18, pixels "):
        scout(photos, ["resnet18.tv_in1k"], out=folder, max_images=18)
    with pytest.raises(
        ZooError, match=r"rows with other settings or hardware: recipe\.train\.epochs 10 -> 3 \(choose another folder\)$"
    ):
        scout(photos, ["resnet18.tv_in1k"], out=folder, overrides=["image_size=32", "train.epochs=3"])
    assert not Path("runs/scout-2").exists()


def test_without_pretrained_weights_there_is_no_control(photos: Path) -> None:
    _, found = scout(photos, ["resnet18.tv_in1k"], overrides=["image_size=32", "backbone.weights=random"])
    assert list(found) == [("resnet18.tv_in1k", False)]
    # Only pretrained weights have a license.
    assert found["resnet18.tv_in1k", False]["license"] is None


def test_a_warning_of_the_workers_is_printed_once(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full = photos.rename("full")
    _, found = scout(full, ["resnet18.tv_in1k", "resnet50.tv_in1k"])
    assert {row["status"] for row in found.values()} == {"ok"}
    lines = capsys.readouterr().err.splitlines()
    assert [line for line in lines if "full" in line] == ["warning: the disk is full: resnet18.tv_in1k"]


def test_weights_of_a_file_are_those_of_the_recipe_s_own_backbone(photos: Path) -> None:
    own = ["image_size=32", "backbone.name=resnet18.tv_in1k", "backbone.weights={kind: file, path: w.safetensors}"]
    _, found = scout(photos, ["resnet18.tv_in1k", "resnet50.tv_in1k"], overrides=own)
    assert [row["weights"] for row in found.values()] == ["file", "auto", "random"]


def test_copies_are_counted_and_too_few_images_are_refused(photos: Path, image_folder: Draw) -> None:
    for number in range(3):
        (photos / "a" / f"copy{number}.png").write_bytes((photos / "a" / "000.png").read_bytes())
    recipe = find_subject(str(photos), ["image_size=32", "data.test_fraction=0", "eval.select_by=last"]).recipe
    images = look_at(recipe, 32, Settings({}, 32, None, 4))
    assert len(images.fold) == 23
    assert "3 exact copies" in images.notes[1]
    assert np.bincount(images.fold).sum() == 23
    with pytest.raises(ZooError, match=r"^--folds: 30, but only 20 different images \(lower it\)$"):
        look_at(recipe, 32, Settings({}, 32, None, 30))


def test_too_few_images_for_the_classes_are_refused_or_noted(image_folder: Draw) -> None:
    root = image_folder({"a": 12, "b": 12, "c": 4})
    recipe = find_subject(str(root), ["image_size=32", "data.test_fraction=0", "eval.select_by=last"]).recipe
    said = r"^--max-images: 2, but the images are of 3 classes \(give at least 9: an image of each class for each of 3 folds\)$"
    with pytest.raises(ZooError, match=said):
        look_at(recipe, 32, Settings({}, 32, 2, 3))
    assert look_at(recipe, 32, Settings({}, 32, None, 4)).notes[1:] == ()
    rare = (
        "1 of 3 classes with fewer than 5 different images: some of the 5 folds lack these classes, so the probe is less certain"
    )
    assert look_at(recipe, 32, Settings({}, 32, None, 5)).notes[1:] == (rare,)
    assert look_at(recipe, 32, Settings({}, 32, 20, 5)).notes[1:] == (f"{rare}; a larger --max-images takes more",)


def test_a_backbone_has_a_size_of_its_own() -> None:
    assert native_size("tf_efficientnet_lite2.in1k") == 260
    assert native_size("nothing9") == 224
