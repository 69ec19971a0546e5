"""Checks of the environment that a recipe needs, before anything heavy is imported."""

from __future__ import annotations

import importlib.util
import os
from typing import TYPE_CHECKING

from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.recipe.recipe import Recipe

from zoo.system.launch import environment_asks_for_cpu, on_cpu, wish_for_cpu

# Settings of `accelerate config` that a run does not support: sharded weights, and compiling unknown to the recipe.
UNSUPPORTED = ("USE_FSDP", "USE_DEEPSPEED", "USE_MEGATRON_LM", "USE_PARALLELISM_CONFIG", "DYNAMO_BACKEND")
# Accelerate's names of a recipe's precisions.
MIXED_PRECISION = {"fp32": "no", "bf16": "bf16", "fp16": "fp16"}
# Accelerate's trackers, and the modules of which each needs one.
TRACKERS = {name: (name,) for name in ("aim", "clearml", "comet_ml", "dvclive", "mlflow", "swanlab", "trackio", "wandb")} | {
    "tensorboard": ("tensorboard", "tensorboardX")
}


def check_environment(recipe: Recipe) -> None:
    """Check that this machine and its launcher can do what the recipe asks for.

    Raises:
        ZooError: a device, a package or the teacher is missing, fp16 has no GPU, or the launcher asks for another precision
            or for something unsupported.
    """
    choose_device(recipe.train.device)
    if recipe.train.precision == "fp16" and on_cpu():
        raise ZooError("train.precision", "fp16 needs a GPU", "use auto, bf16 or fp32")
    for name in UNSUPPORTED:
        if os.environ.get(f"ACCELERATE_{name}", "false").lower() not in ("false", "no", "0", ""):
            what = f"ACCELERATE_{name}={os.environ[f'ACCELERATE_{name}']} is not supported"
            raise ZooError("launch", what, "run accelerate config and choose plain multi-GPU, without dynamo")
    if recipe.finetune.lora is not None:
        recipe.finetune.lora.check()
    if recipe.distill is not None:
        recipe.distill.folder()
    for tracker in recipe.output.track:
        if not any(importlib.util.find_spec(module) for module in TRACKERS[tracker]):
            raise ZooError("output.track", f"{tracker} is not installed", f"pip install {TRACKERS[tracker][0]}")
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    ours = MIXED_PRECISION.get(recipe.train.precision)
    if asked not in ("no", ours):
        raise ZooError(
            "launch",
            f"--mixed_precision {asked}, but train.precision is {recipe.train.precision}",
            f"set train.precision={asked}",
        )


def choose_device(device: str) -> None:
    """Tell `on_cpu` and Accelerate which device a recipe trains on; `auto` leaves the choice to them.

    Raises:
        ZooError: the device is not available.
    """
    if device == "mps":
        what = "a run keeps its sums in float64, which Apple's GPUs lack"
        raise ZooError("train.device", f"mps: {what}", "use auto, which takes the CPU there")
    wish_for_cpu(device == "cpu")
    if device == "cuda" and on_cpu():
        asked = environment_asks_for_cpu()
        what = "cuda, but ACCELERATE_USE_CPU asks for the CPU" if asked else "cuda, but torch finds no GPU here"
        raise ZooError(
            "train.device", what, "unset it" if asked else "use auto, or see 'python -c \"import torch; torch.zeros(1).cuda()\"'"
        )
