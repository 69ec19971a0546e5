"""List the classes, splits and files of an image folder, and report its mistakes, before any image is decoded."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from zoo.data.decode import EXTENSIONS, UNREAD, unread_todo
from zoo.data.root_check import EXPECTED, LEFT_BY_SYSTEMS, SPLITS, TABLE, check_root, split_name
from zoo.errors import ZooError
from zoo.system.files import printable

# Names of folders that are parts of a data set rather than classes, such as part1 or fold_2.
PART = re.compile(r"(part|fold|split|set|batch|chunk|source|site)[-_ ]?\w{1,3}", re.IGNORECASE)


@dataclass
class Tree:
    """The files of each split (or of `all`, to be split) as (path, label), and the classes in label order.

    Classes are sorted by code point, as in torchvision; runs and exported models keep this order.
    """

    classes: list[str]
    parts: dict[str, list[tuple[Path, int]]]
    notes: list[str] = field(default_factory=list)

    def files(self) -> list[Path]:
        """Return the files of all splits, in the order of the pixel store."""
        return [path for part in self.parts.values() for path, _ in part]


class _Flaw(Exception):
    """A mistake in a folder and what to do about it; `_reading` adds the key or flag at fault."""

    def __init__(self, what: str, todo: str) -> None:
        super().__init__(what)
        self.what, self.todo = what, todo


def scan(root: Path, where: str = "data.root") -> Tree:
    """List the images below a root.

    Args:
        root: an absolute path.
        where: the key or flag that an error names.

    Raises:
        ZooError: the root is missing or cannot be read, has no class folders, only one class, an empty class, a class that
            is not in train, images in a format that cannot be read, or links that lead out of it.
    """
    check_root(root, where)
    with _reading(root, where):
        return _scan(root)


def scan_classes(folder: Path, root: Path, where: str = "data.root") -> Tree:
    """List the images of a folder with one or more class folders, some of which may be empty.

    Args:
        folder: the absolute path of the folder that holds the class folders.
        root: the same folder or one above it; links must not lead out of it.
        where: the key or flag that an error names.

    Raises:
        ZooError: there are no classes or no images, the folder cannot be read, or links lead out of the root.
    """
    ignored: list[str] = []
    with _reading(folder, where):
        classes = sorted(path.name for path in _folders(folder, root))
        if not classes:
            raise _Flaw(f"no class folders in {folder}", "expected CLASS/IMAGE in it")
        _check_names(classes)
        files = [(image, label) for label, name in enumerate(classes) for image in _listed(folder / name, root, ignored)]
        _check_kinds(ignored)
        if not files:
            raise _Flaw(f"no images in {folder}", "expected CLASS/IMAGE in it")
        notes = _stray_note(folder, root)
    return Tree(classes, {"all": files}, [*notes, *_ignored_note(ignored)])


def split_folders(root: Path, where: str = "data.root") -> dict[str, Path]:
    """Return the folders train, val and test that a root has; a folder that holds only images is a class, not a split.

    Args:
        root: an absolute path.
        where: the key or flag that an error names.

    Raises:
        ZooError: the root cannot be read, links lead out of it, or two folders are the same split.
    """
    with _reading(root, where):
        parts = [path for path in _folders(root, root) if split_name(path.name) in SPLITS and not _is_class(path, root)]
        return _one_of_each(parts)


@contextlib.contextmanager
def _reading(folder: Path, where: str) -> Iterator[None]:
    """Turn mistakes in a folder, and errors of the system, into an error that names the key or flag."""
    try:
        yield
    except _Flaw as flaw:
        raise ZooError(where, flaw.what, flaw.todo) from None
    except OSError as error:
        what = f"{error.filename or folder} cannot be read: {error.strerror}"
        raise ZooError(where, what, "check its permissions") from None


def _ignored_note(ignored: list[str]) -> list[str]:
    """Return a note about the ignored files, as a list; empty if there are none."""
    if not ignored:
        return []
    files = "1 file that is not an image" if len(ignored) == 1 else f"{len(ignored)} files that are not images"
    return [f"ignored {files}, first: {printable(ignored[0])}"]


def _stray_note(folder: Path, root: Path) -> list[str]:
    """Return a note about images that lie beside class folders, as a list; empty if there are none."""
    entries = [entry for entry in _entries(str(folder), str(root)) if entry.name.lower().endswith(EXTENSIONS)]
    stray = [entry.path for entry in entries if not entry.is_dir()]
    if not stray:
        return []
    count = "1 image" if len(stray) == 1 else f"{len(stray)} images"
    return [f"ignored {count} outside the class folders, first: {printable(stray[0])}"]


def _scan(root: Path) -> Tree:
    found, unused = _split_folders(root)
    names = {split: sorted(path.name for path in _folders(path, root)) for split, path in found.items()}
    first = next(iter(found))
    classes = names[first]
    _check_classes(classes, found[first])
    ignored: list[str] = []
    notes = [f"ignored folders beside train: {', '.join(map(printable, unused))}"] if unused else []
    for split, path in found.items():
        if not names[split]:
            raise _Flaw(f"no class folders in {path}", "move its images into CLASS folders, or move the folder elsewhere")
        notes += _stray_note(path, root)
        for extra in sorted(set(names[split]) - set(classes)):
            raise _Flaw(f"class '{extra}' is in {split} but not in train", "add it to train or remove it")
    parts = {
        split: [
            (image, label)
            for label, name in enumerate(classes)
            if name in names[split]
            for image in _images(path / name, root, ignored)
        ]
        for split, path in found.items()
    }
    _check_kinds(ignored)
    if "all" in found:
        _check_nesting(classes, parts["all"], root)
    return Tree(classes, parts, [*notes, *_ignored_note(ignored)])


def _split_folders(root: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the folder of each split, train first, and the names of other folders beside them.

    The root itself is the only split, `all`, if it has no train folder or if `train` is a class (train, bus, car).
    """
    folders = _folders(root, root)
    parts = [path for path in folders if split_name(path.name) in SPLITS]
    unused = [path.name for path in folders if path not in parts]
    train = next((path for path in parts if split_name(path.name) == "train"), None)
    if train is not None and len(parts) > 1 and _is_class(train, root):
        raise _Flaw(f"no class folders in {train}", f"expected ROOT/train/CLASS/IMAGE; {TABLE}")
    if train is not None and not (unused and _is_class(train, root)):
        return _one_of_each(parts), unused
    if train is None and ({path.name for path in folders} & {*SPLITS} or (folders and not unused)):
        names = ", ".join(sorted(path.name for path in folders))
        raise _Flaw(f"no train folder in {root}, only {names}", "expected ROOT/train/CLASS/IMAGE")
    return {"all": root}, []


def _one_of_each(parts: list[Path]) -> dict[str, Path]:
    """Return the folder of each split, train first."""
    found: dict[str, Path] = {}
    for path in parts:
        first = found.setdefault(split_name(path.name), path)
        if first is not path:
            raise _Flaw(f"{first} and {path} are the same split", "keep one")
    return {name: found[name] for name in SPLITS if name in found}


def _is_class(folder: Path, root: Path) -> bool:
    """Return whether a folder holds images and no subfolders."""
    entries = _entries(str(folder), str(root))
    return any(entry.name.lower().endswith(EXTENSIONS) for entry in entries) and not any(entry.is_dir() for entry in entries)


def _check_kinds(ignored: list[str]) -> None:
    """Check that the ignored files are not photos in a format that cannot be read."""
    unread = [path for path in ignored if path.lower().endswith(UNREAD)]
    if unread:
        count = f"{len(unread)} image{'s' * (len(unread) > 1)} in a format that zoo does not read"
        raise _Flaw(f"{count}, first: {printable(unread[0])}", f"{unread_todo(unread[0])}, or remove them")


def _check_nesting(classes: list[str], files: list[tuple[Path, int]], root: Path) -> None:
    """Check that the folders are classes, and not parts of a data set that each hold the real classes."""
    if not all(PART.fullmatch(name) for name in classes):
        return
    below: list[set[str]] = [set() for _ in classes]
    for path, label in files:
        inner = path.relative_to(root / classes[label]).parts
        below[label].add(inner[0] if len(inner) > 1 else "")
    if len(below[0]) > 1 and "" not in below[0] and all(names == below[0] for names in below):
        what = f"{classes[0]} and {classes[1]} hold folders of the same names ({', '.join(sorted(below[0])[:3])})"
        todo = f"name them train, val and test, or if they are classes, move them to {root / 'train'}"
        raise _Flaw(what, todo)


def _check_classes(classes: list[str], folder: Path) -> None:
    """Check that there are at least two classes, with names that can be written as text."""
    if not classes:
        raise _Flaw(f"no class folders in {folder}", EXPECTED)
    _check_names(classes)
    if len(classes) == 1:
        raise _Flaw(f"only one class, '{classes[0]}', in {folder}", "add a folder for each other class")


def _check_names(classes: list[str]) -> None:
    for name in classes:
        if any(letter < " " or "\ud800" <= letter <= "\udfff" for letter in name):
            raise _Flaw(f"the class name {name!a} cannot be written as text", "rename the folder")


def _entries(folder: str, root: str) -> list[os.DirEntry[str]]:
    """Return the entries of a folder, sorted by name, without hidden ones; refuse links to folders, to nothing or out of it."""
    with os.scandir(folder) as listing:
        shown_entries = (entry for entry in listing if not entry.name.startswith(".") and entry.name not in LEFT_BY_SYSTEMS)
        entries = sorted(shown_entries, key=lambda entry: entry.name)
    for entry in entries:
        if entry.is_symlink():
            real, inside = os.path.realpath(entry.path), os.path.realpath(root)
            if not os.path.isfile(real) or os.path.commonpath([real, inside]) != inside:
                raise _Flaw(f"{entry.path} is a link to a folder, to nothing or out of the root", "replace it with the files")
    return entries


def _folders(path: Path, root: Path) -> list[Path]:
    return [Path(entry.path) for entry in _entries(str(path), str(root)) if entry.is_dir()]


def _images(folder: Path, root: Path, ignored: list[str]) -> list[Path]:
    """Return the image files of a class, at any depth, sorted by path; refuse a class without images."""
    images = _listed(folder, root, ignored)
    if not images:
        _check_kinds(ignored)
        raise _Flaw(f"class '{folder.name}' has no images in {folder}", "add some or remove the folder")
    return images


def _listed(folder: Path, root: Path, ignored: list[str]) -> list[Path]:
    """Return the image files below a folder, at any depth, sorted by path; add other files to `ignored`."""
    images: list[Path] = []
    pending = [str(folder)]
    while pending:
        for entry in _entries(pending.pop(), str(root)):
            if entry.is_dir():
                pending.append(entry.path)
            elif entry.name.lower().endswith(EXTENSIONS):
                if not entry.is_file():  # reading a pipe would block
                    raise _Flaw(f"{entry.path} is not a regular file", "remove it")
                images.append(Path(entry.path))
            else:
                ignored.append(entry.path)
    return sorted(images)
