from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from zoo.inference.load import load
from zoo.inference.networks import TimmNetwork
from zoo.inference.preprocessing import Preprocessing


def test_a_long_stream_gets_a_faster_model_with_the_same_outputs(model_folder: Path) -> None:
    network = load(model_folder).network
    assert isinstance(network, TimmNetwork)
    pixels = list(np.random.default_rng(0).integers(0, 256, (8, 48, 48, 3), dtype=np.uint8))
    first, features = network.logits(pixels), network.features(pixels)
    network.expect_many()
    last = network.logits(pixels)
    assert not torch.equal(first, last)
    assert torch.allclose(first.softmax(1), last.softmax(1), atol=1e-5)
    assert torch.allclose(features, network.features(pixels), atol=1e-3)
    # The module that callers get is still timm's.
    assert "bn1.running_mean" in network.module().state_dict()


def test_batches_have_about_the_same_number_of_pixels(model_folder: Path) -> None:
    network = load(model_folder).network
    assert isinstance(network, TimmNetwork)
    other = Preprocessing({**network.preprocessing.config, "input_size": (3, 224, 224)})
    assert (network.batch_size, TimmNetwork(network.model, other).batch_size) == (32, 7)
