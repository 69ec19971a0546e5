"""Files of every kind are decoded to the pixels that one sees, or an error names them as unreadable."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from helpers.folders import load, refused
from PIL import Image

from zoo.data import decode, pixel_store

Draw = Callable[..., Path]


pytestmark = pytest.mark.usefixtures("cache")


def test_pixels_survive_damaged_exif_and_hidden_colors_do_not_show(tmp_path: Path) -> None:
    from zoo.data.decode import open_rgb

    upright = Image.fromarray(np.arange(48, dtype=np.uint8).reshape(4, 4, 3))
    # Bytes that are not EXIF, and an EXIF directory without its entries.
    for name, exif in (("bad.png", b"Exif\0\0nonsense"), ("none.png", b"II*\0\x08\0\0\0\xff\xff")):
        upright.save(tmp_path / name, exif=exif)
        assert np.array_equal(np.asarray(open_rgb(tmp_path / name)), np.asarray(upright))
    clear = Image.new("RGB", (4, 4), (255, 0, 0))
    clear.save(tmp_path / "clear.png", transparency=(255, 0, 0))
    assert np.asarray(open_rgb(tmp_path / "clear.png")).min() == 255


@pytest.mark.parametrize("orientation", range(1, 9))
def test_tiff_is_turned_once(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    from zoo.data.decode import open_rgb

    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("x.tif", "x.png"):
        image.save(tmp_path / name, exif=exif)
        with Image.open(tmp_path / name) as opened:
            expected = np.asarray(ImageOps.exif_transpose(opened))
        assert np.array_equal(np.asarray(open_rgb(tmp_path / name)), expected)


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
def test_an_unreadable_image_is_named_and_the_others_are_not_decoded_again_to_skip_it(
    image_folder: Draw, cache: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: Callable[[Path], bytes], reason: str
) -> None:
    root = image_folder({"a": 2, "b": 2})
    (root / "b" / name).write_bytes(content(root.parent / "whole"))
    line = refused(root)
    assert line.startswith(f"data.root: 1 unreadable image, first: ROOT/b/{name}: {reason}")
    assert line.endswith("(replace or remove it, or set data.on_bad=skip)")
    monkeypatch.setattr(pixel_store, "decode_range", lambda job: pytest.fail("decoded again"))
    assert refused(root) == line
    found = load(root, on_bad="skip")
    assert len(found.train) + len(found.val or ()) + len(found.test or ()) == 4


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


def test_all_unreadable_images_are_counted_and_listed(image_folder: Draw, cache: Path) -> None:
    root = image_folder({"a": 2, "b": 2})
    for number in range(3):
        (root / "b" / f"x{number}.jpg").write_text("x")
    line = refused(root)
    (listed,) = (cache / "unreadable").glob("*.csv")
    what = f"3 unreadable images, first: ROOT/b/x0.jpg: not an image; all are listed in {listed}"
    assert line == f"data.root: {what} (replace or remove them, or set data.on_bad=skip)"
    files = [root / "b" / f"x{number}.jpg" for number in range(3)]
    assert listed.read_text().splitlines() == ["file,reason", *(f"{path},not an image" for path in files)]


def gray16(value: int) -> Image.Image:
    return Image.fromarray(np.full((8, 8), value, np.uint16))


def transparent(mode: str) -> Image.Image:
    return Image.new("RGBA", (8, 8), (200, 0, 0, 0)).convert(mode)


def palette() -> Image.Image:
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    return image


WHITE = (255, 255, 255)
GREY = (128, 128, 128)


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
