"""The rows that are printed for epochs."""

from __future__ import annotations

from zoo.results.epoch_table import heading, row

EPOCH = {
    "epoch": 3,
    "step": 1200,
    "lr": 5e-4,
    "train.loss": 1.25,
    "train.accuracy": 0.5,
    "val.loss": None,
    "val.accuracy": 1.0,
}


def test_rows_are_as_wide_as_their_heading() -> None:
    values = EPOCH | {"images_per_second": 12345.6, "data_share": 0.01, "seconds": 60.0}
    assert len(heading(["val"])) == len(row(values, ["val"]))


def test_a_row_has_the_splits_of_the_run_and_a_dash_for_what_is_missing() -> None:
    values = EPOCH
    assert heading(["val"]).split() == [
        "epoch",
        "step",
        "lr",
        "train",
        "loss",
        "train",
        "acc",
        "val",
        "loss",
        "val",
        "acc",
        "images/s",
        "data",
        "time",
    ]
    assert row(values, ["val"]).split() == ["3", "1200", "5.00e-04", "1.2500", "50.00", "%", "-", "100.00", "%", "-", "-", "-"]
    assert "test loss" in heading(["test"])
    assert "val loss" not in heading(["test"])


def test_speed_and_time_are_readable_at_a_glance() -> None:
    text = row({"images_per_second": 12345.6, "data_share": 0.0123, "seconds": 59.6}, [])
    assert text.endswith("12,346  1.2 %     60 s")
