"""The rules of the house that no linter knows: floors, light modules, small files and functions."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {path.stem: path for path in sorted((ROOT / "zoo").glob("*.py")) if not path.stem.startswith("__")}


def floors() -> dict[str, int]:
    """The floor of each module, as the table in docs/design.md says."""
    text = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")
    found = {}
    for number, modules in re.findall(r"^\| (\d+) \| (.*?) \|", text, re.MULTILINE):
        found |= dict.fromkeys(re.findall(r"`(\w+)`", modules), int(number))
    return found


def imports(path: Path) -> Iterator[str]:
    """What a module imports when it is imported: not inside functions, not for type checkers."""

    def visit(nodes: list[ast.stmt]) -> Iterator[str]:
        for node in nodes:
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
            elif isinstance(node, ast.If) and "TYPE_CHECKING" not in ast.unparse(node.test):
                yield from visit(node.body)

    yield from visit(ast.parse(path.read_text(encoding="utf-8")).body)


def test_every_module_has_its_floor() -> None:
    assert set(floors()) == set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_imports_from_below_only(name: str) -> None:
    known = floors()
    own = {part.split(".")[1] for part in imports(MODULES[name]) if part.startswith("zoo.")} & set(MODULES)
    assert {other for other in own if known[other] >= known[name]} == set()


LIGHT = ["cli", "errors", "config", "metrics", "names", "data", "augment", "backbone", "optim", "finetune", "recipe", "run"]
LIGHT += ["catalog", "local", "listing", "fronts", "figures", "isolate", "bench", "benchrows", "benchcompare"]


@pytest.mark.parametrize("name", LIGHT)
def test_what_checks_recipes_and_reads_runs_is_light(name: str) -> None:
    heavy = {"torch", "numpy", "timm", "torchvision", "accelerate", "PIL", "matplotlib"}
    assert {part.split(".")[0] for part in imports(MODULES[name])} & heavy == set()


@pytest.mark.parametrize("path", [*MODULES.values(), *sorted((ROOT / "scripts").glob("*.py"))], ids=lambda path: path.stem)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    long = [
        node.name
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= 60
    ]
    assert long == []
    assert path.stem not in ("utils", "helpers", "common", "misc")


def test_the_generated_pages_are_fresh() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import build_docs
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    assert (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8") == build_docs.page(), "run: python scripts/build_docs.py"
