from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from zoo.cli import build_parser, main
from zoo.commands.train import recipe_and_overrides
from zoo.errors import ZooError
from zoo.recipe.load import load_recipe
from zoo.results.folder import RunFolder, newest_unfinished
from zoo.system.console import Console
from zoo.system.launch import Launch, _is_launcher, read
from zoo.train.preflight import check_environment


def test_the_surface_is_what_it_is() -> None:
    parser = build_parser()
    commands = parser._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    flags = {
        name: sorted(flag for action in command._actions for flag in action.option_strings) for name, command in commands.items()
    }
    assert flags == {
        "train": ["--allow-change", "--debug", "--help", "--resume", "-h"],
        "recipe": ["--debug", "--help", "--list", "--schema", "-h"],
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
        "show": ["--debug", "--help", "--json", "-h"],
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


@pytest.mark.parametrize("overrides", [[], ["train.epochs=7"], ["train.epochs=7", "optim.lr=1e-3"]])
def test_a_run_that_is_gone_on_with_has_a_recipe_of_its_own(tmp_path: Path, overrides: list[str]) -> None:
    run = tmp_path / "runs" / "mine"
    run.mkdir(parents=True)
    (run / "recipe.yaml").write_text("")
    for order in ([*overrides, "--resume", str(run)], ["--resume", str(run), *overrides]):
        options = build_parser().parse_args(["train", *order])
        assert recipe_and_overrides(options, run) == (run / "recipe.yaml", overrides)
    options = build_parser().parse_args(["train", "quickstart", *overrides, "--resume", str(run)])
    assert recipe_and_overrides(options, run) == (Path("quickstart"), overrides)


def test_of_several_processes_the_first_tells(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("MASTER_PORT", str(time.time_ns()))
    monkeypatch.setenv("RANK", "1")
    assert main(["train", "nowhere.yaml"]) == 2
    assert capsys.readouterr().err.startswith("error: nowhere.yaml: ")
    monkeypatch.setenv("RANK", "0")
    assert main(["train", "nowhere.yaml"]) == 2
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


def test_launches_that_would_not_work_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read({}) == Launch(0, 0, 1, 1)
    assert read({"WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}).main is False
    with pytest.raises(ZooError, match="launch: asked for several processes, running 1"):
        read({"MASTER_ADDR": "127.0.0.1"})
    loaded = load_recipe(Path("quickstart"), ["train.precision=fp32"])
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    with pytest.raises(ZooError, match=r"launch: --mixed_precision bf16, but train.precision is fp32"):
        check_environment(loaded)
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    # As Accelerate writes them where nothing was asked for.
    monkeypatch.setenv("ACCELERATE_DYNAMO_BACKEND", "NO")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "false")
    check_environment(loaded)
    for name, value in (("USE_FSDP", "true"), ("USE_DEEPSPEED", "true"), ("DYNAMO_BACKEND", "INDUCTOR")):
        with (
            monkeypatch.context() as patch,
            pytest.raises(ZooError, match=rf"launch: ACCELERATE_{name}={value} is not supported"),
        ):
            patch.setenv(f"ACCELERATE_{name}", value)
            check_environment(loaded)
    with pytest.raises(ZooError, match=r"output.track: comet_ml is not installed \(pip install comet_ml\)"):
        check_environment(load_recipe(Path("quickstart"), ["output.track=[comet_ml]"]))


def test_a_taken_name_gets_a_number_and_auto_finds_what_is_not_done(tmp_path: Path) -> None:
    runs = [RunFolder.create(tmp_path, "a") for _ in range(3)]
    assert [run.path.name for run in runs] == ["a", "a-2", "a-3"]
    RunFolder.create(tmp_path, "a-b")
    assert newest_unfinished(tmp_path, "a") is None
    for run in runs[:2]:
        (run.path / "checkpoints" / "step-00000001").mkdir(parents=True)
    runs[1].write_json("result.json", {})
    assert newest_unfinished(tmp_path, "a") == tmp_path / "a"


def test_auto_takes_no_run_of_another_name(tmp_path: Path) -> None:
    for folder, name in (("net", "net"), ("net-2", "net"), ("net-50", "net-50")):
        (tmp_path / folder / "checkpoints/step-00000001").mkdir(parents=True)
        (tmp_path / folder / "recipe.yaml").write_text(f"name: {name}\n")
        os.utime(tmp_path / folder)
    assert newest_unfinished(tmp_path, "net") == tmp_path / "net-2"
    assert newest_unfinished(tmp_path, "net-50") == tmp_path / "net-50"


@pytest.mark.parametrize(
    ("command", "launcher"),
    [
        ("python\0/usr/bin/accelerate\0launch", True),
        ("python\0-m\0torch.distributed.run\0x.py", True),
        ("python\0/x/site-packages/accelerate/commands/launch.py", True),
        ("python\0/venv/bin/accelerate-launch\0scripts/train.py", True),
        ("python\0-u\0-X\0dev\0-m\0torch.distributed.run\0x.py", True),
        ("bash\0run_accelerate.sh", False),
        ("bash\0torchrun_all.sh", False),
        ("python\0/home/accelerate-fan/start.py", False),
    ],
)
def test_only_a_launcher_takes_its_processes_along(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, launcher: bool
) -> None:
    monkeypatch.setattr("zoo.system.launch.Path", lambda _: tmp_path / "cmdline")
    (tmp_path / "cmdline").write_text(command)
    assert _is_launcher(1) == launcher


def test_an_output_root_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(ZooError, match=r"output\.root: not a directory"):
            RunFolder.check(path)


def test_rows_are_as_wide_as_their_heading(capsys: pytest.CaptureFixture[str]) -> None:
    from zoo.results.epoch_table import heading, row

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
    Console(quiet=True).line("silence")
    assert capsys.readouterr().out == ""


def test_help_is_quick_and_light() -> None:
    code = "import sys; from zoo.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass\nsys.exit('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False, env=os.environ | {"COLUMNS": "100"})
    assert done.returncode == 0
