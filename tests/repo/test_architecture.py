"""The rules of this repository that no linter checks.

They cover the import order of folders, light modules, small files and functions, a test file for each module, names, docstrings
and generated pages.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "zoo").rglob("*.py"))
TREES = {path: ast.parse(path.read_text(encoding="utf-8")) for path in FILES}
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path for path in FILES}
# The folders and top-level modules, lowest first: each imports only from earlier lines, and those of a line not from each other.
ORDER = [
    {"errors", "section", "metrics"},
    {"system", "stats", "flags"},
    {"data", "models", "results"},
    {"optim"},
    {"recipe"},
    {"report"},
    {"training"},
    {"inference", "bench", "ranking"},
    {"deploy", "scout", "sweep"},
    {"commands"},
    {"cli"},
    {"__main__"},
]
FLOOR = {name: floor for floor, names in enumerate(ORDER) for name in names}

# Modules that import nothing heavy, so that --help, errors in a recipe and `zoo list` are fast. A folder ends in a dot.
LIGHT = [
    *("errors", "section", "metrics", "flags"),
    *(
        f"system.{name}"
        for name in ("files", "locks", "signals", "launch", "workers", "threads", "hardware", "console", "table", "progress")
    ),
    *("data.options", "data.augment", "data.store_cache"),
    *(f"models.{name}" for name in ("catalog", "names", "availability", "options", "finetune", "layers", "listing")),
    *(
        "optim.options",
        "optim.schedules",
        "results.folder",
        "results.result",
        "results.epoch_table",
        "results.predictions",
        "recipe.",
        *(
            f"sweep.{name}"
            for name in (
                "grid",
                "folder",
                "rows",
                "pool",
                "on_ray",
                "halving",
                "budget",
                "sweep",
                "start",
                "plan",
                "folds",
                "out_of_fold",
            )
        ),
        "commands.",
        "cli",
    ),
]
HEAVY = {"torch", "numpy", "timm", "torchvision", "accelerate", "PIL", "matplotlib", "safetensors", "huggingface_hub"}

# Modules without a test file of their own name, and the file that tests them. Testing these needs a whole run.
TESTED_ELSEWHERE: dict[str, str] = {
    "zoo.training.assemble": "tests/training/test_run.py",
    "zoo.training.loop": "tests/training/test_run.py",
    "zoo.training.resume": "tests/training/test_run.py",
    "zoo.training.saver": "tests/training/test_run.py",
    "zoo.training.setup": "tests/training/test_run.py",
}

# Most lines of a file.
FILE_LINES = 400
# Most lines of a function from its `def` on, including its docstring: they fit on one screen.
FUNCTION_LINES = 50
# Fewest lines of a folder's docstring: its purpose, what goes in and out, the order of its files.
FOLDER_LINES = 5
# Names of files and folders that do not describe their content.
NAMELESS = {"utils", "util", "helpers", "helper", "common", "misc"}
# A private name; `__version__` is public.
PRIVATE = re.compile(r"_(?!_)")
# Beginnings of a docstring that are not a verb.
NO_VERB = re.compile(r"(What|Whether|How|See that)\b")


def folder(module: str) -> str:
    """Return the folder of a module, or the module itself if it is at the top level."""
    return module.split(".")[1]


def code(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield every node of a file, including those inside functions, except `if TYPE_CHECKING` blocks."""
    for child in ast.iter_child_nodes(tree):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield child
            yield from code(child)


def imports(path: Path) -> dict[str, str]:
    """Return the modules of zoo that a file imports, each with its name in the file; '' if only names inside it are imported."""
    found: dict[str, str] = {}
    for node in code(TREES[path]):
        if isinstance(node, ast.Import):
            found |= {alias.name: alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                if full in MODULES:
                    found[full] = alias.asname or alias.name
                else:
                    found.setdefault(node.module, "")
    return {name: known for name, known in found.items() if name.startswith("zoo.")}


@pytest.mark.parametrize("name", [name for name in MODULES if name != "zoo"])
def test_a_folder_imports_from_those_below_it_only(name: str) -> None:
    own = folder(name)
    assert own in FLOOR, "a new folder or module at the top needs a place in ORDER"
    above = {other for other in imports(MODULES[name]) if folder(other) != own and FLOOR[folder(other)] >= FLOOR[own]}
    assert above == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: set(imports(path)) - {name} for name, path in MODULES.items()}
    assert len(tuple(TopologicalSorter(graph).static_order())) >= len(MODULES)


def test_what_answers_at_once_imports_nothing_heavy() -> None:
    """Import the modules in one process, one after the other; name the first one that imports a heavy package."""
    light = [f"zoo.{name}" for name in LIGHT if not name.endswith(".")]
    light += [name for name in MODULES for start in LIGHT if start.endswith(".") and name.startswith(f"zoo.{start}")]
    program = (
        "import importlib, sys\nknown = set()\n"
        f"for name in {light!r}:\n"
        "    importlib.import_module(name)\n"
        f"    new = {HEAVY!r} & set(sys.modules) - known\n"
        "    known |= new\n"
        "    if new: print(name, *sorted(new))\n"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert found.stdout == ""


@pytest.mark.parametrize("name", [name for name, path in MODULES.items() if not path.stem.startswith("__")])
def test_a_module_has_tests_of_its_own_name(name: str) -> None:
    own = ROOT / "tests" / MODULES[name].relative_to(ROOT / "zoo").with_name(f"test_{MODULES[name].stem}.py")
    if name in TESTED_ELSEWHERE:
        assert (ROOT / TESTED_ELSEWHERE[name]).is_file()
        assert not own.is_file(), f"take {name} out of TESTED_ELSEWHERE"
    else:
        assert own.is_file(), f"write {own.relative_to(ROOT)}, or say in TESTED_ELSEWHERE where {name} is tested"


def test_tests_elsewhere_are_of_modules_that_exist() -> None:
    assert set(TESTED_ELSEWHERE) <= set(MODULES)


@pytest.mark.parametrize(
    "path",
    [*FILES, *sorted((ROOT / "scripts").glob("*.py")), *sorted((ROOT / "benchmarks").glob("*.py"))],
    ids=lambda path: str(path.relative_to(ROOT).with_suffix("")),
)
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= FILE_LINES
    functions = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.FunctionDef)]
    long = {node.name: lines for node in functions if (lines := (node.end_lineno or 0) - node.lineno + 1) > FUNCTION_LINES}
    assert long == {}


def test_names_say_what_is_in_a_file() -> None:
    files = [path for place in ("zoo", "scripts", "benchmarks", "tests") for path in (ROOT / place).rglob("*.py")]
    names = {path.relative_to(ROOT) for path in files for part in (path.stem, path.parent.name) if part in NAMELESS}
    assert {path for path in names if path.parts[:2] != ("tests", "helpers")} == set()


@pytest.mark.parametrize(
    "name", sorted(path.parent.name for path in FILES if path.name == "__init__.py" and path.parent.name != "zoo")
)
def test_a_folder_says_what_it_is_for_and_nothing_else(name: str) -> None:
    tree = TREES[ROOT / "zoo" / name / "__init__.py"]
    assert len((ast.get_docstring(tree) or "").splitlines()) >= FOLDER_LINES
    assert len(tree.body) == 1, "importing a folder must not import its modules"


@pytest.mark.parametrize("name", list(MODULES))
def test_a_module_uses_no_private_name_of_another(name: str) -> None:
    path = MODULES[name]
    known = {alias for alias in imports(path).values() if alias}
    private = {
        alias.name
        for node in code(TREES[path])
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("zoo")
        for alias in node.names
        if PRIVATE.match(alias.name)
    }
    private |= {
        ast.unparse(node)
        for node in code(TREES[path])
        if isinstance(node, ast.Attribute) and PRIVATE.match(node.attr) and ast.unparse(node.value) in known
    }
    assert private == set()


@pytest.mark.parametrize("name", list(MODULES))
def test_docstrings_start_with_a_verb(name: str) -> None:
    nodes = [node for node in ast.walk(TREES[MODULES[name]]) if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module)]
    texts = [ast.get_docstring(node) or "" for node in nodes]
    assert [text.partition("\n")[0] for text in texts if NO_VERB.match(text)] == []


def test_the_generated_pages_are_fresh() -> None:
    sys.path.insert(0, str(ROOT / "scripts"))
    try:
        import build_docs
    finally:
        sys.path.remove(str(ROOT / "scripts"))
    assert (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8") == build_docs.page(), "run: python scripts/build_docs.py"
