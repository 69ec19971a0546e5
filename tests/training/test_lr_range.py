"""A learning rate range test trains on the same batches as a run, and writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.recipe.load import load_recipe
from zoo.system.console import Console
from zoo.training import lr_range
from zoo.training.lr_range import RangeTest, described, range_test
from zoo.training.lr_rule import suggest
from zoo.training.state import Training

QUIET = Console(quiet=True)


def try_rates(tiny: Path, *overrides: str, steps: int = 60) -> RangeTest:
    return range_test(load_recipe(tiny, overrides), steps, QUIET)


def test_the_rate_rises_around_that_of_the_recipe_until_the_loss_diverges(tiny: Path, tmp_path: Path) -> None:
    found = try_rates(tiny)
    assert found.rates[0] == pytest.approx(2e-6)
    assert found.rates[-1] < 2.0
    assert found.ended in (lr_range.DIVERGED, lr_range.NOT_FINITE)
    assert len(found.rates) == len(found.losses) < found.steps
    assert found.suggestion == suggest(found.rates, found.losses)
    assert found.suggestion is not None
    assert found.rates[0] < found.suggestion.lr < found.rates[-1]
    record = found.record()
    assert (record["lr"], record["steps"]) == (found.suggestion.lr, len(found.rates))
    assert {path.name for path in tmp_path.iterdir()} == {"tiny.yaml"}
    # The same seed gives the same losses, and another seed gives others.
    assert try_rates(tiny).losses == found.losses
    assert try_rates(tiny, "train.seed=1").losses != found.losses


def test_the_first_steps_are_those_of_the_run_and_val_is_not_looked_at(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, float, int]] = []

    def note(training: Training, positions: object, step: int) -> float:
        asked.append((step, training.lr_at(step), training.size_at(step)))
        return 2.0 - 0.01 * step

    monkeypatch.setattr(lr_range, "_loss_of", note)
    found = try_rates(tiny, "image_size={start: 32, end: 64, until: 0.4}", "optim.lr=0.1", "schedule=one_cycle", steps=25)
    # The steps are more than an epoch, all at the image size that the run has at its highest learning rate.
    assert [step for step, _, _ in asked] == list(range(25))
    assert {size for _, _, size in asked} == {48}
    assert [rate for _, rate, _ in asked] == list(found.rates)
    assert (found.rates[0], found.rates[-1]) == (pytest.approx(1e-4), pytest.approx(100))
    assert found.still_falling
    assert "still falling" in described(found)[-1][1]


def test_a_loss_that_is_not_finite_ends_the_test(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lr_range, "_loss_of", lambda _training, _positions, step: None if step == 30 else 2.0 - 0.01 * step)
    found = try_rates(tiny)
    assert (len(found.losses), found.ended) == (30, lr_range.NOT_FINITE)
    assert "ended after 30: the loss was not finite" in described(found)[0][1]


def test_a_loss_that_never_falls_is_one_line(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lr_range, "_loss_of", lambda *_: 2.0)
    with pytest.raises(
        ZooError, match=r"^optim.lr: the loss did not fall at any rate from 2e-06 on \(use more --steps, or another"
    ):
        try_rates(tiny)


def test_a_head_is_tested_on_cached_features(tiny: Path) -> None:
    found = try_rates(tiny, "finetune.freeze=backbone", "augment.crop=none", "augment.hflip=false", "optim.lr=0.1")
    assert len(found.rates) > 1


def test_stages_are_tested_one_by_one(tiny: Path) -> None:
    with pytest.raises(ZooError, match=r"^finetune.stages: each stage trains different parameters, .* \(test a single stage: "):
        try_rates(tiny, "finetune.stages=gradual")


@pytest.mark.slow
def test_groups_of_parameters_keep_their_share_of_the_rate(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[list[tuple[float, float]]] = []
    first = lr_range._loss_of

    def note(training: Training, positions: object, step: int) -> float | None:
        loss = first(training, positions, step)  # type: ignore[arg-type]
        groups.append([(group["lr"], group["lr_scale"]) for group in training.plain_optimizer.param_groups])
        return loss

    monkeypatch.setattr(lr_range, "_loss_of", note)
    found = try_rates(tiny, "finetune.head_lr_scale=10")
    assert {scale for _, scale in groups[0]} == {1.0, 10.0}
    for rate, rates in zip(found.rates, groups, strict=False):
        assert all(lr == pytest.approx(rate * scale) for lr, scale in rates)
