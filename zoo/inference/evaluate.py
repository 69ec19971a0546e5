"""Score a model on labeled images: a run on its own images as in training, any model on other images with timm's transform."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from zoo.errors import DataError, ZooError
from zoo.inference.evaluation import Evaluation, Unread
from zoo.inference.labeled_images import LabeledImages, find_images
from zoo.inference.load import check_views, load
from zoo.inference.match_classes import match_classes
from zoo.inference.own_test import evaluate_own
from zoo.inference.source import Source, find_source
from zoo.system.progress import show_progress
from zoo.training.result import test_scores

SPLITS = ("train", "val", "test")


def evaluate(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str] | Sequence[str] | None = None,
    split: str = "test",
    *,
    tta: str | None = None,
    batch_size: int | None = None,
    progress: bool = False,
) -> Evaluation:
    """Score a model on labeled images.

    Without `data`, a run is scored on its own images. On the same machine, the scores and logits are bit-identical to those
    that the run saved. Other images and other models use timm's transform; classes are matched by name.

    Args:
        model: as for `load`.
        data: a folder of CLASS/IMAGE, or one with folders train, val and test of that form; or the words of a recipe's
            `data` such as `["kind=cifar10", "root=data"]`; None for the run's own images.
        split: train, val or test.
        tta: the views of each image that are averaged: none, hflip or five_crop; None for the views that the run was scored with.
        batch_size: images per batch; None for a size that suits the machine, or on a run's own images, the run's own size.
        progress: show progress on standard error.

    Raises:
        ZooError: the model or the images are not available, or have no class in common.
        DataError: none of the images can be read.
    """
    if split not in SPLITS:
        raise ZooError("--split", f"unknown value {split!r}", f"known: {', '.join(SPLITS)}")
    if tta is not None:
        check_views(tta)
    source = find_source(model)
    if data is not None:
        images = find_images(os.fspath(data) if isinstance(data, os.PathLike) else data, split)
        return _evaluate_images(source, images, tta, batch_size, progress)
    if source.run is None:
        raise ZooError(source.name, "only a run has images of its own", "give images with --data")
    return evaluate_own(source.name, source.run, split, tta, batch_size, progress=progress)


def _evaluate_images(
    source: Source, images: LabeledImages, tta: str | None, batch_size: int | None, progress: bool
) -> Evaluation:
    """Score a model on images, with the model's own transform."""
    classifier = load(source.name, tta)
    if not classifier.classes:
        raise ZooError(source.name, "this model has no classes", "give a classifier")
    counts = torch.tensor(images.labels).bincount(minlength=len(images.classes)).tolist()
    matching = match_classes(images.classes, classifier.classes, classifier.aliases, counts)
    kept = [place for place, label in enumerate(images.labels) if matching.outputs[label] is not None]
    if batch_size is not None:
        classifier.network.batch_size = batch_size
    rows: list[Tensor] = []
    scored: list[int] = []
    unread: list[Unread] = []
    with show_progress("evaluating", len(kept), shown=progress) as update:
        for index, logits, error in classifier.stream_logits(_in_order(images, kept)):
            place = kept[index]
            if logits is None:
                unread.append(Unread(images.names[place], images.classes[images.labels[place]], error))
            else:
                rows.append(logits)
                scored.append(place)
            update(1)
    if not rows:
        raise nothing_scored(images, unread)
    logits = torch.stack(rows)
    targets = torch.tensor([matching.outputs[images.labels[place]] for place in scored])
    return Evaluation(
        model=source.name,
        data=images.data,
        split=images.split,
        tta=classifier.tta,
        classes=classifier.classes,
        scores=test_scores(classifier.classes, logits, targets),
        files=[images.names[place] for place in scored],
        logits=logits,
        targets=targets,
        left_out=len(images.labels) - len(kept),
        unread=tuple(unread),
        notes=(*images.notes, *matching.notes),
    )


def _in_order(images: LabeledImages, places: Sequence[int]) -> Iterator[Path | Image.Image]:
    """Yield the images at these places one by one, so that stored pixels are copied only when needed."""
    for place in places:
        yield images.image(place)


def nothing_scored(images: LabeledImages, unread: Sequence[Unread]) -> ZooError:
    """Return the error for an evaluation without any scored image."""
    if not unread:
        return ZooError("--data", "the classes in common have no images", "check the folders")
    first = f"{unread[0].file}: {unread[0].error}"
    return DataError(images.data, f"none of {len(unread):,} images can be read, first: {first}", "check the files")
