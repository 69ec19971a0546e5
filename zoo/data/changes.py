"""Check whether a data set is still the one that a run was trained on, and describe what changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.data.image_folder import Tree
from zoo.data.pixel_store import stats
from zoo.data.splits import Splits
from zoo.errors import ZooError
from zoo.system.files import printable

# Most characters of file names that a checkpoint keeps: about 10,000 files. For more, it keeps only counts and digests.
MOST_NAMES = 400_000
# Most changes that an error names.
MOST_CHANGES = 3


def describe_files(tree: Tree, root: Path, where: str) -> dict[str, Any]:
    """Describe the files of an image folder by their names below the root and their sizes; a copy elsewhere gives the same.

    Args:
        tree: the files, as `image_folder.scan` lists them.
        root: the folder that names are relative to.
        where: the key or flag that an error names.

    Returns:
        `digest`, of all names and sizes in order, and `folders`. For each class folder below the root (`train/cat`), these
        have the `count` of its files, a `digest` of their names within it and their sizes, and `names`, the size of each
        file by its name within the folder. `names` are left out if all of them exceed `MOST_NAMES`.

    Raises:
        ZooError: a file was removed after it was listed.
    """
    whole = hashlib.sha256()
    folders: dict[str, dict[str, int]] = {}
    pairs = [(path, label) for part in tree.parts.values() for path, label in part]
    for (path, label), (_, stat) in zip(pairs, stats(tree.files(), where), strict=True):
        relative = path.relative_to(root)
        whole.update(os.fsencode(relative) + b"\0%d\0" % stat.st_size)
        # Images may be in subfolders of the folder of their class.
        depth = relative.parts.index(tree.classes[label]) + 1
        folder, name = "/".join(relative.parts[:depth]), "/".join(relative.parts[depth:])
        folders.setdefault(printable(folder), {})[printable(name)] = stat.st_size
    short = sum(len(name) + 12 for names in folders.values() for name in names) <= MOST_NAMES
    described: dict[str, Any] = {}
    for folder, names in folders.items():
        digest = hashlib.sha256("".join(f"{name}\0{size}\0" for name, size in names.items()).encode()).hexdigest()[:16]
        described[folder] = {"count": len(names), "digest": digest} | ({"names": names} if short else {})
    return {"digest": whole.hexdigest(), "folders": described}


def summary(splits: Splits) -> dict[str, Any]:
    """Return the summary of a data set that a checkpoint keeps: classes, number of images in each split, folders."""
    counts = {name: len(split) for name, split in splits.named().items()}
    return {"classes": list(splits.classes), "images": counts, "folders": dict(splits.listing.get("folders", {}))}


def check_unchanged(splits: Splits, expected: Mapping[str, Any] | None) -> None:
    """Check that a data set is the one that a checkpoint was trained on. Only the list of files is needed, no pixels.

    Args:
        splits: the data set as it is now.
        expected: plain values of the checkpoint, None for a new run: `data` is the fingerprint of its splits;
            `data_summary` is their `summary`, which earlier versions did not write.

    Raises:
        ZooError: the data sets differ; the error says what changed, as far as the checkpoint knows.
    """
    if expected is None or "data" not in expected or expected["data"] == splits.fingerprint():
        return
    before = expected.get("data_summary")
    found = changes(before, summary(splits)) if before else []
    more = f", and {len(found) - MOST_CHANGES} more" if len(found) > MOST_CHANGES else ""
    what = "; ".join(found[:MOST_CHANGES]) + more or "the images or their classes differ"
    raise ZooError("--resume", f"the data has changed since the run began: {what}", "restore the data or start a new run")


def changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Describe the differences between two summaries of a data set, the most informative first."""
    old, new = dict(before.get("folders", {})), dict(now.get("folders", {}))
    gone = [name for name in before["classes"] if name not in now["classes"]]
    added = [name for name in now["classes"] if name not in before["classes"]]
    found = []
    for name in list(gone):
        other = _renamed_to(name, added, old, new) or (added[0] if len(gone) == len(added) == 1 else None)
        if other is not None:
            found.append(f"class '{name}' is now '{other}'")
            gone.remove(name)
            added.remove(other)
            new |= {_in_class(folder, name, other): new.pop(folder) for folder in list(new) if _class_of(folder) == other}
    found += [f"class '{name}' is gone" for name in gone] + [f"class '{name}' is new" for name in added]
    skipped = {*gone, *added}
    for folder in [*old, *(folder for folder in new if folder not in old)]:
        if _class_of(folder) not in skipped and (text := _file_changes(old.get(folder, {}), new.get(folder, {}))):
            found.append(f"{text[0]} in {folder}{text[1]}")
    if not found:
        found = [
            f"{now['images'].get(name, 0):,} {name} images, {before['images'].get(name, 0):,} before"
            for name in dict.fromkeys([*before["images"], *now["images"]])
            if before["images"].get(name) != now["images"].get(name)
        ]
    return found


def _renamed_to(name: str, added: list[str], old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Return the added class that holds the same files as a removed class, or None if there is none."""
    files = [about["digest"] for folder, about in old.items() if _class_of(folder) == name]
    for other in added:
        if files and files == [about["digest"] for folder, about in new.items() if _class_of(folder) == other]:
            return other
    return None


def _class_of(folder: str) -> str:
    return folder.rpartition("/")[2]


def _in_class(folder: str, name: str, old_name: str) -> str:
    return folder.removesuffix(old_name) + name


def _file_changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[str, str] | None:
    """Describe how many files of a folder were added, removed or changed, and the first of them; None if none was."""
    if before.get("digest") == now.get("digest"):
        return None
    # A folder that was added or removed is compared with an empty one.
    old = before.get("names", None if before else {})
    new = now.get("names", None if now else {})
    if old is None or new is None:
        more = now.get("count", 0) - before.get("count", 0)
        if more:
            return f"{abs(more):,} file{'s' * (abs(more) > 1)} {'more' if more > 0 else 'fewer'}", ""
        return "files renamed, replaced or changed", ""
    kinds = {
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "changed": [name for name in new if name in old and old[name] != new[name]],
    }
    texts = [f"{len(names):,} file{'s' * (len(names) > 1)} {kind}" for kind, names in kinds.items() if names]
    first = next((names[0] for names in kinds.values() if names), "")
    return ", ".join(texts) or "files reordered", f" (first: {first})" if first else ""
