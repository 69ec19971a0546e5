from __future__ import annotations

from pathlib import Path

import pytest
from helpers.sweeps import Place

from zoo.errors import Mistakes, ZooError
from zoo.sweep.grid import Grid, at, runs_of, value_text


def test_every_combination_is_a_run_with_a_recipe_of_its_own(place: Place) -> None:
    grid = place.grid("test_resnet", "test_vit", values={"optim.lr": [0.001, 0.003], "image_size": [32]}, seeds=[0, 7])
    runs = runs_of(grid)
    assert [run.name for run in runs][:3] == [
        "test_resnet-lr0.001-image_size32-seed0",
        "test_resnet-lr0.001-image_size32-seed7",
        "test_resnet-lr0.003-image_size32-seed0",
    ]
    assert len({run.name for run in runs}) == 2 * 2 * 2
    last = at(runs[-1], Path("there")).trainable
    assert (last.name, last.backbone.name, last.optim.lr, last.train.seed, last.output.root) == (
        runs[-1].name, "test_vit", 0.003, 7, Path("there"),
    )  # fmt: skip


def test_without_seeds_the_recipe_has_its_own(place: Place) -> None:
    (run,) = runs_of(place.grid(seeds=[], overrides=["train.seed=5"]))
    assert (run.name, run.seed) == ("test_resnet-seed5", 5)


def test_threads_are_shared_where_the_recipe_leaves_them_open(place: Place) -> None:
    (given,) = runs_of(place.grid(seeds=[0], threads=3))
    assert given.trainable.train.threads == 1
    (shared,) = runs_of(place.grid(seeds=[0], threads=3, overrides=["train.threads=auto"]))
    assert shared.trainable.train.threads == 3


def test_an_unknown_backbone_is_a_run_that_says_so(place: Place) -> None:
    runs = runs_of(place.grid("test_resnet", "test_resnt"))
    assert [(run.name, run.status) for run in runs if run.recipe is None] == [
        ("test_resnt-seed0", "unknown"),
        ("test_resnt-seed1", "unknown"),
    ]
    assert "closest: test_resnet" in runs[-1].error


def test_what_does_not_fit_one_backbone_is_a_run_that_says_so(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from zoo.sweep import grid as module

    real = module.load_recipe

    def load(path: Path, overrides: list[str]) -> object:
        if "backbone.name=test_vit" in overrides:
            raise Mistakes(["finetune.freeze: no such block"])
        return real(path, overrides)

    monkeypatch.setattr(module, "load_recipe", load)
    runs = runs_of(place.grid("test_resnet", "test_vit", seeds=[0]))
    assert [(run.status, run.error) for run in runs] == [("", ""), ("failed", "finetune.freeze: no such block")]


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"values": {"optim.lrr": [1]}}, r"optim\.lrr: unknown key.*lr"),
        ({"values": {"optim.lr": [0.1, "fast"]}}, r"optim\.lr: .*fast"),
        ({"overrides": ["train.epochs=0"]}, r"train\.epochs: "),
        ({"overrides": ["train"]}, r"command line: 'train'"),
        ({"overrides": ["output.root=x"]}, r"output\.root: a sweep sets it itself \(use --out\)"),
        ({"values": {"backbone.name": ["test_vit"]}}, r"backbone\.name: a sweep sets it itself \(give it as MODEL\)"),
        ({"values": {"backbone": [{"name": "test_vit"}]}}, r"backbone: a sweep sets backbone\.name itself \(give it as MODEL\)"),
        ({"values": {"backbone.name.x": [1]}}, r"backbone\.name\.x: a sweep sets backbone\.name itself"),
        ({"values": {"output": [{"root": "x"}]}}, r"output: a sweep sets output\.root itself"),
        (
            {"values": {"train": [{"seed": 1}, {"seed": 2}]}},
            r"train: the seeds come from --seeds \(give its options one by one\)",
        ),
        ({"values": {"train.seed": [1, 2]}}, r"train\.seed: the seeds come from --seeds"),
        ({"overrides": ["train.seed=1"]}, r"train\.seed: the seeds come from --seeds"),
        ({"overrides": ["optim.lr=1"], "values": {"optim.lr": [1, 2]}}, r"--set optim\.lr: is also set for all runs"),
    ],
)
def test_what_is_wrong_for_all_is_an_error(place: Place, options: dict[str, object], line: str) -> None:
    with pytest.raises(ZooError, match=f"^{line}"):
        runs_of(place.grid("test_resnet", "test_vit", **options))


def test_a_section_that_is_set_for_all_runs_leaves_the_sweeps_own_options(place: Place) -> None:
    (run,) = runs_of(place.grid(seeds=[3], overrides=["backbone={name: test_vit, weights: random}"]))
    assert (run.trainable.backbone.name, run.trainable.train.seed) == ("test_resnet", 3)


def test_a_backbone_with_and_without_its_default_tag_is_one(place: Place) -> None:
    with pytest.raises(ZooError) as error:
        runs_of(place.grid("tf_efficientnet_lite0", "test_resnet", "tf_efficientnet_lite0.in1k"))
    assert str(error.value) == (
        "MODEL: tf_efficientnet_lite0 and tf_efficientnet_lite0.in1k are the same backbone, tf_efficientnet_lite0.in1k "
        "(give it once)"
    )
    # Another tag is another backbone.
    assert len(runs_of(place.grid("resnet18.tv_in1k", "resnet18.a1_in1k", "resnet18.a2_in1k", seeds=[0]))) == 3


def test_a_missing_recipe_is_an_error() -> None:
    with pytest.raises(ZooError, match="no such recipe"):
        runs_of(Grid(Path("nowhere.yaml"), ["test_resnet"]))


def test_names_are_plain_folder_names_and_differ(place: Place) -> None:
    values = {"augment.crop": [{"kind": "none"}, {"kind": "pad_shift", "pad": 4}], "eval.select_by": ["val.loss", "val.accuracy"]}
    names = [run.name for run in runs_of(place.grid("a/b:c*", "test_resnet", values=values, seeds=[0]))]
    assert len(set(names)) == len(names) == 8
    assert all(name == Path(name).name and ".." not in name and ":" not in name and "/" not in name for name in names)
    assert "test_resnet-croppad_shift-pad-4-select_byval.loss-seed0" in names


def test_options_of_the_same_last_name_keep_their_whole_names(place: Place) -> None:
    names = [
        run.name
        for run in runs_of(place.grid(values={"optim.name": ["sgd"], "schedule.kind": ["constant"], "data.kind": ["digits"]}))
    ]
    assert names[0] == "test_resnet-namesgd-schedule.kindconstant-data.kinddigits-seed0"


def test_long_names_are_cut_and_still_differ(place: Place) -> None:
    grid = place.grid(values={"data.root": ["x" * 300 + "1", "x" * 300 + "2"]}, overrides=["data.kind=folder"])
    names = {run.name for run in runs_of(grid)}
    assert len(names) == 4
    assert max(map(len, names)) <= 180


@pytest.mark.parametrize(
    ("value", "text"),
    [(1e-3, "0.001"), (5e-05, "5e-05"), (0.1 + 0.2, repr(0.1 + 0.2)), (True, "true"), (None, "null"), ({"kind": "none"}, "none"), ([1, 2], "1-2")],
)  # fmt: skip
def test_values_are_short_words(value: object, text: str) -> None:
    assert value_text(value) == text
