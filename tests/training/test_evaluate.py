"""Evaluation returns the outputs of a whole split in its own order, for any batch size and number of processes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from zoo.metrics import METRICS
from zoo.training import evaluate as module
from zoo.training.evaluate import Interrupted, averaged, evaluate, evaluate_alone, running_statistics, score, shares_of


class Numbers:
    """Images of a single value each: their position in the split."""

    def __init__(self, count: int) -> None:
        self.targets = torch.arange(count) % 3
        self.batches: list[int] = []

    def __len__(self) -> int:
        return len(self.targets)

    def evaluation(self, positions: np.ndarray, size: int) -> tuple[Tensor, Tensor]:
        self.batches.append(len(positions))
        values = torch.as_tensor(positions).float().view(-1, 1, 1, 1)
        return values.expand(-1, 3, size, size), self.targets[positions]


class Mean(nn.Module):
    """A model with outputs [B, 3] that show which image it was given; it must be in evaluation mode."""

    def forward(self, images: Tensor) -> Tensor:
        assert not self.training
        return images.mean((2, 3))


@pytest.mark.parametrize(("count", "batch_size"), [(1, 8), (8, 8), (9, 8), (25, 4)])
def test_outputs_are_those_of_the_split_in_its_order(count: int, batch_size: int):
    images = Numbers(count)
    outputs, targets = evaluate(Accelerator(cpu=True), Mean().train(), images, 4, batch_size)
    assert outputs[:, 0].tolist() == list(range(count))
    assert targets.tolist() == images.targets.tolist()
    # Batch sizes differ by one at most, and none is larger than asked for.
    assert max(images.batches) <= batch_size
    assert max(images.batches) - min(images.batches) <= 1


class Share:
    """A stand-in for the accelerator of one of several processes; it adds the outputs of this process to `gathered`."""

    device = torch.device("cpu")

    def __init__(self, index: int, processes: int, gathered: list[Tensor]) -> None:
        self.process_index, self.num_processes, self.gathered = index, processes, gathered

    def autocast(self) -> torch.autocast:
        return torch.autocast("cpu", enabled=False)

    def reduce(self, tensor: Tensor, how: str) -> Tensor:
        return tensor * 0

    def gather(self, tensor: Tensor) -> Tensor:
        self.gathered.append(tensor)
        return torch.cat(self.gathered)


@pytest.mark.parametrize(("count", "processes"), [(10, 3), (2, 4), (9, 3)])
def test_the_shares_of_all_processes_are_equal_and_make_the_whole(count: int, processes: int):
    shares = []
    for index in range(processes):
        share: list[Tensor] = [torch.zeros(count + processes, 3)]
        evaluate(Share(index, processes, share), Mean(), Numbers(count), 4, 2)  # type: ignore[arg-type]
        shares.append(share[1])
    assert len({len(share) for share in shares}) == 1
    assert torch.cat(shares)[:count, 0].tolist() == list(range(count))


def test_a_signal_ends_an_evaluation_early(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module.signals, "requested", lambda: "SIGTERM")
    with pytest.raises(Interrupted):
        evaluate(Accelerator(cpu=True), Mean(), Numbers(3), 4, 2)


def training(**values: Any) -> Any:
    return SimpleNamespace(
        **({"accelerator": Accelerator(cpu=True), "eval_size": 4, "eval_batch_size": 2, "averaged": None, "tta": "none"} | values)
    )


def test_a_split_is_scored_by_every_metric():
    scores = score(training(eval_model=Mean()), Numbers(6))
    assert list(scores) == list(METRICS)
    # All three outputs of an image are equal, so that the first class is predicted.
    assert scores["accuracy"] == pytest.approx(1 / 3)


def test_statistics_of_the_averaged_weights_are_shared_too():
    model, averaged = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    assert len(running_statistics(training(model=model))) == 2
    found = running_statistics(training(model=model, averaged=SimpleNamespace(module=averaged)))
    assert [id(buffer) for buffer in found] == [
        id(buffer) for norm in (model, averaged) for buffer in (norm.running_mean, norm.running_var)
    ]


@pytest.mark.parametrize(("count", "processes"), [(10, 3), (2, 4), (9, 3), (7, 1)])
def test_one_process_makes_the_very_batches_that_several_make(count: int, processes: int):
    several, alone = Numbers(count), Numbers(count)
    for index in range(processes):
        share = [torch.zeros(count, 3)]
        evaluate(Share(index, processes, share), Mean(), several, 4, 2)  # type: ignore[arg-type]
    outputs, targets = evaluate_alone(Accelerator(cpu=True), Mean(), alone, 4, 2, processes)
    assert alone.batches == several.batches == [len(batch) for share in shares_of(count, processes, 2) for batch in share]
    assert outputs[:, 0].tolist() == list(range(count))
    assert targets.tolist() == alone.targets.tolist()


@pytest.mark.parametrize(("count", "processes"), [(10, 3), (7, 1)])
def test_several_views_keep_their_places_on_any_number_of_processes(count: int, processes: int):
    images = Numbers(count)

    def views(positions: np.ndarray, size: int) -> list[Tensor]:
        plain, _ = images.evaluation(positions, size)
        return [plain, -plain]

    shares = []
    for index in range(processes):
        share: list[Tensor] = [torch.zeros(count, 2, 3)]
        evaluate(Share(index, processes, share), Mean(), images, 4, 2, views)  # type: ignore[arg-type]
        shares.append(share[1])
    outputs, _ = evaluate_alone(Accelerator(cpu=True), Mean(), images, 4, 2, processes, views)
    assert torch.equal(torch.cat(shares)[:count], outputs)
    assert outputs[:, 0, 0].tolist() == list(range(count))
    assert torch.equal(outputs[:, 1], -outputs[:, 0])
    torch.testing.assert_close(averaged(outputs).softmax(1), outputs.softmax(2).mean(1))
    assert averaged(outputs[:, 0]).equal(outputs[:, 0])
