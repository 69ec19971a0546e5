from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.folders import load, refused
from PIL import Image

from zoo.data import decode, pixel_store
from zoo.errors import DataError

Draw = Callable[..., Path]

pytestmark = pytest.mark.usefixtures("cache")


# -------------------------------------------------------------------------------------- images


def png(path: Path) -> bytes:
    Image.effect_noise((200, 200), 50).save(path.with_suffix(".png"))
    return path.with_suffix(".png").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.png", lambda path: png(path)[:8000], "truncated"),
        ("a.jpg", lambda path: b"", "empty file"),
        ("a.jpg", lambda path: b"<html>not found</html>", "not an image"),
        ("a.png", lambda path: b"<svg xmlns='http://www.w3.org/2000/svg'/>", "not an image"),
        ("a.png", lambda path: png(path)[:20], "truncated"),
        ("a.ppm", lambda path: b"P6 20000 20000 255\n", "20000 x 20000 is more than 256 million pixels"),
        ("a.ppm", lambda path: b"P6 65536 65536 255\n", "more than 256 million pixels"),
        ("a.png", lambda path: png(path)[:60] + b"\xff" * 200 + png(path)[260:], "damaged: "),
    ],
)  # fmt: skip
def test_an_unreadable_image_is_named_and_leaves_nothing(
    image_folder: Draw, cache: Path, name: str, content: Callable[[Path], bytes], reason: str
) -> None:
    root = image_folder({"a": 2, "b": 2})
    (root / "b" / name).write_bytes(content(root.parent / "whole"))
    line = refused(root)
    assert line.startswith(f"data.root: 1 unreadable image, first: ROOT/b/{name}: {reason}")
    assert line.endswith("(replace or remove it)")
    assert [path.name for path in (cache / "pixels").iterdir() if path.suffix != ".lock"] == []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "tif", "webp", "bmp"])
def test_damage_of_any_kind_is_unreadable_or_harmless(tmp_path: Path, suffix: str) -> None:
    generator, path = np.random.default_rng(0), tmp_path / f"x.{suffix}"
    Image.effect_noise((24, 24), 60).convert("RGB").save(path)
    whole = np.frombuffer(path.read_bytes(), np.uint8)
    refused = 0
    for _ in range(60):
        broken = whole.copy()
        broken[generator.integers(0, min(len(whole), 400), 6)] = generator.integers(0, 256, 6)
        path.write_bytes(broken[: generator.integers(len(whole) // 2, len(whole) + 1)].tobytes())
        try:
            assert decode.decode_resized(path, 8, "bicubic")[0].shape == (3, 8, 8)
        except decode.Unreadable:
            refused += 1
    assert refused > 10


def test_all_unreadable_images_are_counted(image_folder: Draw) -> None:
    root = image_folder({"a": 2, "b": 2})
    for number in range(3):
        (root / "b" / f"x{number}.jpg").write_text("x")
    assert refused(root) == "data.root: 3 unreadable images, first: ROOT/b/x0.jpg: not an image (replace or remove them)"


def gray16(value: int) -> Image.Image:
    return Image.fromarray(np.full((8, 8), value, np.uint16))


def transparent(mode: str) -> Image.Image:
    return Image.new("RGBA", (8, 8), (200, 0, 0, 0)).convert(mode)


def palette() -> Image.Image:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    return image


WHITE, GREY = (255, 255, 255), (128, 128, 128)


@pytest.mark.parametrize(
    ("image", "suffix", "options", "pixel"),
    [
        (gray16(128 * 257), ".png", {}, GREY),
        (gray16(40000), ".png", {}, (156, 156, 156)),
        (Image.fromarray(np.full((8, 8), 128 * 257, np.int32)), ".tif", {}, GREY),
        (Image.fromarray(np.full((8, 8), 0.5, np.float32)), ".tif", {}, GREY),
        (transparent("RGBA"), ".png", {}, WHITE),
        (transparent("LA"), ".png", {}, WHITE),
        (Image.new("RGBA", (8, 8), (200, 0, 0, 128)), ".png", {}, (227, 127, 127)),
        (palette(), ".png", {}, (10, 20, 30)),
        (palette(), ".png", {"transparency": 1}, WHITE),
        (palette(), ".png", {"transparency": b"\xff\x00"}, WHITE),
        (palette(), ".gif", {"transparency": 1}, WHITE),
        (Image.new("CMYK", (8, 8), (255, 0, 0, 0)), ".tif", {}, (0, 255, 255)),
        (Image.new("L", (8, 8), 128), ".png", {}, GREY),
        (Image.new("1", (8, 8), 1), ".png", {}, WHITE),
        (Image.new("RGB", (8, 8), (1, 2, 3)), ".bmp", {}, (1, 2, 3)),
        (Image.new("RGB", (8, 8), (1, 2, 3)), ".webp", {"lossless": True}, (1, 2, 3)),
        (Image.new("YCbCr", (8, 8), (128, 128, 128)), ".jpg", {}, GREY),
    ],
)
def test_every_kind_of_image_has_the_pixels_one_sees(
    image_folder: Draw, image: Image.Image, suffix: str, options: dict, pixel: tuple[int, int, int]
) -> None:
    root = image_folder({"a": 1, "b": 1}, size=(8, 8))
    image.save(root / f"a/zz{suffix}", **options)
    found = load(root, val_fraction=0.0, test_fraction=0.0).train.pixels.images[1]
    assert np.abs(found.astype(int) - np.array(pixel)[:, None, None]).max() <= (suffix == ".jpg")


@pytest.mark.parametrize(("orientation", "corner"), [(1, "top left"), (3, "bottom right"), (6, "top right"), (8, "bottom left")])
def test_photographs_are_turned_upright(image_folder: Draw, orientation: int, corner: str) -> None:
    root = image_folder({"a": 1, "b": 1}, size=(16, 16))
    image = Image.new("RGB", (64, 16))
    image.paste((255, 255, 255), (0, 0, 16, 8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(root / "a/zz.png", exif=exif)
    found = load(root, val_fraction=0.0, test_fraction=0.0, store_size=16).train.pixels
    half = {"top": slice(8), "left": slice(8), "bottom": slice(8, 16), "right": slice(8, 16)}
    rows, columns = (half[side] for side in corner.split())
    quarter = found.images[1][0, rows, columns].astype(float)
    assert quarter.sum() / found.images[1][0].sum() > 0.9
    assert found.aspects[1] == pytest.approx(0.25 if orientation in (6, 8) else 4)


# --------------------------------------------------------------------------------------- store


def test_a_second_start_decodes_nothing(image_folder: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder({"a": 2, "b": 2})
    first = load(root)
    monkeypatch.setattr(pixel_store, "decode_range", lambda job: pytest.fail("decoded again"))
    second = load(root, val_fraction=0.5)
    assert "decoded 4 images" in first.notes
    assert "images found decoded" in second.notes
    assert np.array_equal(first.train.pixels.images, second.train.pixels.images)


@pytest.mark.parametrize("change", ["content", "time", "new file", "rename", "size"])
def test_what_changed_is_decoded_anew(image_folder: Draw, change: str) -> None:
    root = image_folder({"a": 2, "b": 2})
    file = root / "a/000.png"
    load(root, store_size=16)
    if change == "content":
        Image.new("RGB", (40, 30), (9, 9, 9)).save(file)
    elif change == "time":
        os.utime(file, (1, 1))
    elif change == "new file":
        Image.new("RGB", (40, 30)).save(root / "a/9.png")
    elif change == "rename":
        file.rename(root / "a/001a.png")
    found = load(root, store_size=24 if change == "size" else 16)
    assert any(note.startswith("decoded") for note in found.notes)
    if change == "content":
        assert (found.train.pixels.images[0] == 9).all()


@pytest.mark.parametrize("file", ["pixels.bin", "store.json", "aspects.npy"])
def test_a_damaged_store_is_made_again(image_folder: Draw, cache: Path, file: str) -> None:
    root = image_folder({"a": 2, "b": 2})
    first = np.array(load(root).train.pixels.images)
    (path,) = (cache / "pixels").glob(f"*/{file}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]) if file != "aspects.npy" else path.unlink()
    assert np.array_equal(load(root).train.pixels.images, first)


def test_many_files_are_decoded_in_processes_to_the_same_pixels(image_folder: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder({"a": 5, "b": 4})
    alone = np.array(load(root, store_size=16).train.pixels.images)
    monkeypatch.setattr(pixel_store, "CHUNK", 2)
    os.utime(root / "a/000.png", (1, 1))
    assert np.array_equal(load(root, store_size=16).train.pixels.images, alone)


def test_a_cache_that_cannot_be_written(image_folder: Draw, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = image_folder({"a": 2, "b": 2})
    (tmp_path / "taken").write_text("")
    monkeypatch.setenv("ZOO_CACHE", str(tmp_path / "taken"))
    assert refused(root).endswith("taken/pixels: not writable: Not a directory (set ZOO_CACHE to another folder)")


@pytest.mark.parametrize(
    ("size", "image_size", "stored"),
    [((40, 30), 224, 40), ((600, 300), 64, 256), ((800, 600), 224, 384), ((600, 300), 224, 576), ((4, 4), 32, 8)],
)
def test_images_are_kept_as_large_as_training_needs(
    image_folder: Draw, size: tuple[int, int], image_size: int, stored: int
) -> None:
    found = load(image_folder({"a": 2, "b": 1}, size=size), size=image_size)
    assert found.train.pixels.images.shape == (3, 3, stored, stored)
    assert found.train.pixels.aspects == pytest.approx(size[0] / size[1])


def test_a_store_cut_short_while_in_use_is_an_error_and_not_a_crash(image_folder: Draw, cache: Path) -> None:
    found = load(image_folder({"a": 2, "b": 2})).train.pixels
    (path,) = (cache / "pixels").glob("*/pixels.bin")
    os.truncate(path, 100)
    with pytest.raises(
        DataError, match=r"/pixels/\w+: the pixel store shrank to 100 of [\d,]+ bytes while in use \(.+--resume\)"
    ) as error:
        found.take(np.array([3]))
    assert error.value.exit_code == 3
