"""Progress of long work: lines in a log, the time left."""

from __future__ import annotations

import pytest

from zoo.system import progress
from zoo.system.progress import show_progress, time_left


def work(total: int, *, done: int = 0, shown: bool = True) -> None:
    with show_progress("epoch 1/2", total, done=done, shown=shown) as count_images:
        for images in (10, 10, 5):
            count_images(images)


def test_short_work_prints_nothing(capsys: pytest.CaptureFixture[str]):
    work(25)
    assert capsys.readouterr() == ("", "")


def test_a_log_gets_a_line_now_and_then_from_the_main_process_only(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    work(1_025, done=1_000, shown=False)
    assert capsys.readouterr() == ("", "")
    work(1_025, done=1_000)
    output = capsys.readouterr()
    assert output.out == ""
    # A resumed epoch: 1,000 images were seen before, and the last batch ends the epoch without a line.
    lines = output.err.splitlines()
    assert [line.partition(", ")[0] for line in lines] == ["epoch 1/2: 1,010 of 1,025 images", "epoch 1/2: 1,020 of 1,025 images"]
    assert all("images/s, " in line and line.endswith(" left") for line in lines)


def test_the_number_of_images_may_change_during_the_work(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    totals = iter([100, 40, 30, 30])
    with show_progress("epoch 1", lambda: next(totals)) as count_images:
        for _ in range(3):
            count_images(10)
    assert [line.partition(", ")[0] for line in capsys.readouterr().err.splitlines()] == [
        "epoch 1: 10 of 100 images",
        "epoch 1: 20 of 40 images",
    ]


def test_work_of_unknown_length_has_no_time_left(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    work(0)
    first = capsys.readouterr().err.splitlines()[0]
    assert first.startswith("epoch 1/2: 10 images, ")
    assert first.endswith(" images/s")


def test_no_line_is_printed_before_the_first_image(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    with show_progress("epoch 1/2", 20, shown=True) as count_images:
        for images in (0, 10, 0):
            count_images(images)
    assert len(capsys.readouterr().err.splitlines()) == 2


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (40, "40 s"), (99, "99 s"), (170, "3 min"), (5_900, "98 min"), (7_500, "2 h 5 min"), (86_400, "24 h 0 min")],
)
def test_durations_are_as_a_person_says_them(seconds: float, text: str):
    assert time_left(seconds) == text
