"""The section `backbone` of a recipe: short forms, and each weight source by its kind."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from helpers.tensors import NAME, fresh, saved
from pydantic import ValidationError

from zoo.models.options import (
    AutoWeights,
    Backbone,
    FileWeights,
    PackageWeights,
    PretrainedWeights,
    RandomWeights,
    RunWeights,
    TorchvisionWeights,
)


@pytest.mark.parametrize(
    ("written", "weights"),
    [
        ("auto", AutoWeights()),
        ("pretrained", PretrainedWeights()),
        ("random", RandomWeights()),
        ({"kind": "file", "path": "a.pth"}, FileWeights(path=Path("a.pth"))),
        ({"kind": "package", "name": "p"}, PackageWeights(name="p")),
        ({"kind": "torchvision", "name": "W.V1"}, TorchvisionWeights(name="W.V1")),
        ({"kind": "run", "path": "runs/a"}, RunWeights(path=Path("runs/a"))),
    ],
)
def test_weights_are_a_word_or_a_mapping(written: Any, weights: object) -> None:
    read = Backbone.model_validate_json(json.dumps({"name": NAME, "weights": written}))
    assert read.weights == weights
    assert Backbone(name=NAME).weights == AutoWeights()


@pytest.mark.parametrize(
    "options", [{"name": "resnt18"}, {"weights": "file"}, {"weights": "nowhere"}, {"drop_rate": 1.0}, {"head_init": "ones"}]
)
def test_what_is_not_an_option_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Backbone.model_validate({"name": NAME} | options)


def test_random_weights_are_nothing_to_load_and_a_file_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert RandomWeights().find(NAME) is None
    saved(fresh(), tmp_path / "w.pth")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = FileWeights(path=Path("~/w.pth")).find(NAME)
    assert found is not None
    assert found.source == f"file {tmp_path / 'w.pth'}"


def test_rates_of_zero_are_left_to_the_architecture() -> None:
    assert Backbone(name=NAME).kwargs() == {}
    assert Backbone(name=NAME, drop_rate=0.1, drop_path_rate=0.2).kwargs() == {"drop_rate": 0.1, "drop_path_rate": 0.2}
