"""Fill the template of a page. All pages share `base.html.j2` and `base.css`; none needs a script or a request."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoo.report import wording


def render(folder: Path, values: Mapping[str, Any]) -> str:
    """Return the page that a folder's `page.html.j2` and `page.css` make of some values; all text of theirs is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        # Before escaping: names come from folders, and may hold what HTML cannot.
        finalize=lambda value: value if isinstance(value, Markup) else wording.fit_text(value),
    )
    environment.filters |= {"share": wording.share}
    return environment.get_template("page.html.j2").render(values)
