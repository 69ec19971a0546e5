from __future__ import annotations

import pytest
import timm
import torch

from zoo.bench import steps
from zoo.bench.settings import Request, Settings
from zoo.bench.steps import OneBatch, PreparedModel


def prepared(**more: object) -> PreparedModel:
    settings = Settings(**{"precision": "fp32", "channels_last": False, "classes": 5, "batch_size": 2, **more})  # type: ignore[arg-type]
    model = timm.create_model("test_resnet", num_classes=5)
    ready = steps.prepare(Request("test_resnet", settings), model, 32, torch.device("cpu"))
    steps.choose_batch(ready)
    return ready


def test_a_model_is_prepared_as_it_was_asked_for() -> None:
    ready = prepared(channels_last=True)
    assert (ready.precision, ready.channels_last, ready.why, ready.batch, ready.total) == ("fp32", True, "as asked", 2, 2)
    assert ready.optimizer is not None
    assert prepared(modes=("infer",)).optimizer is None


def test_training_steps_leave_the_weights_as_they_are() -> None:
    ready = prepared()
    before = [parameter.detach().clone() for parameter in ready.model.parameters()]
    step = steps.step_alone(ready, "train")
    step()
    step()
    assert all(torch.equal(old, new) for old, new in zip(before, ready.model.parameters(), strict=True))
    assert steps.seconds_of(step, ready) > 0


def test_an_inference_step_is_an_evaluation_of_one_batch() -> None:
    ready = prepared(modes=("infer",))
    outputs, targets = steps.step_alone(ready, "infer")()
    assert outputs.shape == (2, 5)
    assert targets.tolist() == [0, 0]
    assert not ready.model.training


def test_a_batch_is_made_anew_each_time_it_is_asked_for() -> None:
    made = iter(range(3))
    batches = OneBatch(4, lambda: (torch.full((4,), next(made)), torch.zeros(4)))
    assert len(batches) == 4
    assert [int(batches.evaluation(torch.arange(4).numpy(), 32)[0][0]) for _ in range(3)] == [0, 1, 2]


def test_on_a_cpu_batches_grow_until_they_are_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = prepared(batch_size=None, modes=("infer",))
    # Seconds by batch size. The third is so slow that no larger one is tried; the second has the most images/s.
    seconds = {8: 0.1, 16: 0.15, 32: 0.9, 64: 0.1, 128: 0.1}
    monkeypatch.setattr(steps, "seconds_of", lambda step, model: seconds[model.batch])
    steps.choose_batch(ready)
    assert ready.batch == 16
    assert ready.warm_up > 0
