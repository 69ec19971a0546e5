"""Images that are not square are shown whole, with a border, and look the same in training and evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import timm.data
import torch
from PIL import Image
from torch import Tensor

from zoo.data import border
from zoo.data.augment import Augment
from zoo.data.batches import Batches, Preprocessing
from zoo.data.pixel_store import PixelStore
from zoo.data.resize import Normalize, bounded_matrices, resample, resize_matrices
from zoo.data.splits import Split

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
NORMALIZE = Normalize(MEAN, STD)
ASPECTS = np.array([2.0, 0.5, 1.0, 4.0, 0.125], np.float32)  # borders of whole pixels at 64 px
PLAIN = Augment(crop={"kind": "none"}, hflip=False)  # type: ignore[arg-type]


def batches_of(side: int, kernel: str = "bicubic", crop: float = 1.0) -> Batches:
    """Return batches of smooth random images with the aspect ratios `ASPECTS`, stored squashed to squares."""
    coarse = np.random.default_rng(0).integers(0, 256, (len(ASPECTS), 6, 6, 3), dtype=np.uint8)
    images = [np.asarray(Image.fromarray(each).resize((side, side), Image.Resampling.BICUBIC)) for each in coarse]
    store = PixelStore(np.stack(images).transpose(0, 3, 1, 2).copy(), ASPECTS)
    split = Split.of(store, np.zeros(len(ASPECTS), np.int64))
    return Batches(split, Preprocessing(NORMALIZE, kernel, crop, "border"), 2, torch.device("cpu"))


def trained(made: Batches, size: int, augment: Augment, step: int = 0) -> Tensor:
    every = np.arange(len(ASPECTS))
    return made.training(every, slice(None), size, augment, 0, step)[0]


def evaluated(made: Batches, size: int) -> Tensor:
    return made.evaluation(np.arange(len(ASPECTS)), size)[0]


def apart(ours: Tensor, theirs: Tensor) -> float:
    """Return the mean difference of the image that differs most, in units of 1/255."""
    return float(((ours - theirs).abs() * torch.tensor(STD).view(3, 1, 1) * 255).mean((1, 2, 3)).max())


@pytest.mark.parametrize("aspect", [0.11, 0.5, 0.77, 1.0, 1.3, 2.0, 7.3])
@pytest.mark.parametrize(("size", "crop"), [(64, 1.0), (224, 0.875), (97, 0.95)])
def test_boxes_are_timms_to_the_pixel(aspect: float, size: int, crop: float) -> None:
    high = 1000
    image = Image.new("RGB", (round(aspect * high), high), (255, 255, 255))
    config = {"interpolation": "bilinear", "crop_pct": crop, "crop_mode": "border", "mean": (0.0,) * 3, "std": (1.0,) * 3}
    theirs = timm.data.create_transform((3, size, size), **config)(image)[0] > 0.5  # type: ignore[index]
    ((x0, y0, x1, y1),) = border.evaluation_boxes(np.array([image.width / image.height]), size, crop)
    across, down = (start + (np.arange(size) + 0.5) / size * (stop - start) for start, stop in ((x0, x1), (y0, y1)))
    ours = ((down > 0) & (down < 1))[:, None] & ((across > 0) & (across < 1))
    assert np.array_equal(ours, theirs.numpy())


@pytest.mark.parametrize("side", [48, 120])
@pytest.mark.parametrize("kernel", ["bilinear", "bicubic", "lanczos"])
def test_the_border_has_timms_color_and_a_square_image_none(side: int, kernel: str) -> None:
    made = evaluated(batches_of(side, kernel), 64)
    color = NORMALIZE.apply(torch.tensor([round(255 * mean) for mean in MEAN]).view(1, 3, 1, 1))
    torch.testing.assert_close(made[0, :, :16], color[0].expand(3, 16, 64))
    torch.testing.assert_close(made[0, :, -16:], color[0].expand(3, 16, 64))
    torch.testing.assert_close(made[1, :, :, :16], color[0].expand(3, 64, 16))
    assert (made[2] == color[0]).float().mean() < 0.1


@pytest.mark.parametrize("side", [48, 120])
@pytest.mark.parametrize("kernel", ["bilinear", "bicubic", "lanczos"])
def test_training_without_a_crop_shows_what_evaluation_does(side: int, kernel: str) -> None:
    made = batches_of(side, kernel)
    assert apart(trained(made, 64, PLAIN), evaluated(made, 64)) < 0.01


@pytest.mark.parametrize("side", [48, 120])
def test_flips_are_those_of_the_whole_picture(side: int) -> None:
    made = batches_of(side)
    both = Augment(crop={"kind": "none"}, hflip=True, vflip=True)  # type: ignore[arg-type]
    plain = trained(made, 64, PLAIN)
    found = trained(made, 64, both)
    ways = {name: plain.flip(axes) for name, axes in (("no", []), ("h", [3]), ("v", [2]), ("hv", [2, 3]))}
    near = [min(ways, key=lambda name: float((found[row] - ways[name][row]).abs().mean())) for row in range(len(ASPECTS))]
    assert len(set(near)) > 1
    for row, name in enumerate(near):
        assert apart(found[row : row + 1], ways[name][row : row + 1]) < 2.5


def test_the_native_kernel_and_the_products_show_the_same() -> None:
    generator = np.random.default_rng(0)
    coarse = torch.from_numpy(generator.integers(0, 256, (4, 3, 9, 9), dtype=np.uint8)).float()
    images = torch.nn.functional.interpolate(coarse, size=80, mode="bicubic").clamp(0, 255).byte()
    boxes = torch.tensor([[-0.5, 0.0, 1.5, 1.0], [1.2, 0.1, -0.2, 0.9], [0.1, 1.6, 0.9, -0.4], [-1.0, -1.0, 0.5, 0.5]])
    native = resample(images, boxes, 60, "bicubic", NORMALIZE, fill=(9, 8, 7))
    products = torch.empty(4, 3, 60, 60)
    from zoo.data import resize

    resize._products(images, boxes, 60, "bicubic", NORMALIZE, products, bounded_matrices)
    products = torch.where(resize._seen(boxes, 60), products, NORMALIZE.apply(torch.tensor([9, 8, 7]).view(1, 3, 1, 1)))
    assert apart(native, products) < 3


def test_matrices_within_an_image_are_the_usual_ones() -> None:
    start, stop = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([1.0, 0.0, 1.0])
    for kernel in ("bilinear", "bicubic", "lanczos"):
        torch.testing.assert_close(
            bounded_matrices(start, stop, 40, 24, kernel), resize_matrices(start, stop, 40, 24, kernel), atol=1e-5, rtol=0
        )


def test_layouts_give_the_same() -> None:
    image = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    boxes = torch.tensor([[-0.5, 0.0, 1.5, 1.0], [0.0, -1.0, 1.0, 2.0]])
    plain = resample(image, boxes, 24, "bicubic", NORMALIZE, fill=(1, 2, 3))
    last = resample(image, boxes, 24, "bicubic", NORMALIZE, fill=(1, 2, 3), channels_last=True)
    assert torch.equal(plain, last)
    assert last.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "crop", [{"kind": "none"}, {"kind": "pad_shift", "pad": 16}, {"kind": "random_resized", "scale": [0.05, 1.0]}]
)
def test_every_crop_shows_some_of_the_image(crop: dict[str, object]) -> None:
    augment = Augment(crop=crop, hflip=True, vflip=True)  # type: ignore[arg-type]
    generator = np.random.default_rng(0)
    aspects = np.exp(generator.uniform(-3, 3, 2000))
    drawn = augment.crop.boxes(generator, np.ones(2000), 64)
    drawn[::2] = drawn[::2][:, [2, 1, 0, 3]]
    boxes = border.training_boxes(drawn, aspects)
    assert np.array_equal(boxes[:, 0] > boxes[:, 2], drawn[:, 0] > drawn[:, 2])
    low, high = np.minimum(boxes[:, :2], boxes[:, 2:]), np.maximum(boxes[:, :2], boxes[:, 2:])
    seen = np.minimum(high, 1) - np.maximum(low, 0)
    assert (seen >= np.minimum(1, high - low) / 2 - 1e-9).all()
    # The image keeps its proportions.
    wide, high_ = (high - low).T
    drawn_sides = np.abs(drawn[:, :2] - drawn[:, 2:])
    np.testing.assert_allclose(wide / high_ * aspects, drawn_sides[:, 0] / drawn_sides[:, 1], rtol=1e-6)


def test_crops_of_square_images_stay_as_they_were() -> None:
    generator = np.random.default_rng(0)
    drawn = Augment().crop.boxes(generator, np.ones(100), 64)
    np.testing.assert_allclose(border.training_boxes(drawn, np.ones(100)), drawn, atol=1e-12)


@pytest.mark.parametrize("side", [48, 120])
def test_an_image_of_a_thin_line_is_a_line(side: int) -> None:
    made = batches_of(side)
    made.split.pixels.aspects[:] = 1e-4
    for images in (evaluated(made, 32), trained(made, 32, PLAIN), trained(made, 32, Augment(crop={"kind": "random_resized"}))):  # type: ignore[arg-type]
        assert images.isfinite().all()
