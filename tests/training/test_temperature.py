"""A temperature is fitted and becomes part of the last layer; runs that use it repeat and resume to the same bits."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from helpers.recipes import GOOD, mistakes
from helpers.runs import history, run, same, weights
from safetensors.torch import load_file
from torch import Tensor

from zoo.errors import ZooError
from zoo.inference.load import load
from zoo.inference.own_test import evaluate_own
from zoo.metrics import METRICS
from zoo.models.head import output_layers
from zoo.recipe.load import load_recipe
from zoo.training.run import train
from zoo.training.saver import Saver
from zoo.training.temperature import fit_temperature

SAME = "the logits equal the run's saved logits, bit for bit"
# Many classes and few steps: some predictions are wrong.
HARD = ["data.classes=12", "data.test_images=60", "data.train_images=240", "data.val_fraction=0.3", "train.epochs=1"]
CLOCKS = ("images_per_second", "data_share", "seconds")


def drawn(temperature: float, views: int = 1) -> tuple[Tensor, Tensor]:
    """Return logits [N, V, C], and targets [N] drawn from their probabilities at a temperature."""
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(8_000, 1, 5, generator=generator).expand(-1, views, -1)
    targets = (logits[:, 0] / temperature).softmax(1).multinomial(1, generator=generator).flatten()
    return logits, targets


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_the_temperature_of_the_targets_is_found(temperature: float) -> None:
    logits, targets = drawn(temperature)
    found = fit_temperature(logits[:, 0], targets)
    assert found == pytest.approx(temperature, rel=0.06)
    assert fit_temperature(logits, targets) == fit_temperature(logits.expand(-1, 2, -1), targets) == found
    # No temperature 1 % lower or higher has a lower loss, and a second fit finds the same one.
    costs = [METRICS["loss"](logits[:, 0] / (found * near), targets) for near in (0.99, 1.0, 1.01)]
    assert min(costs) == costs[1]
    assert fit_temperature(logits[:, 0], targets) == found


def test_of_several_views_the_mean_of_probabilities_is_fitted() -> None:
    generator = torch.Generator().manual_seed(1)
    logits, targets = 4 * torch.randn(2000, 2, 3, generator=generator), torch.randint(3, (2000,), generator=generator)
    logits[torch.arange(2000), :, targets] += 2
    found = fit_temperature(logits, targets)
    assert found is not None

    def cost(temperature: float) -> float:
        return float(-(logits.double() / temperature).softmax(2).mean(1).gather(1, targets.unsqueeze(1)).log().mean())

    assert cost(found) < min(cost(found * near) for near in (0.5, 0.98, 1.02, 2))


def test_where_no_temperature_is_best_there_is_none() -> None:
    targets = torch.arange(30) % 3
    right = torch.eye(3)[targets]
    assert fit_temperature(right, targets) is None
    assert fit_temperature(-right, targets) is None
    assert fit_temperature(right * math.nan, targets) is None


@pytest.mark.parametrize("tta", ["none", pytest.param("hflip", marks=pytest.mark.slow)])
def test_a_run_has_its_temperature_in_its_last_layer(tiny: Path, capsys: pytest.CaptureFixture[str], tta: str) -> None:
    plain, before = run(tiny, *HARD, f"eval.tta={tta}")
    folder, after = run(tiny, *HARD, f"eval.tta={tta}", "eval.temperature=fit")
    out = capsys.readouterr().out
    found = after["temperature"]
    assert "temperature" not in before
    assert (found["loss"][0], found["ece"][0], found["images"]) == (before["val"]["loss"], before["val"]["ece"], 72)
    assert (found["loss"][1], found["ece"][1]) == (after["val"]["loss"], after["val"]["ece"])
    assert found["loss"][1] < found["loss"][0]
    assert f"\ntemperature {found['value']:g}: expected calibration error of val " in out
    ours, theirs = weights(folder), weights(plain)
    names = {f"fc.{name}" for name, _ in output_layers(timm.create_model("test_resnet", num_classes=12))[0].named_parameters()}
    assert {name for name in ours if not torch.equal(ours[name], theirs[name])} == names
    for name in names:
        assert torch.equal(ours[name], theirs[name] / found["value"])
    for split, prefix in (("test", ""), ("val", "val_")):
        scored = evaluate_own("x", folder, split)
        assert SAME in scored.notes
        values = json.loads(json.dumps(scored.values()))
        assert {name: values[name] for name in after[split]} == after[split]
        kept, raw = (load_file(each / "predictions.safetensors")[f"{prefix}logits"] for each in (folder, plain))
        if tta == "none":
            torch.testing.assert_close(kept, raw / found["value"], atol=1e-4, rtol=1e-4)
            assert after[split]["accuracy"] == before[split]["accuracy"]
    # timm loads weights that include the temperature; the views of an image are a setting that only zoo knows.
    network = timm.create_model(f"local-dir:{folder / 'model'}", pretrained=True).eval()
    assert torch.equal(network.get_classifier().weight, ours["fc.weight"])  # type: ignore[operator, union-attr]
    assert load(folder).tta == load(folder / "model").tta == tta
    assert load(folder, "none").tta == "none"


class Stopped(Exception):
    pass


def test_a_run_that_goes_on_ends_as_one_that_never_stopped(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = [*HARD, "eval.tta=hflip", "eval.temperature=fit", "train.ema=0.5", "train.epochs=2"]
    whole, ours = run(tiny, *overrides)
    save = Saver.save

    def save_and_stop(self: Saver, progress: Any) -> None:
        save(self, progress)
        if len(progress.history) == 1:
            raise Stopped

    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Saver, "save", save_and_stop)
        run(tiny, *overrides)
    folder, theirs = run(tiny, *overrides, resume=whole.parent / "tiny-2")
    assert same(whole, folder)
    assert (ours["test"], ours["val"], ours["temperature"]) == (theirs["test"], theirs["val"], theirs["temperature"])
    rows = [
        [{key: value for key, value in row.items() if key not in CLOCKS} for row in history(each)] for each in (whole, folder)
    ]
    assert rows[0] == rows[1]
    # The run is finished again from its newest checkpoint, in which the weights do not include the temperature.
    (folder / "result.json").unlink()
    run(tiny, *overrides, resume=folder)
    assert same(whole, folder)


@pytest.mark.slow
def test_where_no_temperature_fits_a_run_says_so_and_ends(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, result = run(tiny, "train.epochs=3", "eval.temperature=fit")
    assert result["val"]["accuracy"] == 1, "these images are easy"
    captured = capsys.readouterr()
    assert "warning: temperature: the best for 16 images of val is not between 0.05 and 20" in captured.err
    assert "temperature 1: " in captured.out
    assert result["temperature"]["value"] == 1
    assert result["temperature"]["loss"][0] == result["temperature"]["loss"][1]
    assert SAME in evaluate_own("x", folder).notes


def test_a_run_of_views_equals_one_view_but_for_its_evaluations(tiny: Path) -> None:
    one, plain = run(tiny, *HARD, "eval.select_by=last")
    two, mirrored = run(tiny, *HARD, "eval.select_by=last", "eval.tta=hflip")
    assert same(one, two)
    assert (plain.get("tta"), mirrored["tta"]) == (None, "hflip")
    # Scored with the same views, both runs have the same bits.
    for tta, its in (("hflip", mirrored), ("none", plain)):
        found = [evaluate_own("x", each, "test", tta) for each in (one, two)]
        assert torch.equal(found[0].logits, found[1].logits)
        assert found[0].scores.loss == its["test"]["loss"]
    assert "the run was scored with each image and its mirror" in found[1].notes
    assert SAME not in found[1].notes
    assert evaluate_own("x", two, "val").scores.loss == mirrored["val"]["loss"] == history(two)[-1]["val.loss"]
    config = [json.loads((each / "model" / "config.json").read_text()) for each in (one, two)]
    assert config[1] == config[0] | {"tta": "hflip"}


def test_what_cannot_work_is_one_line(tmp_path: Path, tiny: Path) -> None:
    no_val = ["data.val_fraction=0", "eval.select_by=last", "eval.temperature=fit"]
    assert mistakes(tmp_path, GOOD, *no_val) == [
        "eval.temperature: fit needs validation images, and data.val_fraction is 0 (raise it, or use none)"
    ]
    assert (
        "hflip mirrors images, which changes the meaning of digits (use none)"
        in mistakes(tmp_path, GOOD, "data=digits", "eval.tta=hflip")[0]
    )
    folder, _ = run(tiny, "train.epochs=1")
    with pytest.raises(ZooError, match=r"eval\.tta none -> hflip.* \(these cannot change within a run"):
        train(load_recipe(tiny, ["train.epochs=2", "eval.tta=hflip"]), folder, allow_change=True)
