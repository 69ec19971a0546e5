"""The parts that all pages share."""

from __future__ import annotations

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from zoo.report.html import render


def page(folder: Path, template: str, **values: object) -> str:
    (folder / "page.html.j2").write_text('{% extends "base.html.j2" %}{% block body %}' + template + "{% endblock %}")
    (folder / "page.css").write_text("main { color: red }")
    return render(folder, values)


def test_the_style_of_the_page_follows_that_of_all(tmp_path: Path) -> None:
    text = page(tmp_path, "<main>here</main>")
    assert text.index(":root {") < text.index("main { color: red }") < text.index("</style>") < text.index("<main>here</main>")
    assert "default-src 'none'" in text


def test_values_are_text_and_never_code(tmp_path: Path) -> None:
    text = page(tmp_path, "<p>{{ name }}</p>", name="<script>\x00\ud800&")
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    text.encode()
    with pytest.raises(UndefinedError):
        page(tmp_path, "{{ nothing }}")
