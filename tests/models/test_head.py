"""A new head is initialized as the recipe says, and a head that was loaded with the weights is kept."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import timm.data
import torch
from helpers.tensors import NAME, built, fresh, refused, same, saved
from torch import Tensor, nn

from zoo.models import weight_sources
from zoo.models.build import build_model
from zoo.models.head import (
    check_division,
    classifier_names,
    classifiers,
    divide_logits,
    head_parameters,
    init_head,
    output_layers,
    raise_logits,
)
from zoo.models.options import Backbone, RandomWeights


@pytest.mark.parametrize("kind", ["random", "file"])
def test_a_new_head_starts_as_asked(tmp_path: Path, kind: str) -> None:
    path = saved(fresh(), tmp_path / "w.pth")

    def head(init: str) -> tuple[Tensor, Tensor]:
        options = Backbone(name=NAME, head_init=init)  # type: ignore[arg-type]
        found = None if kind == "random" else weight_sources.from_file(path)
        torch.manual_seed(0)
        model = build_model(options, found, 200, 32).model
        return model.get_parameter("fc.weight").detach(), model.get_parameter("fc.bias").detach()

    assert not head("zero")[0].any()
    weight, bias = head("xavier")
    limit = (6 / sum(weight.shape)) ** 0.5
    assert limit * 0.98 < float(weight.abs().max()) <= limit
    assert not bias.any()
    assert float(head("default")[0].std()) != pytest.approx(float(weight.std()), rel=0.05)


@pytest.mark.parametrize("name", ["levit_128s", "crossvit_tiny_240", "repvit_m1"])
def test_a_head_of_several_layers_learns_from_zero(name: str) -> None:
    """Check that only the output layers start at zero: with a norm at zero before them, nothing would learn."""
    size = 240 if "240" in name else 224
    model = build_model(Backbone(name=name, weights=RandomWeights(), head_init="zero"), None, 5, size).model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    images = torch.randn(2, 3, size, size)
    for _ in range(2):
        logits = model(images)
        loss = nn.functional.cross_entropy(logits[0] if isinstance(logits, tuple) else logits, torch.tensor([0, 1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(layer.weight.any() for layer in output_layers(model))
    stem = next(model.parameters())
    assert stem.grad is not None
    assert stem.grad.any()


def test_a_head_may_start_at_another_logit_with_the_same_probabilities() -> None:
    options = Backbone(name=NAME, weights=RandomWeights(), head_init="zero")
    model = build_model(options, None, 5, 32, start=-1.5).model.eval()
    with torch.no_grad():
        logits = model(torch.randn(2, 3, 32, 32))
    assert torch.equal(logits, torch.full((2, 5), -1.5))
    assert torch.allclose(logits.softmax(1), torch.tensor(0.2))
    # Without biases, `raise_logits` changes nothing.
    layer = output_layers(model)[0]
    layer.bias = None
    raise_logits(model, 3.0)
    assert not layer.weight.any()


def test_a_head_that_came_along_is_not_started_anew(tmp_path: Path) -> None:
    tensors = fresh(classes=4)
    assert same(built(saved(tensors, tmp_path / "w.pth"), classes=4, head_init="zero").model, tensors)
    found = weight_sources.from_file(saved(tensors, tmp_path / "w.pth"))
    assert same(build_model(Backbone(name=NAME, head_init="zero"), found, 4, 32, start=-2.0).model, tensors)


@pytest.mark.parametrize(
    ("name", "classifier", "parameters"),
    [("test_resnet", ("fc",), ("fc.weight", "fc.bias")), ("test_convnext", ("head.fc",), ("head.fc.weight", "head.fc.bias"))],
)
def test_the_classifier_is_known_by_name_and_in_the_model(
    name: str, classifier: tuple[str, ...], parameters: tuple[str, ...]
) -> None:
    model = timm.create_model(name, num_classes=3)
    assert classifier_names(name) == classifier
    assert head_parameters(model) == parameters
    assert [layer.out_features for layer in output_layers(model)] == [3]
    assert len(classifiers(model)) == 1


def test_a_second_classifier_that_timm_names_is_part_of_the_head() -> None:
    with torch.device("meta"):
        model = timm.create_model("volo_d1_224", num_classes=3)
    assert head_parameters(model) == ("aux_head.weight", "aux_head.bias", "head.weight", "head.bias")
    assert [layer.out_features for layer in output_layers(model)] == [3, 3]


def test_a_backbone_without_a_classifier_is_refused() -> None:
    model = timm.create_model(NAME, num_classes=0)
    assert refused(lambda: head_parameters(model)).startswith("backbone.name: ResNet has no last layer to train")


def test_the_default_start_leaves_timms_values() -> None:
    model = timm.create_model(NAME, num_classes=3)
    before = model.get_parameter("fc.weight").clone()
    assert torch.equal(init_head(model, "default").get_parameter("fc.weight"), before)


@pytest.mark.parametrize(
    ("name", "size"),
    [("test_resnet", 32), ("test_convnext", 64), ("test_vit", 64), ("levit_128s", 224), ("crossvit_tiny_240", 240)],
)
def test_logits_are_divided_and_the_check_changes_no_bit(name: str, size: int) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=3).eval()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    check_division(name, model, size)
    assert same(model, before)
    images = torch.randn(2, 3, size, size)
    with torch.inference_mode():
        whole = model(images)
        divide_logits(model, 1.6)
        torch.testing.assert_close(model(images) * 1.6, whole, atol=1e-4, rtol=1e-4)


def test_a_head_whose_logits_do_not_divide_is_refused() -> None:
    model = timm.create_model(NAME, num_classes=3)
    # A hidden layer with as many outputs as there are classes.
    model.fc = nn.Sequential(model.fc, nn.GELU(), nn.Linear(3, 3))
    line = refused(lambda: check_division(NAME, model, 32))
    assert line.startswith("eval.temperature: fit divides the last layer, but test_resnet does not end in linear layers only")
