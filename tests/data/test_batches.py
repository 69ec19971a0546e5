"""Batches are a function of seed and step, whether all of a batch is made or a part of it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from zoo.data import augment, batches, draws, policy
from zoo.data.augment import Augment
from zoo.data.pixel_store import PixelStore
from zoo.data.resize import Normalize
from zoo.data.splits import Split

WAY = batches.Preprocessing(Normalize((0.4, 0.5, 0.6), (0.2, 0.25, 0.3)), "bicubic", 1.0)


CLASSES, COUNT = 5, 12


PLAIN = {"crop": {"kind": "none"}, "hflip": False}


RECIPES: dict[str, dict[str, Any]] = {
    "pad_shift": {},
    "random_resized": {"crop": {"kind": "random_resized"}},
    "flip": {"crop": {"kind": "none"}, "hflip": True},
    "upside_down": PLAIN | {"vflip": True},
    "jitter": PLAIN | {"color_jitter": 0.4},
    "erase": PLAIN | {"erase": 0.7},
    "mixup": PLAIN | {"mixup": 0.8},
    "cutmix": PLAIN | {"cutmix": 1.0},
    "rotate": PLAIN | {"rotate": 30.0},
    "rand_augment": PLAIN | {"policy": policy.RandAugment()},
    "trivial_augment": PLAIN | {"policy": policy.TrivialAugment()},
    "auto_augment": PLAIN | {"policy": policy.AutoAugment()},
    "aug_mix": PLAIN | {"policy": policy.AugMix()},
    "all": {"crop": {"kind": "random_resized"}, "color_jitter": 0.3, "erase": 0.5, "mixup": 0.4, "cutmix": 1.0},
}


def options(name: str) -> Augment:
    crop = {"pad_shift": augment.PadShift(), "random_resized": augment.RandomResized(), "none": augment.NoCrop()}
    values = dict(RECIPES.get(name, PLAIN))
    return Augment(**{**values, "crop": crop[values.get("crop", {"kind": "pad_shift"})["kind"]]})


def made(side: int = 16, channels_last: bool = False, aspects: np.ndarray | None = None) -> batches.Batches:
    generator = np.random.default_rng(0)
    coarse = generator.integers(0, 256, (COUNT, 3, 4, 4), dtype=np.uint8)
    images = np.repeat(np.repeat(coarse, side // 4, 2), side // 4, 3)
    pixels = PixelStore(images, np.ones(COUNT, np.float32) if aspects is None else aspects)
    split = Split.of(pixels, np.arange(COUNT) % CLASSES)
    return batches.Batches(split, WAY, CLASSES, torch.device("cpu"), channels_last=channels_last)


ALL = np.random.default_rng(1).permutation(COUNT)


def batch(
    name: str, step: int = 3, seed: int = 0, part: slice = slice(None), size: int = 24, **kwargs: Any
) -> tuple[Tensor, Tensor]:
    return made(**kwargs).training(ALL, part, size, options(name), seed, step)


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("side", [16, 80])
def test_a_batch_is_a_function_of_seed_and_step(name: str, side: int) -> None:
    first, again = batch(name, side=side), batch(name, side=side)
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])
    assert not torch.equal(first[0], batch(name, step=4, side=side)[0])
    assert not torch.equal(first[0], batch(name, seed=1, side=side)[0])


@pytest.mark.parametrize("name", RECIPES)
@pytest.mark.parametrize("side", [16, 80])
def test_parts_are_those_of_the_whole_batch(name: str, side: int) -> None:
    images, targets = batch(name, side=side)
    for edges in ([0, 6, 12], [0, 1, 5, 12]):
        parts = [batch(name, part=slice(*pair), side=side) for pair in itertools.pairwise(edges)]
        assert torch.allclose(torch.cat([part for part, _ in parts]), images, atol=1e-5)
        assert torch.allclose(torch.cat([part for _, part in parts]), targets)


@pytest.mark.parametrize("name", RECIPES)
def test_the_layout_changes_nothing_else(name: str) -> None:
    flat, last = batch(name)[0], batch(name, channels_last=True)[0]
    assert torch.allclose(flat, last, atol=1e-6)
    assert flat.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", RECIPES)
def test_targets(name: str) -> None:
    _, targets = batch(name)
    labels = torch.from_numpy(ALL % CLASSES)
    if name in ("mixup", "cutmix", "all"):
        assert targets.shape == (COUNT, CLASSES)
        assert targets.sum(1) == pytest.approx(1)
        assert targets.min() >= 0
        assert (targets.gather(1, labels[:, None]) < 1).sum() > COUNT / 3
    else:
        assert torch.equal(targets, labels)


def test_without_augmentation_images_are_those_of_evaluation() -> None:
    images, targets = batch("none")
    same, labels = made().evaluation(ALL, 24)
    assert torch.allclose(images, same, atol=1e-5)
    assert torch.equal(targets, labels)


@pytest.mark.parametrize(("name", "axis"), [("flip", 2), ("upside_down", 1)])
@pytest.mark.parametrize("side", [16, 80])
def test_half_of_the_images_are_flipped_and_only_flipped(name: str, axis: int, side: int) -> None:
    plain, flipped = batch("none", side=side)[0], batch(name, side=side)[0]
    mirrored = [torch.allclose(plain[n].flip(axis), flipped[n], atol=1e-5) for n in range(COUNT)]
    same = [torch.allclose(plain[n], flipped[n], atol=1e-5) for n in range(COUNT)]
    assert all(one or other for one, other in zip(mirrored, same, strict=True))
    assert 2 <= sum(mirrored) <= COUNT - 2


def test_pad_shift_is_padding_and_cropping() -> None:
    found = made().training(ALL, slice(None), 16, options("pad_shift").model_copy(update={"hflip": False}), 0, 0)[0]
    whole = made().evaluation(ALL, 16)[0]
    padded = torch.nn.functional.pad(whole, (2,) * 4, mode="reflect")
    for image, source in zip(found, padded, strict=True):
        crops = [source[:, y : y + 16, x : x + 16] for y in range(5) for x in range(5)]
        assert min(float((image - crop).abs().max()) for crop in crops) < 1e-4


def test_mixup_blends_two_images_and_their_labels() -> None:
    plain, mixed = batch("none")[0], batch("mixup")
    drawn = made().draw(ALL, options("mixup"), 0, 3)
    assert drawn.partner is not None
    share = torch.from_numpy(drawn.ratio).float().view(-1, 1, 1, 1)
    assert torch.allclose(mixed[0], share * plain + (1 - share) * plain[torch.from_numpy(drawn.partner)], atol=1e-5)


def test_cutmix_labels_are_the_shares_of_the_pixels() -> None:
    plain, (mixed, targets) = batch("none")[0], batch("cutmix")
    own = torch.isclose(plain, mixed, atol=1e-5).all(1).float().mean((1, 2))
    labels = torch.from_numpy(ALL % CLASSES)
    # The median is compared: if partner and image are alike by chance or of the same class, the two values may differ.
    assert (targets.gather(1, labels[:, None])[:, 0] - own).abs().median() < 1e-4


def test_erased_rectangles_are_blank_and_as_frequent_as_asked() -> None:
    boxes = draws.erased_boxes(np.random.default_rng(0), 4000, 0.3)
    assert (boxes.any(1)).mean() == pytest.approx(0.3, abs=0.03)
    plain, erased = batch("none")[0], batch("erase")[0]
    changed = plain != erased
    assert changed.any()
    assert (erased[changed] == 0).all()


def test_wide_images_show_their_middle() -> None:
    found = made(aspects=np.full(COUNT, 2.0, np.float32)).evaluation(ALL, 8)[0]
    images = torch.from_numpy(made().split.pixels.images[ALL])
    middle = torch.nn.functional.interpolate(WAY.normalize.apply(images)[..., 4:12], size=(8, 8), mode="area")
    assert (found - middle).abs().mean() < 0.2
    assert (found - WAY.normalize.apply(images)[..., ::2, ::2]).abs().mean() > 0.3


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
@pytest.mark.parametrize("part", [slice(None), slice(0, 5)])
def test_images_that_are_not_to_be_mixed_are_those_without(name: str, part: slice) -> None:
    plain = batch("none", part=part)
    apart = made().training(ALL, part, 24, options(name), 0, 3, mixes=False)
    assert torch.equal(apart[0], plain[0])
    assert torch.equal(apart[1], plain[1])
