from __future__ import annotations

from pathlib import Path

import pytest
from helpers.finished_runs import finished_run, right_answers

from zoo.errors import ZooError
from zoo.ranking.groups import group_runs
from zoo.ranking.rows import score
from zoo.ranking.runs import Run, find_runs


@pytest.fixture
def runs(tmp_path: Path) -> list[Run]:
    for backbone in ("resnet18.tv_in1k", "resnet50.a1_in1k"):
        for lr in (0.001, 0.01):
            for seed in (0, 1):
                finished_run(tmp_path / f"{backbone}-{lr}-{seed}", right_answers(seed, 20), backbone=backbone, lr=lr, seed=seed)
    return find_runs([tmp_path]).runs


def test_seeds_are_repetitions(runs: list[Run]) -> None:
    groups = group_runs(runs, ["backbone", "optim.lr"])
    assert [len(group.runs) for group in groups] == [2, 2, 2, 2]
    assert groups[0].name == "resnet18.tv_in1k, optim.lr=0.001"
    assert groups[0].values == {"backbone": "resnet18.tv_in1k", "optim.lr": "0.001"}
    assert [note for group in groups for note in group.notes] == []


def test_runs_that_differ_in_more_than_the_seed_are_noted(runs: list[Run]) -> None:
    groups = group_runs(runs, ["backbone"])
    assert [len(group.runs) for group in groups] == [4, 4]
    (note,) = groups[0].notes
    assert "its 4 runs differ in optim.lr, not only in the seed (split with --group backbone,optim.lr)" in note


def test_a_whole_section_can_be_a_key(runs: list[Run]) -> None:
    assert {group.name for group in group_runs(runs, ["optim"])} == {"optim=name=adamw lr=0.001", "optim=name=adamw lr=0.01"}


def test_runs_of_one_seed_are_noted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        finished_run(tmp_path / name, right_answers(0, 20))
    (group,) = group_runs(find_runs([tmp_path]).runs, ["backbone"])
    assert list(group.notes) == ["resnet18.tv_in1k: several runs have seed 0, and are counted as repetitions"]


def test_folds_are_repetitions(tmp_path: Path) -> None:
    for fold in (0, 1):
        folder = finished_run(tmp_path / f"fold-{fold}", right_answers(fold, 20))
        recipe = folder / "recipe.yaml"
        recipe.write_text(recipe.read_text().replace("{kind: digits}", f"{{kind: digits, folds: 2, fold: {fold}}}"))
    (group,) = group_runs(find_runs([tmp_path]).runs, ["backbone"])
    assert (len(group.runs), list(group.notes)) == (2, [])
    # Folds share training images: no interval of their mean is known.
    found = score(group, "test.accuracy")
    assert found.deviation is not None
    assert found.interval is None


def test_an_unknown_key_is_refused(runs: list[Run]) -> None:
    with pytest.raises(ZooError, match=r"--group: no run has the key 'optim.lrr' \(did you mean 'optim.lr'\?\)"):
        group_runs(runs, ["backbone", "optim.lrr"])
    with pytest.raises(ZooError, match="no key given"):
        group_runs(runs, [])
