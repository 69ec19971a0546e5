"""Views of stored images: mirrored images, five crops as in torchvision, and the average of their probabilities."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torchvision.transforms import functional

from zoo.data.batches import Batches, Preprocessing, five_crop_boxes
from zoo.data.pixel_store import PixelStore
from zoo.data.resize import Normalize
from zoo.data.splits import Split
from zoo.data.views import ABOUT, PASSES, VIEWS, mean_of_views

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 3, 64, 64), dtype=np.uint8)


def batches(*, channels_last: bool = False) -> Batches:
    way = Preprocessing(Normalize((0.0,) * 3, (1 / 255,) * 3), "bicubic", 1.0)
    split = Split.of(PixelStore.square(PIXELS), np.arange(3))
    return Batches(split, way, 3, torch.device("cpu"), channels_last=channels_last)


@pytest.mark.parametrize("channels_last", [False, True])
def test_a_mirror_is_the_same_pixels_the_other_way_round(channels_last: bool) -> None:
    made = batches(channels_last=channels_last)
    positions = np.array([2, 0])
    plain, mirrored = made.views(positions, 32, "hflip")
    assert torch.equal(plain, made.evaluation(positions, 32)[0])
    assert torch.equal(mirrored, plain.flip(3))
    assert mirrored.is_contiguous(memory_format=torch.channels_last if channels_last else torch.contiguous_format)
    assert [torch.equal(only, plain) for only in made.views(positions, 32, "none")] == [True]


def test_five_crops_are_torchvision_s() -> None:
    # 56 / 0.875 = 64 px: the stored image is not resized.
    views = list(batches().views(np.arange(3), 56, "five_crop"))
    expected = functional.five_crop(torch.from_numpy(PIXELS).float(), [56, 56])
    for view, crop in zip(views, expected, strict=True):
        torch.testing.assert_close(view, crop, atol=0.02, rtol=0)


def test_five_crops_of_a_wide_image_reach_its_edges() -> None:
    boxes = five_crop_boxes(np.array([2.0]), 56)[:, 0]  # 128 x 64 px
    assert boxes.shape == (5, 4)
    assert np.allclose(boxes[0], [0, 0, 56 / 128, 56 / 64])
    assert np.allclose(boxes[3], [1 - 56 / 128, 1 - 56 / 64, 1, 1])
    assert np.allclose(boxes[4], [36 / 128, 4 / 64, 92 / 128, 60 / 64])


def test_probabilities_are_averaged_and_stay_finite() -> None:
    logits = torch.randn(7, 2, 4, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(mean_of_views(logits).softmax(1), logits.softmax(2).mean(1))
    torch.testing.assert_close(mean_of_views(logits[0]), mean_of_views(logits)[0])
    assert mean_of_views(torch.tensor([[0.0, -1e4], [0.0, -1e4]])).isfinite().all()


def test_all_views_are_known_by_name() -> None:
    assert set(VIEWS) == set(PASSES) == set(ABOUT)
