"""Fine-tune any timm backbone by name, from a YAML recipe, and use the trained model.

The functions correspond to the commands. Importing zoo is cheap, because torch is imported only when a function is called.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from zoo.deploy.export import Export
    from zoo.inference.classifier import Classifier
    from zoo.inference.evaluation import Evaluation
    from zoo.results.result import Result

__version__ = "0.1.0"
__all__ = ["__version__", "evaluate", "export", "load", "train"]


def load(model: str | os.PathLike[str], tta: str | None = None) -> Classifier:
    """Load a trained model: `.predict(…)`, `.embed(…)`, `.classes`, `.model`.

    Args:
        model: a run folder, its `model/`, `local-dir:PATH`, `hf-hub:OWNER/NAME`, a timm name, or an exported file.
        tta: views of each image over which predictions are averaged: none, hflip or five_crop; None for the views with which
            the run was evaluated.

    Raises:
        ZooError: there is no such model, or it is damaged.
    """
    from zoo.inference.load import load

    return load(model, tta)


def train(recipe: str | os.PathLike[str], **overrides: Any) -> Result:
    """Train a model from a recipe.

    Args:
        recipe: a recipe file, or the name of a shipped recipe.
        **overrides: options to change, by section (`train={"epochs": 2}`), or a whole section (`image_size=96`).

    Returns:
        The content of the run's `result.json`; its `folder` is the run folder.

    Raises:
        ZooError: bad input, or an error that ended the run.
    """
    from pathlib import Path

    from zoo.recipe.load import load_recipe
    from zoo.results.folder import RunFolder
    from zoo.results.result import read_result
    from zoo.system import launch
    from zoo.system.threads import announce_threads

    loaded = load_recipe(Path(recipe), _as_words(overrides))
    loaded.data.check()
    announce_threads(loaded.train.threads, launch.read())
    from zoo.training.run import train

    result = read_result(RunFolder(train(loaded)))
    assert result is not None
    return result


def evaluate(
    model: str | os.PathLike[str],
    data: str | os.PathLike[str] | Sequence[str] | None = None,
    split: str = "test",
    *,
    tta: str | None = None,
    batch_size: int | None = None,
) -> Evaluation:
    """Evaluate a model on labeled images, like `zoo eval`.

    Args:
        model: a model, as for `load`.
        data: a folder with CLASS/IMAGE or SPLIT/CLASS/IMAGE; options of a recipe's `data` section, such as
            `["kind=cifar10"]`; or None for the run's own images.
        split: train, val or test.
        tta: views of each image over which predictions are averaged: none, hflip or five_crop; None for the views with which
            the run was evaluated.
        batch_size: images per batch; None to choose it automatically.

    Raises:
        ZooError: the model or the images are not available, or have no class in common.
    """
    from zoo.inference.evaluate import evaluate

    return evaluate(model, data, split, tta=tta, batch_size=batch_size)


def export(
    model: str | os.PathLike[str],
    format: str,
    *,
    out: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    batch: int | Literal["dynamic"] = "dynamic",
    preprocess: Literal["inside", "outside"] | None = None,
    precision: Literal["fp32", "fp16", "int8"] = "fp32",
    check: str | os.PathLike[str] | None = None,
    push: str | None = None,
) -> Export:
    """Export a model for other programs and check the export on real images, like `zoo export`.

    Args:
        model: a run folder, its model folder, or a name of timm or the hub.
        format: onnx, torch or timm.
        out: the output file or folder; by default named after the run, in the current folder. An earlier export is replaced.
        image_size: side of the network's images in pixels; by default the model's own.
        batch: images per batch, or `dynamic` for any number.
        preprocess: inside (default for onnx): the export takes photographs; outside: it takes a normalized batch.
        precision: fp32; for onnx also fp16 or int8.
        check: a folder of images for the check; by default the run's validation images.
        push: `OWNER/NAME` on the Hugging Face hub to which a timm folder is uploaded.

    Raises:
        ZooError: bad input, or the outputs of the export differ too much from the model's; the export is then removed.
        StorageError: the export cannot be written.
    """
    from zoo.deploy.export import export

    return export(
        model,
        format,
        out=out,
        image_size=image_size,
        batch=batch,
        preprocess=preprocess,
        precision=precision,
        check=check,
        push=push,
    )


def _as_words(overrides: Mapping[str, Any], above: str = "") -> list[str]:
    """Return options as command line overrides, such as `train.epochs=2`."""
    import json
    import re

    words = []
    for name, value in overrides.items():
        if isinstance(value, Mapping) and not (above == "" and "kind" in value):
            words += _as_words(value, f"{above}{name}.")
        else:
            text = json.dumps(value, default=os.fspath, ensure_ascii=False)
            # YAML does not take control characters as they are, and JSON leaves these.
            text = re.sub(r"[\x7f-\x9f\u2028\u2029]", lambda found: f"\\u{ord(found[0]):04x}", text)
            words.append(f"{above}{name}={text}")
    return words
