"""Check the target of an export: nothing but an earlier export is replaced."""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

from zoo.deploy.formats import FORMATS, Choice
from zoo.errors import ZooError
from zoo.inference.exported import NOTES
from zoo.system.files import digest, existing

RECORD = "export.json"
# The other files of a folder for timm.
FILES = ("README.md", "config.json", "model.safetensors")
PRODUCER = "zoo"
OUT = "--out"


def record_of(target: Path, choice: Choice) -> Path:
    """Return the path of an export's record: inside a folder, or beside a file."""
    return target / RECORD if choice.format == "timm" else target.with_name(f"{target.name}.{RECORD}")


def digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file of a folder for timm, by file name."""
    return {name: digest(folder / name) for name in FILES if (folder / name).is_file()}


def check_target(target: Path, choice: Choice) -> None:
    """Check that the target can be written, and that nothing but an earlier export is replaced.

    Raises:
        ZooError: the target cannot be written, or exists and is not an earlier export.
    """
    ending = FORMATS[choice.format]
    if choice.format != "timm" and target.suffix != ending:
        raise ZooError(OUT, f"{target} does not end in {ending}", f"e.g. model{ending}")
    parent = existing(target.parent)
    if not target.absolute().parent.is_dir() or not os.access(parent, os.W_OK):
        what = "cannot be written" if target.absolute().parent.is_dir() else "does not exist"
        raise ZooError(OUT, f"the folder {target.absolute().parent} {what}", "make it, or give another")
    if os.path.lexists(target):
        (_check_folder if choice.format == "timm" else _check_file)(target)
    record = record_of(target, choice)
    if choice.format != "timm" and os.path.lexists(record) and not _read(record):
        raise ZooError(OUT, f"{record} exists and is not the record of an export", "move it, or give another name")


def _check_folder(folder: Path) -> None:
    """Check that a folder is an earlier export, unchanged and without other files.

    Raises:
        ZooError: it is not.
    """
    record = _read(folder / RECORD)
    if not folder.is_dir() or not record:
        raise ZooError(OUT, f"{folder} exists and is not an export", "give a new folder")
    others = sorted(set(os.listdir(folder)) - {RECORD, *FILES})
    if others:
        raise ZooError(OUT, f"{folder} contains other files: {', '.join(others[:3])}", "give a new folder")
    written = record.get("files") or {}
    changed = [name for name, found in digests(folder).items() if written.get(name, found) != found]
    if changed:
        raise ZooError(OUT, f"{folder / changed[0]} was changed since it was written", "give a new folder")


def _check_file(path: Path) -> None:
    """Check that a file was written by zoo: the record beside it has the file's digest, or the file's metadata say so.

    Raises:
        ZooError: it was not written by zoo.
    """
    if path.is_dir():
        raise ZooError(OUT, f"{path} is a folder", "give another name")
    proven = path.is_file() and _read(path.with_name(f"{path.name}.{RECORD}")).get("sha256") == digest(path)
    if not proven and not _says_so(path):
        raise ZooError(OUT, f"{path} exists and was not written by zoo export", "move it, or give another name")


def _read(record: Path) -> dict[str, Any]:
    """Return the content of an `export.json`, or an empty dictionary if there is none or it is damaged."""
    try:
        found = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and "proof" in found and "format" in found else {}


def _says_so(path: Path) -> bool:
    """Return whether a file's metadata say that zoo wrote it: its record may be missing, or belong to an earlier file."""
    if path.suffix == FORMATS["torch"]:
        try:
            with zipfile.ZipFile(path) as archive:
                return any(name.endswith(f"/{NOTES}") for name in archive.namelist())
        except (OSError, zipfile.BadZipFile):
            return False
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load(path, load_external_data=False).producer_name == PRODUCER
    except (OSError, ValueError, DecodeError):
        return False
