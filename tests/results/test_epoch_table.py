from __future__ import annotations

from zoo.results.epoch_table import heading, row


def test_rows_are_as_wide_as_their_heading() -> None:
    values = {
        "epoch": 3,
        "step": 1200,
        "lr": 5e-4,
        "train.loss": 1.25,
        "train.accuracy": 0.5,
        "val.loss": None,
        "val.accuracy": 1.0,
    }
    values |= {"images_per_second": 12345.6, "data_share": 0.01, "seconds": 60.0}
    assert len(heading(["val"])) == len(row(values, ["val"]))
