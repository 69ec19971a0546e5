from __future__ import annotations

import numpy as np
from PIL import Image

from zoo.inference.preprocessing import Preprocessing
from zoo.inference.views import views_of

PREPROCESSING = Preprocessing(
    {"input_size": (3, 56, 56), "mean": (0.5,) * 3, "std": (0.5,) * 3, "interpolation": "bicubic", "crop_pct": 1.0}
)
IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8))


def test_one_view_is_the_models_own() -> None:
    (view,) = views_of(IMAGE, PREPROCESSING)
    assert np.array_equal(view, PREPROCESSING.pixels(IMAGE))


def test_a_mirror() -> None:
    plain, mirrored = views_of(IMAGE, PREPROCESSING, "hflip")
    assert np.array_equal(plain[:, ::-1], mirrored)


def test_five_crops_of_the_image_at_a_larger_size() -> None:
    views = views_of(IMAGE, PREPROCESSING, "five_crop")
    # The short side becomes 56 / 0.875 = 64 px, which it already is, so the image is not resized.
    pixels = np.asarray(IMAGE)
    places = [(0, 0), (0, 40), (8, 0), (8, 40), (4, 20)]
    assert all(np.array_equal(view, pixels[y : y + 56, x : x + 56]) for view, (y, x) in zip(views, places, strict=True))


def test_five_crops_of_an_image_that_is_squashed_first() -> None:
    views = views_of(IMAGE, Preprocessing({**PREPROCESSING.config, "crop_mode": "squash"}), "five_crop")
    pixels = np.asarray(IMAGE.resize((64, 64), Image.Resampling.BICUBIC))
    places = [(0, 0), (0, 8), (8, 0), (8, 8), (4, 4)]
    assert all(np.array_equal(view, pixels[y : y + 56, x : x + 56]) for view, (y, x) in zip(views, places, strict=True))


def test_five_crops_of_an_image_with_a_border() -> None:
    preprocessing = Preprocessing({**PREPROCESSING.config, "crop_mode": "border"})
    views = views_of(IMAGE, preprocessing, "five_crop")
    # The long side becomes 64 px, with 10 rows of the mean color above and 11 below.
    inside = np.asarray(IMAGE.resize((64, 43), Image.Resampling.BICUBIC))
    pixels = np.pad(inside, ((10, 11), (0, 0), (0, 0)), constant_values=128)
    places = [(0, 0), (0, 8), (8, 0), (8, 8), (4, 4)]
    assert all(np.array_equal(view, pixels[y : y + 56, x : x + 56]) for view, (y, x) in zip(views, places, strict=True))


def test_a_model_that_takes_any_image_gets_it_as_it_is() -> None:
    (view,) = views_of(IMAGE, None)
    assert np.array_equal(view, np.asarray(IMAGE))
