from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers.finished_runs import CLASSES, finished_run, right_answers

from zoo.errors import ZooError
from zoo.ranking.answers import Answers, in_order_of, other_test, read_answers

RIGHT = right_answers(0, 30)


def test_names_and_answers_are_read(tmp_path: Path) -> None:
    answers = read_answers(finished_run(tmp_path / "run", RIGHT), CLASSES, 30)
    assert len(answers) == 30
    np.testing.assert_array_equal(answers.right, RIGHT)
    assert (answers.files[2], answers.labels[2], answers.name(2)) == ('a, "b"/0002.png', CLASSES[2], answers.files[2])
    assert [one == other for one, other in zip(answers.labels, answers.predicted, strict=True)] == RIGHT.tolist()


def test_a_run_of_an_earlier_version_is_read_from_its_logits(tmp_path: Path) -> None:
    run = finished_run(tmp_path / "run", RIGHT)
    named = read_answers(run, CLASSES, 30)
    (run / "predictions.csv").unlink()
    answers = read_answers(run, CLASSES, 30)
    assert (answers.files, answers.labels, answers.predicted) == ((), named.labels, named.predicted)
    np.testing.assert_array_equal(answers.right, RIGHT)
    assert answers.name(3) == "test[3]"
    assert other_test(named, answers) == other_test(answers, named) == ""


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("predictions.csv", b"file,label\n", "its header is not split,file"),
        ("predictions.csv", b"split,file,label,predicted,prob,correct,label_prob\ntest,a\n", "cannot be read"),
        ("predictions.csv", b"\xff\xfe", "cannot be read"),
        ("predictions.csv", b"", "its header is not"),
        ("predictions.csv", b"split,file,label,predicted,prob,correct,label_prob\n", "has 0 test images, result.json says 30"),
        ("predictions.safetensors", b"broken", "cannot be read"),
        ("predictions.safetensors", None, "no such file"),
    ],
)
def test_damaged_predictions_are_one_line(tmp_path: Path, name: str, content: bytes | None, text: str) -> None:
    run = finished_run(tmp_path / "run", RIGHT)
    (run / "predictions.csv").unlink()
    (run / name).unlink(missing_ok=True)
    if content is not None:
        (run / name).write_bytes(content)
    with pytest.raises(ZooError, match=text) as error:
        read_answers(run, CLASSES, 30)
    assert name in error.value.where


def answers(files: str, labels: str, right: list[bool] | None = None) -> Answers:
    names = tuple(files)
    return Answers(names, tuple(labels), tuple("x" * len(labels)), np.array(right or [True] * len(labels)))


def test_other_test_images_are_told_apart() -> None:
    same = answers("abc", "112")
    assert other_test(same, answers("cab", "211")) == ""
    assert other_test(same, answers("ab", "11")) == "3 and 2 images"
    assert other_test(same, answers("abd", "112")) == "c is in one of them only"
    assert other_test(same, answers("abc", "122")) == "b is of class '1' and '2'"
    assert other_test(same, answers("", "112")) == ""
    assert other_test(same, answers("", "122")) == "image 1 is of class '1' and '2'"


def test_answers_follow_their_images() -> None:
    first, second = answers("abcd", "1122"), answers("dbac", "2112", [True, True, False, False])
    moved = in_order_of(first, second)
    assert (moved.files, moved.labels) == (first.files, first.labels)
    assert moved.right.tolist() == [False, True, False, True]
