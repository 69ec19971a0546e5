from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from zoo.deploy.onnx_network import network_graph
from zoo.deploy.subject import Subject
from zoo.errors import ZooError

pytest.importorskip("onnxscript")


@pytest.mark.slow
def test_any_batch_gives_the_models_logits(subject: Subject, run_graph: Callable[..., np.ndarray]) -> None:
    graph = network_graph(subject.model, 32, None)
    for count in (1, 2, 5):
        batch = torch.randn(count, 3, 32, 32)
        with torch.inference_mode():
            np.testing.assert_allclose(run_graph(graph, batch.numpy()), subject.model(batch).numpy(), atol=1e-4)


@pytest.mark.slow
def test_a_fixed_batch_is_in_the_graph(subject: Subject) -> None:
    dimension = network_graph(subject.model, 32, 3).graph.input[0].type.tensor_type.shape.dim[0]
    assert dimension.dim_value == 3


@pytest.mark.slow
def test_it_holds_no_paths_of_this_machine(subject: Subject) -> None:
    assert b"/zoo/" not in network_graph(subject.model, 32, None).SerializeToString()


def test_what_cannot_be_exported_is_one_line() -> None:
    class Odd(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return batch if batch.sum() > 0 else -batch

    with pytest.raises(ZooError, match="--format onnx: this backbone cannot be exported"):
        network_graph(Odd(), 8, None)
