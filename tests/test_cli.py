from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from zoo.cli import USUAL_NAMES, build_parser, main, recipe_options


def test_the_surface_is_what_it_is() -> None:
    parser = build_parser()
    commands = parser._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    flags = {
        name: sorted(flag for action in command._actions for flag in action.option_strings) for name, command in commands.items()
    }
    assert flags == {
        "train": ["--allow-change", "--debug", "--folds", "--help", "--json", "--plan", "--resume", "-h"],
        "lr": ["--debug", "--help", "--json", "--plot", "--steps", "-h"],
        "cache": ["--clear", "--debug", "--help", "-h"],
        "fetch": ["--debug", "--help", "-h"],
        "recipe": ["--debug", "--diff", "--help", "--json", "--list", "--save", "--schema", "-h"],
        "list": [
            *(
                "--cached",
                "--csv",
                "--debug",
                "--help",
                "--image-size",
                "--json",
                "--licence",
                "--license",
                "--max-gmacs",
                "--max-params",
            ),
            *("--plot", "--pretrained", "--sort", "-h"),
        ],
        "report": ["--debug", "--help", "--open", "--out", "--worst", "-h"],
        "show": ["--batch", "--debug", "--help", "--images", "--json", "--step", "-h"],
        "scout": [
            *("--cached", "--csv", "--debug", "--folds", "--help", "--image-size", "--json", "--licence", "--license"),
            *("--max-gmacs", "--max-images", "--max-params", "--out", "--plot", "--pretrained", "--sort", "--timeout", "-h"),
        ],
        "sweep": [
            *("--budget", "--debug", "--help", "--jobs", "--on", "--out", "--plan", "--seeds", "--set", "--timeout", "-h"),
        ],
        "predict": [
            *(
                "--csv",
                "--debug",
                "--help",
                "--json",
                "--min-confidence",
                "--out",
                "--probabilities",
                "--resume",
                "--topk",
                "--tta",
                "-h",
            ),
        ],
        "embed": ["--debug", "--help", "--json", "--out", "--resume", "-h"],
        "eval": ["--batch-size", "--data", "--debug", "--help", "--json", "--out", "--split", "--tta", "-h"],
        "export": [
            *("--batch", "--check", "--debug", "--format", "--help", "--image-size", "--json", "--out", "--precision"),
            *("--preprocess", "--push", "-h"),
        ],
        "leaderboard": [
            *("--baseline", "--by", "--csv", "--debug", "--group", "--help", "--html", "--json", "--md", "--plot", "-h"),
        ],
        "compare": ["--debug", "--help", "--json", "--out", "-h"],
        "bench": [
            *("--batch-size", "--channels-last", "--classes", "--compare", "--compile", "--data", "--debug", "--help"),
            *("--image-size", "--mode", "--optimizer", "--out", "--precision", "--processes", "--steps", "--threads"),
            *("--timeout", "-h"),
        ],
    }


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["train", "nowhere.yaml"], "error: nowhere.yaml: no such recipe ('zoo recipe --list' shows the shipped ones)"),
        (["recipe"], "error: zoo recipe: which recipe? (give a recipe, --list or --schema)"),
        (
            ["train", "--resume", "auto"],
            "error: zoo train: which recipe? (give a recipe, 'zoo recipe --list' shows the shipped ones, or --resume RUN)",
        ),
        (
            ["train", "quickstart", "--resume", "auto", "train.epoch=1"],
            "error: train.epoch: unknown key (did you mean 'train.epochs'?)",
        ),
        (["train", "quickstart", "train.epoch=1"], "error: train.epoch: unknown key (did you mean 'train.epochs'?)"),
        (["train", "quickstart", "--resume", "/nowhere"], "error: --resume: no run in /nowhere (give a run folder, or auto)"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_two(capsys: pytest.CaptureFixture[str], arguments: list[str], line: str) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr() == ("", line + "\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "a" * 300],
        ["train", "quickstart", "output.root=/dev/null/runs"],
        ["train", "quickstart", "data={kind: folder, root: ~nobody-here/photos}"],
        ["scout", "~nobody-here/photos", "resnet18"],
        ["report", "a" * 300],
    ],
)
def test_a_path_that_cannot_exist_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.err.startswith("error: ")
    assert output.err.count("\n") == 1


def test_an_error_of_the_system_names_its_path(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(code: int) -> Callable[..., int]:
        def run(_options: object) -> int:
            raise OSError(code, os.strerror(code), "/a/b")

        return run

    for code, exit_code, line in [
        (errno.EACCES, 2, "error: /a/b: cannot be used: Permission denied (check the path and its permissions)"),
        (errno.ENOSPC, 5, "error: /a/b: cannot be used: No space left on device (free some space)"),
    ]:
        monkeypatch.setattr("zoo.commands.recipe.run", refuse(code))
        assert main(["recipe", "--list"]) == exit_code
        assert capsys.readouterr().err == line + "\n"


def test_output_that_the_terminal_cannot_show_is_escaped() -> None:
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "zoo", "recipe", "--list"]
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert rb"\u2026" in done.stdout


def test_no_command_prints_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main([])
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith("usage: zoo ")
    assert all(f"\n    {name} " in said for name in ("train", "recipe", "list", "show", "bench"))


@pytest.mark.parametrize("arguments", [["--nonsense"], ["fly"], ["show"]])
def test_a_wrong_command_line_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_of_several_processes_the_first_prints_the_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_PORT", str(time.time_ns()))
    monkeypatch.setenv("RANK", "1")
    assert main(["show", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err.startswith("error: zoo show: ")
    monkeypatch.setenv("RANK", "0")
    assert main(["show", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err == ""


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "nowhere.yaml", "--debug"]) == 2
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("command", [[sys.executable, "-m", "zoo"], [sys.executable, "scripts/train.py"]])
def test_the_other_ways_in(command: list[str]) -> None:
    root = Path(__file__).parents[1]
    arguments = ["train", "quickstart", "x"] if command[-1] == "zoo" else ["quickstart", "x"]
    done = subprocess.run([*command, *arguments], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr == "error: command line: 'x': expected section.key=value (e.g. optim.lr=5.0e-4)\n"


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        ("train quickstart --epochs 3", "--epochs, did you mean train.epochs=3?"),
        ("train quickstart --epoch=3", "--epoch, did you mean train.epochs=3?"),
        ("train quickstart --batch-size", "--batch-size, did you mean train.batch_size=…?"),
        ("train quickstart --lr optim.name=sgd", "--lr, did you mean optim.lr=…?"),
        ("train quickstart --image-size 64", "--image-size, did you mean image_size=64?"),
        ("train quickstart --crop none", "--crop, did you mean augment.crop=none or eval.crop=none?"),
        ("train quickstart --optim sgd", "--optim, did you mean optim.name=sgd?"),
        ("train quickstart --learning-rate 1", "--learning-rate, did you mean optim.lr=1?"),
        ("train quickstart --alow-change", "--alow-change, did you mean --allow-change?"),
        ("recipe quickstart --qqqqqq", "--qqqqqq"),
        ("list --max-parms 12M", "--max-parms, did you mean --max-params?"),
        ("bench resnet18 --qqqqqq", "--qqqqqq"),
        ("--qqqqqq train", "--qqqqqq"),
    ],
)
def test_an_unknown_flag_suggests_what_was_meant(capsys: pytest.CaptureFixture[str], arguments: str, meant: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments.split())
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: command line: unknown flag {meant} ('zoo ")
    assert error.count("\n") == 1


def test_every_option_that_is_suggested_is_one_of_a_recipe() -> None:
    options = list(recipe_options())
    assert {"train.epochs", "optim.lr", "image_size", "image_size.start", "schedule", "data.root"} <= set(options)
    assert len(options) == len(set(options))
    assert set(USUAL_NAMES.values()) <= set(options)
    assert not [option for option in options if option.endswith("kind")]


def test_help_is_quick_and_light() -> None:
    code = "import sys; from zoo.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nsys.exit('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=os.environ | {"COLUMNS": "100"})
    assert done.returncode == 0
