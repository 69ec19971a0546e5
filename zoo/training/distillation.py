"""Distillation: the losses of a step get a part that compares the student with its teacher."""

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

# Logits [B, C] and targets to the losses [B] of the labels.
LabelLosses = Callable[[Tensor, Tensor], Tensor]
# The same with what the teacher says, float32 [B, C] or [B, D].
TaughtLosses = Callable[[Any, Tensor, Tensor], Tensor]


class Projecting(nn.Module):
    """A student, and the layer that turns its features into the teacher's: both are trained, and the student alone is kept.

    They are one module, so that distributed training adds up the gradients of both.
    """

    def __init__(self, student: nn.Module, projection: nn.Linear) -> None:
        super().__init__()
        self.student, self.projection = student, projection

    def forward(self, images: Tensor) -> Any:
        """Return logits [B, C] and, in training, projected features [B, D] beside them, of images [B, 3, H, W]."""
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
        options: what is compared, and how much it counts.
        projected: the student with its projection; None where logits are compared.
    """

    teacher: Teacher
    options: LogitDistill | FeatureDistill
    projected: Projecting | None = None

    def taught(self, accelerator: Accelerator, batches: Iterable[tuple[Tensor, Tensor]]) -> Iterator[tuple[Tensor, ...]]:
        """Yield each batch with what the teacher says of its images, asked in the precision of the student.

        Args:
            accelerator: has the precision.
            batches: images float32 [B, 3, T, T] and targets.
        """
        for images, targets in batches:
            with accelerator.autocast():
                said = self.teacher(images)
            yield images, targets, said

    def losses(self, of_labels: LabelLosses) -> TaughtLosses:
        """Return a function that adds up both parts of the loss of each image: outputs, targets, and what the teacher says.

        Args:
            of_labels: the other part, which label smoothing and class weights belong to.
        """

        def both(outputs: Any, targets: Tensor, said: Tensor) -> Tensor:
            logits, compared = outputs if isinstance(outputs, tuple) else (outputs, outputs)
            weight = self.options.weight
            taught = self.options.losses(compared.float(), said)
            return torch.lerp(of_labels(logits, targets), taught, weight) if weight < 1 else taught

        return both

    def groups(self, weight_decay: float, lr_scale: float) -> list[dict[str, Any]]:
        """Return what the optimizer trains besides the student: the projection, which is as new as a head."""
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
    """Put a teacher and its student together; None without a teacher.

    Args:
        recipe: what to do.
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
        # Also where both are as wide: the features of two networks are in no common order.
        layer = nn.Linear(*teacher.widths)
    return Distillation(teacher, recipe.distill, Projecting(student, layer.to(device)))
