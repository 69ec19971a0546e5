from __future__ import annotations

from pathlib import Path

from helpers.benches import table

from zoo.bench import compare


def test_what_is_faster_beyond_the_noise(tmp_path: Path) -> None:
    old = table(tmp_path, "old")
    speeds = {"train_samples_per_sec": 120.0, "train_samples_per_sec_p10": 110.0, "train_samples_per_sec_p90": 125.0}
    said = "\n".join(compare.lines(old, table(tmp_path, "new", **speeds)))
    assert " 1.20  1.06-1.32  faster" in said
    assert "hardware" not in said
    near = {"train_samples_per_sec": 103.0, "train_samples_per_sec_p10": 98.0, "train_samples_per_sec_p90": 105.0}
    assert "within noise" in compare.lines(old, table(tmp_path, "near", **near))[4]


def test_other_hardware_and_other_batches_are_noted(tmp_path: Path) -> None:
    old = table(tmp_path, "old")
    said = "\n".join(compare.lines(old, table(tmp_path, "new", device="a GPU", train_batch_size=64)))
    assert "different hardware (device)" in said
    assert "batch_size 8 -> 64" in said
    # timm's tables do not name their hardware.
    (tmp_path / "timm.csv").write_text("model,train_samples_per_sec,train_batch_size\nresnet18,50.5,8\n")
    assert "different hardware" in "\n".join(compare.lines(tmp_path / "timm.csv", old))


def test_models_of_one_table_alone_and_failures_are_listed(tmp_path: Path) -> None:
    old = table(tmp_path, "old", model="vit_tiny")
    new = table(tmp_path, "new", processes=2)
    lines = compare.lines(old, new)
    assert lines[-2:] == ["only in old: vit_tiny", "only in new: resnet18 x2"]
    failed = table(tmp_path, "failed", model="vit_tiny", status="oom")
    assert compare.lines(old, failed)[-1] == "not measured in both: vit_tiny (ok, oom)"


def test_without_percentiles_a_small_difference_is_noise(tmp_path: Path) -> None:
    for name, speed in (("old", 100), ("near", 104), ("far", 106)):
        (tmp_path / f"{name}.csv").write_text(f"model,infer_samples_per_sec\nresnet18,{speed}\n")
    assert "1 within noise" in "\n".join(compare.lines(tmp_path / "old.csv", tmp_path / "near.csv"))
    assert "1 faster" in "\n".join(compare.lines(tmp_path / "old.csv", tmp_path / "far.csv"))
