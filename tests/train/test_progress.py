"""Progress within an epoch: lines in a log, the time left."""

from __future__ import annotations

import numpy as np
import pytest

from zoo.train import progress
from zoo.train.progress import show_progress, time_left

BATCHES = [np.arange(10), np.arange(10), np.arange(5)]


def test_every_batch_comes_through_and_a_short_epoch_prints_nothing(capsys: pytest.CaptureFixture[str]):
    assert [len(batch) for batch in show_progress(BATCHES, "epoch 1/2", 25, main=True)] == [10, 10, 5]
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_a_line_now_and_then_from_the_main_process_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    list(show_progress(BATCHES, "epoch 1/2", 1_025, main=False))
    assert capsys.readouterr() == ("", "")
    list(show_progress(BATCHES, "epoch 1/2", 1_025, main=True))
    output = capsys.readouterr()
    assert output.out == ""
    # A resumed epoch: 1,000 images were seen before, and the last batch ends the epoch without a line.
    lines = output.err.splitlines()
    assert [line.partition(", ")[0] for line in lines] == ["epoch 1/2: 1,010 of 1,025 images", "epoch 1/2: 1,020 of 1,025 images"]
    assert all("images/s, " in line and line.endswith(" left") for line in lines)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (40, "40 s"), (99, "99 s"), (170, "3 min"), (5_900, "98 min"), (7_500, "2 h 5 min"), (86_400, "24 h 0 min")],
)
def test_durations_are_as_a_person_says_them(seconds: float, text: str):
    assert time_left(seconds) == text
