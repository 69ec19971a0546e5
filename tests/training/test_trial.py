"""Trial steps, and four errors by which a GPU reports that memory is too small; the tests need no GPU."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from torch import nn

from zoo.errors import ZooError
from zoo.training import trial
from zoo.training.trial import fewest_micro_batches, fits, guarded, preserved_buffers, room_for_training

CPU, META = torch.device("cpu"), torch.device("meta")
TEXTS = [
    "CUDA out of memory. Tried to allocate 2.00 GiB",
    "GET was unable to find an engine to execute this computation",
    "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
    "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED",
]


def network() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, int], list[int]]:
    """Return a function that lets steps of more than `most` images fail; it returns the list of the sizes that are tried."""

    def limit(text: str, most: int) -> list[int]:
        tried: list[int] = []

        def stepper(model: nn.Module, size: int, images: int, *_: object, **__: object) -> Callable[[], float]:
            def step() -> float:
                tried.append(images)
                if images > most:
                    raise RuntimeError(text)
                return 0.1

            return step

        monkeypatch.setattr(trial, "stepper", stepper)
        return tried

    return limit


@pytest.mark.parametrize("text", TEXTS)
def test_micro_batches_are_halved_until_they_fit(text: str, full: Callable[[str, int], list[int]]) -> None:
    tried = full(text, 8)
    assert fewest_micro_batches(network(), 8, 50, META, ("fp32", False)) == 8
    assert tried == [50, 25, 13, 7]
    assert guarded(network(), 8, 9, META, ("fp32", False))() == math.inf


def test_where_not_even_one_image_fits_it_says_so(full: Callable[[str, int], list[int]]) -> None:
    full(TEXTS[0], 0)
    with pytest.raises(ZooError, match=r"^train.batch_size: not even one image fits into memory"):
        fewest_micro_batches(network(), 8, 6, META, ("fp32", False))


def test_other_errors_are_not_hidden(full: Callable[[str, int], list[int]]) -> None:
    full("mat1 and mat2 shapes cannot be multiplied", 0)
    with pytest.raises(RuntimeError, match="shapes"):
        fits(network(), 8, 4, META, ("fp32", False))
    with pytest.raises(RuntimeError, match="shapes"):
        guarded(network(), 8, 4, META, ("fp32", False))()


def test_a_loss_that_is_not_finite_still_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "stepper", lambda *_, **__: lambda: math.inf)
    assert fits(network(), 8, 4, META, ("fp16", False))


def test_a_cpu_takes_a_batch_whole_and_keeps_nothing_back() -> None:
    assert fewest_micro_batches(network(), 8, 50, CPU, ("fp32", False)) == 1
    with room_for_training(network(), CPU, 2):
        pass


def test_a_step_that_is_timed_leaves_the_model_as_it_was() -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with preserved_buffers(model):
        step = trial.stepper(model, 8, 4, CPU, ("fp32", True))
        assert 0 < step() < 60
        assert not torch.equal(model.state_dict()["1.running_mean"], before["1.running_mean"])
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def test_memory_is_given_back_where_the_optimizer_does_not_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    shares: list[float] = []
    gpu, model = torch.device("cuda", 0), network()
    monkeypatch.setattr(torch.cuda, "set_per_process_memory_fraction", lambda share, device: shares.append(share))

    def full(*_: object, **__: object) -> torch.Tensor:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(torch, "empty", full)
    with pytest.raises(ZooError, match=r"^backbone.name: its optimizer does not fit"), room_for_training(model, gpu, 1):
        pass
    assert shares == [trial.USABLE_MEMORY, 1.0]
