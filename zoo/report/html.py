"""Fill the template of a page. All pages share `base.html.j2` and `base.css`, and use no scripts or requests."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.report import wording


def render(folder: Path, values: Mapping[str, Any]) -> str:
    """Render a folder's `page.html.j2` and `page.css` with the given values; all text is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Runs before escaping: names come from folders, and may have characters that HTML does not allow.
        finalize=lambda value: value if isinstance(value, Markup) else wording.fit_text(value),
    )
    environment.filters |= {"share": wording.share}
    return environment.get_template("page.html.j2").render(values)
