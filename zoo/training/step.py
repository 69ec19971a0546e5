"""The only optimizer step: training and benchmarks both use it."""

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

# The default loss.
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
        batches: this process's micro-batches: images [B, 3, H, W], targets int64 [B] or float [B, C], and further arguments
            of `loss_fn`.
        parts: number of micro-batches.
        total: images of the step over all processes; each counts the same, however they are divided.
        lr: the learning rate.
        loss_fn: maps the model's output (logits [B, C], or a tuple that begins with them), targets and the rest of the batch
            to losses [B].
        watch: checks the loss and the gradient before the update.
        clip: largest norm of the gradient.

    Returns:
        This process's sums of losses and of hits, float64 [2], still on the device.

    Raises:
        NonFiniteLoss: a loss or gradient is not finite; the weights are unchanged. With fp16's scaler, only for a loss, or for
            many gradients in a row: if scaled gradients overflow, the scaler skips the step and lowers its scale.
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
            # Distributed training averages the gradients of the processes, but they must be added up.
            accelerator.backward(loss * (accelerator.num_processes / total))
        labels = targets if targets.ndim == 1 else targets.argmax(1)
        sums += torch.stack([loss.detach(), (logits.detach().argmax(1) == labels).sum()])
    return sums


def gradient_norm(accelerator: Accelerator, optimizer: Any, clip: float | None) -> Tensor:
    """Clip the gradient if `clip` is given; return its norm before that, the same on all processes, on the device."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if clip is not None:
        return cast("Tensor", accelerator.clip_grad_norm_(parameters, clip))
    return nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])


def losses(logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None, loss: Loss = PLAIN) -> Tensor:
    """Return the loss of each image, float32 [B], from logits [B, C], targets int64 [B] or float [B, C], and weights [C].

    Each image is weighted. torch would weight each class's term, and smoothing would then teach rare classes on every image.
    """
    found = loss.of_images(logits.float(), targets, smoothing)
    if weights is None:
        return found
    return found * (weights[targets] if targets.ndim == 1 else targets @ weights)
