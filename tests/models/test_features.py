"""Features are what the last layer gets."""

from __future__ import annotations

import pytest
import timm
import torch
from helpers.tensors import refused

from zoo.models.features import FeatureExtractor, last_layer


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext"])
def test_the_last_layer_makes_logits_of_the_features(name: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=3, **({"img_size": 32} if name == "test_vit" else {})).eval()
    images = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        features = FeatureExtractor(model)(images)
        assert features.shape == (2, model.num_features)
        assert torch.allclose(last_layer(model, "x")(features), model(images), atol=1e-6)


def test_a_head_of_another_kind_is_refused_where_the_probe_was_asked_for() -> None:
    model = timm.create_model("levit_128s", num_classes=3)
    line = refused(lambda: last_layer(model, "finetune.probe_first"))
    assert line.startswith(f"finetune.probe_first: {type(model).__name__} does not end in one linear layer")
