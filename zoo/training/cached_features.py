"""Train only the head, on features of a frozen backbone that are computed once and kept in the cache for the next run.

Except for rounding, a step gets the features that it would compute from its images: they are prepared as in training, in the
precision and layout of the run. Features are computed in batches of a fixed size, so that their bits do not depend on the
number of processes, and a resumed run gets the same ones whether or not they are still in the cache.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import timm
import torch
from torch import Tensor, nn

from zoo.data import feature_cache
from zoo.data.batches import Batches
from zoo.data.feature_batches import FeatureBatches
from zoo.errors import StorageError, ZooError
from zoo.models.features import backbone_digest, separable_head, watched_inputs
from zoo.models.sizes import example_images
from zoo.recipe.recipe import Recipe
from zoo.recipe.sections import Train
from zoo.recipe.varied import needs_images, varied
from zoo.section import AUTO, decided
from zoo.system import launch
from zoo.system.console import plural
from zoo.system.device import device_name
from zoo.system.launch import Launch
from zoo.system.progress import show_progress
from zoo.training import autotune, processes
from zoo.training.evaluate import ASK_EVERY, Interrupted, stopping
from zoo.training.timing import time_evaluation

if TYPE_CHECKING:
    from zoo.data.splits import Split
    from zoo.training.inputs import Inputs
    from zoo.training.setup import Setup, TrainableModel
    from zoo.training.state import Training

# Version of the features: it changes when the same images and weights would give other ones.
FORMAT = 1
# Images at a time, by device. On a CPU, more are no faster and take more memory.
CHUNKS = {"cpu": 32, "cuda": 256}


@dataclass(frozen=True)
class Caching:
    """The decision whether a run computes features once.

    Attributes:
        head: the last layer, which is trained on the features; None if each epoch runs the images through the whole model.
        why_not: a line that tells the user why a head is trained on images; empty if there is nothing to tell.
    """

    head: nn.Module | None
    why_not: str = ""


def caching(recipe: Recipe, model: nn.Module, frozen: Sequence[nn.Module]) -> Caching:
    """Decide whether features are computed once: they must be the same in each epoch, and the recipe must not forbid it.

    Args:
        recipe: with its open options chosen.
        model: frozen as the recipe says.
        frozen: modules that stay in evaluation mode.

    Raises:
        ZooError: the recipe asks for it, but the model does not allow it.
    """
    asked = recipe.finetune.cache_features
    if asked is False or recipe.finetune.freeze != "backbone":
        return Caching(None)
    if needs_images(recipe.eval, recipe.distill):
        return Caching(None)
    if found := varied(recipe.augment, recipe.image_size, recipe.backbone):
        # A recipe that asks for cached features was rejected when it was read.
        return Caching(None, f"computed in each epoch, because the images vary (to compute them once: {' '.join(found)})")
    device = next(model.parameters()).device
    head = separable_head(model, frozen, example_images(decided(recipe.image_size.end)).to(device))
    if head is None and asked is True:
        what = f"true, but {recipe.backbone.name} does not end in a single layer on fixed features"
        raise ZooError("finetune.cache_features", what, "write auto")
    return Caching(head)


def micro_batches(asked: Train, batch: int, device: torch.device) -> int:
    """Return the micro-batches of a step on features; batches of the same size evaluate the whole model."""
    return -(-batch // CHUNKS.get(device.type, 256)) if asked.accumulate == AUTO else asked.accumulate


def known_choice(
    recipe: Recipe, inputs: Inputs, model: TrainableModel, start: Launch, device: torch.device
) -> autotune.Choice | None:
    """Return the precision and layout in which the training features are already cached, or None if they are not.

    All processes use the result of the first one.
    """

    def find() -> autotune.Choice | None:
        settings = recipe.train
        facts = Facts.of(recipe, inputs, model, device)
        for precision, channels_last in autotune.candidates(device, settings.precision, settings.channels_last):
            choice = autotune.Choice(cast("autotune.Precision", precision), channels_last, 1, "as cached features were computed")
            if feature_cache.has(facts.key(choice, inputs.data.train, "train")):
                parts = micro_batches(settings, -(-decided(settings.batch_size) // start.processes), device)
                return replace(choice, accumulate=parts)
        return None

    return processes.from_first(start, find)


@dataclass(frozen=True)
class Facts:
    """Everything that features depend on, except for the images, the precision and the memory layout.

    Attributes:
        text: the facts, one item each.
        weights: digest of the backbone's weights.
    """

    text: tuple[str, ...]
    weights: bytes

    @classmethod
    def of(cls, recipe: Recipe, inputs: Inputs, model: TrainableModel, device: torch.device) -> Facts:
        """Return the facts of a run, with the weights that the model has now."""
        prepared = [f"{key}={inputs.preprocessing[key]}" for key in sorted(inputs.preprocessing)]
        # Sums are added in another order with another number of threads or on another processor.
        machine = [device_name(device), torch.get_num_threads(), CHUNKS.get(device.type), recipe.train.deterministic]
        versions = [FORMAT, timm.__version__, torch.__version__]
        about = [recipe.backbone.name, decided(recipe.image_size.end), model.folded, *prepared]
        weights = backbone_digest(model.built.model, model.built.head)
        return cls(tuple(map(str, ["train", *versions, *machine, *about])), weights)

    def key(self, choice: autotune.Choice, split: Split, prepared_for: str) -> str:
        """Return the cache key of a split's features; `prepared_for` is `train` or `evaluation`."""
        facts = [*self.text, choice.precision, choice.channels_last, prepared_for]
        digest = hashlib.sha256("\0".join(map(str, facts)).encode() + self.weights)
        digest.update(_pixels(split) + np.ascontiguousarray(split.index).tobytes())
        return digest.hexdigest()[:32]


def _pixels(split: Split) -> bytes:
    """Return an identifier of a split's pixels: the fingerprint of their store, or a digest if they are not in a file."""
    pixels = split.pixels
    if pixels.folder is not None:
        return pixels.folder.name.encode()
    digest = hashlib.sha256(pixels.aspects.tobytes() + str(pixels.images.shape).encode())
    digest.update(np.ascontiguousarray(pixels.images).data)
    return digest.digest()


def use_features(setup: Setup) -> None:
    """Load features from the cache or compute them, and let the head train on them, if the run caches features.

    Args:
        setup: ready to train, with its weights; `setup.training` is replaced, and `setup.whole` keeps the whole model.

    Raises:
        Interrupted: a signal asks the run to stop.
    """
    training = setup.training
    if training.head is None:
        return
    began = time.perf_counter()
    setup.whole = replace(training, model=setup.bare_model, head=None)
    facts = Facts.of(setup.recipe, setup.inputs, setup.model, training.accelerator.device)
    made: dict[str, FeatureBatches | None] = {}
    computed, count = 0, 0
    for name in ("train", "val", "test"):
        batches = getattr(training, name)
        if batches is None or (name == "test" and not training.test_every_epoch):
            continue
        features, known = _features(setup, facts, name, batches)
        made[name] = FeatureBatches(batches, features)
        computed, count = computed + len(batches) * (not known), count + len(batches)
    setup.training = replace(training, **cast("dict[str, Any]", made))
    seconds = time.perf_counter() - began
    setup.feature_seconds += seconds
    kept = f"{plural(computed, 'image')} in {seconds:.1f} s" if computed else f"all {plural(count, 'image')} are in the cache"
    setup.console.fact("features", f"computed once: {kept}; only the head trains, on these features")
    if training.budget is not None:
        training.budget.per_image_at_end = time_evaluation(setup.whole)


def _features(setup: Setup, facts: Facts, name: str, batches: Batches) -> tuple[Tensor, bool]:
    """Return the features float32 [N, D] of a split, on the device, and whether all processes found them in the cache."""
    training, start = setup.training, launch.read()
    accelerator = training.accelerator
    key = facts.key(setup.execution.choice, batches.split, "train" if name == "train" else "evaluation")
    found = feature_cache.load(key)
    usable = found is not None and len(found) == len(batches)
    missing = torch.tensor(float(not usable), device=accelerator.device)
    if accelerator.num_processes > 1:
        missing = cast("Tensor", accelerator.reduce(missing, "sum"))
    if found is not None and not bool(missing):
        return found.to(accelerator.device), True
    features = _compute(training, setup.bare_model, batches, name)
    if start.local_rank == 0:
        data = setup.recipe.data
        about = {
            "backbone": setup.recipe.backbone.name,
            "data": f"{getattr(data, 'root', data.kind) if data.kind == 'folder' else data.kind} {name}",
            "image_size": str(training.eval_size),
        }
        try:
            feature_cache.save(key, features.cpu(), about)
        except StorageError as error:
            setup.console.warn(f"{error}; the next run computes features anew")
    return features, False


@torch.no_grad()
def _compute(training: Training, model: nn.Module, batches: Batches, name: str) -> Tensor:
    """Compute the features float32 [N, D] of a split: each process computes some of the chunks, and all get the whole.

    Raises:
        Interrupted: a signal asks the run to stop.
    """
    accelerator = training.accelerator
    rank, together, head = accelerator.process_index, accelerator.num_processes, training.head
    assert head is not None
    size = CHUNKS.get(accelerator.device.type, 256)
    chunks = [np.arange(first, min(first + size, len(batches))) for first in range(0, len(batches), size)]
    features: Tensor | None = None
    model.eval()
    title = f"features of {name}"
    with show_progress(title, len(batches), shown=accelerator.is_main_process) as update, watched_inputs(head) as seen:
        # Every process takes the same number of rounds, because they ask each other whether to stop.
        for number in range(-(-len(chunks) // together)):
            if (number % ASK_EVERY == 0 or together == 1) and stopping(accelerator):
                raise Interrupted
            positions = chunks[min(number * together + rank, len(chunks) - 1)]
            images = _images(training, batches, positions, name)
            with accelerator.autocast():
                model(images)
            rows = seen.pop().float()  # [B, D]
            if features is None:
                features = torch.zeros(len(batches), rows.shape[1], device=accelerator.device)
            if number * together + rank < len(chunks):
                features[positions[0] : positions[-1] + 1] = rows
            update(min(together * size, len(batches) - number * together * size))
    assert features is not None
    # Each row was computed by one process and is zero on the others.
    return features if together == 1 else cast("Tensor", accelerator.reduce(features, "sum"))


def _images(training: Training, batches: Batches, positions: np.ndarray, name: str) -> Tensor:
    """Return images float32 [B, 3, H, W] as a training step or an evaluation would see them."""
    if name != "train":
        return batches.evaluation(positions, training.eval_size)[0]
    # Nothing about them is random: they are the same in any step.
    return batches.training(positions, slice(None), training.eval_size, training.augment, training.seed, 0)[0]
