from __future__ import annotations

import io
import os
from pathlib import Path

import pytest

from zoo.data.decode import Unreadable, open_rgb
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
        (["photos/*.bmp"], "photos/*.bmp: no image matches (known endings: .jpg"),
        (["empty"], "empty: no images in this folder (known endings: .jpg"),
        (["-", "-"], "PATH: - is given twice"),
        (["-"], "PATH: standard input has no paths (give one path per line)"),
    ],
)
def test_what_names_no_image_is_refused(photos: Path, paths: list[str], text: str) -> None:
    Path("empty").mkdir()
    with pytest.raises(ZooError) as error:
        ImagePaths(paths, io.StringIO("\n")).check()
    assert str(error.value).startswith(text)


def test_links_are_followed_unless_they_lead_in_a_circle(photos: Path, tmp_path: Path) -> None:
    os.symlink(photos, photos / "b" / "again")
    assert len(ImagePaths(["photos"])) == 4
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "f.jpg").touch()
    os.symlink(tmp_path / "other", photos / "z")
    assert list(ImagePaths(["photos"]))[-1] == "photos/z/f.jpg"
    os.symlink("self", photos / "self")
    assert list(ImagePaths(["photos"]))[-1] == "photos/z/f.jpg"


def test_photographs_of_a_kind_that_is_not_read_are_not_passed_over(tmp_path: Path) -> None:
    (tmp_path / "a.dng").write_bytes(b"raw")
    assert list(ImagePaths([str(tmp_path)])) == [str(tmp_path / "a.dng")]
    with pytest.raises(Unreadable, match="in a format that zoo does not read: convert to JPEG or PNG"):
        open_rgb(tmp_path / "a.dng")


def test_names_on_standard_input_may_be_no_text(photos: Path) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"caf\xe9.jpg\n"), encoding="utf-8")
    assert list(ImagePaths(["-"], stdin)) == ["caf\udce9.jpg"]
