"""Start the head from a fit on the frozen backbone's features of the training images."""

from __future__ import annotations

import torch
from accelerate import Accelerator
from torch import nn

from zoo.models.features import FeatureExtractor, last_layer
from zoo.models.logistic import logistic_regression
from zoo.training.evaluate import EvalBatches, evaluate


def fit_head(accelerator: Accelerator, model: nn.Module, batches: EvalBatches, size: int, batch_size: int) -> float:
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
    head = last_layer(model, "finetune.probe_first")
    features, targets = evaluate(accelerator, FeatureExtractor(model), batches, size, batch_size)
    weight, bias = logistic_regression(features, targets, head.out_features)
    with torch.no_grad():
        head.weight.copy_(weight)
        if head.bias is not None:
            head.bias.copy_(bias)
    return float(((features @ weight.T + bias).argmax(1) == targets).double().mean())
