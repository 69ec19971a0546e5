from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from zoo.deploy.subject import Subject
from zoo.deploy.torch_program import write_program
from zoo.errors import ZooError
from zoo.inference.exported import TorchNetwork, notes_of


@pytest.mark.parametrize("batch", [None, 2])
def test_it_gives_the_models_logits(subject: Subject, tmp_path: Path, batch: int | None) -> None:
    notes = notes_of(subject.classes, subject.config, inside=False)
    write_program(subject.model, 32, batch, notes, tmp_path / "a.pt2")
    network = TorchNetwork(tmp_path / "a.pt2")
    for count in (1, 2, 5):
        rows = torch.randn(count, 3, 32, 32)
        with torch.inference_mode():
            torch.testing.assert_close(network.logits(rows), subject.model(rows), atol=1e-4, rtol=1e-4)
    assert (network.classes, network.batch) == (subject.classes, batch)


def test_what_cannot_be_traced_is_one_line(tmp_path: Path) -> None:
    class Odd(nn.Module):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return batch if batch.sum() > 0 else -batch

        forward_head = forward_features = forward

    with pytest.raises(ZooError, match="--format torch: this backbone cannot be traced") as caught:
        write_program(Odd(), 8, None, {}, tmp_path / "a.pt2")
    assert len(caught.value.lines) == 1
