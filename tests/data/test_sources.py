from __future__ import annotations

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torchvision
from helpers.folders import load, refused

from zoo.data import options, splits
from zoo.errors import ZooError

Draw = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("cache")


def counts(split: splits.Split | None) -> list[int]:
    assert split is not None
    return np.bincount(split.targets).tolist()


def files_of(split: splits.Split | None) -> set[int]:
    assert split is not None
    return set(split.index.tolist())


# ------------------------------------------------------------------------------------- layouts


def test_train_val_and_test_folders(image_folder: Draw) -> None:
    root = image_folder(
        {"train/b": 4, "train/a/deep": 3, "validation/a": 1, "validation/b": 2, "test/a": 2, "test/b": 1, ".git/x": 1}
    )
    found = load(root)
    assert found.classes == ("a", "b")
    assert [counts(part) for part in (found.train, found.val, found.test)] == [[3, 4], [1, 2], [2, 1]]
    assert str(found) == "7 train / 3 val / 3 test images, 2 classes, stored at 40 px"


def test_val_is_cut_from_train_in_every_class_and_by_seed(image_folder: Draw) -> None:
    root = image_folder({"train/a": 10, "train/b": 20, "train/c": 1})
    found, again, other = load(root, val_fraction=0.3), load(root, val_fraction=0.3), load(root, seed=1, val_fraction=0.3)
    assert found.test is None
    assert (counts(found.train), counts(found.val)) == ([7, 14, 1], [3, 6])
    assert files_of(found.train) | files_of(found.val) == set(range(31))
    assert files_of(found.val) == files_of(again.val) != files_of(other.val)


def test_one_folder_is_split_and_its_test_set_does_not_move_with_the_seed(image_folder: Draw) -> None:
    root = image_folder({"a": 20, "b": 10})
    found, other = load(root), load(root, seed=5)
    assert [counts(part) for part in (found.train, found.val, found.test)] == [[14, 7], [2, 1], [4, 2]]
    assert files_of(found.train) | files_of(found.val) | files_of(found.test) == set(range(30))
    assert files_of(found.test) == files_of(other.test)
    assert files_of(found.val) != files_of(other.val)
    assert load(root, test_fraction=0.0).test is None


def test_classes_of_one_image_leave_no_val(image_folder: Draw) -> None:
    found = load(image_folder({"train/a": 1, "train/b": 1}))
    assert found.val is None
    assert len(found.train) == 2


@pytest.mark.parametrize(
    ("limit", "taken"), [(14, [10, 3, 1]), (3, [1, 1, 1]), (20, [14, 5, 1]), (28, [20, 7, 1]), (99, [20, 7, 1])]
)
def test_max_train_takes_the_first_by_name_and_some_of_every_class(image_folder: Draw, limit: int, taken: list[int]) -> None:
    root = image_folder({"train/a": 20, "train/b": 7, "train/c": 1, "test/a": 3, "test/b": 3})
    found = load(root, max_train=limit, val_fraction=0.0, max_test=2)
    assert (counts(found.train), counts(found.test)) == (taken, [1, 1])
    assert sorted(files_of(found.train)) == [*range(taken[0]), *range(20, 20 + taken[1]), *range(27, 27 + taken[2])]


def test_a_class_that_val_lacks_moves_no_label(image_folder: Draw) -> None:
    found = load(image_folder({"train/a": 2, "train/b": 2, "train/c": 2, "val/a": 1, "val/c": 2}))
    assert counts(found.val) == [1, 0, 2]
    assert "val has no images of: b" in found.notes


@pytest.mark.parametrize(
    ("layout", "line"),
    [
        ({"train/a": 1, "train/b": 1, "val/dog": 1}, "data.root: class 'dog' is in val but not in train (add it to train or remove it)"),
        ({"train/a": 1, "train/b": 0}, "data.root: class 'b' has no images in ROOT/train/b (add some or remove the folder)"),
        ({"train/a": 1}, "data.root: a single class, 'a', in ROOT/train (add a folder for each other class)"),
        ({"train/.ipynb_checkpoints": 1}, "data.root: no class folders in ROOT/train (expected ROOT/train/CLASS/IMAGE or ROOT/CLASS/IMAGE)"),
        ({"test/a": 1, "val/a": 1}, "data.root: no folder train in ROOT, but test, val (expected ROOT/train/CLASS/IMAGE)"),
        ({"train/a": 1, "val/a": 1, "valid/a": 1}, "data.root: ROOT/val and ROOT/valid are the same split (keep one)"),
        ({"train/a": 1, "train/b\n": 1}, "data.root: the class name 'b\\n' cannot be written as text (rename the folder)"),
        ({"train/a": 1, "train/b\udcff": 1}, "data.root: the class name 'b\\udcff' cannot be written as text (rename the folder)"),
    ],
)  # fmt: skip
def test_a_folder_that_is_not_as_it_should_be(image_folder: Draw, layout: dict[str, int], line: str) -> None:
    assert refused(image_folder(layout)) == line


def test_too_few_images_for_the_classes(image_folder: Draw) -> None:
    assert refused(image_folder({"a": 3, "b": 3}), max_train=1) == "data.max_train: 1 images for 2 classes (at least 2)"


def test_a_missing_root(tmp_path: Path) -> None:
    assert refused(tmp_path / "none") == "data.root: no such directory: ROOT (point data.root at your image folder)"
    (tmp_path / "file").write_text("")
    assert refused(tmp_path / "file").startswith("data.root: no such directory")


@pytest.mark.parametrize("target", ["..", ".", "../../../outside", "../../../outside/x.png", "nowhere", "../../train/b"])
def test_links_that_lead_astray(image_folder: Draw, tmp_path: Path, target: str) -> None:
    root = image_folder({"train/a": 2, "train/b": 2})
    image_folder({"outside": 1}, root=".")
    (tmp_path / "outside/000.png").rename(tmp_path / "outside/x.png")
    (root / "train/a/link.png").symlink_to(target)
    what = "ROOT/train/a/link.png links outside the root, to a folder or to nothing"
    assert refused(root) == f"data.root: {what} (put the files in its place)"


def test_links_within_the_root_and_to_the_root_are_followed(image_folder: Draw, tmp_path: Path) -> None:
    root = image_folder({"train/a": 2, "train/b": 2})
    (root / "train/b/link.png").symlink_to("../b/000.png")
    (tmp_path / "alias").symlink_to(root)
    assert len(load(tmp_path / "alias", val_fraction=0.0).train) == 5


def test_other_files_are_left_out_with_a_note(image_folder: Draw) -> None:
    root = image_folder({"a": 2, "b": 2})
    for name in ("Thumbs.db", "notes.txt", ".DS_Store"):
        (root / "a" / name).write_text("x")
    assert f"ignored 2 files that are no images, first: {root}/a/Thumbs.db" in load(root).notes


# ----------------------------------------------------------------------------- built-in data sets


def test_digits_are_whole_and_their_test_set_is_fixed() -> None:
    found, other = (options.Digits().load(seed, 32, "bicubic") for seed in (0, 1))
    assert [len(part or ()) for part in (found.train, found.val, found.test)] == [1295, 143, 359]
    assert found.train.pixels.images.shape == (1797, 3, 8, 8)
    assert found.train.pixels.images.max() == 255
    assert files_of(found.test) == files_of(other.test)
    assert files_of(found.val) != files_of(other.val)


def test_synthetic_images_are_the_same_in_every_run() -> None:
    found, again = (
        options.Synthetic(classes=3, train_images=30, test_images=6, size=10).load(seed, 32, "bicubic") for seed in (0, 1)
    )
    assert np.array_equal(found.train.pixels.images, again.train.pixels.images)
    assert (found.train.pixels.images.shape, found.classes) == ((30, 3, 10, 10), ("class0", "class1", "class2"))


@pytest.fixture
def cifar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A tiny CIFAR-10 in its own format, with the sums torchvision is to expect."""
    generator = np.random.default_rng(0)
    base = tmp_path / "archive" / "cifar-10-batches-py"
    base.mkdir(parents=True)

    def write(name: str, value: dict) -> list[str]:
        (base / name).write_bytes(pickle.dumps(value))
        return [name, hashlib.md5((base / name).read_bytes()).hexdigest()]

    def batch(first: int) -> dict:
        return {"data": generator.integers(0, 256, (20, 3072), np.uint8), "labels": [(first + n) % 10 for n in range(20)]}

    kind = torchvision.datasets.CIFAR10
    monkeypatch.setattr(kind, "train_list", [write(f"data_batch_{n}", batch(n)) for n in (1, 2)])
    monkeypatch.setattr(kind, "test_list", [write("test_batch", batch(0))])
    names, md5 = write("batches.meta", {"label_names": [f"c{n}" for n in range(10)]})
    monkeypatch.setattr(kind, "meta", {"filename": names, "key": "label_names", "md5": md5})
    monkeypatch.setattr(kind, "url", "http://127.0.0.1:9/cifar.tar.gz")
    return tmp_path / "archive"


def test_cifar_is_read_once_from_its_archive(cifar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = cifar / "cifar-10-batches-py"
    raw = pickle.loads((base / "data_batch_2").read_bytes())
    before = sorted(cifar.rglob("*"))
    found = options.Cifar10(root=cifar, val_fraction=0.0).load(0, 32, "bicubic")
    assert found.classes == tuple(f"c{n}" for n in range(10))
    assert [len(part or ()) for part in (found.train, found.val, found.test)] == [40, 0, 20]
    assert np.array_equal(found.train.pixels.images[20:40], raw["data"].reshape(-1, 3, 32, 32))
    assert found.train.targets[20:].tolist() == raw["labels"]
    assert sorted(cifar.rglob("*")) == before, "the archive's folder may be read-only"
    monkeypatch.setattr(torchvision, "datasets", None)
    limited = options.Cifar10(root=cifar, max_train=20).load(0, 32, "bicubic")
    assert (counts(limited.train), counts(limited.val)) == ([1] * 10, [1] * 10)


def test_damaged_cifar_is_named_with_its_sums(cifar: Path) -> None:
    file = cifar / "cifar-10-batches-py" / "data_batch_1"
    expected = hashlib.md5(file.read_bytes()).hexdigest()
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ZooError) as error:
        options.Cifar10(root=cifar).load(0, 32, "bicubic")
    found = hashlib.md5(file.read_bytes()).hexdigest()
    assert error.value.lines == [
        f"data.root: {file} is damaged: md5 {found}, expected {expected} (delete it, it is downloaded again)"
    ]


@pytest.mark.parametrize(("kind", "name"), [(options.Cifar10, "CIFAR10"), (options.FashionMnist, "FashionMNIST")])
def test_without_network_the_archive_to_bring_is_named(
    tmp_path: Path, cache: Path, cifar: Path, monkeypatch: pytest.MonkeyPatch, kind: type, name: str
) -> None:
    monkeypatch.setattr(torchvision.datasets.FashionMNIST, "mirrors", ["http://127.0.0.1:9/"])
    with pytest.raises(ZooError) as error:
        kind(root=tmp_path / "empty").load(0, 32, "bicubic")
    (line,) = error.value.lines
    assert line.startswith(f"data.root: {name} is not in {tmp_path / 'empty'} and cannot be downloaded: ")
    assert "Connection refused" in line
    assert [path.name for path in (cache / "pixels").iterdir() if path.suffix != ".lock"] == []
