"""A run is not resumed if its images changed: an error says what changed, before anything is decoded."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.data import pixel_store
from zoo.errors import ZooError
from zoo.recipe.load import load_recipe
from zoo.training.run import train

RECIPE = """\
name: changed
backbone: {name: test_resnet, weights: random}
data: {kind: folder, root: ROOT/images, val_fraction: 0.2}
image_size: 32
train: {epochs: 1, batch_size: 4, precision: fp32, channels_last: false, accumulate: 1, threads: 1}
output: {root: ROOT/runs}
"""


def test_a_run_with_other_images_is_refused_before_they_are_decoded(
    image_folder: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = image_folder({"cat": 6, "dog": 6})
    path = tmp_path / "r.yaml"
    path.write_text(RECIPE.replace("ROOT", str(tmp_path)))
    folder = train(load_recipe(path))
    longer = load_recipe(path, ["train.epochs=2"])
    (root / "cat").rename(root / "tabby")
    monkeypatch.setattr(pixel_store, "decode_range", lambda job: pytest.fail("decoded"))
    with pytest.raises(ZooError, match=r"^--resume: the data has changed since the run began: class 'cat' is now 'tabby' "):
        train(longer, folder, allow_change=True)
    (state,) = folder.glob("checkpoints/*/state.json")
    assert "data_summary" in json.loads(state.read_text())
