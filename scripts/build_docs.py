"""Write what is generated from the recipe's classes: `recipes/schema.json` and `docs/recipes.md`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

from zoo import config, recipe
from zoo.config import Section
from zoo.recipe import Recipe

ROOT = Path(__file__).parent.parent


def page() -> str:
    """The reference of every option, in the order of a recipe."""
    lines = [
        "# Recipe options",
        "",
        "Generated from the code by `python scripts/build_docs.py`. `zoo recipe RECIPE` prints a recipe with every option filled in.",
        "",
    ]
    for name, field in Recipe.model_fields.items():
        options = _sections(field.annotation)
        if not options:
            lines += [f"## {name}", "", _row_text(field), ""]
        for option in options:
            kinds = get_args(option.model_fields["kind"].annotation) if "kind" in option.model_fields else ()
            lines += _section(f"{name}: {{kind: {kinds[0]}}}" if kinds else name, option, "##")
    return "\n".join(lines).rstrip() + "\n"


def _section(title: str, section: type[Section], level: str) -> list[str]:
    about = " ".join((section.__doc__ or "").split())
    lines = [f"{level} {title}", "", about, "", "| option | default | |", "|---|---|---|"]
    nested: list[str] = []
    for name, field in section.model_fields.items():
        if name == "kind":
            continue
        default = "required" if field.is_required() else f"`{_short(field.default)}`"
        lines.append(f"| `{name}` | {default} | {_row_text(field)} |")
        for option in _sections(field.annotation):
            kinds = get_args(option.model_fields["kind"].annotation) if "kind" in option.model_fields else ()
            nested += _section(f"{title}.{name}: {{kind: {kinds[0]}}}", option, "###")
    if lines[-1] == "|---|---|---|":
        lines = lines[:-3]
    return [*lines, "", *nested]


def _row_text(field: Any) -> str:
    return (field.description or "").replace("|", "\\|")


def _short(value: Any) -> str:
    if isinstance(value, Section):
        return value.kind if hasattr(value, "kind") else "…"  # type: ignore[attr-defined]
    return config.describe(value).strip("'") if not hasattr(value, "parts") else str(value)


def _sections(annotation: Any) -> list[type[Section]]:
    return config.sections_of(annotation)


if __name__ == "__main__":
    (ROOT / "recipes" / "schema.json").write_text(recipe.schema(), encoding="utf-8")
    (ROOT / "docs" / "recipes.md").write_text(page(), encoding="utf-8")
