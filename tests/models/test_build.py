"""A model is built from a state dict with any common prefix or wrapper, and files that do not fit are refused."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import timm.data
import torch
from helpers.tensors import NAME, Tensors, built, fresh, refused, same, saved
from safetensors.torch import save_file
from torch import nn

from zoo.errors import ZooError
from zoo.models.build import build_model, mismatched_tensors, refuses_dynamic_size
from zoo.models.options import Backbone, FileWeights

# ---------------------------------------------------------------------------------------- files


def wrapped(prefix: str) -> Callable[[Tensors], object]:
    return lambda tensors: {prefix + name: tensor for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    "wrap",
    [
        wrapped(""), wrapped("module."), wrapped("_orig_mod."), wrapped("module._orig_mod."), wrapped("_orig_mod.module."),
        lambda tensors: {"state_dict": tensors, "epoch": 3, "args": argparse.Namespace(lr=0.1)},
        lambda tensors: {"model": {"a": torch.zeros(1)}, "state_dict_ema": tensors},
    ],
)  # fmt: skip
def test_a_state_dict_is_loaded_however_it_was_wrapped(tmp_path: Path, wrap: Callable[[Tensors], object]) -> None:
    tensors = fresh()
    made = built(saved(wrap(tensors), tmp_path / "w.pth"))
    assert same(made.model, tensors, made.head)
    assert made.load_summary == "90 of 90 tensors, new head"
    assert made.head == ("fc.weight", "fc.bias")
    assert made.model.get_parameter("fc.weight").shape[0] == 10


@pytest.mark.parametrize("name", [NAME, "test_vit", "test_efficientnet"])
@pytest.mark.parametrize(("kept", "classes"), [(10, 10), (10, 12), (1000, 1000), (0, 10)])
def test_a_head_is_kept_where_it_fits(tmp_path: Path, name: str, kept: int, classes: int) -> None:
    size = {"img_size": 64} if name == "test_vit" else {}
    tensors = fresh(name, kept, **size)
    save_file(tensors, tmp_path / "w.safetensors")
    made = built(tmp_path / "w.safetensors", name, classes, 64)
    assert same(made.model, tensors, () if kept == classes else made.head)
    assert ("including its head" in made.load_summary) == (kept == classes)
    assert made.model(torch.zeros(2, 3, 64, 64)).shape == (2, classes)


class Payload:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {os.environ['CANARY']}",)


@pytest.mark.parametrize("name", [NAME, "test_vit"])
@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: wrapped("backbone.")(fresh()), r" matches 0 of \d+ tensors"),
        (dict, r" matches 0 of \d+ tensors of test_\w+ \(rename its keys, e.g. "),
        (lambda: {"state_dict": {}}, r" matches 0 of \d+ tensors"),
        (lambda: fresh("resnet10t"), r" (does not fit test_resnet: \d+ shapes differ, first |matches 0 of 78 tensors)"),
        (lambda: [torch.zeros(1)], " holds no state dict"),
        (lambda: {"a": 1}, " holds no state dict"),
        (lambda: torch.nn.Linear(2, 2), " holds code: torch.nn.modules.linear.Linear"),
        (lambda: {"state_dict": Payload()}, r" holds code: (posix|nt).system \(save a plain state dict"),
    ],
)
def test_files_that_do_not_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, make: Callable[[], object], text: str
) -> None:
    monkeypatch.setenv("CANARY", str(tmp_path / "canary"))
    path = saved(make(), tmp_path / "w.pth")
    with pytest.raises(ZooError, match=r"^backbone\.weights: (file )?" + str(path) + text):
        built(path, name, size=64)
    assert not (tmp_path / "canary").exists()


# ---------------------------------------------------------------------------------------- sizes, architectures


def test_a_file_of_another_architecture_is_one_line_where_timm_looks_into_it(tmp_path: Path) -> None:
    path = saved(fresh("test_resnet"), tmp_path / "w.pth")
    for name in ("convnext_atto", "edgenext_xx_small", "poolformer_s12"):
        line = refused(lambda name=name: built(path, name))
        assert line.startswith(f"backbone.weights: file {path} ")
        assert line.endswith(")")


def test_drop_rates_reach_the_model() -> None:
    model = build_model(Backbone(name="resnet18", drop_rate=0.25, drop_path_rate=0.2), None, 4, 32).model
    assert model.drop_rate == 0.25
    assert any(type(module).__name__ == "DropPath" for module in model.modules())
    options = Backbone(name="vgg11", drop_path_rate=0.2)
    assert refused(lambda: build_model(options, None, 4, 224)).startswith("backbone: vgg11 cannot be created: ")


@pytest.mark.parametrize(("size", "grows"), [(64, False), (96, False), (96, True)])
def test_a_vision_transformer_takes_other_sizes(tmp_path: Path, size: int, grows: bool) -> None:
    path = saved(fresh("test_vit"), tmp_path / "w.pth")
    chosen = Backbone(name="test_vit", weights=FileWeights(path=path))
    model = build_model(chosen, chosen.weights.find("test_vit"), 10, size, grows=grows).model
    assert model(torch.zeros(1, 3, size, size)).shape == (1, 10)
    if grows:
        assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 10)


def test_a_backbone_of_one_size_cannot_grow() -> None:
    chosen = Backbone(name="mixer_s32_224")
    assert refused(lambda: build_model(chosen, None, 4, 224, grows=True)).startswith("image_size: mixer_s32_224 ")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "name",
    ["test_vit2", "test_convnext", "test_efficientnet_gn", "test_byobnet", "test_mambaout", "test_nfnet", "mobilenetv3_small_050",
     *(pytest.param(name, marks=pytest.mark.slow) for name in ("repvit_m0_9", "levit_128s", "deit_tiny_distilled_patch16_224", "convnext_atto",
       "xcit_nano_12_p16_224", "edgenext_xx_small", "dla34", "ghostnet_100", "swin_tiny_patch4_window7_224", "maxvit_rmlp_pico_rw_256"))],
)  # fmt: skip
def test_all_kinds_of_architectures_take_back_their_own_weights(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    model = timm.create_model(name).eval()
    size = model.pretrained_cfg["input_size"][-1]
    made = built(saved(model.state_dict(), tmp_path / "w.pth"), name, 1000, size)
    assert same(made.model, model.state_dict())
    made = built(saved(model.state_dict(), tmp_path / "w.pth"), name, 7, size)
    assert same(made.model, model.state_dict(), made.head)


def test_what_was_read_does_not_stay_with_the_model(tmp_path: Path) -> None:
    made = built(saved(fresh(), tmp_path / "w.pth"))
    assert "state_dict" not in made.model.pretrained_cfg


# ---------------------------------------------------------------------- error messages of torch and Python that zoo reads


def test_torch_names_the_tensors_of_another_shape() -> None:
    with pytest.raises(RuntimeError) as error:
        nn.Sequential(nn.Linear(2, 2)).load_state_dict({"0.weight": torch.zeros(3, 2), "0.bias": torch.zeros(3)})
    assert mismatched_tensors(error.value) == ["0.weight", "0.bias"]


def test_python_names_the_argument_that_an_architecture_does_not_take() -> None:
    with pytest.raises(TypeError) as error:
        timm.create_model("test_efficientnet", dynamic_img_size=True)
    assert refuses_dynamic_size(error.value)
    with pytest.raises(TypeError) as error:
        timm.create_model("test_efficientnet", img_sizes=32)
    assert not refuses_dynamic_size(error.value)
