from __future__ import annotations

from pathlib import Path

import pytest

from zoo.cli import build_parser
from zoo.commands.train import is_sweep, recipe_and_overrides, run_folder
from zoo.errors import ZooError


@pytest.mark.parametrize("overrides", [[], ["train.epochs=7"], ["train.epochs=7", "optim.lr=1e-3"]])
def test_a_run_that_is_resumed_has_a_recipe_of_its_own(tmp_path: Path, overrides: list[str]) -> None:
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text("")
    for order in ([*overrides, "--resume", str(run)], ["--resume", str(run), *overrides]):
        options = build_parser().parse_args(["train", *order])
        assert recipe_and_overrides(options, run) == (run / "recipe.yaml", overrides)
    options = build_parser().parse_args(["train", "quickstart", *overrides, "--resume", str(run)])
    assert recipe_and_overrides(options, run) == (Path("quickstart"), overrides)


def test_resume_takes_a_run_folder_or_auto(tmp_path: Path) -> None:
    assert run_folder(None) is None
    assert run_folder("auto") is None
    with pytest.raises(ZooError, match=r"^--resume: no run in .*nowhere \(give a run folder, or auto\)$"):
        run_folder(str(tmp_path / "nowhere"))
    (tmp_path / "recipe.yaml").write_text("")
    assert run_folder(str(tmp_path)) == tmp_path


def test_without_a_recipe_or_a_run_there_is_nothing_to_train() -> None:
    options = build_parser().parse_args(["train"])
    with pytest.raises(ZooError, match=r"^zoo train: which recipe\? \(give a recipe, "):
        recipe_and_overrides(options, None)


def test_a_folder_of_several_runs_is_known_by_its_file(tmp_path: Path) -> None:
    assert not is_sweep(None)
    assert not is_sweep("auto")
    assert not is_sweep(str(tmp_path))
    (tmp_path / "sweep.json").write_text("{}")
    assert is_sweep(str(tmp_path))


@pytest.mark.parametrize("words", [["quickstart"], ["--folds", "3"], ["optim.lr=1"]])
def test_several_runs_are_continued_with_the_recipe_that_they_have(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "sweep.json").write_text("{}")
    options = build_parser().parse_args(["train", *words, "--resume", str(tmp_path)])
    with pytest.raises(
        ZooError, match=r"^--resume: the folder already sets the recipe and the number of folds \(give only --resume, "
    ):
        options.run(options)
