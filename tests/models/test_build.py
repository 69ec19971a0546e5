"""What is built of weights, and which files are refused."""

from __future__ import annotations

import argparse
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import timm.data
import torch
from helpers.tensors import NAME, Tensors, built, fresh, refused, same, saved
from safetensors.torch import save_file
from torch import Tensor, nn

from zoo.errors import ZooError
from zoo.models import weight_sources
from zoo.models.build import build_model
from zoo.models.head import output_layers
from zoo.models.options import Backbone, FileWeights, RandomWeights
from zoo.models.save import save_model

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
    assert ("its head too" in made.load_summary) == (kept == classes)
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


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("content", ["html", "empty", "cut", "pickle"])
def test_files_that_are_no_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, content: str) -> None:
    monkeypatch.setenv("CANARY", str(tmp_path / "canary"))
    path = tmp_path / f"w{suffix}"
    if suffix == ".pth":
        torch.save(fresh(), path)
    else:
        save_file(fresh(), path)
    cut = path.read_bytes()[:5000]
    path.write_bytes(
        {"html": b"<!doctype html><html>404</html>", "empty": b"", "cut": cut, "pickle": pickle.dumps(Payload())}[content]
    )
    assert refused(lambda: built(path)).startswith(f"backbone.weights: {path} ")
    assert not (tmp_path / "canary").exists()


def test_a_missing_file_and_a_folder(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.pth"):
        assert refused(lambda path=path: built(path)) == f"backbone.weights: no such file: {path} (check backbone.weights.path)"


# -------------------------------------------------------------------------------- head, sizes, saving


@pytest.mark.parametrize("kind", ["random", "file"])
def test_a_new_head_starts_as_asked(tmp_path: Path, kind: str) -> None:
    path = saved(fresh(), tmp_path / "w.pth")

    def head(init: str) -> tuple[Tensor, Tensor]:
        options = Backbone(name=NAME, head_init=init)  # type: ignore[arg-type]
        found = None if kind == "random" else weight_sources.from_file(path)
        torch.manual_seed(0)
        model = build_model(options, found, 200, 32).model
        return model.get_parameter("fc.weight").detach(), model.get_parameter("fc.bias").detach()

    assert not head("zero")[0].any()
    weight, bias = head("xavier")
    limit = (6 / sum(weight.shape)) ** 0.5
    assert limit * 0.98 < float(weight.abs().max()) <= limit
    assert not bias.any()
    assert float(head("default")[0].std()) != pytest.approx(float(weight.std()), rel=0.05)


@pytest.mark.parametrize("name", ["levit_128s", "crossvit_tiny_240", "repvit_m1"])
def test_a_head_of_several_layers_learns_from_zero(name: str) -> None:
    """A norm at zero before a layer at zero would stay there, and the backbone with them."""
    size = 240 if "240" in name else 224
    model = build_model(Backbone(name=name, weights=RandomWeights(), head_init="zero"), None, 5, size).model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    images = torch.randn(2, 3, size, size)
    for _ in range(2):
        logits = model(images)
        loss = nn.functional.cross_entropy(logits[0] if isinstance(logits, tuple) else logits, torch.tensor([0, 1]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert all(layer.weight.any() for layer in output_layers(model))
    stem = next(model.parameters())
    assert stem.grad is not None
    assert stem.grad.any()


def test_weights_without_the_heads_norm_and_with_an_auxiliary_head(tmp_path: Path) -> None:
    tensors = fresh("convnext_atto")
    body = {key: tensor for key, tensor in tensors.items() if not key.startswith("head.")}
    made = built(saved(body | {"AuxLogits.fc.weight": torch.zeros(1)}, tmp_path / "w.pth"), "convnext_atto")
    assert made.load_summary == (
        f"{len(body)} of {len(body)} tensors, new head with head.norm.weight, head.norm.bias, 1 tensor of an auxiliary head left out"
    )
    assert same(made.model, body)


def test_a_file_of_another_architecture_is_one_line_where_timm_looks_into_it(tmp_path: Path) -> None:
    path = saved(fresh("test_resnet"), tmp_path / "w.pth")
    for name in ("convnext_atto", "edgenext_xx_small", "poolformer_s12"):
        line = refused(lambda name=name: built(path, name))
        assert line.startswith(f"backbone.weights: file {path} ")
        assert line.endswith(")")


def test_a_head_that_came_along_is_not_started_anew(tmp_path: Path) -> None:
    tensors = fresh(classes=4)
    assert same(built(saved(tensors, tmp_path / "w.pth"), classes=4, head_init="zero").model, tensors)


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


def test_what_was_read_does_not_stay_with_the_model(tmp_path: Path) -> None:
    made = built(saved(fresh(), tmp_path / "w.pth"))
    assert "state_dict" not in made.model.pretrained_cfg
    assert nn.Module.load_state_dict.__module__ == "torch.nn.modules.module"
