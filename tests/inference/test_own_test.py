"""Scoring a run again gives the same bits and does not change the run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.scoring import state_of
from safetensors.torch import load_file

from zoo.errors import ZooError
from zoo.inference.own_test import evaluate_own
from zoo.metrics import METRICS
from zoo.recipe.load import load_recipe
from zoo.training.run import train

SAME = "the logits equal the run's saved logits, bit for bit"


def run(path: Path, *overrides: str) -> Path:
    return train(load_recipe(path, ["train.epochs=1", "data.train_images=80", *overrides]))


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        pytest.param(["train.ema=0.5", "train.accumulate=2"], marks=pytest.mark.slow),
        ["finetune.batch_norm=frozen", "train.channels_last=true", "image_size={start: 24, end: 32, multiple: 4}"],
    ],
)
def test_figures_and_logits_are_those_of_the_run_to_the_bit(tiny: Path, overrides: list[str]) -> None:
    folder = run(tiny, *overrides)
    before = state_of(folder)
    result = json.loads((folder / "result.json").read_text())
    kept = load_file(folder / "predictions.safetensors")
    for split, prefix in (("test", ""), ("val", "val_")):
        found = evaluate_own("the run", folder, split)
        assert torch.equal(found.logits, kept[f"{prefix}logits"])
        assert torch.equal(found.targets, kept[f"{prefix}targets"])
        assert SAME in found.notes
        values = json.loads(json.dumps(found.values()))
        assert {name: values[name] for name in result[split]} == result[split]
    assert state_of(folder) == before, "nothing is written into the run"
    assert result["train"]["eval_images_per_second"] > 0


@pytest.mark.slow
def test_the_threads_of_the_caller_stay(tiny: Path) -> None:
    folder = run(tiny)
    environment = json.loads((folder / "environment.json").read_text())
    (folder / "environment.json").write_text(json.dumps(environment | {"threads": 2}))
    evaluate_own("x", folder)
    assert torch.get_num_threads() == 1


def test_the_training_images_can_be_scored_too(tiny: Path) -> None:
    found = evaluate_own("x", run(tiny), "train", batch_size=7)
    assert (found.scores.n, found.split, len(found.files)) == (72, "train", 72)
    assert found.accuracy == METRICS["accuracy"](found.logits, found.targets)


def test_what_a_run_lacks_is_one_line(tiny: Path) -> None:
    folder = run(tiny, "data.val_fraction=0", "eval.select_by=last")
    with pytest.raises(ZooError, match=r"--split: the data has no val images \(it has train, test\)"):
        evaluate_own("x", folder, "val")
    (folder / "result.json").unlink()
    with pytest.raises(ZooError) as error:
        evaluate_own("x", folder)
    assert str(error.value) == f"{folder}: the run is not finished (zoo train --resume {folder})"


def test_other_logits_are_said(tiny: Path) -> None:
    folder = run(tiny)
    from safetensors.torch import save_file

    kept = load_file(folder / "predictions.safetensors")
    save_file(kept | {"logits": kept["logits"] + 0.5}, folder / "predictions.safetensors")
    assert evaluate_own("x", folder).notes[-1] == "the logits differ from the run's saved logits by up to 0.5"
    save_file(kept | {"targets": kept["targets"] * 0}, folder / "predictions.safetensors")
    assert evaluate_own("x", folder).notes[-1] == "the run was scored on other images"


def test_images_that_are_elsewhere_are_one_line(tiny: Path, image_folder: Callable[..., Path]) -> None:
    root = image_folder({"a": 12, "b": 12})
    folder = train(load_recipe(tiny, ["train.epochs=1", f"data={{kind: folder, root: {root}}}"]))
    assert SAME in evaluate_own("x", folder).notes
    root.rename(root.with_name("elsewhere"))
    with pytest.raises(ZooError) as error:
        evaluate_own("x", folder)
    assert str(error.value) == (
        f"data.root: no such folder: {root} (start zoo eval where the run was started, or give images with --data)"
    )
    root.with_name("elsewhere").rename(root)
    (root / "b").rename(root / "c")
    with pytest.raises(ZooError, match="data: the classes are now a, c; they were a, b"):
        evaluate_own("x", folder)
