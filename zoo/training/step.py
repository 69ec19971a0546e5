"""One optimizer step, the only one there is: training and benchmarks take it."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from typing import Any, cast

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from zoo.errors import NonFiniteLoss
from zoo.optim.build import set_lr


def train_step(
    accelerator: Accelerator,
    model: nn.Module,
    batches: Iterable[tuple[Tensor, Tensor]],
    optimizer: Any,
    *,
    parts: int,
    total: int,
    lr: float,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    clip: float | None = None,
) -> Tensor:
    """Take one optimizer step.

    Args:
        accelerator: does backward, clipping and the sum over processes.
        model, optimizer: prepared by it.
        batches: this process's micro-batches: images [B, 3, H, W], targets int64 [B] or float [B, C].
        parts: how many micro-batches there are.
        total: images of the step over all processes; each counts the same, however they are divided.
        lr: the learning rate.
        loss_fn: logits [B, C] and targets to losses [B].
        clip: largest norm of the gradient.

    Returns:
        This process's sums of losses and of hits, float64 [2], still on the device.

    Raises:
        NonFiniteLoss: a loss or gradient is not finite; nothing was changed. With fp16's scaler only a loss: where scaled
            gradients overflow, the scaler skips the step and lowers its scale.
    """
    set_lr(optimizer, lr)
    sums = torch.zeros(2, dtype=torch.float64, device=accelerator.device)
    for number, (images, targets) in enumerate(batches, start=1):
        with contextlib.nullcontext() if number == parts else accelerator.no_sync(model):
            logits = model(images)
            loss = loss_fn(logits, targets).sum()
            # Distributed training averages the gradients of the processes; they are to be added up.
            accelerator.backward(loss * (accelerator.num_processes / total))
        labels = targets if targets.ndim == 1 else targets.argmax(1)
        sums += torch.stack([loss.detach(), (logits.detach().argmax(1) == labels).sum()])
    norm = gradient_norm(accelerator, optimizer, clip) if clip is not None or accelerator.scaler is None else sums.new_zeros(())
    # Any process's loss: the gradients were added up already, losses not.
    total_loss = cast("Tensor", accelerator.reduce(sums[0], "sum")) if accelerator.num_processes > 1 else sums[0]
    if not math.isfinite(float(total_loss + (norm if accelerator.scaler is None else 0))):
        optimizer.zero_grad()
        raise NonFiniteLoss("loss", f"loss {float(total_loss):g}, gradient norm {float(norm):g}")
    optimizer.step()
    optimizer.zero_grad()
    return sums


def gradient_norm(accelerator: Accelerator, optimizer: Any, clip: float | None) -> Tensor:
    """Return the norm of the whole gradient, the same on all processes, still on the device; clips it."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    if clip is not None:
        return cast("Tensor", accelerator.clip_grad_norm_(parameters, clip))
    return nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])


def losses(logits: Tensor, targets: Tensor, smoothing: float, weights: Tensor | None) -> Tensor:
    """Return the cross-entropy of each image: logits [B, C]; targets int64 [B] or float [B, C]; weights [C]; returns [B].

    Images are weighed. torch would weigh each class's term: smoothing would then teach rare classes on every image.
    """
    found = nn.functional.cross_entropy(logits.float(), targets, label_smoothing=smoothing, reduction="none")
    if weights is None:
        return found
    return found * (weights[targets] if targets.ndim == 1 else targets @ weights)
