"""Val is scored again at the end of a run only if the predictions of the final weights were not kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.runs import history, run
from safetensors.torch import load_file

from zoo.recipe.load import load_recipe
from zoo.results.predictions import TENSORS
from zoo.training import evaluate, final_scores, result
from zoo.training.final_scores import final_passes


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Record the number of images of each pass over a split."""
    seen: list[int] = []

    def predicted(training: object, batches: object) -> object:
        seen.append(len(batches))  # type: ignore[arg-type]
        return evaluate.predict_split(training, batches)  # type: ignore[arg-type]

    for module in (final_scores, result):
        monkeypatch.setattr(module, "predict_split", predicted)
    return seen


def test_val_is_scored_once_an_epoch_and_its_predictions_are_those_of_the_best_one(tiny: Path, passes: list[int]) -> None:
    place, _ = run(tiny, "train.epochs=3", "data.test_images=8")
    assert passes[-1] == 8
    assert len(passes) == 3 + 1
    tensors = load_file(place / TENSORS)
    accuracy = (tensors["val_logits"].argmax(1) == tensors["val_targets"]).double().mean()
    assert float(accuracy) == pytest.approx(max(row["val.accuracy"] for row in history(place)))


def test_predictions_that_were_not_kept_are_the_same_bits(tiny: Path, passes: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    kept = load_file(run(tiny, "name=kept")[0] / TENSORS)
    count = len(passes)
    monkeypatch.setattr(final_scores, "MOST_BYTES", 0)
    again = load_file(run(tiny, "name=again")[0] / TENSORS)
    assert len(passes) == 2 * count + 1
    assert all(torch.equal(again[name], kept[name]) for name in kept)


@pytest.mark.parametrize(
    ("settings", "features", "count"),
    [
        ([], False, 0),
        ([], True, 1),
        (["eval.temperature=fit"], False, 2),
        (["train.soup=uniform", "output.keep_best=3"], False, 2),
        (["train.soup=greedy", "output.keep_best=3"], False, 3),
    ],
)
def test_passes_are_counted(tiny: Path, settings: list[str], features: bool, count: int) -> None:
    assert final_passes(load_recipe(tiny, settings), 1_000, features=features) == count
    # So many outputs are not kept, and val is scored again.
    assert final_passes(load_recipe(tiny, settings), 10**9, features=features) == max(1, count)
