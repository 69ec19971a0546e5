"""Find the model that MODEL on the command line names, by names and files alone, without torch and network."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from zoo.errors import ZooError
from zoo.models.names import check_backbone
from zoo.results.folder import RESULT
from zoo.system.files import expanded

# Name of the argument in errors without a path.
WHERE = "MODEL"
HUB, LOCAL = "hf-hub:", "local-dir:"
# Extensions of the files that `zoo export` writes.
EXPORTED = (".onnx", ".pt2")


@dataclass(frozen=True)
class Source:
    """The location of a model.

    Attributes:
        kind: folder (in timm's format), hub, timm (a timm name), or file (an exported file).
        name: as the user wrote it.
        path: the model folder or the exported file; None for hub and timm names.
        run: the run that the model folder belongs to; None if it belongs to no run.
    """

    kind: Literal["folder", "hub", "timm", "file"]
    name: str
    path: Path | None = None
    run: Path | None = None


def find_source(model: str | os.PathLike[str]) -> Source:
    """Locate a MODEL: a run, its model folder, `local-dir:PATH`, `hf-hub:OWNER/NAME`, a timm name, or an exported file.

    Raises:
        ZooError: there is no such model, or the run is not finished.
    """
    text = os.fspath(model)
    if text.startswith(HUB):
        if text.count("/") != 1 or text.endswith("/"):
            raise ZooError(WHERE, f"expected hf-hub:OWNER/NAME, found {text!r}", "write the name as the hub shows it")
        return Source("hub", text)
    path = expanded(text.removeprefix(LOCAL))
    if path.is_dir():
        return _in_folder(text, path)
    if path.is_file():
        if path.suffix.lower() in EXPORTED:
            return Source("file", text, path)
        raise ZooError(
            text, f"not a model: expected a folder or a file that ends in {' or '.join(EXPORTED)}", "see zoo predict --help"
        )
    if text.startswith(LOCAL) or os.sep in text or text.lower().endswith(EXPORTED):
        raise ZooError(text, "no such file or folder", "give a run, its model folder, or an exported file")
    try:
        return Source("timm", check_backbone(text))
    except ValueError as error:
        what, _, todo = str(error).partition(" (")
        raise ZooError(WHERE, f"{what}, and no file or folder of that name", todo.removesuffix(")")) from None


def _in_folder(text: str, path: Path) -> Source:
    """Return the model of a run, or of a folder in timm's format.

    Raises:
        ZooError: the folder has no model.
    """
    if (path / "config.json").is_file():
        above = path.absolute().parent
        return Source("folder", text, path, above if (above / "recipe.yaml").is_file() else None)
    if (path / "model" / "config.json").is_file():
        return Source("folder", text, path / "model", path if (path / "recipe.yaml").is_file() else None)
    if (path / "recipe.yaml").is_file():
        done = (path / RESULT).exists()
        what = "its model folder is missing" if done else "the run is not finished and has no model yet"
        raise ZooError(text, what, "train it again" if done else f"zoo train --resume {path}")
    raise ZooError(text, "no model in this folder", "give a run, or a folder with config.json and model.safetensors")
