"""Runs with low-rank updates resume to the same bits, and save plain timm models."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
import timm
import torch
from helpers.runs import history, run, same, stop_at, weights
from safetensors.torch import load_file

from zoo.errors import ZooError
from zoo.inference.own_test import evaluate_own
from zoo.models.layers import is_update
from zoo.training import checkpoint

# Not a ResNet: timm sets the scale of the last BatchNorm of each branch to zero at first, so nothing before it would learn.
FEW = [
    *("train.epochs=1", "data.train_images=40", "train.batch_size=8"),
    *("finetune.batch_norm=frozen", "backbone.name=test_efficientnet"),
]
VIT = ["backbone.name=test_vit", "image_size=32"]


@pytest.mark.parametrize("backbone", [[], VIT], ids=["convolutions", "attention"])
def test_a_run_that_goes_on_equals_one_that_never_stopped(tiny: Path, backbone: list[str]) -> None:
    varied = ["augment.mixup=0.4", "train.ema=0.9", "finetune.lora={rank: 2, dropout: 0.2}", "finetune.layer_decay=0.9"]
    overrides = [*FEW, *backbone, *varied, "output.checkpoint_every=1 step"]
    whole, result = run(tiny, *overrides)
    stop_at(3, tiny, *overrides)
    folder, again = run(tiny, *overrides, resume=whole.parent / "tiny-2")
    assert same(whole, folder)
    assert history(whole)[0]["train.loss"] == history(folder)[0]["train.loss"]
    assert result["val"] == again["val"]


@pytest.mark.parametrize("more", [[], ["train.ema=0.9"], ["train.soup=uniform", "train.epochs=2", "eval.temperature=fit"], VIT])
def test_the_model_folder_is_plain_timm_and_scores_as_the_run_did(tiny: Path, more: list[str]) -> None:
    folder, result = run(tiny, *FEW, *more, "finetune.lora=4")
    model = timm.create_model(f"local-dir:{folder / 'model'}", pretrained=True)
    kept = weights(folder)
    assert kept.keys() == model.state_dict().keys() == timm.create_model(result["backbone"], num_classes=4).state_dict().keys()
    assert result["params"] == sum(parameter.numel() for parameter in model.parameters())
    for split in ("val", "test"):
        again = evaluate_own(str(folder), folder, split)
        assert "the logits equal the run's saved logits, bit for bit" in again.notes
        assert again.scores.loss == result[split]["loss"]


def test_only_the_updates_and_the_head_are_trained_and_as_many_as_are_printed(
    tiny: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, _ = run(tiny, *FEW, "finetune.lora=3", "train.epochs=2", "output.keep_last=2")
    first, last = (checkpoint.load(path).tensors["model"] for path in sorted((folder / "checkpoints").glob("step-*")))
    changed = {name for name, value in first.items() if not torch.equal(value, last[name])}
    assert changed == {name for name in first if is_update(name) or name.startswith("classifier.")}
    text = capsys.readouterr().out
    trained = sum(first[name].numel() for name in first if is_update(name))
    table = text[text.index("parameters backbone") :].splitlines()[:3]
    assert table[0].endswith("frozen")
    assert table[1].split()[:2] == ["lora", f"{trained:,}"]
    assert table[2].split()[:2] == ["head", f"{sum(first[name].numel() for name in first if name.startswith('classifier.')):,}"]


def test_the_backbone_moves_by_the_updates_alone(tiny: Path) -> None:
    folder, _ = run(tiny, *FEW, "finetune.lora={rank: 2, targets: [blocks.3.0.conv_pw]}", "optim.lr=0.01")
    start = checkpoint.newest(folder / "checkpoints")[1].tensors["model"]
    kept = load_file(folder / "model" / "model.safetensors")
    named = "blocks.3.0.conv_pw"
    moved = kept[f"{named}.weight"] - start[f"{named}.base_layer.weight"]
    assert 0 < torch.linalg.matrix_rank(moved.permute(0, 2, 3, 1).reshape(len(moved), -1), rtol=1e-3) <= 2
    assert all(
        torch.equal(start[name], value) for name, value in kept.items() if name in start and not name.startswith("classifier.")
    )


@pytest.mark.parametrize("option", ["distill.kind=logit", "distill.kind=feature", "finetune.probe_first=true"])
def test_a_teacher_and_a_probe_go_with_it(tiny: Path, option: str) -> None:
    teacher = []
    if option.startswith("distill"):
        teacher = [f"distill={run(tiny, *FEW, 'name=teacher')[0]}"]
    folder, result = run(tiny, *FEW, *teacher, option, "finetune.lora=2")
    assert result["status"] == "done"
    assert "the logits equal the run's saved logits, bit for bit" in evaluate_own(str(folder), folder).notes


def test_without_peft_one_line_says_what_to_install(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *more: None if name == "peft" else find(name, *more))
    with pytest.raises(ZooError) as error:
        run(tiny, *FEW, "finetune.lora=8")
    assert error.value.lines == ["finetune.lora: peft is not installed (pip install 'zoo-trainer[lora]')"]
    assert not (tiny.parent / "runs").exists()


def test_a_run_keeps_its_updates(tiny: Path) -> None:
    folder, _ = run(tiny, *FEW, "finetune.lora=2")
    from zoo.recipe.load import load_recipe
    from zoo.training.run import train

    with pytest.raises(ZooError, match=r"finetune\.lora\.rank 2 -> 4.*start a new one"):
        train(load_recipe(tiny, [*FEW, "finetune.lora=4"]), folder, allow_change=True)
    assert train(load_recipe(tiny, [*FEW[1:], "train.epochs=2", "finetune.lora=2"]), folder, allow_change=True) == folder
    assert len(history(folder)) == 2
