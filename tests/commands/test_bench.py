from __future__ import annotations

import pytest

from zoo.bench.settings import Settings
from zoo.cli import build_parser, main
from zoo.commands import bench


@pytest.mark.parametrize(
    ("arguments", "where"),
    [
        ([], "MODEL: which models?"),
        (["resnet18", "--mode", "both,"], "--mode: unknown 'both,' (use train, infer or both)"),
        (["resnet18", "--batch-size", "0"], "--batch-size: expected a whole number above 0, found '0'"),
        (["resnet18", "--image-size", "big"], "--image-size: expected a whole number above 0, found 'big'"),
        (["resnet18", "--precision", "fp8"], "--precision: unknown 'fp8'"),
        (["resnet18", "--channels-last", "yes"], "--channels-last: unknown 'yes'"),
        (["resnet18", "--steps", "-1"], "--steps: expected"),
        (["resnet18", "--timeout", "nan"], "--timeout: expected seconds above 0"),
        (["resnet18", "--processes", "1,two"], "--processes: expected"),
        (["resnet18", "--optimizer", "sdg"], "--optimizer: unknown 'sdg' (did you mean 'sgd'?"),
        (["resnet18", "--data", "/nowhere/at/all"], "--data: no such "),
        (["resnet18", "--out", "/dev/null"], "--out: not a directory: /dev/null"),
        (["resmet*"], "MODEL resmet*: matches no model (closest: resnet"),
        (["--compare", "/nowhere.csv", "/nowhere.csv"], "--compare: /nowhere.csv cannot be read"),
        (["resnet18", "--compare", "a.csv", "b.csv"], "--compare: measures nothing and takes no models, found resnet18"),
    ],
)
def test_bad_input_is_one_line(arguments: list[str], where: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"error: {where}")
    assert printed.err.count("\n") == 1
    assert printed.out == ""


def test_patterns_stand_for_architectures() -> None:
    assert bench.expand(["resnet18", "test_resn*", "resnet18"]) == ["resnet18", "test_resnet"]
    assert "resnet18.a1_in1k" in bench.expand(["resnet18.*"])
    assert bench.expand(["not_there"]) == ["not_there"]


def test_models_that_are_all_unknown_are_a_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "resnt18", "qqqqq"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("error: MODEL: unknown model 'resnt18' (closest: resnet18, ")
    assert lines[1] == "error: MODEL: unknown model 'qqqqq' ('zoo list' shows all)"


def test_one_known_model_is_enough_to_measure() -> None:
    bench.check_any_known(["qqqqq", "resnet18"])


def test_flags_become_settings() -> None:
    def of(*flags: str) -> Settings:
        return bench.settings(vars(build_parser(["bench"]).parse_args(["bench", "resnet18", *flags])))

    assert of() == Settings()
    assert of("--mode", "train").modes == ("train",)
    assert of("--channels-last", "on").channels_last is True
    assert of("--batch-size", "4", "--steps", "3", "--compile", "on") == Settings(batch_size=4, steps=3, compile=True)
    assert of("--data", "photos").data == str(bench.Path("photos").absolute())
    assert bench.counts("--processes", "2, 1,2") == [1, 2]
