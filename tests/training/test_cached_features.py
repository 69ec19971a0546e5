"""A head on cached features: it equals one trained on images but for rounding, resumes to the same bits, is scored on images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.runs import history, run, same, stop_at, weights

from zoo import errors
from zoo.data import feature_cache
from zoo.errors import Mistakes
from zoo.inference.own_test import evaluate_own
from zoo.models.features import FeatureExtractor
from zoo.recipe.load import load_recipe
from zoo.training import cached_features
from zoo.training.cached_features import CHUNKS
from zoo.training.forecast import forecast

HEAD = ["finetune.freeze=backbone", "augment.crop=none", "augment.hflip=false", "data.train_images=80"]
CLOCKS = ("images_per_second", "data_share", "seconds")
pytestmark = pytest.mark.usefixtures("cache")


def rows(folder: Path) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in CLOCKS} for row in history(folder)]


def test_cached_features_train_the_head_that_images_train(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["train.ema=0.9", "train.accumulate=2", "train.label_smoothing=0.1", "eval.test_every_epoch=true"]
    images, by_images = run(tiny, *HEAD, *more, "finetune.cache_features=false")
    assert "features   " not in capsys.readouterr().out
    cold, by_cold = run(tiny, *HEAD, *more)
    assert "features   computed once: 110 images in " in capsys.readouterr().out
    warm, by_warm = run(tiny, *HEAD, *more)
    assert "features   computed once: all 110 images are in the cache" in capsys.readouterr().out
    for key, value in weights(images).items():
        torch.testing.assert_close(weights(cold)[key], value, atol=1e-5, rtol=1e-4)
    for ours, theirs in zip(rows(cold), rows(images), strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4)
    assert same(cold, warm)
    assert rows(cold) == rows(warm)
    assert by_cold["test"] == by_warm["test"]
    for split in ("val", "test"):
        assert by_cold[split]["loss"] == pytest.approx(by_images[split]["loss"], rel=1e-4)
    assert all((folder / "report.html").exists() for folder in (images, cold))


@pytest.mark.parametrize("kept", [pytest.param(True, marks=pytest.mark.slow), False])
def test_a_run_on_features_goes_on_to_the_same_bits_with_or_without_the_cache(tiny: Path, kept: bool) -> None:
    overrides = [*HEAD, "output.checkpoint_every=1 step", "train.ema=0.9"]
    whole, _ = run(tiny, *overrides)
    stop_at(11, tiny, *overrides)
    if not kept:
        assert feature_cache.clear() > 0
    folder, _ = run(tiny, *overrides, resume=whole.parent / "tiny-2")
    assert same(whole, folder)
    assert rows(whole) == rows(folder)


def test_the_test_set_is_scored_by_the_whole_model(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wrong features change the trained head, but not how it is scored."""
    load = feature_cache.load
    run(tiny, *HEAD, "train.epochs=1")
    monkeypatch.setattr(feature_cache, "load", lambda key: None if (found := load(key)) is None else torch.zeros_like(found))
    folder, _ = run(tiny, *HEAD, "train.epochs=1")
    for split in ("val", "test"):
        assert "the logits equal the run's saved logits, bit for bit" in evaluate_own(str(folder), folder, split).notes


@pytest.mark.slow
def test_other_weights_sizes_images_and_precisions_have_other_features(tiny: Path) -> None:
    def files() -> int:
        return len(feature_cache.files())

    one = [*HEAD, "train.epochs=1"]
    run(tiny, *one)
    assert files() == 2
    for number, changed in enumerate(
        (["train.seed=1"], ["image_size=24"], ["data.train_images=90"], ["train.precision=bf16"]), start=2
    ):
        run(tiny, *one, *changed)
        assert files() == 2 * number
    run(tiny, *one, "optim.lr=1e-4", "train.batch_size=16")
    assert files() == 10


def test_what_is_measured_follows_the_features_that_are_known(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tiny, *HEAD, "train.epochs=1", "train.channels_last=true")
    capsys.readouterr()
    run(tiny, *HEAD, "train.epochs=1", "train.channels_last=auto")
    said = capsys.readouterr().out
    assert "precision  fp32, channels_last (as cached features were computed)" in said
    assert "measuring" not in said


def test_varied_images_are_not_cached_and_the_way_to_it_is_named(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tiny, "finetune.freeze=backbone", "train.epochs=1", "augment.mixup=0.2")
    said = capsys.readouterr().out
    words = "augment.crop=none augment.hflip=false augment.mixup=0"
    assert f"features   computed in each epoch, because the images vary (to compute them once: {words})" in said
    assert not feature_cache.files()


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["augment.crop=none"], "true, but images vary from epoch to epoch (set augment.hflip=false, or write auto)"),
        (["finetune.freeze=none", *HEAD[1:]], "true, but the backbone trains, and its features change (set finetune.freeze: backbone"),
    ],
)  # fmt: skip
def test_features_that_change_are_not_cached(tiny: Path, overrides: list[str], text: str) -> None:
    with pytest.raises(Mistakes) as error:
        load_recipe(tiny, ["finetune.freeze=backbone", "finetune.cache_features=true", *overrides])
    assert f"finetune.cache_features: {text}" in error.value.lines[0]


def test_a_model_that_needs_more_than_its_last_layer_is_refused(tiny: Path) -> None:
    asked = [*HEAD, "finetune.cache_features=true", "train.epochs=1", "image_size=224"]
    with pytest.raises(errors.ZooError, match=r"finetune.cache_features: true, but levit_128s does not end in a single layer"):
        run(tiny, *asked, "backbone.name=levit_128s")


def test_a_signal_while_features_are_computed_stops_the_run_in_order(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cached_features, "stopping", lambda _: True)
    with pytest.raises(errors.Stopped, match="before a checkpoint"):
        run(tiny, *HEAD)


def test_a_forecast_leaves_the_features_for_the_run(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = forecast(load_recipe(tiny, HEAD))
    assert found.evaluation_seconds > 0
    run(tiny, *HEAD)
    assert "all 80 images are in the cache" in capsys.readouterr().out


def test_features_are_those_of_the_backbone(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept: list[Any] = []
    use = cached_features.use_features
    monkeypatch.setattr("zoo.training.run.use_features", lambda setup: (use(setup), kept.append(setup)))
    run(tiny, *HEAD, "train.epochs=1", "train.batch_size=80", "data.val_fraction=0", "eval.select_by=last")
    (setup,) = kept
    images = setup.whole.train
    count = len(images)
    assert count > CHUNKS["cpu"], "more than one chunk"
    shown, _ = images.training(np.arange(count), slice(None), 32, setup.recipe.augment, 0, 5)
    with torch.no_grad():
        plain = FeatureExtractor(setup.bare_model.eval())(shown)
    torch.testing.assert_close(setup.training.train.features, plain, atol=1e-5, rtol=1e-4)
