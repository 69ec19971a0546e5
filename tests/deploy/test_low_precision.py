from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from zoo.deploy.low_precision import to_fp16, to_int8
from zoo.deploy.onnx_network import network_graph
from zoo.deploy.subject import Subject

pytest.importorskip("onnxscript")


@pytest.mark.slow
def test_int8_and_fp16_are_smaller_and_near(subject: Subject, run_graph: Callable[..., np.ndarray]) -> None:
    generator = torch.Generator().manual_seed(0)
    batches = [torch.randn(4, 3, 32, 32, generator=generator) for _ in range(4)]
    with torch.inference_mode():
        live = subject.model(batches[0]).softmax(1).numpy()
    whole = network_graph(subject.model, 32, None)
    plain = whole.ByteSize()
    small = to_int8(network_graph(subject.model, 32, None), batches)
    half = to_fp16(whole)
    for graph, share, far in ((small, 0.6, 0.2), (half, 0.6, 0.02)):
        logits = run_graph(graph, batches[0].numpy())
        found = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        assert logits.dtype == np.float32
        assert np.abs(found - live).max() < far
        assert graph.ByteSize() < share * plain
