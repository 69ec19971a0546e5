from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import Image

from zoo.report.thumbnails import SIDE, Budget, Thumbnail, thumbnail


def decoded(picture: Thumbnail) -> Image.Image:
    head, _, body = picture.uri.partition(",")
    assert head in ("data:image/jpeg;base64", "data:image/png;base64")
    return Image.open(io.BytesIO(base64.b64decode(body)))


@pytest.mark.parametrize(
    ("stored", "aspect", "size"),
    [
        (256, 1.0, (SIDE, SIDE)),
        (256, 2.0, (SIDE, SIDE // 2)),
        (256, 0.5, (SIDE // 2, SIDE)),
        (32, 1.0, (32, 32)),
        (64, 4.0, (64, 16)),
        (128, 1000.0, (SIDE, 1)),
    ],
)
def test_a_squashed_image_gets_its_shape_back(stored: int, aspect: float, size: tuple[int, int]) -> None:
    picture = thumbnail(np.full((3, stored, stored), 200, np.uint8), aspect)
    assert (picture.width, picture.height) == decoded(picture).size == size
    assert picture.pixelated is (max(size) <= 40)


def test_the_smallest_images_are_kept_to_the_bit() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 8, 8), dtype=np.uint8)
    assert (np.asarray(decoded(thumbnail(pixels))).transpose(2, 0, 1) == pixels).all()


def test_a_photograph_looks_like_itself() -> None:
    across = np.linspace(0, 255, 200).astype(np.uint8)
    pixels = np.stack([np.tile(across, (200, 1)), np.tile(across[:, None], (1, 200)), np.full((200, 200), 90, np.uint8)])
    found = np.asarray(decoded(thumbnail(pixels))).astype(int)
    expected = np.asarray(Image.fromarray(pixels.transpose(1, 2, 0)).resize((SIDE, SIDE), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(found - expected).mean() < 3


def test_a_budget_ends_with_the_first_picture_that_does_not_fit() -> None:
    picture = Thumbnail("x" * 100, 1, 1)
    budget = Budget(250)
    assert [budget.take(picture) for _ in range(4)] == [picture, picture, None, None]
    assert budget.take(Thumbnail("x", 1, 1)) is None
