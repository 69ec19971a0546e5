from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.command_line import mistake, printed

from zoo.cli import main
from zoo.models import catalog

KEYS = {"name", "architecture", "tag", "params", "gmacs", "macts", "image_size", "fixed_size", "license", "top1", "cached"}


def test_json_is_a_list_of_objects_one_for_each_tag(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(printed(capsys, "list", "resnet18", "--json"))
    assert {row["name"] for row in rows} == {entry.name for entry in catalog.architectures()["resnet18"]}
    assert all(set(row) >= KEYS for row in rows)
    row = next(row for row in rows if row["tag"] == "tv_in1k")
    assert (row["params"], row["image_size"], row["fixed_size"], row["cached"]) == (11689512, 224, False, False)
    assert len(json.loads(printed(capsys, "list", "--json"))) == len(catalog.entries())


def test_csv_says_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(printed(capsys, "list", "vit_tiny*", "resnet10t", "--json"))
    table = list(csv.DictReader(io.StringIO(printed(capsys, "list", "vit_tiny*", "resnet10t", "--csv"))))
    assert [row["name"] for row in table] == [row["name"] for row in rows]
    for text, row in zip(table, rows, strict=True):
        assert list(text) == list(row)
        assert text["params"] == str(row["params"])
        assert text["top1"] == ("" if row["top1"] is None else str(row["top1"]))
        assert text["mean"].split() == [str(value) for value in row["mean"]]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_the_table_is_aligned_and_fits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = printed(capsys, "list", "--sort", "params").splitlines()
    assert max(map(len, lines)) <= width
    heading, *rows = lines[: lines.index("")]
    assert len(rows) == len(catalog.entries())
    # Numbers are right-aligned with their heading.
    for column in {"M params", "GMACs", "top-1"} & set(heading.split("  ")):
        end = heading.index(column) + len(column)
        assert all(row[end : end + 1] in ("", " ") for row in rows)


def test_short_names_are_whole_where_there_is_room(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = printed(capsys, "list", "resnet18.*")
    assert "resnet18.fb_swsl_ig1b_ft_in1k" in text
    assert "69.75" in next(line for line in text.splitlines() if line.startswith("resnet18.tv_in1k"))


def test_what_is_on_this_machine_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    lines = printed(capsys, "list", "tf_efficientnet_lite*").splitlines()
    marked = {line.split()[0] for line in lines if line.endswith("package")}
    assert "tf_efficientnet_lite0.in1k" in marked
    assert "tf_efficientnet_lite4.in1k" not in marked
    (row,) = json.loads(printed(capsys, "list", "tf_efficientnet_lite0.*", "--json"))
    assert row["cached"] is True


def test_nothing_left_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert printed(capsys, "list", "resnet18", "--max-params", "1K").startswith("0 of ")
    assert json.loads(printed(capsys, "list", "resnet18", "--max-params", "1K", "--json")) == []


def test_another_timm_is_noted_in_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "other_timm", lambda: "9.9.9")
    for arguments in (["list", "resnet18", "--json"], ["show", "resnet18", "--json"]):
        assert main(arguments) == 0
        captured = capsys.readouterr()
        assert captured.err == (
            f"note: the catalog is for timm {catalog.version()}, but 9.9.9 is installed: names and figures may differ\n"
        )
        assert json.loads(captured.out)


def test_listing_everything_is_quick_and_light() -> None:
    code = (
        "import sys; from zoo.cli import main; code = main(['list']);"
        "sys.exit(code or bool({'torch', 'timm', 'numpy', 'pydantic', 'huggingface_hub'} & set(sys.modules)))"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    assert child.returncode == 0
    # CPU time, which does not include time for other processes.
    assert used.ru_utime + used.ru_stime < 0.5


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["list", "resnt18"], "error: zoo list: no backbone matches 'resnt18' (closest: resnet18, "),
        (["list", "--max-params", "12Q"], "error: --max-params: expected a number, "),
        (["list", "--sort", "size"], "error: --sort: unknown 'size' ("),
        (["list", "--license", "permisive"], "error: --license: unknown 'permisive' (permissive, or "),
        (
            ["list", "resnet18", "--plot", "x.gif"],
            "error: --plot: x.gif: not a supported picture format (give a name that ends in ",
        ),
        (["list", "resnet18", "--plot", "/nowhere/x.svg"], "error: --plot: /nowhere/x.svg: there is no folder /nowhere ("),
        (["list", "resnet18", "--plot", "/proc/x.svg"], "error: --plot: /proc/x.svg: cannot be written: "),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], start: str) -> None:
    assert mistake(capsys, *arguments).startswith(start)


@pytest.mark.parametrize(("name", "start"), [("x.svg", b"<?xml"), ("x.png", b"\x89PNG")])
def test_a_picture_is_written(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, start: bytes) -> None:
    text = printed(capsys, "list", "resnet1*", "--plot", str(tmp_path / name))
    assert text.startswith(f"{tmp_path / name}: ")
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [name]


def test_a_picture_beside_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert json.loads(printed(capsys, "list", "resnet18", "--json", "--plot", str(tmp_path / "x.svg")))
    assert (tmp_path / "x.svg").is_file()


def test_nothing_to_draw_is_a_mistake(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bare = next(entry.name for entry in catalog.entries() if not entry.tag)
    line = mistake(capsys, "list", bare, "--plot", str(tmp_path / "x.svg"))
    assert line == "error: --plot: timm publishes no top-1 accuracy for these 1 backbones (choose others)"
