"""Any model on any labeled images: timm's transform, classes matched by name, unreadable images reported."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import timm
import timm.data
import torch
from helpers.scoring import model_folder
from PIL import Image, ImageOps

from zoo.errors import DataError, ZooError
from zoo.inference.evaluate import evaluate
from zoo.metrics import METRICS

Draw = Callable[..., Path]
CLASSES = ("ant", "bee", "cat")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return model_folder(tmp_path / "model", CLASSES)


def by_timm(model: Path, files: list[Path], *, mirror: bool = False) -> torch.Tensor:
    """Return logits, float32 [N, C], computed with timm and Pillow only."""
    network = timm.create_model(f"local-dir:{model}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(network))
    images = [ImageOps.mirror(image) if mirror else image for image in (Image.open(file).convert("RGB") for file in files)]
    with torch.no_grad():
        return network(torch.stack([transform(image) for image in images]))  # type: ignore[arg-type, misc]


def test_scores_are_those_of_timm_s_own_transform(image_folder: Draw, model: Path) -> None:
    root = image_folder({"ant": 4, "bee": 3, "cat": 5}, size=(40, 30))
    found = evaluate(model, root)
    logits = by_timm(model, [root / name for name in found.files])
    torch.testing.assert_close(found.logits, logits, atol=1e-3, rtol=1e-4)
    assert found.targets.tolist() == [0] * 4 + [1] * 3 + [2] * 5
    assert found.scores.loss == METRICS["loss"](found.logits, found.targets)
    assert (found.scores.n, found.split, found.left_out, found.unread) == (12, "all", 0, ())


def test_mirrors_average_probabilities(image_folder: Draw, model: Path) -> None:
    root = image_folder({"ant": 2, "bee": 2, "cat": 2}, size=(32, 32))
    found = evaluate(model, root, tta="hflip")
    files = [root / name for name in found.files]
    shares = (by_timm(model, files).softmax(1) + by_timm(model, files, mirror=True).softmax(1)) / 2
    torch.testing.assert_close(found.logits.softmax(1), shares, atol=1e-4, rtol=1e-3)
    five = evaluate(model, root, tta="five_crop")
    assert not torch.allclose(five.logits.softmax(1), shares)
    assert five.tta == "five_crop"


def test_order_missing_and_additional_classes_move_no_label(image_folder: Draw, tmp_path: Path) -> None:
    root = image_folder({"ant": 4, "bee": 3, "cat": 5})
    straight = evaluate(model_folder(tmp_path / "model", CLASSES), root)
    # The same network with the names of its outputs in another order: each image still has the class of its folder.
    turned = evaluate(model_folder(tmp_path / "turned", ("cat", "ant", "bee")), root)
    assert torch.equal(straight.logits, turned.logits)
    assert turned.targets.tolist() == [1] * 4 + [2] * 3 + [0] * 5
    assert turned.scores.per_class["ant"].n == 4
    assert "the classes are in another order than the model's: matched by name" in turned.notes
    (root / "bee").rename(root / "wasp")
    fewer = evaluate(tmp_path / "model", root)
    assert (fewer.scores.n, fewer.left_out) == (9, 3)
    assert fewer.targets.tolist() == [0] * 4 + [2] * 5
    # With another batch size, sums may be computed in another order.
    torch.testing.assert_close(fewer.logits, straight.logits[[0, 1, 2, 3, 7, 8, 9, 10, 11]], atol=1e-3, rtol=1e-4)
    assert "left out: 3 images of 1 class that the model does not know: wasp" in fewer.notes
    assert "no images of 1 of the model's 3 classes: bee" in fewer.notes


def test_one_class_alone_is_scored(image_folder: Draw, model: Path) -> None:
    found = evaluate(model, image_folder({"bee": 3}))
    assert found.targets.tolist() == [1, 1, 1]


def test_what_cannot_be_read_is_named_and_the_rest_scored(image_folder: Draw, model: Path) -> None:
    root = image_folder({"ant": 2, "bee": 2})
    whole = evaluate(model, root)
    (root / "ant" / "0000.png").write_bytes(b"")
    (root / "bee" / "zero.jpg").write_text("no image")
    found = evaluate(model, root, batch_size=2)
    assert [(image.file, image.label, image.error) for image in found.unread] == [
        ("ant/0000.png", "ant", "empty file"),
        ("bee/zero.jpg", "bee", "not an image"),
    ]
    torch.testing.assert_close(found.logits, whole.logits, atol=1e-4, rtol=1e-4)
    assert found.values()["unreadable"] == 2
    for file in root.rglob("*.*"):
        file.write_bytes(b"")
    with pytest.raises(DataError, match=r"none of 6 images can be read, first: ant/000.png: empty file"):
        evaluate(model, root)


def test_a_data_set_without_files(model: Path, tmp_path: Path, cache: Path) -> None:
    synthetic = ["kind=synthetic", "classes=3", "test_images=6", "train_images=30"]
    other = model_folder(tmp_path / "other", ("class0", "class1", "class2"))
    found = evaluate(other, synthetic)
    assert (found.scores.n, found.data, list(found.files)) == (6, "synthetic", [f"test[{number}]" for number in range(6)])
    with pytest.raises(ZooError, match="no class in common: the data has class0, class1, class2; the model has ant, bee, cat"):
        evaluate(model, synthetic)


def test_bad_input_is_one_line(model: Path) -> None:
    with pytest.raises(ZooError, match=r"only a run has images of its own \(give images with --data\)"):
        evaluate(model)
    with pytest.raises(ZooError, match="--tta: unknown value 'flip'"):
        evaluate(model, tta="flip")
    with pytest.raises(ZooError, match="--split: unknown value 'tests'"):
        evaluate(model, split="tests")


def test_the_views_of_the_model_are_taken_unless_others_are_asked_for(image_folder: Draw, model: Path) -> None:
    root = image_folder({"ant": 2, "bee": 2, "cat": 2}, size=(32, 32))
    plain, mirrored = evaluate(model, root), evaluate(model, root, tta="hflip")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"tta": "hflip"}))
    own, one = evaluate(model, root), evaluate(model, root, tta="none")
    assert (own.tta, one.tta, plain.tta) == ("hflip", "none", "none")
    assert torch.equal(own.logits, mirrored.logits)
    assert torch.equal(one.logits, plain.logits)
