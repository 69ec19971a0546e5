from __future__ import annotations

import json
from pathlib import Path

import pytest
import timm
import torch
from helpers import photographs
from helpers.models import CLASSES, DATA, save_tiny
from PIL import Image

from zoo.errors import ZooError
from zoo.inference.load import class_names, load


def test_a_model_folder_brings_its_classes_and_preprocessing(model_folder: Path) -> None:
    classifier = load(model_folder)
    assert classifier.classes == CLASSES
    assert classifier.preprocessing is not None
    config = classifier.preprocessing.config
    assert {key: tuple(config[key]) if isinstance(config[key], list) else config[key] for key in DATA} == DATA
    assert repr(classifier) == f"Classifier({str(model_folder)!r}, 3 classes)"


@pytest.mark.parametrize("damage", ["cut", "gone", "other"])
def test_damaged_weights_are_one_line(model_folder: Path, damage: str) -> None:
    weights = model_folder / "model.safetensors"
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:-100])
    elif damage == "gone":
        weights.unlink()
    else:
        config = json.loads((model_folder / "config.json").read_text())
        (model_folder / "config.json").write_text(json.dumps(config | {"num_classes": 7}))
    with pytest.raises(ZooError) as error:
        load(model_folder)
    assert len(error.value.lines) == 1
    assert error.value.lines[0].startswith(f"{model_folder}: cannot be loaded: ")


def test_the_hub_is_not_asked_where_that_is_forbidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ZooError, match=r"MODEL: owner/name is not in the cache .* HF_HUB_OFFLINE is set"):
        load("hf-hub:owner/name")


@pytest.mark.parametrize("name", ["timm/resnet18 a1", "/name", "timm/a--b", "timm/x@main"])
def test_a_name_that_the_hub_cannot_have_is_one_line(name: str) -> None:
    with pytest.raises(ZooError, match=r"^MODEL: .* is not a valid hub name: .*\(write the name as the hub shows it\)$") as error:
        load(f"hf-hub:{name}")
    assert len(error.value.lines) == 1


def test_a_repository_in_the_hubs_cache(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path / "hub"
    snapshot = cache / "models--owner--name" / "snapshots" / ("0" * 40)
    snapshot.parent.mkdir(parents=True)
    model_folder.rename(snapshot)
    (cache / "models--owner--name" / "refs").mkdir()
    (cache / "models--owner--name" / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    assert load("hf-hub:owner/name").classes == CLASSES


def test_imagenets_names_synsets_and_synonyms() -> None:
    classes, aliases = class_names({}, 1000)
    assert len(set(classes)) == 1000
    assert classes[281] == "tabby, tabby cat"
    assert aliases["n02123045"] == aliases["tabby cat"] == aliases["tabby, tabby cat"] == 281
    # Two classes are called crane, so the word alone stands for neither.
    assert "crane" not in aliases


def test_outputs_without_names_are_numbered() -> None:
    assert class_names({}, 3) == (("0", "1", "2"), {})
    assert class_names({"label_names": ["b", "a"]}, 2) == (("b", "a"), {})


@pytest.mark.slow
def test_photographs_by_a_timm_name_before_any_training() -> None:
    """The photographs come with scikit-image and scikit-learn, and the weights with a Python package."""
    import skimage.data
    from sklearn.datasets import load_sample_images

    classifier = load("tf_efficientnet_lite0")
    cat = classifier.predict(skimage.data.chelsea(), topk=3)
    assert {name for name, _ in cat.top} == {"tiger cat", "Egyptian cat", "tabby, tabby cat"}
    assert classifier.predict(skimage.data.coffee()).label == "espresso"
    china, flower = load_sample_images().images
    assert [classifier.predict(image).label for image in (china, flower)] == ["palace", "daisy"]


def test_the_views_of_the_run_are_those_of_its_model(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"tta": "hflip"}))
    assert timm.create_model(f"local-dir:{folder}", pretrained=True).num_classes == 3, "timm passes the key over"
    mirroring, plain = load(folder), load(folder, "none")
    assert (mirroring.tta, plain.tta) == ("hflip", "none")
    assert repr(mirroring).endswith("3 classes, each image and its mirror)")
    image = photographs.picture("left", 3)
    mirror = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    both = mirroring.predict(image).probabilities
    assert both is not None
    assert torch.allclose(both, plain.logits([image, mirror]).softmax(1).mean(0), atol=1e-2)
    assert not torch.allclose(both, plain.logits([image]).softmax(1)[0], atol=1e-3)
    # Features are computed from the image only, without its mirror.
    assert torch.equal(mirroring.embed(image), plain.embed(image))
    with pytest.raises(ZooError, match=r"--tta: unknown value 'flip' \(known: none, hflip, five_crop\)"):
        load(folder, "flip")
    (folder / "config.json").write_text(json.dumps(config | {"tta": "spiral"}))
    with pytest.raises(ZooError, match="unknown value 'spiral'"):
        load(folder)
