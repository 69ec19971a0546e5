"""Features equal those of plain timm, are returned with a speed, and have a key that covers everything they depend on."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch

from zoo.data.batches import Batches, Preprocessing
from zoo.data.pixel_store import PixelStore
from zoo.data.resize import Normalize
from zoo.data.splits import Split
from zoo.errors import ZooError
from zoo.models.build import build_model
from zoo.models.options import Backbone as Options
from zoo.models.options import RandomWeights
from zoo.scout.features import Backbone, feature_key

FACTS = {"mean": (0.5,), "std": (0.5,), "interpolation": "bicubic", "crop_pct": 1.0}


def batches(count: int = 40) -> Batches:
    images = np.random.default_rng(0).integers(0, 256, (count, 3, 32, 32), dtype=np.uint8)
    preprocessing = Preprocessing(Normalize((0.5, 0.4, 0.3), (0.2, 0.3, 0.4)), "bicubic", 1.0)
    split = Split.of(PixelStore.square(images), np.zeros(count, np.int64))
    return Batches(split, preprocessing, 2, torch.device("cpu"), channels_last=True)


def test_features_are_those_of_timm_in_the_order_of_the_images() -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_efficientnet", num_classes=2)
    # After this forward pass, the statistics of BatchNorm are no longer 0 and 1, as in a trained model.
    model.train()(torch.randn(16, 3, 32, 32) * 3 + 1)
    made = batches()
    backbone = Backbone(model, made, 32)
    features, speed = backbone.extract(40)
    with torch.inference_mode():
        images, _ = made.evaluation(np.arange(40), 32)
        plain = model.forward_head(model.forward_features(images), pre_logits=True)
    assert torch.allclose(features, plain, atol=1e-4 * float(plain.abs().max()))
    assert speed > 0
    assert backbone.speed() > 0
    assert 0 < backbone.single_ms() < 1000


def test_a_model_without_features_is_refused() -> None:
    with pytest.raises(ZooError, match="no features before a last layer"):
        Backbone(torch.nn.Linear(2, 2), batches(), 32)


def test_the_key_changes_with_all_that_features_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def built(seed: int):
        torch.manual_seed(seed)
        return build_model(Options(name="test_resnet", weights=RandomWeights()), None, 2, 32)

    first = built(0)
    keys = [
        feature_key(first, "test_resnet", 32, FACTS, "a", "cpu"),
        feature_key(built(1), "test_resnet", 32, FACTS, "a", "cpu"),
        feature_key(first, "test_resnet", 48, FACTS, "a", "cpu"),
        feature_key(first, "test_resnet", 32, FACTS, "b", "cpu"),
        feature_key(first, "test_resnet", 32, FACTS | {"crop_pct": 0.9}, "a", "cpu"),
        feature_key(first, "test_resnet", 32, FACTS, "a", "cuda"),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(timm, "__version__", "99.0")
        keys.append(feature_key(first, "test_resnet", 32, FACTS, "a", "cpu"))
    assert len(set(keys)) == len(keys)
    assert feature_key(built(0), "test_resnet", 32, FACTS, "a", "cpu") == keys[0]
    # The head is new in each run and has no effect on the features, so it does not change the key.
    with torch.no_grad():
        first.model.get_parameter(first.head[0]).add_(1)
    assert feature_key(first, "test_resnet", 32, FACTS, "a", "cpu") == keys[0]
