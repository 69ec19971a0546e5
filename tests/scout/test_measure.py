"""The measurement of one real backbone, as a worker process makes it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo.data import feature_cache
from zoo.errors import ZooError
from zoo.scout.measure import measure, stamp
from zoo.scout.scouting import look_at
from zoo.scout.settings import Candidate, Request, Settings
from zoo.scout.subject import find_subject

FAST = ["backbone.weights=random", "train.precision=fp32", "train.channels_last=false", "train.accumulate=1", "train.threads=1"]


def request(photos: Path, size: int = 32, **changes: Any) -> Request:
    recipe = find_subject(str(photos), ["image_size=32", "train.batch_size=4", "backbone.name=test_resnet", *FAST]).recipe
    images = look_at(recipe, size, Settings({}, size, None, 3))
    candidate = changes.pop("candidate", Candidate("test_resnet"))
    values = recipe.model_dump(mode="json")
    return Request(candidate, values, size, size, images.positions, images.fold, images.digest, "photos")


@pytest.fixture
def photos(image_folder: Callable[..., Path]) -> Path:
    return image_folder({"a": 12, "b": 12})


def measured(asked: Request) -> dict[str, Any]:
    found: dict[str, Any] = {}
    measure({"request": asked}, found.update)
    return found


def test_a_backbone_gets_all_its_columns_and_its_features_are_kept(photos: Path, cache: Path) -> None:
    asked = request(photos)
    found = measured(asked)
    assert 0 <= found["probe"] <= 1
    assert len(found["probe_folds"]) == len(found["penalties"]) == 3
    assert found["features"] == 96
    assert found["weights"] == "random initialization"
    assert min(found[name] for name in ("images_per_second", "single_ms", "minutes", "gmacs", "train_images_per_second")) > 0
    (kept,) = feature_cache.files()
    assert (kept.backbone, kept.data, kept.images, kept.image_size) == ("test_resnet", "photos", len(asked.positions), 32)
    again = measured(asked)
    assert again["probe_folds"] == found["probe_folds"]
    assert len(feature_cache.files()) == 1


def test_the_control_is_not_forecast_and_another_size_is_another_file(photos: Path, cache: Path) -> None:
    found = measured(request(photos, candidate=Candidate("test_resnet", control=True), size=48))
    assert "probe" in found
    assert "minutes" not in found
    (kept,) = feature_cache.files()
    assert (kept.backbone, kept.image_size) == ("test_resnet (random weights)", 48)


def test_features_that_cannot_be_kept_are_a_warning(photos: Path, cache: Path) -> None:
    asked = request(photos)
    (cache / "features").write_text("no folder")
    found = measured(asked)
    assert found["warning"].startswith(f"{cache / 'features'}: features cannot be written: ")
    assert 0 <= found["probe"] <= 1


def test_a_size_that_the_backbone_does_not_take_is_one_line(photos: Path) -> None:
    asked = request(photos, size=33)
    asked.recipe["backbone"]["name"] = "vit_tiny_patch16_224"
    with pytest.raises(ZooError, match="image_size"):
        measured(asked)


def test_the_device_is_named() -> None:
    found: dict[str, Any] = {}
    stamp({}, found.update)
    assert found["device"]
