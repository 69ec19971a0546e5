"""Options of the training loss: functions of logits and targets that return one number for each image.

Each loss is linear in the targets: the loss of a mixed or smoothed target is the mean of the losses of its classes, weighted
by their shares. The exception is `bce` with a `threshold`.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from zoo.section import Section, kind_or_mapping

if TYPE_CHECKING:
    from torch import Tensor

# The smallest probability that is raised to a power: at 0, the gradient of a power below 1 is infinite.
LEAST = 1e-8


class _Loss(Section):
    """The base class of losses. A new loss is a subclass and an entry in `Loss`."""

    def start(self, classes: int) -> float:  # noqa: ARG002
        """Return the initial logit of every class for a new head; 0 here, as a softmax does not depend on it."""
        return 0.0

    def of_images(self, logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Return the loss of each image, float32 [B].

        Args:
            logits: float32 [B, C].
            targets: int64 [B], or float32 [B, C] if images were mixed.
            smoothing: share of each target that is spread evenly over all classes.
        """
        raise NotImplementedError


class CrossEntropy(_Loss):
    """Cross-entropy of the softmax over the classes."""

    kind: Literal["cross_entropy"] = "cross_entropy"

    def of_images(self, logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Return torch's cross-entropy of each image, float32 [B]. See `_Loss` for the arguments."""
        from torch.nn import functional

        return functional.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="none")


class Bce(_Loss):
    """Binary cross-entropy of a sigmoid for each class, summed over the classes (Beyer et al. 2020, Wightman et al. 2021)."""

    kind: Literal["bce"] = "bce"
    threshold: float | None = Field(
        default=None,
        ge=0,
        lt=1,
        examples=[0.2],
        description="A class counts fully as a target if its share of a mixed image is larger, as in timm. null: use the shares.",
    )

    def start(self, classes: int) -> float:
        """Return the logit whose sigmoid is 1 / classes, as in Lin et al. 2017: from 0.5, the first steps would only lower it.

        Measured with tf_efficientnet_lite0 on 1,000 images of CIFAR-10, 3 epochs: an accuracy of 66 % on other images, against
        62 % from a logit of 0.
        """
        return -math.log(max(1, classes - 1))

    def of_images(self, logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Return the loss of each image, float32 [B]. See `_Loss` for the arguments."""
        from torch.nn import functional

        shares = smoothed(targets, logits, smoothing)
        if self.threshold is not None:
            shares = (shares > self.threshold).to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits, shares, reduction="none").sum(1)


class Focal(_Loss):
    """Cross-entropy times (1 - p) ** gamma, where p is the softmax probability of the class: easy images count less.

    Lin et al. 2017, with the softmax in place of the sigmoid as in Mukhoti et al. 2020.
    """

    kind: Literal["focal"] = "focal"
    gamma: float = Field(default=2.0, ge=0, description="The power; 0 is cross-entropy.")

    def of_images(self, logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Return the loss of each image, float32 [B]. See `_Loss` for the arguments."""
        from torch.nn import functional

        log_p = functional.log_softmax(logits, 1)  # [B, C]
        wrong = (-log_p.expm1()).clamp(min=LEAST)
        return -(smoothed(targets, logits, smoothing) * wrong**self.gamma * log_p).sum(1)


class Asymmetric(_Loss):
    """Focal binary cross-entropy of a sigmoid for each class, with a higher power for the classes an image does not belong to.

    Ben-Baruch et al. 2021, with timm's defaults.
    """

    kind: Literal["asymmetric"] = "asymmetric"
    gamma_positive: float = Field(default=1.0, ge=0, description="The power for the class of an image.")
    gamma_negative: float = Field(default=4.0, ge=0, description="The power for all other classes.")
    clip: float = Field(default=0.05, ge=0, lt=1, description="Probability up to which a wrong class adds no loss.")

    def of_images(self, logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
        """Return the loss of each image, float32 [B]. See `_Loss` for the arguments."""
        from torch.nn import functional

        wrong = (-logits).sigmoid().clamp(min=LEAST)  # [B, C]
        positive = wrong**self.gamma_positive * functional.logsigmoid(logits)
        shifted = (logits.sigmoid() - self.clip).clamp(min=LEAST)
        # Without a shift, a probability p may be 1, and log(1 - p) infinite.
        log_rest = (-shifted).log1p() if self.clip else functional.logsigmoid(-logits)
        negative = shifted**self.gamma_negative * log_rest
        shares = smoothed(targets, logits, smoothing)
        return -(shares * positive + (1 - shares) * negative).sum(1)


Loss = Annotated[
    CrossEntropy | Bce | Focal | Asymmetric,
    Field(discriminator="kind"),
    kind_or_mapping("cross_entropy", "bce", "focal", "asymmetric"),
]


def smoothed(targets: Tensor, logits: Tensor, smoothing: float) -> Tensor:
    """Return the share of each class after label smoothing as in torch: targets int64 [B] or float [B, C] to float [B, C]."""
    from torch.nn import functional

    classes = logits.shape[1]
    shares = functional.one_hot(targets, classes).to(logits.dtype) if targets.ndim == 1 else targets
    return shares * (1 - smoothing) + smoothing / classes
