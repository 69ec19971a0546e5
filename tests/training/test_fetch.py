"""Weights and data that were fetched in advance are found without a network."""

from __future__ import annotations

import hashlib
import shutil
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from helpers.cifar import write_cifar
from helpers.servers import serving, use_hub
from helpers.tensors import NAME, fresh, saved
from huggingface_hub import constants
from safetensors.torch import save_file

from zoo.errors import ZooError
from zoo.models.options import Backbone, FileWeights, RandomWeights, TorchvisionWeights
from zoo.recipe.load import load_recipe
from zoo.recipe.recipe import Recipe
from zoo.training.fetch import fetch_data, fetch_weights
from zoo.training.inputs import load_inputs

pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Serve a folder in place of the Hugging Face hub and of CIFAR-10's server, with empty caches; yield the folder."""
    served = tmp_path / "served"
    served.mkdir()
    archive = write_cifar(tmp_path / "archive", monkeypatch)
    with tarfile.open(served / "cifar-10-python.tar.gz", "w:gz") as tar:
        tar.add(archive / "cifar-10-batches-py", "cifar-10-batches-py")
    shutil.rmtree(archive)
    digest = hashlib.md5((served / "cifar-10-python.tar.gz").read_bytes()).hexdigest()
    save_file(fresh(), served / "model.safetensors")
    with serving(served) as address:
        use_hub(address, tmp_path / "hub", monkeypatch)
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "url", f"{address}/cifar-10-python.tar.gz")
        monkeypatch.setattr(torchvision.datasets.CIFAR10, "tgz_md5", digest)
        yield served


def recipe(tmp_path: Path, data: str) -> Recipe:
    path = tmp_path / "r.yaml"
    path.write_text(f"backbone: {{name: {NAME}}}\ndata: {data}\nimage_size: 32\ntrain: {{batch_size: 8}}\n")
    return load_recipe(path)


def test_a_run_finds_what_was_fetched_without_network(
    server: Path, tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "data"
    wanted = recipe(tmp_path, f"{{kind: cifar10, root: {root}}}")
    weights, data = fetch_weights(wanted.backbone), fetch_data(wanted)
    size = sum(tensor.nbytes for tensor in fresh().values())
    assert (weights.size, weights.text) == (size, "downloaded from hub timm/test_resnet.r160_in1k")
    store = cache / "pixels" / "CIFAR10-3"
    assert data.text == f"downloaded into {root}, 60 images of {root} decoded into {store}"
    assert data.size == 60 * 3 * 32 * 32 == (store / "pixels.bin").stat().st_size
    assert fetch_weights(wanted.backbone).text == "already here: hub cache timm/test_resnet.r160_in1k"
    assert fetch_data(wanted).text == f"already here: 60 images in {store}"
    for file in server.iterdir():
        file.unlink()
    shutil.rmtree(root)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    inputs = load_inputs(wanted)
    assert inputs.found is not None
    assert inputs.found.source == "hub cache timm/test_resnet.r160_in1k"
    assert len(inputs.data.train) + len(inputs.data.val or ()) == 40


def test_an_archive_that_is_there_is_not_said_to_be_downloaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_cifar(tmp_path / "archive", monkeypatch)
    text = fetch_data(recipe(tmp_path, f"{{kind: cifar10, root: {root}}}")).text
    assert text.startswith(f"60 images of {root} decoded into ")


def test_a_folder_is_decoded_once_for_each_size_of_its_store(tmp_path: Path, image_folder: Callable[..., Path]) -> None:
    root = image_folder({"cat": 10, "dog": 10}, size=(40, 30))
    wanted = recipe(tmp_path, f"{{kind: folder, root: {root}}}")
    first = fetch_data(wanted)
    assert first.text.startswith(f"20 images of {root} decoded into ")
    place = Path(first.text.rpartition(" ")[2])
    assert first.size == (place / "pixels.bin").stat().st_size
    again = fetch_data(wanted)
    assert (again.size, again.text) == (first.size, f"already here: 20 images in {place}")
    larger = load_recipe(tmp_path / "r.yaml", ["data.store_size=64"])
    assert " decoded into " in fetch_data(larger).text
    (root / "cat" / "000.png").write_bytes(b"x")
    with pytest.raises(ZooError, match="1 unreadable image"):
        fetch_data(wanted)


def test_what_needs_no_files_needs_no_fetching(tmp_path: Path) -> None:
    found = fetch_data(recipe(tmp_path, "synthetic"))
    assert (found.size, found.text) == (0, "nothing to fetch: the images are not files")
    found = fetch_weights(Backbone(name=NAME, weights=RandomWeights()))
    assert (found.size, found.text) == (0, "nothing to fetch: the weights are random")


def test_torchvisions_weights_are_downloaded_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    tensors = {"a": torch.zeros(3)}
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda url, path, *args, **kwargs: saved(tensors, Path(path)))
    backbone = Backbone(name="resnet18", weights=TorchvisionWeights(name="ResNet18_Weights.IMAGENET1K_V1"))
    first, second = fetch_weights(backbone), fetch_weights(backbone)
    assert (first.size, first.text) == (12, "downloaded from torchvision ResNet18_Weights.IMAGENET1K_V1")
    assert (second.size, second.text) == (12, "already here: torchvision ResNet18_Weights.IMAGENET1K_V1")


def test_an_archive_of_jax_has_the_size_of_its_file(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=np.zeros(9))
    found = fetch_weights(Backbone(name="vit_tiny_patch16_224", weights=FileWeights(path=tmp_path / "w.npz")))
    assert found.size == (tmp_path / "w.npz").stat().st_size
    assert found.text == f"already here: file {tmp_path / 'w.npz'}"
