"""Whole runs with a tiny network: which results have equal bits, which images are used, and what stops a run."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from helpers.runs import Stopped, history, run, same, stop_at, weights
from safetensors.torch import load_file
from torch.nn.functional import cross_entropy

from zoo import errors
from zoo.data import batches
from zoo.errors import NonFiniteLoss, ZooError
from zoo.recipe.load import load_recipe
from zoo.system.launch import Launch
from zoo.training import evaluate, saver, setup
from zoo.training.loop import micro_batch_slices
from zoo.training.run import train
from zoo.training.saver import Saver
from zoo.training.step import losses, train_step
from zoo.training.watch import MOST_SKIPPED, StepWatch


def test_the_same_recipe_gives_the_same_bits_and_another_seed_others(tiny: Path) -> None:
    first, second, other = (run(tiny, *overrides)[0] for overrides in ([], [], ["train.seed=1"]))
    assert [folder.name for folder in (first, second, other)] == ["tiny", "tiny-2", "tiny-3"]
    assert same(first, second)
    assert not same(first, other)


EVERYTHING = [
    "augment.color_jitter=0.3", "augment.erase=0.3", "augment.mixup=0.4", "augment.cutmix=0.5", "train.ema=0.9", "train.clip_grad=1",
    "augment.policy=rand_augment", "augment.mix_until=0.7", "backbone.drop_rate=0.2", "backbone.drop_path_rate=0.1", "image_size={start: 24, end: 32, multiple: 4}", "train.label_smoothing=0.1",
    "train.class_weights=balanced", "finetune.layer_decay=0.8", "data.train_images=64",
]  # fmt: skip


@pytest.mark.parametrize(
    ("stop_after", "norm"),
    [
        (11, "train"),
        pytest.param(8, "frozen", marks=pytest.mark.slow),
        pytest.param(2, "train", marks=pytest.mark.slow),
        pytest.param(8, "train train.channels_last=true", marks=pytest.mark.slow),
    ],
)
def test_a_run_that_goes_on_equals_one_that_never_stopped(tiny: Path, stop_after: int, norm: str) -> None:
    overrides = [*EVERYTHING, *f"finetune.batch_norm={norm}".split(), "output.checkpoint_every=1 step"]
    whole, _ = run(tiny, *overrides)
    stop_at(stop_after, tiny, *overrides)
    folder, _ = run(tiny, *overrides, resume=whole.parent / "tiny-2")
    assert same(whole, folder)
    clocks = ("images_per_second", "data_share", "seconds")
    ours, theirs = ([{k: v for k, v in row.items() if k not in clocks} for row in history(f)] for f in (whole, folder))
    assert ours == theirs


@pytest.mark.slow
def test_a_run_that_pauses_after_an_epoch_ends_as_one_that_never_did(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overrides = [*EVERYTHING, "train.epochs=3", "output.checkpoint_every=2 epochs", "eval.every_epochs=3"]
    whole, _ = run(tiny, *overrides)
    recipe = load_recipe(tiny, overrides)
    folder = train(recipe, until_epoch=1)
    for epochs in (1, 2):
        assert [row["epoch"] for row in history(folder)] == list(range(1, epochs + 1))
        assert not (folder / "result.json").exists()
        assert not (folder / "model").exists()
        train(recipe, folder, until_epoch=epochs + 1)
    assert "resumed    from" in capsys.readouterr().out
    assert same(whole, folder)
    ours, theirs = (json.loads((each / "result.json").read_text()) for each in (folder, whole))
    assert (ours["test"], ours["val"], ours["steps"]) == (theirs["test"], theirs["val"], theirs["steps"])
    # The additional checkpoint of a pause is removed later.
    steps = [sorted(path.name for path in (each / "checkpoints").iterdir()) for each in (folder, whole)]
    assert steps[0] == steps[1]


def test_a_changed_recipe_does_not_go_on(tiny: Path) -> None:
    folder, _ = run(tiny, "train.epochs=1")
    with pytest.raises(
        ZooError, match=r"--resume: recipe differs: optim.lr 0.002 -> 0.1 \(drop the change, start a new run, or --allow-change\)"
    ):
        run(tiny, "train.epochs=1", "optim.lr=0.1", resume=folder)


def test_images_may_move_while_a_run_is_stopped(tiny: Path, image_folder: Callable[..., Path]) -> None:
    root = image_folder({"a": 20, "b": 20}, size=(8, 8))
    settings = ["output.checkpoint_every=1 step", "train.epochs=1", "augment.hflip=true"]
    whole, _ = run(tiny, f"data={{kind: folder, root: {root}}}", *settings)
    stop_at(2, tiny, f"data={{kind: folder, root: {root}}}", *settings)
    moved = root.rename(root.with_name("moved"))
    overrides = [f"data={{kind: folder, root: {moved}}}", *settings]
    with pytest.raises(ZooError, match=r"recipe differs: data.root .* or --allow-change"):
        train(load_recipe(tiny, overrides), whole.parent / "tiny-2")
    folder = train(load_recipe(tiny, overrides), whole.parent / "tiny-2", allow_change=True)
    assert same(whole, folder)


def test_micro_batches_change_nothing_but_rounding(tiny: Path) -> None:
    settings = ["finetune.batch_norm=frozen", "train.epochs=1", "train.batch_size=15"]
    (one, _), (three, _) = (run(tiny, *settings, f"train.accumulate={n}") for n in (1, 3))
    for key, value in weights(one).items():
        torch.testing.assert_close(weights(three)[key], value, atol=2e-4, rtol=1e-3)
    assert history(one)[0]["train.loss"] == pytest.approx(history(three)[0]["train.loss"], rel=1e-4)


@pytest.mark.parametrize("loss", ["bce", "focal", "asymmetric"])
def test_each_loss_learns_and_counts_every_image_the_same(tiny: Path, loss: str) -> None:
    settings = ["finetune.batch_norm=frozen", "train.batch_size=15", "augment.mixup=0.3", "train.label_smoothing=0.1"]
    settings += ["train.class_weights=balanced", f"train.loss={loss}"]
    (one, result), (three, _) = (run(tiny, *settings, f"train.accumulate={n}") for n in (1, 3))
    rows = history(one)
    assert rows[0]["train.loss"] == pytest.approx(history(three)[0]["train.loss"], rel=1e-3)
    assert rows[-1]["train.loss"] < rows[0]["train.loss"]
    # The reported loss is the cross-entropy of the softmax, whatever the training loss.
    saved = load_file(one / "predictions.safetensors")
    assert result["test"]["loss"] == pytest.approx(float(cross_entropy(saved["logits"], saved["targets"])), rel=1e-4)


@pytest.mark.parametrize("total", [1, 7, 64, 100])
@pytest.mark.parametrize(("processes", "micro"), [(1, 1), (2, 1), (3, 2), (4, 4)])
def test_shares_cover_a_batch_once(total: int, processes: int, micro: int) -> None:
    parts = [part for rank in range(processes) for part in micro_batch_slices(total, processes, rank, micro)]
    assert [row for part in parts for row in range(total)[part]] == list(range(total))
    sizes = [part.stop - part.start for part in parts]
    assert max(sizes) - min(sizes) <= 1


def test_every_image_of_an_epoch_is_seen_once_and_no_batch_is_tiny(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[list[int]] = []
    original = batches.Batches.draw

    def draw(self: Any, positions: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(positions.tolist())
        return original(self, positions, *arguments, **options)

    monkeypatch.setattr(batches.Batches, "draw", draw)
    run(tiny, "train.epochs=1", "data.val_fraction=0", "eval.select_by=last", "train.batch_size=19")
    # The report draws the last batch once more.
    assert seen.pop() == seen[-1]
    assert sorted(position for batch in seen for position in batch) == list(range(160))
    assert {len(batch) for batch in seen} == {17, 18}


@pytest.mark.parametrize("frozen", ["backbone", "2"])
def test_frozen_parts_keep_their_bits_statistics_too(tiny: Path, frozen: str) -> None:
    folder, _ = run(tiny, f"finetune.freeze={frozen}", "train.epochs=1")
    torch.manual_seed(0)
    start = timm.create_model("test_resnet", num_classes=4).state_dict()
    moved = {key for key, value in weights(folder).items() if not torch.equal(value, start[key])}
    assert "fc.weight" in moved
    assert not any(key.startswith(("conv1", "bn1", "layer1")) for key in moved)
    assert frozen == "2" or moved == {"fc.weight", "fc.bias"}


def test_frozen_batch_norm_keeps_statistics_and_scales(tiny: Path) -> None:
    folder, _ = run(tiny, "finetune.batch_norm=frozen", "train.epochs=1")
    torch.manual_seed(0)
    start = timm.create_model("test_resnet", num_classes=4).state_dict()
    for key, value in weights(folder).items():
        if "running" in key or "tracked" in key:
            assert torch.equal(value, start[key]), key
    assert not torch.equal(weights(folder)["layer1.0.bn1.bias"], start["layer1.0.bn1.bias"])


def test_a_loss_that_is_not_finite_stops_before_the_weights_are_touched(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def broken(logits: torch.Tensor, *arguments: Any) -> torch.Tensor:
        calls.append(1)
        return losses(logits, *arguments) * (float("nan") if len(calls) == 3 else 1)

    monkeypatch.setattr("zoo.training.loop.losses", broken)
    with pytest.raises(
        NonFiniteLoss, match=r"^step 3: the loss or its gradient is not finite, in epoch 1: loss nan, gradient norm nan "
    ):
        run(tiny)
    model = torch.nn.Linear(2, 2)
    before = [parameter.clone() for parameter in model.parameters()]
    optimizer = torch.optim.SGD([{"params": model.parameters(), "lr_scale": 1.0}], lr=1)
    batch = (torch.full((1, 2), float("inf")), torch.tensor([0]))
    with pytest.raises(NonFiniteLoss):
        train_step(
            model, [batch], optimizer, watch=StepWatch(Accelerator(cpu=True), optimizer), parts=1, total=1, lr=1.0,
            loss_fn=lambda logits, targets: losses(logits, targets, 0.0, None),
        )  # fmt: skip
    assert all(torch.equal(now, then) for now, then in zip(model.parameters(), before, strict=True))


def test_with_a_scaler_gradients_may_overflow_and_losses_may_not() -> None:
    model, accelerator = torch.nn.Linear(2, 2), Accelerator(cpu=True)
    accelerator.scaler = torch.amp.GradScaler("cpu")
    sgd = torch.optim.SGD([{"params": model.parameters(), "lr_scale": 1.0}], lr=1)
    optimizer = AcceleratedOptimizer(sgd, scaler=accelerator.scaler)
    watch = StepWatch(accelerator, optimizer)
    before = [parameter.clone() for parameter in model.parameters()]

    def step(factor: float, clip: float | None) -> None:
        batch = (torch.ones(1, 2), torch.tensor([0]))
        loss_fn = lambda logits, _: logits.abs().sum(1) * factor  # noqa: E731
        train_step(model, [batch], optimizer, watch=watch, parts=1, total=1, lr=1.0, loss_fn=loss_fn, clip=clip)

    for clip in (None, 1.0):
        step(1e35, clip)
        with pytest.raises(NonFiniteLoss):
            step(float("nan"), clip)
        assert all(torch.equal(now, then) for now, then in zip(model.parameters(), before, strict=True))
    assert watch.take_skipped() == 2
    step(1.0, None)
    assert not torch.equal(next(model.parameters()), before[0])
    assert watch.take_skipped() == 0
    # If no scale makes the gradients finite, the run stops.
    for _ in range(MOST_SKIPPED - 1):
        step(1e35, None)
        accelerator.scaler.update(2.0**16)
    with pytest.raises(NonFiniteLoss, match=f"fp16 skipped {MOST_SKIPPED} steps in a row"):
        step(1e35, None)


@pytest.mark.slow
def test_where_patience_ends_a_run_it_is_saved(tiny: Path) -> None:
    overrides = ["train.epochs=30", "train.patience=1", "optim.lr=1.0e-6", "output.checkpoint_every=30 epochs"]
    folder, result = run(tiny, *overrides)
    assert result["epochs"] < 30
    assert (folder / f"checkpoints/step-{result['steps']:08d}").is_dir()


def test_a_done_run_that_gets_more_to_do_is_not_done(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = run(tiny, "train.epochs=1")
    with monkeypatch.context() as patch, pytest.raises(Stopped):
        patch.setattr(Saver, "after_step", lambda *_: (_ for _ in ()).throw(Stopped))
        train(load_recipe(tiny, ["train.epochs=2"]), folder, allow_change=True)
    assert not (folder / "result.json").exists()


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_resuming_a_finished_run_changes_nothing_and_says_so(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = run(tiny, "train.epochs=1")
    before = files(folder)
    capsys.readouterr()
    train(load_recipe(tiny, ["train.epochs=1", "optim.lr=0.1"]), folder, allow_change=True)
    assert files(folder) == before
    said = capsys.readouterr().out
    assert said.startswith(f"done       {folder} is finished, and nothing was changed; ignored: optim.lr 0.002 -> 0.1 (")
    assert said.count("\n") == 1


def test_a_finished_run_whose_result_is_damaged_gets_it_again(tiny: Path) -> None:
    folder, result = run(tiny, "train.epochs=1")
    (folder / "result.json").write_text("{")
    train(load_recipe(tiny, ["train.epochs=1"]), folder)
    assert json.loads((folder / "result.json").read_text())["test"] == result["test"]


def test_a_signal_during_the_probe_stops_the_run_in_order(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluate, "stopping", lambda _: True)
    with pytest.raises(errors.Stopped, match="before a checkpoint"):
        run(tiny, "finetune.probe_first=true")


def test_after_a_damaged_checkpoint_new_ones_are_kept(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    overrides = ["output.checkpoint_every=5 steps", "output.keep_last=2", "train.epochs=1"]
    save = Saver.save

    def save_and_stop_at(last: int) -> Any:
        def stopping(self: Saver, progress: Any) -> None:
            save(self, progress)
            if progress.step == last:
                raise Stopped

        return stopping

    for last, damaged, kept in ((15, 15, [10, 15]), (11, None, [10, 11])):
        with monkeypatch.context() as patch, pytest.raises(Stopped):
            patch.setattr(Saver, "save", save_and_stop_at(last))
            if last == 11:
                patch.setattr(saver.signals, "requested", lambda: "SIGTERM")
            run(tiny, *overrides, resume=tiny.parent / "runs/tiny" if last == 11 else None)
        found = sorted((tiny.parent / "runs/tiny/checkpoints").glob("step-*"))
        assert [int(path.name[5:]) for path in found] == kept
        if damaged:
            (found[-1] / "model.safetensors").write_bytes(b"")


def test_the_recipe_may_say_what_a_run_measured_when_it_began(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    resumed = {"choice": {"precision": "bf16", "channels_last": True, "accumulate": 2}, "began": {"processes": 4}}

    def choice(processes: int, *overrides: str) -> tuple[str, bool, int]:
        loaded = load_recipe(tiny, ["train.precision=auto", "train.channels_last=auto", *overrides])
        found = setup._as_it_began(loaded, resumed, Launch(0, 0, processes, processes))
        return found.precision, found.channels_last, found.accumulate

    assert choice(4) == ("bf16", True, 2)
    assert choice(1) == ("bf16", True, 8)
    assert choice(8) == ("bf16", True, 1)
    assert choice(1, "train.precision=fp32", "train.accumulate=3") == ("fp32", True, 3)
    # Memory ran out with one micro-batch, as the recipe asked, and the run took two. If the recipe still asks for one, the run
    # keeps two, because memory would run out again.
    resumed["asked_accumulate"] = 1
    assert choice(4, "train.accumulate=1") == ("bf16", True, 2)
    assert choice(4, "train.accumulate=4") == ("bf16", True, 4)
    resumed["choice"]["precision"] = "fp16"
    with pytest.raises(ZooError, match=r"--resume: the run began with fp16, which needs a GPU"):
        choice(1)


def test_rare_classes_are_not_taught_by_smoothing() -> None:
    weights, clear = torch.tensor([0.5, 10.0]), torch.tensor([[4.0, -4.0]], requires_grad=True)
    loss = losses(clear, torch.tensor([0]), 0.1, weights)
    assert torch.allclose(loss, 0.5 * losses(clear, torch.tensor([0]), 0.1, None))
    (gradient,) = torch.autograd.grad(loss.sum(), clear)
    # The probability is above the smoothed target of 0.95: the gradient pulls it back to this target, whatever the class weights.
    assert torch.allclose(gradient[0, 0], 0.5 * (clear.softmax(1)[0, 0] - 0.95).detach(), atol=1e-6)
    mixed = losses(clear, torch.tensor([[0.25, 0.75]]), 0.0, weights)
    assert torch.allclose(mixed, (0.25 * 0.5 + 0.75 * 10) * losses(clear, torch.tensor([[0.25, 0.75]]), 0.0, None))


def test_patience_ends_a_run_and_the_best_weights_are_saved(tiny: Path) -> None:
    folder, result = run(tiny, "train.epochs=30", "train.patience=2", "optim.lr=0.004")
    rows = history(folder)
    assert len(rows) < 30
    assert result["epochs"] - result["selected_epoch"] == 2
    assert result["val"]["accuracy"] == max(row["val.accuracy"] for row in rows)
    kept = sorted(path.name for path in (folder / "checkpoints").glob("step-*"))
    assert kept == [f"step-{rows[epoch - 1]['step']:08}" for epoch in (result["selected_epoch"], len(rows))]


def test_the_probe_of_a_sigmoid_starts_at_its_logit(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    biases = []
    monkeypatch.setattr("zoo.training.run.fit", lambda training, *_, **__: biases.append(training.bare_model.fc.bias.clone()))
    monkeypatch.setattr("zoo.training.run.is_finished", lambda *_: False)
    for loss in ("cross_entropy", "bce"):
        train(load_recipe(tiny, ["finetune.probe_first=true", "finetune.batch_norm=frozen", f"train.loss={loss}"]))
    torch.testing.assert_close(biases[1], biases[0] - torch.tensor(3.0).log())


def test_the_probe_starts_from_a_head_that_fits(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(tiny, "finetune.probe_first=true", "finetune.freeze=backbone", "train.epochs=1", "optim.lr=1e-6")
    text = capsys.readouterr().out
    assert float(text.split("frozen features: ")[1].split("%")[0]) > 90


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["train.batch_size=4096"], "train.batch_size: 4096, but only 144 training images (lower it)"),
        (["data.val_fraction=0", "data.kind=folder", "data.root=/nowhere"], "data.root: no such folder: /nowhere"),
        (["train.precision=fp16"], "train.precision: fp16 needs a GPU (use auto, bf16 or fp32)"),
        (["finetune.freeze=99"], "finetune.freeze: 99, but the backbone has 5 stages"),
        (["backbone.weights={kind: file, path: none.pth}"], "backbone.weights: no such file: none.pth"),
        (["backbone.name=test_vit", "image_size=30"], "image_size: test_vit does not take 30 px"),
        (["backbone.weights=pretrained", "backbone.name=resnet10t.c3_in1k"], "backbone.weights: timm/resnet10t.c3_in1k is not in the cache"),
        (["output.root=/proc/none"], "output.root: not writable: /proc"),
    ],
)  # fmt: skip
def test_bad_input_is_told_before_anything_is_written(tiny: Path, overrides: list[str], text: str) -> None:
    with pytest.raises(ZooError) as error:
        run(tiny, *overrides)
    assert text in error.value.lines[0]
    assert error.value.exit_code == 2
    assert not (tiny.parent / "runs").exists()
