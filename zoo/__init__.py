"""Fine-tune any timm backbone by name, from a YAML recipe, and use what was trained.

The functions here do what the commands of the same names do. Importing zoo is cheap: each imports torch when it is called.
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
        tta: none, hflip or five_crop: the views of each image that predictions average; None for those that the run was scored
            with.

    Raises:
        ZooError: there is no such model, or it is damaged.
    """
    from zoo.inference.load import load

    return load(model, tta)


def train(recipe: str | os.PathLike[str], **overrides: Any) -> Result:
    """Train from a recipe to its end.

    Args:
        recipe: a recipe file, or the name of a shipped one.
        **overrides: options to change, by section: `train={"epochs": 2}`, or a whole one: `image_size=96`.

    Returns:
        What the run's `result.json` holds; `folder` is the run.

    Raises:
        ZooError: bad input, or what stopped the run.
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
    """Score a model on labeled images, as `zoo eval` does.

    Args:
        model: what `load` takes.
        data: a folder of CLASS/IMAGE or of splits of such; the words of a recipe's `data` such as `["kind=cifar10"]`; None
            for a run's own images.
        split: train, val or test.
        tta: none, hflip or five_crop: the views of each image that are averaged; None for those that the run was scored with.
        batch_size: images at a time; None for what suits.

    Raises:
        ZooError: the model or the images cannot be had, or have no class in common.
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
    """Write a model for other programs, proven on real images, as `zoo export` does.

    Args:
        model: a run, its model folder, or a name of timm or the hub.
        format: onnx, torch or timm.
        out: the file or folder; by default it is named like the run, in the current folder. An earlier export is replaced.
        image_size: side of the network's images in pixels; by default that of the model.
        batch: images of a batch, or `dynamic`: any number.
        preprocess: inside (default of onnx): the file takes photographs; outside: a normalized batch.
        precision: fp32; onnx also fp16 and int8.
        check: a folder of images to prove it on; by default the run's validation images.
        push: `OWNER/NAME` on the Hugging Face hub to send a timm folder to.

    Raises:
        ZooError: bad input, or a file that is too far from the live model; none is left then.
        StorageError: it cannot be written.
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
    """Return options as the command line has them: `train.epochs=2`."""
    import json

    words = []
    for name, value in overrides.items():
        if isinstance(value, Mapping) and not (above == "" and "kind" in value):
            words += _as_words(value, f"{above}{name}.")
        else:
            words.append(f"{above}{name}={json.dumps(value, default=os.fspath)}")
    return words
