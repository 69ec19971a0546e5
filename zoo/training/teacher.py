"""The teacher of a run: a trained model that predicts the very images that the student learns from.

It is in evaluation mode, without gradients, in the student's precision and memory layout. If it was trained with another
normalization, image size or order of the classes, its inputs and outputs are converted on the device.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoo.data.resize import Normalize
from zoo.errors import ZooError
from zoo.models.features import FeatureExtractor
from zoo.models.fuse_batchnorm import fused_copy
from zoo.models.model_folder import load_whole, read_config
from zoo.models.sizes import check_sizes, example_images, patch_layer
from zoo.recipe.distill import CONFIG, TEACHER, WEIGHTS
from zoo.recipe.recipe import Recipe
from zoo.results.folder import RunFolder
from zoo.results.result import read_result
from zoo.section import decided
from zoo.system.console import plural
from zoo.system.files import digest, expanded

# Most class names that an error shows.
SHOWN = 5


@dataclass(frozen=True)
class View:
    """The teacher's view of the student's images.

    Attributes:
        scale, shift: float32 [1, 3, 1, 1] from the student's normalization to the teacher's; None if they are the same.
        own: side in pixels of the images that the teacher was evaluated on.
        end: side in pixels of the images that the student is evaluated on.
        fixed: whether the teacher takes only images of its own side.
        step: the teacher's sides are multiples of this: the side of its patches, or 1.
    """

    scale: Tensor | None
    shift: Tensor | None
    own: int
    end: int
    fixed: bool
    step: int = 1

    def side(self, student: int) -> int:
        """Return the side in pixels for the teacher: its own at the student's last size, in proportion at smaller ones."""
        return self.own if self.fixed else self.step * max(1, round(student * self.own / self.end / self.step))

    def of(self, images: Tensor) -> Tensor:
        """Return the student's images float32 [B, 3, T, T] as the teacher takes them; the same tensor if nothing differs."""
        side = self.side(images.shape[-1])
        if side != images.shape[-1]:
            images = nn.functional.interpolate(images, size=(side, side), mode="bilinear", antialias=True)
        return images if self.scale is None or self.shift is None else torch.addcmul(self.shift, images, self.scale)


@dataclass(frozen=True)
class Teacher:
    """A trained model to learn from.

    Attributes:
        path: as in the recipe.
        name: its architecture.
        parameters: number of parameters.
        digest: SHA-256 of its files.
        accuracy: on its own validation images; None if its run is not known or had none.
        answers: maps images to logits float [B, C'] or to features float [B, D]; in evaluation mode, on the device.
        outputs: int64 [C], the index of each class of the student among the C' of the teacher; None for features.
        widths: number of features of the student and of the teacher; None for logits.
        view: its view of the student's images.
        notes: what differs from the student, one line each.
    """

    path: Path
    name: str
    parameters: int
    digest: str
    accuracy: float | None
    answers: nn.Module
    outputs: Tensor | None
    widths: tuple[int, int] | None
    view: View
    notes: tuple[str, ...]

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Return the teacher's output for the student's images.

        Args:
            images: float [B, 3, T, T], normalized for the student.

        Returns:
            Logits float32 [B, C] in the order of the student's classes, or features float32 [B, D].
        """
        found = self.answers(self.view.of(images)).float()
        return found if self.outputs is None else found.index_select(1, self.outputs)

    def record(self) -> dict[str, str]:
        """Return the facts by which a run recognizes its teacher."""
        return {"path": str(expanded(self.path).absolute()), "digest": self.digest}


def load_teacher(
    recipe: Recipe,
    student: nn.Module,
    classes: Sequence[str],
    preprocessing: Mapping[str, Any],
    device: torch.device,
    resumed: Mapping[str, Any] | None = None,
) -> Teacher | None:
    """Load a recipe's teacher onto the device, with BatchNorm fused into its convolutions; return None without one.

    Args:
        recipe: the recipe of the run.
        student: on the CPU; it may be in evaluation mode afterwards.
        classes: the student's, in label order.
        preprocessing: of the student's images, named as in timm's configuration.
        device: where the student trains.
        resumed: the plain values of the checkpoint that the run resumes from.

    Raises:
        ZooError: there is no such model, it has other classes, it does not take the images, or it is not the one that a
            resumed run began with.
    """
    asked = recipe.distill
    if asked is None:
        return None
    folder = asked.folder()
    mark = _known_digest(asked.teacher, folder, (resumed or {}).get("teacher"))
    config = read_config(folder)
    model = load_whole(f"local-dir:{folder}", TEACHER, f"train or copy {asked.teacher} again").eval().requires_grad_(False)
    order = outputs_of(config, classes, str(asked.teacher))
    view = _view(model, preprocessing, decided(recipe.image_size.end), device)
    sides = sorted({view.side(side) for side in recipe.image_size.sizes()})
    check_sizes(config["architecture"], model, sides, trim=True, where=TEACHER)
    theirs = feature_width(config["architecture"], model, sides[-1]) if asked.features else 0
    parameters = sum(parameter.numel() for parameter in model.parameters())
    model = fused_copy(model.to(device), example_images(view.own).to(device))
    return Teacher(
        path=asked.teacher,
        name=config["architecture"],
        parameters=parameters,
        digest=mark,
        accuracy=_accuracy(folder),
        answers=FeatureExtractor(model) if asked.features else model,
        outputs=None if asked.features else torch.tensor(order, device=device),
        widths=(feature_width(recipe.backbone.name, student, view.end), theirs) if asked.features else None,
        view=view,
        notes=tuple(_notes(view, order)),
    )


def _known_digest(name: Path, folder: Path, began: Mapping[str, str] | None) -> str:
    """Return the digest of a teacher; `began` is the `Teacher.record` of a run that is resumed.

    Raises:
        ZooError: the teacher is not the one in `began`.
    """
    found = digest_of(folder)
    if began is not None and began["digest"] != found:
        what = f"{name} is not the model that the run began with ({began['path']})"
        raise ZooError(TEACHER, what, "restore that model, or start a new run")
    return found


def digest_of(folder: Path) -> str:
    """Return a digest of the files that are read from a model folder, as hexadecimal digits."""
    return hashlib.sha256("".join(digest(folder / name) for name in (CONFIG, WEIGHTS)).encode()).hexdigest()


def outputs_of(config: Mapping[str, Any], classes: Sequence[str], name: str) -> list[int]:
    """Return the index of the teacher's output for each class of the student, matched by name.

    Args:
        config: the teacher's `config.json`.
        classes: the student's, in label order.
        name: of the teacher, for errors.

    Raises:
        ZooError: the teacher has other classes, or does not name them.
    """
    names = config.get("label_names")
    if not names:
        raise ZooError(TEACHER, f"{name} does not name its classes", "use a run of zoo as the teacher")
    lacks, more = [each for each in classes if each not in names], [each for each in names if each not in classes]
    if lacks or more or len(names) != len(classes):
        parts = [f"{verb} {_some(found)}" for verb, found in (("lacks", lacks), ("also has", more)) if found]
        what = f"{name} has other classes than the data: it {' and '.join(parts) or 'names a class twice'}"
        raise ZooError(TEACHER, what, "train a teacher on these classes")
    return [names.index(each) for each in classes]


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN:,} more" if len(names) > SHOWN else "")


def _view(model: nn.Module, student: Mapping[str, Any], end: int, device: torch.device) -> View:
    """Return a teacher's view of the images of a student, given the student's preprocessing and last side in pixels."""
    config: Any = model.pretrained_cfg
    theirs, ours = Normalize(config["mean"], config["std"]), Normalize(student["mean"], student["std"])
    scale = shift = None
    if (tuple(theirs.mean), tuple(theirs.std)) != (tuple(ours.mean), tuple(ours.std)):
        # (x * std + mean - mean') / std'
        scale, shift = (torch.tensor(values, device=device).view(1, -1, 1, 1) for values in _conversion(ours, theirs))
    patch = patch_layer(model)
    fixed, step = bool(config.get("fixed_input_size")), patch.stride[0] if patch is not None else 1
    return View(scale, shift, config["input_size"][-1], end, fixed, step)


def _conversion(ours: Normalize, theirs: Normalize) -> tuple[list[float], list[float]]:
    """Return the scale and the shift of each channel from one normalization to another."""
    scale = [own / other for own, other in zip(ours.std, theirs.std, strict=True)]
    shift = [(own - other) / std for own, other, std in zip(ours.mean, theirs.mean, theirs.std, strict=True)]
    return scale, shift


@torch.no_grad()
def feature_width(name: str, model: nn.Module, side: int) -> int:
    """Return the number D of features that a model's last layer gets; the model is in evaluation mode afterwards.

    Args:
        name: of the model, for errors.
        model: on the CPU.
        side: of the images in pixels.

    Raises:
        ZooError: the last layer gets no features of shape [B, D].
    """
    if hasattr(model, "forward_features") and hasattr(model, "forward_head"):
        found = FeatureExtractor(model.eval())(example_images(side))
        if isinstance(found, Tensor) and found.ndim == 2:
            return found.shape[1]
    raise ZooError("distill.kind", f"{name} has no feature vector before its last layer", "use logit")


def _accuracy(folder: Path) -> float | None:
    """Return the accuracy on val of the run that a model folder belongs to; None if there is no such run."""
    result = read_result(RunFolder(folder.absolute().parent))
    return result.val.get("accuracy") if result is not None else None


def _notes(view: View, order: Sequence[int]) -> list[str]:
    """Return the differences that are converted, one line each."""
    notes = []
    if view.own != view.end:
        notes.append(f"its images are resized: it sees {plural(view.own, 'px', 'px')} where the student sees {view.end}")
    if view.scale is not None:
        notes.append("its images are normalized as in its own training")
    if list(order) != sorted(order):
        notes.append("its classes are in another order: matched by name")
    return notes
