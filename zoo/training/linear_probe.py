"""Initialize the head with a fit on the frozen backbone's features of the training images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from accelerate import Accelerator
from torch import nn

from zoo.models.features import FeatureExtractor, last_layer
from zoo.models.head import raise_logits
from zoo.models.logistic import logistic_regression
from zoo.system import launch
from zoo.training import processes
from zoo.training.evaluate import EvalBatches, evaluate

if TYPE_CHECKING:
    from zoo.training.setup import Setup


def start_head(setup: Setup) -> float:
    """Fit the head of a run on frozen features, the same on all processes; return the accuracy on the training images."""
    training = setup.training
    reached = fit_head(training.accelerator, setup.bare_model, training.train, training.eval_size, training.eval_batch_size)
    # The fit is for a softmax, which depends only on differences of logits. With this offset, sigmoids match it where most
    # logits are 0.
    raise_logits(setup.bare_model, setup.recipe.train.loss.start(len(setup.inputs.data.classes)))
    # Each process has fitted its own head, and different processors round differently.
    processes.share_weights(launch.read(), setup.bare_model, training.accelerator.device)
    if training.averaged is not None:
        training.averaged.set(setup.bare_model)
    return reached


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
