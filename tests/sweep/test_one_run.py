"""One run in this process: started, resumed, or started again in the same folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from zoo.errors import Stopped, ZooError
from zoo.recipe.load import load_recipe
from zoo.sweep import one_run
from zoo.system import signals
from zoo.training import checkpoint


@pytest.fixture
def arguments(tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    # A run installs signal handlers; the process of the tests must keep its own.
    monkeypatch.setattr(signals, "install", lambda: None)
    monkeypatch.setattr(signals, "defer", lambda: None)
    recipe = load_recipe(tiny, ["name=net", "data.train_images=64"])
    return {"recipe": recipe, "until_epoch": None, "lock": str(tmp_path / "lock")}


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


@pytest.mark.slow
def test_a_run_goes_on_from_its_checkpoint_or_begins_anew_in_its_folder(
    arguments: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sent: list[dict[str, Any]] = []
    root = arguments["recipe"].output.root
    one_run.train_run(arguments, sent.append)
    expected = weights(root / "net")
    (root / "net").rename(tmp_path / "whole")
    # Leftovers of a killed start: a run folder without a checkpoint, and a temporary folder.
    (root / "net").mkdir()
    (root / "net" / "recipe.yaml").write_text("half")
    (root / ".net.tmp").mkdir()
    one_run.train_run(arguments | {"until_epoch": 1}, sent.append)
    assert {path.name for path in root.iterdir()} == {"net"}
    assert not (root / "net" / "result.json").exists()
    # The sweep's folder is moved while the run is paused.
    moved = root.rename(tmp_path / "moved")
    recipe = arguments["recipe"]
    recipe = recipe.model_copy(update={"output": recipe.output.model_copy(update={"root": moved})})
    one_run.train_run(arguments | {"recipe": recipe}, sent.append)
    assert f"resumed    from {moved / 'net' / 'checkpoints'}" in capsys.readouterr().out
    found = weights(moved / "net")
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert sent == []


@pytest.mark.slow
def test_a_run_whose_checkpoints_are_all_damaged_starts_anew(
    arguments: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = arguments["recipe"].output.root / "net"
    one_run.train_run(arguments | {"until_epoch": 1}, lambda _: None)
    states = list(folder.glob("checkpoints/step-*/state.json"))
    for state in states:
        state.write_text("{}")
    assert states
    one_run.train_run(arguments, lambda _: None)
    assert "no earlier checkpoint; starting the run from the beginning\n" in capsys.readouterr().err
    assert (folder / "result.json").exists()


def test_a_run_that_cannot_go_on_for_another_reason_keeps_its_checkpoints(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise ZooError("--resume", "the images have changed", "start a new run")

    folder = arguments["recipe"].output.root / "net"
    monkeypatch.setattr(one_run, "_as_begun", lambda recipe, resume: recipe)
    checkpoint.save(folder / "checkpoints", 1, checkpoint.Checkpoint({}, {"step": 1}))
    monkeypatch.setattr(one_run, "train", fail)
    with pytest.raises(ZooError, match="the images have changed"):
        one_run.train_run(arguments, lambda _: None)
    assert list(folder.glob("checkpoints/step-*/state.json"))


def test_a_run_that_is_stopped_says_so(arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object, **__: object) -> None:
        raise Stopped("SIGTERM", "after step 3", "continue")

    monkeypatch.setattr(one_run, "train", stop)
    sent: list[dict[str, Any]] = []
    one_run.train_run(arguments, sent.append)
    assert sent == [{"stopped": "stopped by SIGTERM after step 3 (continue)"}]


@pytest.mark.parametrize("error", [ZooError("optim.lr", "too large", "lower it"), ValueError("a bug")])
def test_the_log_has_the_whole_error(
    arguments: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(one_run, "train", fail)
    with pytest.raises(type(error)):
        one_run.train_run(arguments, lambda _: None)
    text = capsys.readouterr().err
    assert ("error: optim.lr: too large (lower it)" in text) == isinstance(error, ZooError)
    assert ("Traceback" in text) == isinstance(error, ValueError)
