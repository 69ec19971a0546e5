from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

from zoo.errors import ZooError
from zoo.recipe.load import load_recipe
from zoo.system.launch import on_cpu
from zoo.training.preflight import check_environment, choose_device


def test_launches_that_would_not_work_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = load_recipe(Path("quickstart"), ["train.precision=fp32"])
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.raises(ZooError, match=r"launch: --mixed_precision bf16, but train.precision is fp32"):
        check_environment(loaded)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    # The values that Accelerate sets if the user asked for nothing.
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "NO")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    check_environment(loaded)
    for name, value in (("USE_FSDP", "true"), ("USE_DEEPSPEED", "true"), ("DYNAMO_BACKEND", "INDUCTOR")):
        with (
            monkeypatch.context() as patch,
            pytest.raises(ZooError, match=rf"launch: ACCELERATE_{name}={value} is not supported"),
        ):
            patch.setenv(f"ACCELERATE_{name}", value)
            check_environment(loaded)
    with pytest.raises(ZooError, match=r"output.track: comet_ml is not installed \(pip install comet_ml\)"):
        check_environment(load_recipe(Path("quickstart"), ["output.track=[comet_ml]"]))


def test_a_device_that_cannot_be_had_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ACCELERATE_USE_CPU", raising=False)
    with pytest.raises(ZooError, match=r"^train.device: mps: a run keeps its sums in float64"):
        choose_device("mps")
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: None)
    with pytest.raises(ZooError, match=r"^train.device: cuda, but torch finds no GPU here"):
        choose_device("cuda")
    choose_device("auto")
    assert "ACCELERATE_USE_CPU" not in os.environ
    monkeypatch.setenv("ACCELERATE_USE_CPU", "yes")
    with pytest.raises(ZooError, match=r"^train.device: cuda, but ACCELERATE_USE_CPU asks for the CPU \(unset it\)"):
        choose_device("cuda")
    choose_device("auto")


def test_a_gpu_is_not_taken_where_the_recipe_says_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "false")
    monkeypatch.setattr("torch.accelerator.current_accelerator", lambda check_available: torch.device("cuda"))
    assert not on_cpu()
    choose_device("cpu")
    assert on_cpu()
    # A later recipe in the same process can use the GPU.
    choose_device("cuda")
    assert not on_cpu()
