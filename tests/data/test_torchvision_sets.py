"""Archives that torchvision reads: each is read once and checked, and an error names a missing or damaged one."""

from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torchvision
from helpers.cifar import write_cifar
from helpers.folders import counts

from zoo.data import options
from zoo.data.torchvision_sets import without_downloads
from zoo.errors import ZooError

Draw = Callable[..., Path]


pytestmark = pytest.mark.usefixtures("cache")


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return write_cifar(tmp_path / "archive", monkeypatch)


def test_cifar_is_read_once_from_its_archive(cifar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = cifar / "cifar-10-batches-py"
    raw = pickle.loads((base / "data_batch_2").read_bytes())
    before = sorted(cifar.rglob("*"))
    found = options.Cifar10(root=cifar, val_fraction=0.0).load(0, 32)
    assert found.classes == tuple(f"c{n}" for n in range(10))
    assert [len(part or ()) for part in (found.train, found.val, found.test)] == [40, 0, 20]
    assert np.array_equal(found.train.pixels.images[20:40], raw["data"].reshape(-1, 3, 32, 32))
    assert found.train.names() == [f"train[{n}]" for n in range(40)]
    assert found.test is not None
    assert found.test.names() == [f"test[{n}]" for n in range(20)]
    assert found.train.targets[20:].tolist() == raw["labels"]
    assert sorted(cifar.rglob("*")) == before, "the archive's folder may be read-only"
    monkeypatch.setattr(torchvision, "datasets", None)
    limited = options.Cifar10(root=cifar, max_train=20).load(0, 32)
    assert (counts(limited.train), counts(limited.val)) == ([1] * 10, [1] * 10)


def test_damaged_cifar_is_named_with_its_sums(cifar: Path) -> None:
    file = cifar / "cifar-10-batches-py" / "data_batch_1"
    expected = hashlib.md5(file.read_bytes()).hexdigest()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ZooError) as error:
        options.Cifar10(root=cifar).load(0, 32)
    found = hashlib.md5(file.read_bytes()).hexdigest()
    assert error.value.lines == [
        f"data.root: {file} is damaged: md5 {found}, expected {expected} (delete it to download it again)"
    ]


@pytest.mark.parametrize(("kind", "name"), [(options.Cifar10, "CIFAR10"), (options.FashionMnist, "FashionMNIST")])
def test_without_network_the_archive_to_bring_is_named(
    tmp_path: Path, cache: Path, cifar: Path, monkeypatch: pytest.MonkeyPatch, kind: type, name: str
) -> None:
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(ZooError) as error:
        kind(root=tmp_path / "empty").load(0, 32)
    (line,) = error.value.lines
    assert line.startswith(f"data.root: {name} is not in {tmp_path / 'empty'} and cannot be downloaded: ")
    assert "Connection refused" in line
    assert [path.name for path in (cache / "pixels").iterdir() if path.suffix != ".lock"] == []


def test_who_only_looks_downloads_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(*_: object, **__: object) -> None:
        raise AssertionError("a download was tried")

    monkeypatch.setattr(torchvision.datasets.CIFAR10, "download", download)
    data = options.Cifar10(root=tmp_path / "none")
    with without_downloads(), pytest.raises(ZooError, match=r"data.root: CIFAR10 is not in .*none \(put its archive there"):
        data.load(0, 32)
    with pytest.raises(AssertionError, match="a download was tried"):
        torchvision.datasets.CIFAR10(str(tmp_path / "none"), download=True)
