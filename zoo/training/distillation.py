"""Distillation: a part of each step's loss compares the student with its teacher."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from zoo.recipe.distill import FeatureDistill, LogitDistill
from zoo.recipe.recipe import Recipe
from zoo.training.teacher import Teacher

# Maps logits [B, C] and targets to the losses [B] of the labels.
LabelLosses = Callable[[Tensor, Tensor], Tensor]
# Maps outputs, targets and the teacher's output, float32 [B, C] or [B, D], to losses [B].
TaughtLosses = Callable[[Any, Tensor, Tensor], Tensor]


class Projecting(nn.Module):
    """A student, and the layer that projects its features to the teacher's: both are trained, but only the student is kept.

    They are one module, so that distributed training adds up the gradients of both.
    """

    def __init__(self, student: nn.Module, projection: nn.Linear) -> None:
        super().__init__()
        self.student, self.projection = student, projection

    def forward(self, images: Tensor) -> Any:
        """Return logits [B, C] of images [B, 3, H, W]; in training mode, a tuple of logits and projected features [B, D]."""
        if not self.training:
            return self.student(images)
        student: Any = self.student
        found = student.forward_features(images)
        return student.forward_head(found), self.projection(student.forward_head(found, pre_logits=True))


@dataclass(frozen=True)
class Distillation:
    """The way a student learns from its teacher.

    Attributes:
        teacher: on the device.
        options: what is compared, and the weight of this part of the loss.
        projected: the student with its projection; None if logits are compared.
    """

    teacher: Teacher
    options: LogitDistill | FeatureDistill
    projected: Projecting | None = None

    def taught(self, accelerator: Accelerator, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, ...]]:
        """Yield each batch with the teacher's output for its images, computed in the student's precision.

        Args:
            accelerator: sets the precision.
            batches: images float32 [B, 3, T, T] and targets.
        """
        for images, targets in batches:
            with accelerator.autocast():
                said = self.teacher(images)
            yield images, targets, said

    def losses(self, of_labels: LabelLosses) -> TaughtLosses:
        """Return the loss function of outputs, targets and the teacher's output, which combines both parts of the loss.

        Args:
            of_labels: the part of the labels, with label smoothing and class weights.
        """

        def both(outputs: Any, targets: Tensor, said: Tensor) -> Tensor:
            logits, compared = outputs if isinstance(outputs, tuple) else (outputs, outputs)
            weight = self.options.weight
            taught = self.options.losses(compared.float(), said)
            if weight == 1 and self.projected is None:
                return taught
            # Where features are compared, the head needs a gradient at a weight of 1 too: DistributedDataParallel waits for it.
            return torch.lerp(of_labels(logits, targets), taught, weight)

        return both

    def groups(self, weight_decay: float, lr_scale: float) -> list[dict[str, Any]]:
        """Return the parameter groups besides the student's: the projection, which is as new as a head."""
        if self.projected is None:
            return []
        layer = self.projected.projection
        return [
            {"params": [layer.weight], "lr_scale": lr_scale, "weight_decay": weight_decay},
            {"params": [layer.bias], "lr_scale": lr_scale, "weight_decay": 0.0},
        ]


def distillation_of(
    recipe: Recipe, student: nn.Module, teacher: Teacher | None, layout: torch.memory_format, device: torch.device
) -> Distillation | None:
    """Combine a teacher and its student; return None without a teacher.

    Args:
        recipe: the recipe of the run.
        student: on the device.
        teacher: on the device.
        layout: memory format of images and activations.
        device: where both are.
    """
    if teacher is None or recipe.distill is None:
        return None
    teacher.answers.to(memory_format=layout)  # type: ignore[call-overload]
    if teacher.widths is None:
        return Distillation(teacher, recipe.distill)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.train.seed)
        # Needed even if both have the same width: the features of two networks are in no common order.
        layer = nn.Linear(*teacher.widths)
    return Distillation(teacher, recipe.distill, Projecting(student, layer.to(device)))
