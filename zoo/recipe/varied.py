"""Find the options that keep features from being cached: they vary an image each time, or need the image itself."""

from __future__ import annotations

from zoo.data.augment import Augment
from zoo.models.options import Backbone
from zoo.recipe.distill import Distill
from zoo.recipe.sections import Eval, ImageSize
from zoo.section import AUTO


def varied(augment: Augment, size: ImageSize, backbone: Backbone) -> list[str]:
    """Return the overrides that switch off all variation of images or features, such as `augment.crop=none`.

    Options that are `auto` are skipped.

    Args:
        augment: augmentation of the training images.
        size: sides of the images.
        backbone: the backbone, whose dropout rates vary the features.
    """
    found = [] if augment.crop.kind == "none" else ["augment.crop=none"]
    found += ["augment.hflip=false"] if augment.hflip is True else []
    found += ["augment.vflip=false"] if augment.vflip else []
    found += [] if augment.policy.kind == "none" else ["augment.policy=none"]
    found += [f"augment.{name}=0" for name in ("rotate", "color_jitter", "erase", "mixup", "cutmix") if getattr(augment, name)]
    found += [f"backbone.{name}=0" for name in ("drop_rate", "drop_path_rate") if getattr(backbone, name)]
    if size.start != size.end and AUTO not in (size.start, size.end):
        found.append(f"image_size={size.end}")
    return found


def needs_images(evaluation: Eval, distill: Distill | None) -> list[str]:
    """Return the overrides that switch off everything that needs the images in each epoch: extra views and a teacher."""
    return [*(["eval.tta=none"] if evaluation.tta != "none" else []), *(["distill=null"] if distill is not None else [])]
