"""One optimizer step, the only one there is: training and benchmarks take it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from zoo.errors import NonFiniteLoss, first_line
from zoo.optim.build import set_lr
from zoo.optim.losses import CrossEntropy, Loss
from zoo.system.memory import lacks_memory
from zoo.training.watch import StepWatch

# The loss where none is asked for.
PLAIN = CrossEntropy()


class NoRoomForStep(Exception):
    """Memory was too small for a step's forward or backward pass; the weights are as they were."""


def train_step(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, ...]],
    optimizer: Any,
    *,
    parts: int,
    total: int,
    lr: float,
    loss_fn: Callable[..., Tensor],
    watch: StepWatch,
    clip: float | None = None,
) -> Tensor:
    """Take one optimizer step.

    Args:
        model, optimizer: prepared by the accelerator of `watch`, which does backward, clipping and the sum over processes.
        batches: this process's micro-batches: images [B, 3, H, W], targets int64 [B] or float [B, C], and what else `loss_fn`
            takes.
        parts: how many micro-batches there are.
        total: images of the step over all processes; each counts the same, however they are divided.
        lr: the learning rate.
        loss_fn: what the model returns (logits [B, C], alone or first of several), targets, and what else a batch has, to
            losses [B].
        watch: looks at the loss and the gradient before the update.
        clip: largest norm of the gradient.

    Returns:
        This process's sums of losses and of hits, float64 [2], still on the device.

    Raises:
        NonFiniteLoss: a loss or gradient is not finite; the weights are as they were. With fp16's scaler only a loss, or
            many gradients in a row: where scaled gradients overflow, the scaler skips the step and lowers its scale.
    """
    accelerator = watch.accelerator
    set_lr(optimizer, lr)
    try:
        sums = _accumulate(accelerator, model, batches, loss_fn, parts=parts, total=total)
    except RuntimeError as error:
        if not lacks_memory(error):
            raise
        raise NoRoomForStep(first_line(error)) from None
    try:
        watch.judge(sums[0], gradient_norm(accelerator, optimizer, clip))
    except NonFiniteLoss:
        optimizer.zero_grad()
        raise
    optimizer.step()
    optimizer.zero_grad()
    watch.after_update()
    return sums


def _accumulate(
    accelerator: Accelerator,
    model: nn.Module,
    batches: Iterable[tuple[Tensor, ...]],
    loss_fn: Callable[..., Tensor],
    *,
    parts: int,
    total: int,
) -> Tensor:
    """Add up the gradients of all micro-batches; return this process's sums of losses and of hits, float64 [2]."""
    sums = torch.zeros(2, dtype=torch.float64, device=accelerator.device)
    for number, (images, targets, *more) in enumerate(batches, start=1):
        with contextlib.nullcontext() if number == parts else accelerator.no_sync(model):
            outputs = model(images)
            logits = outputs[0] if isinstance(outputs, tuple) else outputs
            loss = loss_fn(outputs, targets, *more).sum()
            # Distributed training averages the gradients of the processes; they are to be added up.
            accelerator.backward(loss * (accelerator.num_processes / total))
        labels = targets if targets.ndim == 1 else targets.argmax(1)
        sums += torch.stack([loss.detach(), (logits.detach().argmax(1) == labels).sum()])
    return sums


def gradient_norm(accelerator: Accelerator, optimizer: Any, clip: float | None) -> Tensor:
    """Return the norm of the whole gradient, the same on all processes, still on the device; clips it."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if clip is not None:
        return cast("Tensor", accelerator.clip_grad_norm_(parameters, clip))
    return nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])


def losses(logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None, loss: Loss = PLAIN) -> Tensor:
    """Return the loss of each image: logits [B, C]; targets int64 [B] or float [B, C]; weights [C]; returns float32 [B].

    Images are weighed. torch would weigh each class's term: smoothing would then teach rare classes on every image.
    """
    found = loss.of_images(logits.float(), targets, smoothing)
    if weights is None:
        return found
    return found * (weights[targets] if targets.ndim == 1 else targets @ weights)
