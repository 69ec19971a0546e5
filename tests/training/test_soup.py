"""The average of a run's best epochs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.runs import history, run, same, weights

from zoo.errors import Mistakes
from zoo.metrics import METRICS
from zoo.recipe.load import load_recipe
from zoo.training import checkpoint, result
from zoo.training.soup import STATISTICS_BATCH, compute_statistics

SHORT = ["train.epochs=4", "optim.lr=1.0e-3", "finetune.batch_norm=frozen", "data.train_images=40", "eval.select_by=val.loss"]


def checkpoints(folder: Path, group: str = "model") -> dict[int, dict[str, torch.Tensor]]:
    """Return the tensors of each epoch that has a checkpoint, by epoch."""
    steps = {row["step"]: row["epoch"] for row in history(folder)}
    root = folder / "checkpoints"
    return {steps[step]: checkpoint.load(checkpoint.folder_of(root, step)).tensors[group] for step in checkpoint.steps(root)}


@pytest.mark.parametrize("ema", ["null", "0.9"])
def test_a_uniform_soup_is_the_mean_of_the_evaluated_weights_of_the_best_epochs(tiny: Path, ema: str) -> None:
    folder, found = run(tiny, *SHORT, f"train.ema={ema}", "train.soup=uniform", "output.keep_best=3")
    best = sorted(history(folder), key=lambda row: row["val.loss"])[:3]
    soup = found["soup"]
    assert [(each["epoch"], each["value"], each["averaged"]) for each in soup["epochs"]] == [
        (row["epoch"], row["val.loss"], True) for row in best
    ]
    kept = checkpoints(folder, "model" if ema == "null" else "averaged")
    for name, tensor in weights(folder).items():
        parts = [kept[row["epoch"]][name] for row in best]
        mean = torch.stack([part.double() for part in parts]).mean(0).to(tensor.dtype) if tensor.is_floating_point() else parts[0]
        torch.testing.assert_close(tensor, mean, rtol=0, atol=1e-7)
    assert found["val"]["loss"] == soup["value"]
    assert found["test_scored"] == "once, after selection"


def test_a_greedy_soup_is_never_worse_on_val_than_the_best_epoch(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, found = run(tiny, *SHORT, "train.soup=greedy")
    soup, rows = found["soup"], history(folder)
    assert soup["kind"] == "greedy"
    assert soup["value"] <= min(row["val.loss"] for row in rows)
    assert soup["epochs"][0]["averaged"]
    assert len(soup["epochs"]) == 4
    assert found["val"]["loss"] == soup["value"]
    out = capsys.readouterr().out
    assert "output.keep_best 5: train.soup averages the best epochs" in out
    averaged = sorted(each["epoch"] for each in soup["epochs"] if each["averaged"])
    assert f"({', '.join(map(str, averaged))}): val.loss {soup['value']:.4g}" in out


def test_a_greedy_soup_of_the_best_epoch_alone_is_that_epoch(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.training import soup

    plain, _ = run(tiny, *SHORT)
    monkeypatch.setattr(soup, "score", lambda *_: {name: float("inf") for name in METRICS})
    folder, found = run(tiny, *SHORT, "train.soup=greedy")
    assert [each["averaged"] for each in found["soup"]["epochs"]] == [True, False, False, False]
    assert same(plain, folder)


class Killed(Exception):
    pass


def test_a_run_that_dies_while_it_ends_gives_the_same_soup(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = [*SHORT, "train.soup=greedy", "finetune.batch_norm=train", "train.ema=0.9"]
    whole, expected = run(tiny, *overrides)

    def die(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(result, "write_result", die)
        run(tiny, *overrides)
    folder, found = run(tiny, *overrides, resume=whole.parent / "tiny-2")
    assert same(whole, folder)
    assert (found["soup"], found["test"]) == (expected["soup"], expected["test"])


def test_statistics_that_an_earlier_stage_trained_are_computed_anew_whoever_ends_the_run(tiny: Path) -> None:
    stages = "finetune.stages=[{freeze: none, epochs: 2}, {freeze: backbone}]"
    overrides = [*SHORT, "train.soup=uniform", "finetune.batch_norm=train", stages]
    whole, expected = run(tiny, *overrides, "name=whole")
    again, _ = run(tiny, *overrides, "name=again")
    (again / "result.json").unlink()
    folder, found = run(tiny, *overrides, "name=again", resume=again)
    assert same(whole, folder)
    assert found["soup"] == expected["soup"]


def test_a_soup_that_a_resumed_run_asks_for_keeps_as_many_epochs_as_one_from_the_start(tiny: Path) -> None:
    from zoo.recipe.dump import dump_recipe
    from zoo.training.auto import SOUP_EPOCHS, decide
    from zoo.training.resume import as_decided

    (tiny.parent / "recipe.yaml").write_text(dump_recipe(decide(load_recipe(tiny, [])).recipe))
    assert as_decided(load_recipe(tiny, []), tiny.parent).output.keep_best == 1
    assert as_decided(load_recipe(tiny, ["train.soup=greedy"]), tiny.parent).output.keep_best == SOUP_EPOCHS


def test_all_best_epochs_have_a_checkpoint_however_seldom_others_are_written(tiny: Path) -> None:
    folder, found = run(tiny, *SHORT, "train.soup=uniform", "output.keep_best=3", "output.checkpoint_every=100 epochs")
    assert len(found["soup"]["epochs"]) == 3
    best = sorted(history(folder), key=lambda row: row["val.loss"])[:3]
    assert {row["step"] for row in best} <= set(checkpoint.steps(folder / "checkpoints"))


def test_statistics_of_averaged_weights_are_those_of_the_training_images(tiny: Path) -> None:
    from zoo.system import launch
    from zoo.system.console import Console
    from zoo.training.auto import decide
    from zoo.training.setup import set_up

    recipe = decide(load_recipe(tiny, ["data.train_images=60"])).recipe
    training = set_up(recipe, launch.read(), Console(quiet=True)).training
    assert len(training.train) < STATISTICS_BATCH
    model: Any = training.bare_model
    norm, seen = model.bn1, []
    momentum, count = norm.momentum, norm.num_batches_tracked.clone()
    handle = norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    compute_statistics(training, model, [norm])
    handle.remove()
    values = torch.cat(seen).transpose(0, 1).flatten(1)  # [C, B * H * W]
    assert len(torch.cat(seen)) == len(training.train)
    torch.testing.assert_close(norm.running_mean, values.mean(1))
    torch.testing.assert_close(norm.running_var, values.var(1))
    assert (norm.momentum, norm.num_batches_tracked) == (momentum, count)
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["output.keep_best=1"], "needs at least two checkpoints, but output.keep_best is 1 (set it to auto)"),
        (["eval.select_by=last"], "needs a validation metric to choose by (set eval.select_by: val.accuracy)"),
    ],
)
def test_a_soup_that_cannot_be_made_is_refused(tiny: Path, overrides: list[str], text: str) -> None:
    with pytest.raises(Mistakes) as error:
        load_recipe(tiny, ["train.soup=greedy", *overrides])
    assert len(error.value.mistakes) == 1
    assert text in error.value.mistakes[0]


def test_without_a_soup_one_best_checkpoint_is_kept(tiny: Path) -> None:
    folder, found = run(tiny, "train.epochs=1", "data.train_images=40")
    assert "soup" not in found
    assert load_recipe(folder / "recipe.yaml").output.keep_best == 1
    assert len(json.loads((folder / "checkpoints" / "best.json").read_text())["steps"]) == 1
