"""Check names of backbones and optimizers without importing timm, with tables written by `scripts/build_catalog.py`."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from zoo.errors import nearest
from zoo.models import catalog


@cache
def table() -> dict[str, Any]:
    """Return the table of optimizers and deprecated backbones.

    Returns:
        A dict with `timm`, its version; `optimizers`, a list of names; `deprecated`, old names of backbones with their
        successors (None for removed backbones).
    """
    return json.loads((Path(__file__).parent / "timm_names.json").read_text(encoding="utf-8"))


def check_backbone(name: str) -> str:
    """Return a backbone's name if timm has it.

    Raises:
        ValueError: the name is unknown or deprecated; the message gives the nearest names or the successor.
    """
    if any(mark in name for mark in ":/\\"):
        raise ValueError("sources are not allowed in names (use backbone.weights: {kind: file, path: …})")
    architecture, _, tag = name.partition(".")
    if catalog.has(architecture, tag):
        return name
    models = catalog.architectures()
    tags = [entry.tag for entry in models.get(architecture, ()) if entry.tag]
    if catalog.other_timm() and _timm_knows(name):
        return name
    if name in table()["deprecated"]:
        successor = table()["deprecated"][name]
        raise ValueError(
            f"'{name}' is deprecated in timm (use '{successor}')" if successor else f"'{name}' was removed from timm"
        )
    if architecture in models:
        close = nearest(tag, tags) or tags[:5]
        hint = "tags: " + ", ".join(f"{architecture}.{tag}" for tag in close) if tags else f"it has no tags, use '{architecture}'"
        raise ValueError(f"unknown pretrained tag '{tag}' of {architecture} ({hint})")
    close = nearest(architecture, models)
    hint = f"closest: {', '.join(close)}; " if close else ""
    raise ValueError(f"unknown model '{name}' ({hint}'zoo list' shows all)")


def check_optimizer(name: str) -> str:
    """Return an optimizer's name if timm has it.

    Raises:
        ValueError: the name is unknown; the message gives the nearest name.
    """
    known = table()["optimizers"]
    if name in known:
        return name
    close = nearest(name, known, 1)
    common = "adamw, sgd, adam, nadamw, lion, lamb, muon, …"
    raise ValueError(f"unknown '{name}' ({f'did you mean {close[0]!r}? ' if close else ''}known: {common})")


def _timm_knows(name: str) -> bool:
    """Return whether the installed timm has a backbone of this name."""
    import timm

    return timm.is_model(name) and ("." not in name or timm.models.is_model_pretrained(name))
