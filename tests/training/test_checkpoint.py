from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers.tensors import same_tensors
from torch import nn

from zoo.errors import StorageError, ZooError
from zoo.training import checkpoint
from zoo.training.checkpoint import Checkpoint


def some(step: int) -> Checkpoint:
    return Checkpoint({"model": {"weight": torch.full((3, 2), float(step))}, "optimizer": {}}, {"step": step, "history": []})


def test_what_is_saved_is_what_is_read(tmp_path: Path) -> None:
    folder = checkpoint.save(tmp_path, 120, some(120))
    assert folder.name == "step-00000120"
    found = checkpoint.load(folder)
    assert torch.equal(found.tensors["model"]["weight"], torch.full((3, 2), 120.0))
    assert found.state == {"step": 120, "history": []}
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000120"]


def test_a_layer_with_two_names_is_saved_under_both(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2)
    tensors = nn.ModuleDict({"a": layer, "b": layer}).state_dict()
    found = checkpoint.load(checkpoint.save(tmp_path, 1, Checkpoint({"model": tensors}, {"step": 1}))).tensors["model"]
    assert same_tensors(found, tensors)


@pytest.mark.parametrize("name", ["model.safetensors", "state.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_damage_is_found_and_the_one_before_is_taken(tmp_path: Path, name: str, damage: str) -> None:
    checkpoint.save(tmp_path, 1, some(1))
    folder = checkpoint.save(tmp_path, 2, some(2))
    file = folder / name
    content = bytearray(file.read_bytes())
    if damage == "gone":
        file.unlink()
    else:
        content[len(content) // 2] ^= 4
        file.write_bytes(content if damage == "flip" else content[: len(content) // 2])
    found, state, passed = checkpoint.newest(tmp_path)
    assert (found.name, state.state["step"]) == ("step-00000001", 1)
    assert len(passed) == 1
    assert "step-00000002: damaged" in passed[0]


def test_no_whole_checkpoint_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="no checkpoint in"):
        checkpoint.newest(tmp_path)
    (checkpoint.save(tmp_path, 1, some(1)) / "state.json").unlink()
    with pytest.raises(ZooError, match=r"--resume: .*state.json is missing.*no earlier checkpoint \(start a new run\)"):
        checkpoint.newest(tmp_path)


def test_a_save_that_fails_leaves_the_earlier_one_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint.save(tmp_path, 1, some(1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoo.system.files.os.replace", full)
    with pytest.raises(StorageError, match="No space left") as error:
        checkpoint.save(tmp_path, 2, some(2))
    assert error.value.exit_code == 5
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]
    assert checkpoint.load(tmp_path / "step-00000001").state["step"] == 1
