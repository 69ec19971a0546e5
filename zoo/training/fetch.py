"""Fetch weights and images into the caches, so that a run needs no network."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from zoo.data import store_cache
from zoo.models.options import Backbone
from zoo.recipe.recipe import Recipe
from zoo.section import decided
from zoo.system.files import expanded
from zoo.training.auto import decide


@dataclass(frozen=True)
class Fetched:
    """The result of a fetch.

    Attributes:
        size: bytes; 0 if there is nothing to fetch.
        text: what came from where, for the console.
    """

    size: int
    text: str


def fetch_weights(backbone: Backbone) -> Fetched:
    """Fetch a backbone's weights to this machine, and read them once.

    Raises:
        ZooError: the weights cannot be found or downloaded, or the file is damaged.
        StorageError: the cache has no room for them.
    """
    found = backbone.weights.find(backbone.name)
    if found is None:
        return Fetched(0, "nothing to fetch: the weights are random")
    return Fetched(found.size, f"{'downloaded from' if found.downloaded else 'already here:'} {found.source}")


def fetch_data(recipe: Recipe) -> Fetched:
    """Fetch a recipe's images to this machine, and decode them into a pixel store of the size that training needs.

    Raises:
        ZooError: the images cannot be found or downloaded, or are invalid.
        StorageError: the cache has no room for them.
    """
    stores = {store.folder for store in store_cache.stores()}
    root = getattr(recipe.data, "root", None)
    new_files = _watch(expanded(root)) if root is not None else bool
    size = decided(decide(recipe).recipe.image_size.end)
    pixels = recipe.data.load(recipe.train.seed, size).train.pixels
    if pixels.folder is None:
        return Fetched(0, "nothing to fetch: the images are not files")
    count = f"{len(pixels.images):,} images"
    if pixels.folder in stores:
        return Fetched(pixels.images.nbytes, f"already here: {count} in {pixels.folder}")
    origin = f"downloaded into {root}, " if new_files() else ""
    return Fetched(pixels.images.nbytes, f"{origin}{count} of {root} decoded into {pixels.folder}")


def _watch(folder: Path) -> Callable[[], bool]:
    """Return a function that tells whether a folder has gained entries since this call."""

    def names() -> set[str]:
        return set(os.listdir(folder)) if folder.is_dir() else set()

    before = names()
    return lambda: names() > before
