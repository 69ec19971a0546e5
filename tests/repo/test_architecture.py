"""The rules of the house that no linter knows: import order of the folders, light modules, small files and functions."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "zoo").rglob("*.py"))
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
# The folders from the ground up: each imports from those before it only. Those of one line do not import each other.
ORDER = [
    {"errors", "section", "metrics"},
    {"system"},
    {"data", "models", "results"},
    {"optim"},
    {"recipe"},
    {"train"},
    {"inference", "bench"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
FLOOR = {name: floor for floor, names in enumerate(ORDER) for name in names}


def imports(path: Path) -> Iterator[str]:
    """Every module of zoo that a file imports, inside functions too, but for type checkers."""

    def visit(node: ast.AST) -> Iterator[str]:
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            return
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module
        for child in ast.iter_child_nodes(node):
            yield from visit(child)

    yield from (name for name in visit(ast.parse(path.read_text(encoding="utf-8"))) if name.startswith("zoo."))


def folder(module: str) -> str:
    """The folder of a module, or the module itself where it lies at the top."""
    return module.split(".")[1]


@pytest.mark.parametrize("name", [name for name in MODULES if name != "zoo"])
def test_a_folder_imports_from_those_below_it_only(name: str) -> None:
    own = folder(name)
    if own not in FLOOR:
        pytest.skip("not in a folder yet")
    above = {
        other
        for other in imports(MODULES[name])
        if folder(other) != own and folder(other) in FLOOR and FLOOR[folder(other)] >= FLOOR[own]
    }
    assert above == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: set(imports(path)) - {name} for name, path in MODULES.items()}
    assert len(tuple(TopologicalSorter(graph).static_order())) >= len(MODULES)


LIGHT = ["zoo.cli", "zoo.errors", "zoo.section", "zoo.metrics"]
HEAVY = {"torch", "numpy", "timm", "torchvision", "accelerate", "PIL", "matplotlib"}


@pytest.mark.parametrize("name", [name for name in LIGHT if name in MODULES])
def test_what_answers_at_once_imports_nothing_heavy(name: str) -> None:
    code = f"import sys, {name}; print(*({HEAVY!r} & set(sys.modules)))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.split() == []


@pytest.mark.parametrize("path", [*FILES, *sorted((ROOT / "scripts").glob("*.py"))], ids=lambda path: path.stem)
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
