"""timm itself loads a saved model from its folder, and the logits are the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import timm
import timm.data
import torch
from helpers.tensors import NAME

from zoo.models.build import build_model, data_config
from zoo.models.options import Backbone
from zoo.models.save import save_model


@pytest.mark.parametrize(("name", "size"), [(NAME, 48), ("test_vit", 96), ("test_efficientnet", 64)])
@pytest.mark.parametrize("channels_last", [False, True])
def test_a_saved_model_is_timms_own(tmp_path: Path, name: str, size: int, channels_last: bool) -> None:
    torch.manual_seed(0)
    model = build_model(Backbone(name=name), None, 3, size).model.eval()
    facts = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "interpolation": "bilinear", "crop_pct": 0.9}
    if channels_last:
        model.to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = model(images)
        save_model(model, tmp_path / "model", ("käse", "b", "a"), size, facts)
        loaded = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True).eval()
        assert torch.allclose(loaded(images), before, atol=1e-5)
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["config.json", "model.safetensors"]
    config = timm.data.resolve_data_config({}, model=loaded)
    assert {key: tuple(value) if isinstance(value, list) else value for key, value in config.items() if key in facts} == facts
    assert config["input_size"] == (3, size, size)
    assert loaded.pretrained_cfg["label_names"] == ["käse", "b", "a"]
    assert loaded.num_classes == 3


def test_a_layer_that_is_used_in_several_places_is_saved_for_each(tmp_path: Path) -> None:
    model = build_model(Backbone(name="coat_lite_tiny"), None, 3, 32).model.eval()
    images = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = model(images)
        save_model(model, tmp_path / "model", ("a", "b", "c"), 32, {"mean": (0.5,) * 3, "std": (0.5,) * 3})
        loaded = timm.create_model(f"local-dir:{tmp_path / 'model'}", pretrained=True).eval()
        assert torch.equal(loaded(images), before)
    # Only the saved tensors are copies: the model still shares its layers.
    assert model.state_dict()["cpe1.proj.weight"].data_ptr() == model.state_dict()["serial_blocks1.0.cpe.proj.weight"].data_ptr()


def test_it_is_written_into_the_folder_given_and_nowhere_else(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    for _ in range(2):
        save_model(timm.create_model(NAME, num_classes=2), tmp_path / "run" / "model", ("a", "b"), 32, data_config(NAME))
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == ["run/model/config.json", "run/model/model.safetensors"]
