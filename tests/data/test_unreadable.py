"""Messages about files that cannot be read as images. test_folder_set.py tests how such files are skipped."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from zoo.data import unreadable

FILES = [Path(f"/photos/{name}.jpg") for name in ("a", 'b,"b\n', "c\udcff")]


@pytest.mark.parametrize(("where", "way_out"), [("data.root", ", or set data.on_bad=skip"), ("--data", "")])
def test_one_file_needs_no_list(cache: Path, where: str, way_out: str) -> None:
    (line,) = unreadable.refusal({0: "empty file"}, FILES, where, "key").lines
    assert line == f"{where}: 1 unreadable image, first: /photos/a.jpg: empty file (replace or remove it{way_out})"
    assert not (cache / "unreadable").exists()


def test_the_list_holds_any_name(cache: Path) -> None:
    bad = {2: "truncated", 1: "damaged: at 3, 4"}
    text = unreadable.note(bad, FILES, "key")
    path = cache / "unreadable/key.csv"
    assert text == f'skipped 2 unreadable images, first: /photos/b,"b\n.jpg: damaged: at 3, 4; all are listed in {path}'
    with open(path, newline="", encoding="utf-8") as handle:
        rows = list(csv.reader(handle))
    assert rows == [["file", "reason"], ['/photos/b,"b\n.jpg', "damaged: at 3, 4"], ["/photos/c\\udcff.jpg", "truncated"]]
