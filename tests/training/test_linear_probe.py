"""The head of a frozen backbone is fitted to its features before training."""

from __future__ import annotations

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor, nn

from zoo.training.linear_probe import fit_head


class Images:
    """Images with a mean that depends on their class, with the methods that `evaluate` uses."""

    def __init__(self, count: int) -> None:
        self.targets = torch.arange(count) % 2

    def __len__(self) -> int:
        return len(self.targets)

    def evaluation(self, positions: Tensor, size: int) -> tuple[Tensor, Tensor]:
        targets = self.targets[torch.as_tensor(positions)]
        noise = torch.randn(len(targets), 3, size, size, generator=torch.Generator().manual_seed(0))
        return targets.view(-1, 1, 1, 1) * 2.0 - 1 + 0.1 * noise, targets


@pytest.mark.parametrize("bias", [True, False])
def test_a_fitted_head_separates_what_the_features_separate(bias: bool):
    import timm

    torch.manual_seed(0)
    model = timm.create_model("test_resnet", num_classes=2)
    if not bias:
        model.fc = nn.Linear(model.fc.in_features, 2, bias=False)
    before = model.fc.weight.clone()
    accelerator = Accelerator(cpu=True)
    assert fit_head(accelerator, model, Images(40), 32, 8) > 0.9  # type: ignore[arg-type]
    assert not torch.equal(model.fc.weight, before)
    assert model.fc.weight.requires_grad
