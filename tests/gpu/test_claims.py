"""A test for each claim of zoo about GPUs. `python -m pytest -m gpu` runs them on a machine with a GPU.

They have not been run on a GPU yet. Without one they are skipped, and other tests show what a CPU can show of each claim;
docs/processes.md describes them.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.tensors import same_tensors
from safetensors.torch import load_file
from torch import Tensor, nn

from zoo.cli import main
from zoo.data.augment import Augment
from zoo.data.batches import Batches, Preprocessing, resident
from zoo.data.pixel_store import PixelStore
from zoo.data.resize import Normalize
from zoo.data.splits import Split
from zoo.errors import ZooError
from zoo.system.device import exact_products, native_bf16, set_kernels
from zoo.system.memory import lacks_memory
from zoo.training import autotune
from zoo.training.trial import fewest_micro_batches, room_for_training

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")]

CUDA = torch.device("cuda", 0)
SETTINGS = ["train.precision=fp32", "train.channels_last=false", "train.accumulate=1", "train.batch_size=16"]


def split(images: int = 256, side: int = 32) -> Split:
    pixels = np.random.default_rng(0).integers(0, 256, (images, 3, side, side), dtype=np.uint8)
    return Split.of(PixelStore.square(pixels), np.arange(images) % 10)


def batches(device: torch.device, there: Tensor | None) -> Batches:
    preprocessing = Preprocessing(Normalize((0.5,) * 3, (0.25,) * 3), "bicubic", 0.9)
    return Batches(split(), preprocessing, 10, device, channels_last=True, resident=there)


@pytest.fixture
def run(tiny: Path) -> Callable[..., dict[str, Tensor]]:
    """Return a function that trains on the GPU and returns the weights."""

    def train(name: str, *words: str) -> dict[str, Tensor]:
        assert main(["train", str(tiny), f"name={name}", "train.device=cuda", *SETTINGS, *words]) == 0
        return load_file(tiny.parent / "runs" / name / "model/model.safetensors")

    return train


def result(tiny: Path, name: str) -> dict[str, Any]:
    return json.loads((tiny.parent / "runs" / name / "result.json").read_text())


@pytest.mark.parametrize("is_resident", [True, False])
def test_a_batch_waits_for_nothing(is_resident: bool) -> None:
    made = batches(CUDA, resident(split().pixels, CUDA) if is_resident else None)
    augment = Augment.model_validate({"mixup": 0.2, "cutmix": 1.0, "color_jitter": 0.3, "erase": 0.3})
    made.training(np.arange(64), slice(0, 64), 64, augment, 0, 0)
    made.evaluation(np.arange(64), 64)
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        made.training(np.arange(64), slice(0, 64), 64, augment, 0, 1)
        made.evaluation(np.arange(64), 64)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_batch_is_that_of_a_cpu() -> None:
    set_kernels(CUDA)
    augment = Augment.model_validate({"mixup": 0.2, "color_jitter": 0.3})
    made = [
        batches(device, None).training(np.arange(64), slice(0, 64), 48, augment, 0, 3) for device in (CUDA, torch.device("cpu"))
    ]
    for ours, theirs in zip(*made, strict=True):
        torch.testing.assert_close(ours.cpu(), theirs, atol=2e-4, rtol=1e-4)


def test_products_of_pixels_are_exact_while_those_of_models_are_fast() -> None:
    set_kernels(CUDA)
    a, b = (torch.rand(256, 256, device=CUDA) for _ in range(2))
    with exact_products(CUDA):
        exact = a @ b
    torch.testing.assert_close(exact.double(), a.double() @ b.double(), atol=1e-4, rtol=1e-5)


def test_a_run_learns_and_says_on_what(tiny: Path, run: Callable[..., dict[str, Tensor]]) -> None:
    run("plain", "train.epochs=4")
    found = result(tiny, "plain")
    assert (found["device_type"], found["train"]["accuracy"] > 0.5) == ("cuda", True)
    facts = json.loads((tiny.parent / "runs/plain/environment.json").read_text())["gpu"]
    assert facts["cudnn_benchmark"] == "True"


def test_deterministic_runs_have_the_same_bits(run: Callable[..., dict[str, Tensor]]) -> None:
    assert same_tensors(run("one", "train.deterministic=true"), run("two", "train.deterministic=true"))


def test_a_resumed_run_has_the_bits_of_one_that_never_stopped(tiny: Path, run: Callable[..., dict[str, Tensor]]) -> None:
    words = ["train.deterministic=true", "train.epochs=3", "train.ema=0.9"]
    whole = run("whole", *words)
    from zoo.recipe.load import load_recipe
    from zoo.training.run import train

    recipe = load_recipe(tiny, ["name=paused", "train.device=cuda", *SETTINGS, *words])
    folder = train(recipe, until_epoch=1)
    train(recipe, folder)
    assert same_tensors(load_file(folder / "model/model.safetensors"), whole)


def test_a_gradient_that_is_not_finite_leaves_the_weights(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.training import step

    calls: list[int] = []
    losses = step.losses

    def broken(logits: Tensor, *rest: Any) -> Tensor:
        calls.append(1)
        return losses(logits, *rest) * (float("nan") if len(calls) == 3 else 1)

    monkeypatch.setattr("zoo.training.loop.losses", broken)
    assert main(["train", str(tiny), "train.device=cuda", *SETTINGS]) == 4
    assert len(calls) == 4, "one step was begun before the broken one was read"


def test_auto_takes_the_precision_that_the_gpu_has() -> None:
    model = nn.Sequential(nn.Conv2d(3, 64, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)).to(CUDA)
    found = autotune.time_candidates(model, 64, 64, CUDA, autotune.candidates(CUDA, "auto", "auto"))
    assert {name for name, _ in found} == ({"bf16", "fp32"} if native_bf16(CUDA) else {"fp16", "fp32"})
    assert all(speed > 0 for speed in found.values())


def test_what_does_not_fit_is_divided() -> None:
    model = nn.Sequential(nn.Conv2d(3, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model.to(CUDA)
    total = torch.cuda.get_device_properties(CUDA).total_memory
    images = 4 * total // (256 * 256 * 256 * 4 * 2)
    with room_for_training(model, CUDA, 1):
        assert fewest_micro_batches(model, 256, images, CUDA, ("fp32", False)) >= 2


def test_a_lack_of_memory_is_recognized() -> None:
    with pytest.raises(RuntimeError) as failed:
        torch.empty(1 << 50, dtype=torch.uint8, device=CUDA)
    assert lacks_memory(failed.value)


def test_fp16_trains_where_it_is_asked_for(tiny: Path) -> None:
    words = ["name=half", "train.device=cuda", "train.precision=fp16", "train.channels_last=true", "train.accumulate=1"]
    assert main(["train", str(tiny), *words]) == 0
    assert result(tiny, "half")["precision"] == "fp16"
    rows = [json.loads(line) for line in (tiny.parent / "runs/half/metrics.jsonl").read_text().splitlines()]
    assert all(row["skipped_steps"] < 20 for row in rows)


def test_training_leaves_no_room_for_an_optimizer_that_does_not_fit() -> None:
    huge = nn.Module()
    huge.weight = nn.Parameter(torch.empty(1 << 20, 1 << 18, device="meta"))
    with pytest.raises(ZooError, match=r"its optimizer does not fit"), room_for_training(huge, CUDA, 1):
        pass
