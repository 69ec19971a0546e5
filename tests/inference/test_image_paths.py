from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.inference.image_paths import ImagePaths


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("a.jpg", "b/c.PNG", "b/d/e.webp", ".hidden/x.jpg", ".y.jpg", "notes.txt", "b/[z].jpg"):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photos"


@pytest.mark.parametrize(
    ("paths", "found"),
    [
        (["photos"], ["photos/a.jpg", "photos/b/[z].jpg", "photos/b/c.PNG", "photos/b/d/e.webp"]),
        (["photos/b", "photos/a.jpg"], ["photos/b/[z].jpg", "photos/b/c.PNG", "photos/b/d/e.webp", "photos/a.jpg"]),
        (["photos/*"], ["photos/a.jpg", "photos/b/[z].jpg", "photos/b/c.PNG", "photos/b/d/e.webp"]),
        (["photos/**/*.webp"], ["photos/b/d/e.webp"]),
        (["photos/notes.txt"], ["photos/notes.txt"]),
        (["photos/b/[z].jpg"], ["photos/b/[z].jpg"]),
    ],
)
def test_files_folders_and_patterns(photos: Path, paths: list[str], found: list[str]) -> None:
    images = ImagePaths(paths)
    images.check()
    assert list(images) == list(images) == found
    assert len(images) == len(found)


def test_a_list_on_standard_input(photos: Path) -> None:
    images = ImagePaths(["-", "photos/a.jpg"], io.StringIO("one.jpg\r\n\ntwo three.png\n"))
    images.check()
    assert list(images) == ["one.jpg", "two three.png", "photos/a.jpg"]


@pytest.mark.parametrize(
    ("paths", "text"),
    [
        (["none.jpg"], "none.jpg: no such file or folder (check the path)"),
        (["photos/*.bmp"], "photos/*.bmp: no such file or folder"),
        (["empty"], "empty: no images in this folder (known endings: .jpg"),
        (["-", "-"], "PATH: - is given twice"),
    ],
)
def test_what_names_no_image_is_refused(photos: Path, paths: list[str], text: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(ZooError) as error:
        ImagePaths(paths).check()
    assert str(error.value).startswith(text)


def test_folders_that_link_in_circles_are_not_followed(photos: Path) -> None:
    os.symlink(photos, photos / "b" / "again")
    assert len(ImagePaths(["photos"])) == 4
