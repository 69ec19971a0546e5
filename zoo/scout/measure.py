"""Measure one backbone inside its worker process: features and their scores, speed, and the minutes of a fine-tune."""

from __future__ import annotations

import statistics
import time
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from accelerate import PartialState
from torch import Tensor

from zoo.data import feature_cache
from zoo.data.batches import Batches, resident
from zoo.data.splits import Splits
from zoo.errors import StorageError
from zoo.models.build import build_model, data_config
from zoo.models.flops import count_costs
from zoo.models.sizes import check_sizes
from zoo.recipe.recipe import Recipe
from zoo.scout.features import Backbone, feature_key
from zoo.scout.folds import scouted
from zoo.scout.probe import probe
from zoo.scout.settings import WARNING, Request
from zoo.system import launch
from zoo.system.console import Console
from zoo.system.device import device_name, indexed, set_kernels
from zoo.system.threads import announce_threads, keep_freed_memory, set_threads
from zoo.training.accelerator import silence_harmless_warnings
from zoo.training.forecast import forecast_of, prepare, read_recipe
from zoo.training.inputs import Inputs, evaluated_as, preprocessing_of

Say = Callable[[dict[str, Any]], None]


def stamp(_arguments: Mapping[str, Any], say: Say) -> None:
    """Report the device of this machine."""
    say({"device": device_name(_device())})


def measure(arguments: Mapping[str, Any], say: Say) -> None:
    """Measure a backbone.

    Args:
        arguments: `request`, a `Request`.
        say: called with columns of the row as they become known, and with a `WARNING` if there is one.

    Raises:
        ZooError: the weights or the images are not available, or the backbone does not support the image size.
    """
    request: Request = arguments["request"]
    recipe = read_recipe(request.recipe)
    start = launch.read()
    warnings.simplefilter("ignore")
    announce_threads(recipe.train.threads, start)
    set_threads(recipe.train.threads, start)
    keep_freed_memory()
    silence_harmless_warnings()
    found = recipe.backbone.weights.find(recipe.backbone.name)
    facts = data_config(recipe.backbone.name)
    before = time.perf_counter()
    data = recipe.data.load(recipe.train.seed, request.store_size)
    seconds = time.perf_counter() - before
    _score(request, recipe, Inputs(found, data, evaluated_as(recipe, facts)), say)
    if request.candidate.control:
        return
    if request.store_size == recipe.image_size.end:
        _predict(recipe, time.perf_counter() - seconds, data, say)
    else:
        _predict(recipe, time.perf_counter(), None, say)


def _score(request: Request, recipe: Recipe, inputs: Inputs, say: Say) -> None:
    """Compute the features or load them from the cache, and report their scores and the speed."""
    size, data = request.image_size, inputs.data
    torch.manual_seed(recipe.train.seed)
    built = build_model(recipe.backbone, inputs.found, len(data.classes), size)
    check_sizes(recipe.backbone.name, built.model, [size])
    count = sum(parameter.numel() for parameter in built.model.parameters())
    gmacs, _ = count_costs(built.model.eval(), torch.zeros(1, 3, size, size))
    say({"weights": built.source, "param_count": round(count / 1e6, 2), "gmacs": round(gmacs, 3)})
    device = _device()
    key = feature_key(built, recipe.backbone.name, size, inputs.preprocessing, request.digest, device.type)
    split = scouted(data).take(request.positions)
    batches = Batches(
        split, preprocessing_of(inputs), len(data.classes), device, channels_last=True, resident=resident(split.pixels, device)
    )
    backbone = Backbone(built.model, batches, size)
    features, speed = _features(backbone, key, request, say)
    say(
        {
            "features": features.shape[1],
            "images_per_second": round(speed, 2),
            "single_ms": round(backbone.single_ms(), 2),
        }
    )
    before = time.perf_counter()
    scores = probe(features, torch.from_numpy(split.targets), request.fold)
    say(
        {
            "probe": statistics.fmean(scores.folds),
            "probe_sd": statistics.stdev(scores.folds),
            "probe_folds": list(scores.folds),
            "penalties": list(scores.penalties),
            "knn": scores.knn,
            "probe_seconds": round(time.perf_counter() - before, 2),
        }
    )


def _features(backbone: Backbone, key: str, request: Request, say: Say) -> tuple[Tensor, float]:
    """Return features float32 [N, D] and images/s. If the cache cannot be written, only warn."""
    count = len(backbone.batches)
    known = feature_cache.load(key)
    if known is not None and len(known) == count:
        return known, backbone.speed()
    features, speed = backbone.extract(count)
    name = f"{request.candidate.name}{' (random weights)' if request.candidate.control else ''}"
    try:
        feature_cache.save(key, features, {"backbone": name, "data": request.data, "image_size": str(request.image_size)})
    except StorageError as error:
        say({WARNING: str(error)})
    return features, speed


def _predict(recipe: Recipe, began: float, data: Splits | None, say: Say) -> None:
    """Report the predicted time, speed and memory of the recipe's fine-tune on this machine."""
    setup, seconds = prepare(recipe, launch.read(), Console(quiet=True), began, data=data, quick=True)
    found = forecast_of(setup, seconds)
    say(
        {
            "minutes": round(found.minutes, 3),
            "train_images_per_second": round(found.images_per_second, 2),
            "train_peak_memory_mb": round(found.peak_memory_mb),
            "precision": found.precision,
            "channels_last": found.channels_last,
        }
    )


def _device() -> torch.device:
    """Return the device that a run would use."""
    device = indexed(PartialState(cpu=launch.on_cpu()).device)
    set_kernels(device)
    return device
