"""Score a model on a split, over all processes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Protocol, cast

import numpy as np
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from zoo.data.batches import Batches
from zoo.data.feature_batches import FeatureBatches
from zoo.data.views import mean_of_views
from zoo.errors import ZooError
from zoo.metrics import METRICS
from zoo.system import signals
from zoo.training.state import Training

# Maps positions int64 [B] and a side in pixels to the views of these images, each float32 [B, 3, size, size].
MakeViews = Callable[[np.ndarray, int], Iterable[Tensor]]
# Several processes ask each other whether to stop once in this many batches.
ASK_EVERY = 16


class EvalBatches(Protocol):
    """The images that `evaluate` scores.

    Attributes:
        targets: int64 [N], the label of each image.
    """

    targets: Tensor

    def __len__(self) -> int:
        """Return the number of images N."""
        ...

    def evaluation(self, positions: np.ndarray, size: int) -> tuple[Tensor, Tensor]:
        """Return images float32 [B, 3, size, size] and targets int64 [B] of some positions, int64 [B]."""
        ...


class Interrupted(Exception):
    """An evaluation ended early, because a signal asks the run to stop."""


def stopping(accelerator: Accelerator) -> bool:
    """Return whether a signal asked any of the processes to stop, so that all stop after the same step."""
    asked = bool(signals.requested())
    if accelerator.num_processes == 1:
        return asked
    return bool(accelerator.reduce(torch.tensor(float(asked), device=accelerator.device), "sum"))


def shares_of(count: int, processes: int, batch_size: int) -> list[list[np.ndarray]]:
    """Divide a split among processes, and each share into batches.

    Args:
        count: images N of the split.
        processes: number of processes that score it together.
        batch_size: images at a time, on each process.

    Returns:
        For each process its batches, as positions int64 [B]. All shares have the same size; the end of the last one is padding.
    """
    share = -(-count // processes)
    return [
        np.array_split(np.minimum(np.arange(share) + rank * share, count - 1), -(-share // batch_size))
        for rank in range(processes)
    ]


def evaluate(
    accelerator: Accelerator,
    model: nn.Module,
    batches: EvalBatches,
    size: int,
    batch_size: int,
    views: MakeViews | None = None,
) -> tuple[Tensor, Tensor]:
    """Run a model over all images of a split, each process over its share.

    Args:
        accelerator: shares the images among the processes.
        model: images [B, 3, size, size] to outputs [B, C].
        batches: the images.
        size: side in pixels.
        batch_size: images at a time, on each process.
        views: makes V views of each image; None for the single view of `batches`.

    Returns:
        Outputs float32 [N, C] (with `views` [N, V, C]) and targets int64 [N] of the whole split in its own order, on the CPU,
        on every process.

    Raises:
        Interrupted: a signal asks the run to stop.
    """
    count = len(batches)
    mine = shares_of(count, accelerator.num_processes, batch_size)[accelerator.process_index]
    # All shares have the same size: the padding at the end of the last one is cut off.
    whole = accelerator.gather(_outputs(accelerator, model, _images(batches, size, views), mine))[:count].cpu()
    if len(whole) != count:
        raise ZooError("evaluation", f"{len(whole)} images of {count} were scored", "report this")
    return whole, batches.targets.cpu()


def evaluate_alone(
    accelerator: Accelerator,
    model: nn.Module,
    batches: EvalBatches,
    size: int,
    batch_size: int,
    processes: int,
    views: MakeViews | None = None,
    on_batch: Callable[[int], None] = lambda _images: None,
) -> tuple[Tensor, Tensor]:
    """Score on one process as `evaluate` does on several: the same batches give the same bits.

    Args:
        accelerator: of this process, the only one.
        model, batches, size, batch_size, views: as for `evaluate`.
        processes: number of processes whose shares are scored, one after the other.
        on_batch: called after each batch with its number of images.

    Returns:
        Outputs and targets of the whole split, as from `evaluate`.
    """
    every = [batch for share in shares_of(len(batches), processes, batch_size) for batch in share]
    outputs = _outputs(accelerator, model, _images(batches, size, views), every, on_batch)[: len(batches)].cpu()
    return outputs, batches.targets.cpu()


def _images(batches: EvalBatches, size: int, views: MakeViews | None) -> Callable[[np.ndarray], Iterable[Tensor]]:
    """Return a function that makes the views of the images at some positions."""
    if views is None:
        return lambda positions: batches.evaluation(positions, size)[:1]
    return lambda positions: views(positions, size)


@torch.inference_mode()
def _outputs(
    accelerator: Accelerator,
    model: nn.Module,
    make: Callable[[np.ndarray], Iterable[Tensor]],
    parts: list[np.ndarray],
    on_batch: Callable[[int], None] = lambda _images: None,
) -> Tensor:
    """Return the outputs of all batches of positions, concatenated: float32 [M, C], or [M, V, C] with several views.

    Raises:
        Interrupted: a signal asks the run to stop.
    """
    model.eval()
    outputs = []
    for number, positions in enumerate(parts):
        # Several processes ask only now and then, because a GPU waits for the answer.
        if (number % ASK_EVERY == 0 or accelerator.num_processes == 1) and stopping(accelerator):
            raise Interrupted
        views = []
        for images in make(positions):
            with accelerator.autocast():
                # Always a copy: a model that was recorded as a graph overwrites these outputs with its next ones.
                views.append(model(images).to(torch.float32, copy=True))
        outputs.append(views[0] if len(views) == 1 else torch.stack(views, 1))
        on_batch(len(positions))
    return torch.cat(outputs)


def score(training: Training, batches: Batches | FeatureBatches) -> dict[str, float]:
    """Return every metric of a split, with the averaged weights if there are any."""
    logits, targets = predict_split(training, batches)
    return {name: metric(logits, targets) for name, metric in METRICS.items()}


def predict_split(training: Training, batches: Batches | FeatureBatches) -> tuple[Tensor, Tensor]:
    """Return logits float32 [N, C] and targets int64 [N] of a split, averaged over the views of the run."""
    outputs, targets = predict_views(training, batches)
    return averaged(outputs), targets


def predict_views(training: Training, batches: Batches | FeatureBatches) -> tuple[Tensor, Tensor]:
    """Return logits float32 [N, C] (with several views [N, V, C]) and targets int64 [N] of a split, as `evaluate` does."""
    views, model = views_of(training, batches), training.eval_model
    return evaluate(training.accelerator, model, batches, training.eval_size, training.eval_batch_size, views)


def views_of(training: Training, batches: Batches | FeatureBatches) -> MakeViews | None:
    """Return the function that makes the views for evaluation, or None if the run evaluates a single view."""
    if training.tta == "none":
        return None
    # A run with several views caches no features.
    assert isinstance(batches, Batches)
    return partial(batches.views, kind=training.tta)


def averaged(outputs: Tensor) -> Tensor:
    """Return the outputs of `evaluate` as logits float32 [N, C], averaged over several views."""
    return outputs if outputs.ndim == 2 else mean_of_views(outputs)


def sum_over_processes(accelerator: Accelerator, values: list[float]) -> list[float]:
    """Add up plain numbers over the processes."""
    mine = torch.tensor(values, dtype=torch.float64, device=accelerator.device)
    return cast("Tensor", accelerator.reduce(mine, "sum")).tolist()


@torch.no_grad()
def average_statistics(training: Training) -> None:
    """Average BatchNorm's running statistics over all processes, each of which has seen its own images only."""
    if training.accelerator.num_processes > 1:
        for buffer in running_statistics(training):
            # In float64, the mean of equal numbers is that number.
            buffer.copy_(cast("Tensor", training.accelerator.reduce(buffer.double(), "mean")))


def running_statistics(training: Training) -> list[Tensor]:
    """Return the float buffers of the model and of its average: BatchNorm statistics, which may differ between processes."""
    models = [training.model, *([training.averaged.module] if training.averaged is not None else [])]
    return [buffer for model in models for buffer in model.buffers() if buffer.is_floating_point()]
