from __future__ import annotations

import pytest
import torch
from helpers.models import lively

from zoo.models.fuse_batchnorm import fused_copy
from zoo.models.layers import batch_norms

EXAMPLE = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "tf_efficientnet_lite0", "test_vit"])
def test_the_copy_predicts_the_same(name: str) -> None:
    model = lively(name)
    size = 160 if name == "test_vit" else 64
    images = torch.randn(3, 3, size, size)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.inference_mode():
        expected = model(images)
        fused = fused_copy(model, torch.randn(2, 3, size, size))
        assert torch.allclose(fused(images).softmax(1), expected.softmax(1), atol=1e-5)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())
    assert len(batch_norms(fused)) < len(batch_norms(model)) or not batch_norms(model)


def test_activations_are_a_part_of_the_convolution_and_programs_stay_portable() -> None:
    model = lively("tf_efficientnet_lite0")
    with torch.no_grad():
        fused = fused_copy(model, EXAMPLE)
        assert sum(getattr(layer, "fused", False) for layer in fused.modules()) > 30
        program = torch.export.export(fused, (EXAMPLE,))
    operations = {str(node.target) for node in program.graph.nodes if node.op == "call_function"}
    assert "aten.conv2d.default" in operations
    assert all(name.startswith("aten.") for name in operations)


def test_a_model_that_reads_the_convolution_too_is_left_alone() -> None:
    class Both(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(3, 4, 3)
            self.norm = torch.nn.BatchNorm2d(4)
            torch.nn.init.uniform_(self.norm.running_var, 3, 5)

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen = self.conv(images)
            return (self.norm(seen) + seen).mean((2, 3))

    model = Both().eval()
    with torch.inference_mode():
        assert torch.equal(fused_copy(model, EXAMPLE)(EXAMPLE), model(EXAMPLE))
