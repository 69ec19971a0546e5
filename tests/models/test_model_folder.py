"""Model folders of timm are loaded with every tensor, or an error names what is damaged."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from zoo.errors import ZooError
from zoo.models.model_folder import load_whole, read_config


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"architecture": 1}'])
def test_a_damaged_config_is_named(model_folder: Path, content: str) -> None:
    (model_folder / "config.json").write_text(content)
    with pytest.raises(ZooError, match=r"config\.json: cannot be read"):
        read_config(model_folder)


def test_every_tensor_of_a_folder_is_in_the_model(model_folder: Path) -> None:
    from helpers.models import lively

    model = load_whole(f"local-dir:{model_folder}", "here", "do")
    ours, theirs = model.state_dict(), lively().state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_damaged_weights_are_named(model_folder: Path) -> None:
    (model_folder / "model.safetensors").write_bytes(b"no tensors")
    with pytest.raises(ZooError, match=r"^here: cannot be loaded: .* \(do\)$"):
        load_whole(f"local-dir:{model_folder}", "here", "do")
