from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from zoo.errors import ZooError
from zoo.report.scored import read_scored
from zoo.results.predictions import Predicted, csv_text

CLASSES = ["a,b", 'c"d', "e"]


def write(folder: Path, *, table: bool) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    logits, targets = torch.randn(20, 3) * 4, torch.randint(0, 3, (20,))
    files = [f"test/{number}\r.png" for number in range(20)]
    if table:
        parts = [Predicted("test", files, logits, targets), Predicted("val", files[:5], logits[:5], targets[:5])]
        (folder / "predictions.csv").write_bytes(csv_text(parts, CLASSES).encode())
    save_file(
        {"logits": logits, "targets": targets, "val_logits": logits[:5].clone(), "val_targets": targets[:5].clone()},
        folder / "predictions.safetensors",
    )
    return logits, targets


@pytest.mark.parametrize("table", [True, False])
def test_the_table_and_the_tensors_say_the_same(tmp_path: Path, table: bool) -> None:
    logits, targets = write(tmp_path, table=table)
    found = read_scored(tmp_path, CLASSES)
    assert sorted(found) == ["test", "val"]
    test = found["test"]
    assert len(test) == 20
    assert test.labels.tolist() == targets.tolist()
    assert test.predicted.tolist() == logits.argmax(1).tolist()
    shares = logits.double().softmax(1)
    np.testing.assert_allclose(test.prob, shares.amax(1), rtol=1e-5)
    np.testing.assert_allclose(test.label_prob, shares[range(20), targets], rtol=1e-5)
    assert test.files[3] == ("test/3\r.png" if table else "test[3]")
    assert test.named is table


def test_a_run_without_predictions_has_none(tmp_path: Path) -> None:
    assert read_scored(tmp_path, CLASSES) == {}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "a,b\n1,2\n",
        "split,file,label,predicted,prob,correct,label_prob\ntest,x,e,unknown,1,1,1\n",
        "split,file,label,predicted,prob,correct,label_prob\ntest,x\n",
    ],
)
def test_a_damaged_table_is_named(tmp_path: Path, content: str) -> None:
    (tmp_path / "predictions.csv").write_text(content)
    with pytest.raises(ZooError, match=r"predictions\.csv: cannot be read"):
        read_scored(tmp_path, CLASSES)


def test_damaged_tensors_are_named(tmp_path: Path) -> None:
    (tmp_path / "predictions.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ZooError, match=r"predictions\.safetensors: cannot be read"):
        read_scored(tmp_path, CLASSES)
