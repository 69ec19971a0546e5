"""A linear probe: the head fitted on the frozen backbone's features of the training images."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from zoo.data.batches import Batches
from zoo.errors import ZooError
from zoo.train import evaluate


class Features(nn.Module):
    """A backbone without its last layer: images [B, 3, H, W] to features [B, D]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """The input of the last layer."""
        return self.model.forward_head(self.model.forward_features(images), pre_logits=True)  # type: ignore[operator]


def start_head(accelerator: Accelerator, model: nn.Module, batches: Batches, size: int, batch_size: int) -> float:
    """Fit the last layer on features of the training images, and put it in place.

    Args:
        accelerator: shares the images among the processes.
        model: the bare model, on its device.
        batches: the training images; they are not augmented.
        size: side in pixels.
        batch_size: images at a time.

    Returns:
        The accuracy on the training images.

    Raises:
        ZooError: the last layer is not a single linear one.
    """
    head = last_layer(model)
    features, targets = evaluate(accelerator, Features(model), batches, size, batch_size)
    weight, bias = logistic_regression(features, targets, head.out_features)
    with torch.no_grad():
        head.weight.copy_(weight)
        if head.bias is not None:
            head.bias.copy_(bias)
    return float(((features @ weight.T + bias).argmax(1) == targets).double().mean())


def last_layer(model: nn.Module) -> nn.Linear:
    """The layer that a probe fits.

    Raises:
        ZooError: the model does not end in a single linear layer.
    """
    head = model.get_classifier() if hasattr(model, "get_classifier") else None  # type: ignore[operator]
    if not isinstance(head, nn.Linear):
        raise ZooError("finetune.probe_first", f"{type(model).__name__} does not end in one linear layer", "set it to false")
    return head


def logistic_regression(
    features: Tensor, targets: Tensor, classes: int, *, penalty: float = 1e-3, steps: int = 60
) -> tuple[Tensor, Tensor]:
    """Multinomial logistic regression by L-BFGS, on standardised features.

    Args:
        features: float32 [N, D].
        targets: int64 [N].
        classes: number of classes C.
        penalty: weight of half the squared norm of the weights.
        steps: most iterations.

    Returns:
        weight [C, D] and bias [C] for features as they are.
    """
    features, targets = features.clone(), targets.clone()  # out of inference mode
    mean, std = features.mean(0), features.std(0).clamp(min=1e-6)
    scaled = (features - mean) / std
    weight = torch.zeros(classes, features.shape[1], requires_grad=True)
    bias = torch.zeros(classes, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=steps, history_size=10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        solver.zero_grad()
        loss = nn.functional.cross_entropy(scaled @ weight.T + bias, targets) + penalty / 2 * weight.square().sum()
        loss.backward()
        return loss

    solver.step(closure)  # type: ignore[arg-type]
    with torch.no_grad():
        plain = weight / std
        return plain, bias - plain @ mean
