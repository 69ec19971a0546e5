"""Rows of `zoo scout`: their order, the best of them, the table, and the command to copy."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from zoo.errors import ZooError
from zoo.scout import rows
from zoo.sweep import grid


def row(model: str, *folds: float, **more: Any) -> dict[str, Any]:
    """Return the row of a measured backbone, or of a failed one if no accuracies of folds are given."""
    found: dict[str, Any] = {"model": model, "status": "ok", "error": "", "control": False}
    if not folds:
        return found | {"status": "oom", "error": "out of memory"} | more
    found |= {"probe": sum(folds) / len(folds), "probe_sd": 0.01, "probe_folds": list(folds), "knn": folds[0] / 2}
    found |= {"images_per_second": 1000.0 * folds[0], "single_ms": 3.21, "minutes": 4.0, "param_count": 1.5, "gmacs": 0.25}
    return found | {"features": 1280, "image_size": 96, "license": None} | more


GOOD = row("good", 0.90, 0.92, 0.91)
NEAR = row("near", 0.91, 0.90, 0.91)
BAD = row("bad", 0.70, 0.72, 0.71)
FAILED = row("failed")
CONTROL = row("good", 0.40, 0.42, 0.41, control=True)
OWN = {"name": "good", "weights": {"kind": "auto"}}
ALL = [CONTROL, FAILED, BAD, NEAR, GOOD]


@pytest.mark.parametrize(
    ("by", "order"),
    [
        ("probe", ["good", "near", "bad", "failed"]),
        ("speed", ["near", "good", "bad", "failed"]),
        ("knn", ["near", "good", "bad", "failed"]),
        ("name", ["bad", "failed", "good", "near"]),
    ],
)
def test_the_control_is_last_and_failures_before_it(by: str, order: list[str]) -> None:
    # The control is last whatever it scored, because it is only there for comparison.
    for control in (CONTROL, row("good", 0.95, 0.95, 0.95, control=True)):
        found = rows.ordered([control, *ALL[1:]], by)
        assert [one["model"] for one in found[:-1]] == order
        assert found[-1] is control


def test_what_is_not_clearly_above_the_control_is_named() -> None:
    assert rows.not_above_control(ALL) == []
    high = row("good", 0.71, 0.70, 0.72, control=True)
    said = "is not clearly above the control with random weights: no sign that its features help with these images"
    assert rows.not_above_control([GOOD, BAD, FAILED, high]) == [f"bad {said}"]
    higher = row("good", 0.95, 0.95, 0.95, control=True)
    assert rows.not_above_control([GOOD, BAD, FAILED, higher]) == [f"good {said}", f"bad {said}"]
    assert rows.not_above_control([GOOD, BAD]) == []
    assert rows.not_above_control([GOOD, row("good", control=True)]) == []


def test_an_unknown_order_names_the_known_ones() -> None:
    assert rows.check_sort("knn") == "knn"
    with pytest.raises(ZooError, match=r"^--sort: unknown 'prob' \(did you mean 'probe'\? one of probe, knn, speed, name\)$"):
        rows.check_sort("prob")


def test_the_best_are_those_that_the_folds_do_not_tell_apart() -> None:
    assert [one["model"] for one in rows.best(ALL)] == ["good", "near"]
    assert rows.clearly_worse(BAD, GOOD)
    assert not rows.clearly_worse(NEAR, GOOD)
    # It is a little worse on every fold, but the difference is too small to matter.
    assert not rows.clearly_worse(row("same", 0.899, 0.919, 0.909), GOOD)
    many = [row(str(number), 0.9, 0.9, 0.91) for number in range(5)]
    assert len(rows.best(many)) == 3
    assert rows.best([FAILED, CONTROL]) == []


def test_the_line_to_copy_keeps_the_options_and_any_path() -> None:
    words = ("folder/example", "data.root='my photos'", "backbone.name=x", "train.epochs=2")
    line = rows.sweep_line(ALL, words, OWN)
    assert shlex.split(line) == [
        *("zoo", "sweep", "folder/example", "good", "near", "--seeds", "0,1,2"),
        *("data.root='my photos'", "train.epochs=2"),
    ]
    assert rows.sweep_line([FAILED], words, OWN) == ""
    own = ("name=x", "output.root=y", "train.seed=1", "train.seed_of_another=1")
    assert rows.sweep_line(ALL, ("folder/example", *own), OWN).endswith("--seeds 0,1,2 train.seed_of_another=1")
    assert {*rows.SET_BY_SWEEP} == {*grid.OWN, grid.SEED}


def test_the_line_to_copy_finds_weights_for_backbones_that_those_of_the_recipe_are_not_of() -> None:
    own, other = row("resnet18.tv_in1k", 0.9, 0.9, 0.9), row("resnet50.tv_in1k", 0.9, 0.9, 0.9)
    words = ("mine.yaml", "backbone.weights={kind: file, path: w.safetensors}", "backbone.weights.path=v.safetensors", "seed=1")
    file = {"name": "resnet18.tv_in1k", "weights": {"kind": "file", "path": "v.safetensors"}}
    assert shlex.split(rows.sweep_line([own, other], words, file))[-2:] == ["seed=1", "backbone.weights=auto"]
    assert shlex.split(rows.sweep_line([own], words, file))[-3:] == list(words[1:])
    assert "auto" not in rows.sweep_line([own, other], words, file | {"weights": {"kind": "random"}})


def test_the_table_names_the_control_and_says_why_a_row_failed() -> None:
    heading, good, control, failed = rows.as_table([GOOD, CONTROL, FAILED])
    assert heading.split()[:3] == ["backbone", "probe", "%"]
    assert good.split()[:5] == ["good", "91.00", "±", "1.00", "45.00"]
    assert control.startswith("random weights (good)")
    assert failed == "failed: oom: out of memory"
    assert rows.as_table([FAILED]) == [failed]


def test_the_control_has_a_row_of_its_own() -> None:
    assert rows.key(CONTROL) != rows.key(GOOD)
