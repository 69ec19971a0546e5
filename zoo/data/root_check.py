"""Check the root of an image folder with the standard library alone, so that errors appear before torch is imported."""

from __future__ import annotations

import os
from pathlib import Path

from zoo.errors import ZooError

SPLITS = ("train", "val", "test")
# Other usual names of the splits, in upper or lower case; `image_folder.scan` uses them only beside a train folder.
ALIASES = {"training": "train", "valid": "val", "validation": "val", "dev": "val", "testing": "test"}
# Names of folders that operating systems add; they are ignored, like hidden files and folders.
LEFT_BY_SYSTEMS = ("@eaDir", "__MACOSX", "lost+found", "System Volume Information", "$RECYCLE.BIN")
# The expected layout of a root, for error messages.
EXPECTED = "expected ROOT/train/CLASS/IMAGE or ROOT/CLASS/IMAGE"
# Advice for images that lie in one folder.
TABLE = "docs/images.md has a script for labels in a table"


def check_root(root: Path, where: str) -> None:
    """Check that a root is a folder with folders in it, and not one level above or below an image folder.

    Args:
        root: an absolute path.
        where: the key or flag that an error names.

    Raises:
        ZooError: the root is missing, is a file, cannot be read, holds no folders, or is probably the wrong folder.
    """
    check_not_a_file(root, where)
    try:
        if not os.path.isdir(root):
            raise ZooError(where, f"no such folder: {root}", f"point {where} at your image folder")
        folders, files = listed(root)
        meant = _meant(root, folders, files)
    except OSError as error:
        what = f"{error.filename or root} cannot be read: {error.strerror}"
        raise ZooError(where, what, "check its permissions") from None
    if meant is not None:
        what = f"only one folder, '{folders[0]}', in {root}" if folders else f"no class folders in {root}"
        raise ZooError(where, what, f"did you mean {setting(where, meant)}?")
    if not folders:
        raise ZooError(where, f"no class folders in {root}", f"{EXPECTED}; {TABLE}" if files else EXPECTED)


def check_not_a_file(root: Path, where: str) -> None:
    """Check that a path is a folder if it exists.

    Raises:
        ZooError: the path is a file.
    """
    if os.path.exists(root) and not os.path.isdir(root):
        raise ZooError(where, f"{root} is a file, not a folder", f"point {where} at a folder")


def setting(where: str, value: object) -> str:
    """Return the command-line argument that sets a value: `data.root=PATH` for a key, `--data PATH` for a flag."""
    return f"{where} {value}" if where.startswith("--") else f"{where}={value}"


def split_name(folder: str) -> str:
    """Return the split that a folder's name stands for (`Validation`: val), or else the name in lower case."""
    name = folder.casefold()
    return ALIASES.get(name, name)


def listed(folder: Path) -> tuple[list[str], list[str]]:
    """Return the names of the folders and of the files in a folder, sorted; hidden ones are left out."""
    folders: list[str] = []
    files: list[str] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.startswith(".") and entry.name not in LEFT_BY_SYSTEMS:
                (folders if entry.is_dir() else files).append(entry.name)
    return sorted(folders), sorted(files)


def _meant(root: Path, folders: list[str], files: list[str]) -> Path | None:
    """Return the image folder, below or above a root, that was probably meant; None if the root may be right."""
    if len(folders) == 1 and split_name(folders[0]) not in SPLITS:
        # A wrapper folder, as in unpacked archives: ROOT/photos/CLASS or ROOT/photos/train.
        inside, _ = listed(root / folders[0])
        if len(inside) > 1 or (inside and split_name(inside[0]) == "train"):
            return root / folders[0]
    if not folders and files:
        # The folder of one class: the image folder is above it, or above the split it is in.
        above = root.parent
        beside, _ = listed(above)
        if split_name(above.name) in SPLITS:
            return above.parent
        return above if len(beside) > 1 and not any(split_name(name) in SPLITS for name in beside) else None
    return None
