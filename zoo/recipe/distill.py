"""Distillation, a recipe's `distill` section: the run learns from a trained model, the teacher, as well as from the labels.

To add a new kind, write one class here with its loss, and add it to the union `Distill`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from zoo.errors import ZooError
from zoo.results.folder import RESULT
from zoo.section import Section, Shorthand
from zoo.system.files import expanded

if TYPE_CHECKING:
    from torch import Tensor

# The key that errors name.
TEACHER = "distill.teacher"
# The files that are read from a model folder; other weight files are ignored.
CONFIG, WEIGHTS = "config.json", "model.safetensors"


class _Distill(Section):
    """Options shared by all kinds. Each subclass defines `losses`, and sets `features` if it compares features."""

    features: ClassVar[bool] = False
    teacher: Path = Field(
        examples=["runs/big"], description="The teacher: a finished run, or its model folder. It has the classes of the data."
    )
    weight: float = Field(
        default=0.7, gt=0, le=1, description="Share of the teacher in the loss; the rest is the labels'. 1: no labels."
    )

    def folder(self) -> Path:
        """Return the teacher's model folder.

        Raises:
            ZooError: there is no such folder or no model in it, or the run is not finished.
        """
        path = expanded(self.teacher)
        for folder in (path, path / "model"):
            if all((folder / name).is_file() for name in (CONFIG, WEIGHTS)):
                return folder
        if not path.is_dir():
            raise ZooError(TEACHER, f"no such folder: {path}", "give a finished run, or its model folder")
        if (path / "recipe.yaml").is_file() and not (path / RESULT).exists():
            raise ZooError(TEACHER, f"{path} is not finished and has no model yet", f"zoo train --resume {path}")
        raise ZooError(TEACHER, f"no {CONFIG} with {WEIGHTS} in {path}", "give a finished run, or its model folder")


class LogitDistill(_Distill):
    """The student learns the teacher's probabilities of all classes (Hinton et al. 2015)."""

    kind: Literal["logit"] = "logit"
    temperature: float = Field(
        default=4.0,
        gt=0,
        description="Divides the logits of student and teacher; a higher one gives unlikely classes more weight.",
    )

    def losses(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the KL divergence from the teacher's to the student's probabilities, times T squared, for each image.

        The factor T squared keeps the scale of the gradient at any temperature T (Hinton et al. 2015, section 2,
        arXiv:1503.02531). `timm.task.LogitDistillationTask` has the same loss, but returns only its mean over the images.

        Args:
            student, teacher: logits, float32 [B, C].

        Returns:
            float32 [B].
        """
        from torch.nn import functional

        ours, theirs = (functional.log_softmax(logits / self.temperature, dim=1) for logits in (student, teacher))
        return functional.kl_div(ours, theirs, reduction="none", log_target=True).sum(1) * self.temperature**2


class FeatureDistill(_Distill):
    """The student's last features, after a temporary linear layer, learn to match the teacher's (Romero et al. 2015)."""

    kind: Literal["feature"] = "feature"
    features: ClassVar[bool] = True

    def losses(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Return the mean squared difference of the features, for each image.

        The last features take the place of the hint layer of Romero et al. 2015, arXiv:1412.6550.
        `timm.task.FeatureDistillationTask` has the same loss, but returns only its mean over the images.

        Args:
            student: the student's features after the linear layer, float32 [B, D].
            teacher: the teacher's features, float32 [B, D].

        Returns:
            float32 [B].
        """
        return (student - teacher).square().mean(1)


def distill_mapping(value: Any) -> Any:
    """Expand a path into `{teacher: path}`; leave anything else as it is."""
    return {"teacher": value} if isinstance(value, str) else value


def _with_kind(value: Any) -> Any:
    """Expand a path, and give a mapping without a kind the kind `logit`."""
    value = distill_mapping(value)
    return {"kind": "logit", **value} if isinstance(value, dict) and "kind" not in value else value


Distill = Annotated[
    LogitDistill | FeatureDistill | None,
    Field(discriminator="kind"),
    Shorthand(_with_kind, {"type": "string"}, "a path or a mapping"),
]
