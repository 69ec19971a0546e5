"""Predictions equal those of a script that uses only timm and Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import timm
import timm.data
import torch
from helpers import photographs
from helpers.models import CLASSES
from PIL import Image

from zoo.data.decode import open_rgb
from zoo.errors import DataError, ZooError
from zoo.inference.classifier import Classifier
from zoo.inference.load import load


@pytest.fixture
def classifier(model_folder: Path) -> Classifier:
    return load(model_folder)


def by_timm(folder: Path, image: Image.Image) -> torch.Tensor:
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    with torch.inference_mode():
        return model(transform(image)[None]).softmax(1)[0]


@pytest.mark.parametrize("kind", list(photographs.KINDS))
def test_every_kind_of_photograph(classifier: Classifier, model_folder: Path, tmp_path: Path, kind: str) -> None:
    path = tmp_path / kind
    photographs.KINDS[kind](photographs.picture("left", 0), path)
    prediction = classifier.predict(path)
    assert prediction.filename == str(path)
    expected = by_timm(model_folder, open_rgb(path))
    assert torch.allclose(prediction.probabilities, expected, atol=1e-5)
    assert prediction.label == CLASSES[int(expected.argmax())]


def test_paths_images_and_arrays_are_the_same(classifier: Classifier, tmp_path: Path) -> None:
    image = photographs.picture("top", 1)
    image.save(tmp_path / "a.png")
    found = [classifier.predict(form) for form in (tmp_path / "a.png", str(tmp_path / "a.png"), image, np.asarray(image))]
    assert len({one.top for one in found}) == 1


def test_several_images(classifier: Classifier, tmp_path: Path) -> None:
    for number in range(100):
        photographs.picture("top", number).resize((20 + number, 50)).save(tmp_path / f"{number:03}.png")
    (tmp_path / "050.png").write_bytes(b"nothing")
    found = classifier.predict(tmp_path, topk=2)
    assert [Path(one.filename).name for one in found] == [f"{number:03}.png" for number in range(100)]
    assert [one.error for one in found if one.error] == ["not an image"]
    assert found[50].top == ()
    lazily = classifier.stream(iter(sorted(tmp_path.glob("*.png"))))
    assert next(lazily).label == found[0].label
    singly = classifier.predict(tmp_path / "099.png")
    assert torch.allclose(singly.probabilities, found[99].probabilities, atol=1e-5)


def test_mistakes(classifier: Classifier, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        classifier.predict(tmp_path / "none.png")
    with pytest.raises(DataError, match=r"found ndarray float64 \[4, 4, 3\]"):
        classifier.predict(np.zeros((4, 4, 3)))
    with pytest.raises(ZooError, match="no images in this folder"):
        classifier.predict(tmp_path)


def test_images_that_fail_late_are_rows(classifier: Classifier, tmp_path: Path) -> None:
    """Pillow decodes a file only when its pixels are needed; an image may also be empty, or too long to be resized."""
    photographs.picture("top", 1).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-200])
    long = Image.new("RGB", (6_000_000, 1))
    with Image.open(tmp_path / "cut.jpg") as cut:
        found = classifier.predict([cut, np.zeros((0, 0, 3), np.uint8), long, Image.new("RGB", (9, 9))])
    assert [one.error for one in found] == [
        *("truncated", "an array without pixels: [0, 0, 3]"),
        *("6000000 x 1 pixels: more than 400 times as long as wide", ""),
    ]
    with Image.open(tmp_path / "cut.jpg") as again, pytest.raises(DataError, match="image: truncated"):
        classifier.predict(again)
    with pytest.raises(DataError, match=r"cut\.jpg: truncated"):
        classifier.embed(tmp_path / "cut.jpg")
    with pytest.raises(ZooError, match="topk: expected at least 1, found 0"):
        classifier.predict(Image.new("RGB", (9, 9)), topk=0)


def test_features_are_timms(classifier: Classifier) -> None:
    image = photographs.picture("left", 3)
    features = classifier.embed(image)
    model = classifier.model
    transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    with torch.inference_mode():
        expected = model.forward_head(model.forward_features(transform(image)[None]), pre_logits=True)[0]
    assert torch.allclose(features, expected, atol=1e-5)
    assert classifier.embed([image, image]).shape == (2, *features.shape)


def test_no_images_give_no_rows(classifier: Classifier) -> None:
    assert classifier.logits([]).shape == (0, len(classifier.classes))
    assert len(classifier.embed([])) == 0
    assert classifier.predict([]) == []


def test_views_are_averaged(classifier: Classifier) -> None:
    image = photographs.picture("left", 3)
    mirror = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    plain = classifier.logits([image, mirror]).softmax(1)
    ((_, both, _),) = classifier.stream_logits([image], views="hflip")
    assert both is not None
    assert torch.allclose(both.softmax(0), plain.mean(0), atol=1e-2)  # the crop of the mirror may be shifted by a pixel
