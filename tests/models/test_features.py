"""Features are the input of the last layer."""

from __future__ import annotations

import pytest
import timm
import torch
from helpers.tensors import refused

from zoo.models.features import FeatureExtractor, backbone_digest, last_layer, separable_head


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


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_convnext", "test_efficientnet"])
def test_a_head_stands_alone_where_features_stay_the_same(name: str) -> None:
    torch.manual_seed(0)
    size = {"img_size": 32} if name == "test_vit" else {}
    example, norms = torch.randn(2, 3, 32, 32), (torch.nn.BatchNorm2d,)

    def head_of(**rates: float) -> torch.nn.Module | None:
        model = timm.create_model(name, num_classes=3, **size, **rates)
        found = separable_head(model, [module for module in model.modules() if isinstance(module, norms)], example)
        assert found in (None, model.get_classifier())
        return found

    assert head_of() is not None
    assert head_of(drop_rate=0.1) is None


def test_no_head_stands_alone_where_batch_norm_trains_or_two_heads_meet() -> None:
    model = timm.create_model("test_resnet", num_classes=3)
    assert separable_head(model, [], torch.randn(2, 3, 32, 32)) is None
    model = timm.create_model("levit_128s", num_classes=3, img_size=224)
    assert separable_head(model, [], torch.randn(2, 3, 224, 224)) is None
    assert separable_head(torch.nn.Linear(2, 2), [], torch.randn(2, 3, 32, 32)) is None


def test_the_digest_is_of_the_backbone_alone() -> None:
    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=3)
    head = ("fc.weight", "fc.bias")
    before = backbone_digest(model, head)
    with torch.no_grad():
        model.fc.weight.add_(1)
    assert backbone_digest(model, head) == before
    model.bn1.running_mean.add_(1)
    assert backbone_digest(model, head) != before
