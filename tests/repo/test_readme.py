"""The pages of documentation: commands are accepted, links lead to existing files and headings, the README's examples work."""

from __future__ import annotations

import re
import shlex
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.photographs import KINDS, SIDES, picture
from safetensors.torch import load_file

from zoo.cli import command_help, main, parse
from zoo.commands.train import recipe_and_overrides
from zoo.errors import ZooError
from zoo.inference.prediction import Prediction
from zoo.recipe.load import load_recipe
from zoo.training.run import train

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "benchmarks" / "README.md"]
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
# Commands of the shell and of other programs. zoo's own commands are parsed instead.
OTHERS = re.compile(r"(pip|git|cd|pytest|scripts/|\. |sha256sum )")


@cache
def text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text(name), re.DOTALL | re.MULTILINE)


def commands() -> list[tuple[str, str]]:
    lines = [
        (name, line.split(" #")[0].strip()) for name in NAMES for block in blocks(name, "bash") for line in block.splitlines()
    ]
    return [(name, line) for name, line in lines if line]


def zoo_arguments(words: list[str]) -> list[str] | None:
    """Return the arguments of a `zoo` command or of one of its scripts; None for other commands."""
    if words[0] == "zoo":
        return words[1:]
    for script, command in (("scripts/train.py", "train"), ("scripts/benchmark.py", "bench")):
        if script in words:
            return [command, *words[words.index(script) + 1 :]]
    return None


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_command_is_accepted(page: str, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = [word for word in shlex.split(line) if not re.fullmatch(r"[A-Z_]+=\S*", word)]
    arguments = zoo_arguments(words)
    if arguments is None:
        if words[0] == "python":
            assert words[1] == "-m" or (ROOT / words[1]).is_file(), f"{page}: {line}"
        else:
            assert OTHERS.match(" ".join(words)), f"{page}: {line}"
        return
    options = parse(arguments)
    try:
        if options.command == "train":
            # The pages resume a run of the recipe folder/example, which is loaded instead.
            recipe, overrides = recipe_and_overrides(
                options, Path("runs/my-photos") if options.resume not in (None, "auto") else None
            )
            load_recipe(Path("folder/example") if recipe == Path("runs/my-photos/recipe.yaml") else recipe, overrides)
        elif options.command == "show" and options.batch:
            load_recipe(Path(options.name), options.overrides)
        elif options.command in ("list", "show", "recipe"):
            monkeypatch.chdir(tmp_path)
            assert options.run(options) == 0
    except ZooError as error:
        pytest.fail(f"{page}: {line}: {error}")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_names_commands_that_exist(name: str) -> None:
    prose = re.sub(r"^```.*?^```", "", text(name), flags=re.DOTALL | re.MULTILINE)
    named = set(re.findall(r"`zoo ([a-z]+)", prose))
    assert named <= set(command_help())


def test_the_readme_names_every_command() -> None:
    assert {name for name in command_help() if f"`zoo {name}`" not in text("README.md")} == set()


def slug(heading: str) -> str:
    """Return the anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_somewhere(name: str) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", text(name)):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        linked = (ROOT / name).parent / path if path else ROOT / name
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), target


@pytest.mark.parametrize("name", NAMES)
def test_files_that_a_page_names_are_there(name: str) -> None:
    named = set(re.findall(r"`((?:\w+/)*\w+\.(?:py|csv|yaml))`", text(name))) - {"recipe.yaml"}
    folders = [ROOT, ROOT / "zoo", *(ROOT / "zoo").iterdir()]
    # A benchmark writes `results.csv`, and a run writes `predictions.csv`. Names with a hyphen do not match and are not checked.
    named -= {"results.csv", "predictions.csv"}
    missing = [path for path in named if not any((folder / path).is_file() for folder in folders)]
    assert missing == []


def test_every_page_is_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        page = waiting.pop().resolve()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        found = re.findall(r"\]\(([^)#:]+)", page.read_text(encoding="utf-8"))
        waiting += [page.parent / target for target in found]
    assert {page.resolve() for page in PAGES} <= reached


def test_the_readme_is_short() -> None:
    assert len(text("README.md").split()) <= 1550


@pytest.mark.parametrize("number", range(len(blocks("README.md", "yaml"))))
def test_a_recipe_of_the_readme_loads(number: int, tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(blocks("README.md", "yaml")[number], encoding="utf-8")
    load_recipe(path)


def test_the_readme_shows_the_mistakes_as_they_are_reported(capsys: pytest.CaptureFixture[str]) -> None:
    (shown,) = [block for block in blocks("README.md", "text") if block.startswith("$ zoo train")]
    command, *lines = shown.splitlines()
    assert main(shlex.split(command)[2:]) == 2
    assert capsys.readouterr().err.splitlines() == lines


def test_the_page_of_backbones_shows_the_list_as_it_is(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    (shown,) = [block for block in blocks("docs/backbones.md", "text") if block.startswith("$ zoo list")]
    command, *lines = shown.rstrip().splitlines()
    assert main(shlex.split(command)[2:]) == 0
    assert capsys.readouterr().out.rstrip().splitlines() == lines


# ------------------------------------------------------------------ a trained model on every kind of image file


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a run on plain PNG files; its test images are one picture of each class, as every kind of file."""
    root = tmp_path_factory.mktemp("photos")
    for side in SIDES:
        for part, count in (("train", 24), ("val", 2)):
            (root / part / side).mkdir(parents=True)
            for seed in range(count):
                picture(side, seed).save(root / part / side / f"{seed:02}.png")
        (root / "test" / side).mkdir(parents=True)
        for kind, write in KINDS.items():
            write(picture(side, seed=99), root / "test" / side / kind)
    options = [
        f"data.root={root}", f"output.root={root / 'runs'}", "backbone={name: test_resnet, weights: random}", "image_size=32",
        "augment={crop: none, hflip: false, color_jitter: 0}", "finetune={batch_norm: train}", "eval.select_by=last",
        "optim.lr=0.003", "train.epochs=5", "train.batch_size=8", "train.precision=fp32", "train.channels_last=false",
        "train.accumulate=1", "train.threads=1",
    ]  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOO_CACHE", str(root / "cache"))
        return train(load_recipe(Path("folder/example"), options))


def probabilities(run: Path, photo: Path) -> torch.Tensor:
    """Return the probabilities of the README's example for an image file, float32 [C]; its paths and `print` are replaced."""
    (example,) = blocks("README.md", "python")
    for shown, real in (('"runs/my-photos"', run), ('"chair.jpg"', photo)):
        assert shown in example
        example = example.replace(shown, repr(str(real)))
    space: dict[str, object] = {}
    exec(example.replace("print(", "named = ("), space)
    prediction, named = space["prediction"], space["named"]
    assert isinstance(prediction, Prediction)
    assert prediction.probabilities is not None
    assert named == (prediction.label, prediction.top)
    assert len(prediction.top) == 3
    return prediction.probabilities


@pytest.mark.slow
def test_the_readme_reads_every_kind_of_photograph_as_training_did(trained: Path) -> None:
    root = trained.parents[1]
    photos = [root / "test" / side / kind for side in sorted(SIDES) for kind in sorted(KINDS)]
    saved = load_file(trained / "predictions.safetensors")
    assert [sorted(SIDES)[target] for target in saved["targets"]] == [photo.parent.name for photo in photos]
    scored = saved["logits"].softmax(1)
    shown = torch.stack([probabilities(trained, photo) for photo in photos])
    wrong = [
        str(photo.relative_to(root))
        for photo, row in zip(photos, shown, strict=True)
        if sorted(SIDES)[row.argmax()] != photo.parent.name
    ]
    assert wrong == []
    # A run resizes images from the pixel store, the example from the file, so the probabilities differ slightly.
    assert torch.equal(shown.argmax(1), scored.argmax(1))
    assert float((shown - scored).abs().max()) < 0.05


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_readme_sees_the_same_in_a_file_and_in_its_plain_twin(kind: str, trained: Path, tmp_path: Path) -> None:
    for side in SIDES:
        picture(side, seed=99).save(tmp_path / "plain.png")
        twin = probabilities(trained, tmp_path / "plain.png")
        found = probabilities(trained, trained.parents[1] / "test" / side / kind)
        # JPEG and AVIF are lossy; all other formats here are exact.
        lossy = kind.endswith((".jpg", ".jpeg", ".avif"))
        np.testing.assert_allclose(found, twin, atol=0.02 if lossy else 1e-6)
