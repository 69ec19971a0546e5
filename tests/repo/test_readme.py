"""The README's blocks: every zoo command is accepted, every recipe and file it names is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from zoo.cli import build_parser
from zoo.errors import ZooError
from zoo.recipe.load import load_recipe

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in re.findall(r"```bash\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL):
            found += [(page.name, line.split(" #")[0].strip()) for line in block.splitlines() if line.strip()]
    return found


def zoo_arguments(line: str) -> list[str] | None:
    words = [word for word in shlex.split(line) if not re.fullmatch(r"[A-Z_]+=\S*", word)]
    if words[0] == "zoo":
        return words[1:]
    if "scripts/train.py" in words:
        return ["train", *words[words.index("scripts/train.py") + 1 :]]
    if "scripts/benchmark.py" in words:
        return ["bench", *words[words.index("scripts/benchmark.py") + 1 :]]
    return None


@pytest.mark.parametrize(("page", "line"), commands())
def test_a_command_is_accepted(page: str, line: str) -> None:
    arguments = zoo_arguments(line)
    if arguments is None:
        assert re.match(r"(pip|git|cd|python|pytest|scripts/|\. |source )", line), f"{page}: {line}"
        return
    options = build_parser().parse_args(arguments)
    if getattr(options, "recipe", None):
        try:
            load_recipe(options.recipe, options.overrides)
        except ZooError as error:
            pytest.fail(f"{page}: {line}: {error}")


def test_links_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
