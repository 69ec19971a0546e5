"""Cropping and resizing, compared with Pillow and timm's transforms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import timm.data
import torch
from PIL import Image
from torch import Tensor

from zoo.data import batches, options, resize
from zoo.data.resize import Normalize, resize_matrices
from zoo.data.splits import Split, Splits

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
UNIT = Normalize((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
WHOLE = torch.tensor([[0.0, 0.0, 1.0, 1.0]])


def way(kernel: str, crop: float, mode: str = "center") -> batches.Preprocessing:
    return batches.Preprocessing(Normalize(MEAN, STD), kernel, crop, mode)


def timms(images: list[Image.Image], size: int, kernel: str, crop: float, mode: str = "center") -> Tensor:
    config = {"interpolation": kernel, "crop_pct": crop, "crop_mode": mode, "mean": MEAN, "std": STD}
    transform = timm.data.create_transform((3, size, size), **config)
    return torch.stack([transform(image) for image in images])  # type: ignore[misc]


def apart(ours: Tensor, theirs: Tensor) -> Tensor:
    """Return the mean difference of each image, in units of 1/255."""
    return ((ours - theirs).abs() * torch.tensor(STD).view(3, 1, 1) * 255).mean((1, 2, 3))


def small(side: int) -> list[Image.Image]:
    photos = [skimage.data.astronaut(), skimage.data.coffee(), skimage.data.cat()]
    return [Image.fromarray(photo).crop((0, 0, 300, 300)).resize((side, side), Image.Resampling.LANCZOS) for photo in photos]


def split_of(images: list[Image.Image]) -> Split:
    stacked = np.stack([np.asarray(image).transpose(2, 0, 1) for image in images])
    from zoo.data.pixel_store import PixelStore

    return Split.of(PixelStore.square(stacked), np.arange(len(images)))


@pytest.mark.parametrize("kernel", ["bicubic", "bilinear"])
@pytest.mark.parametrize("crop", [0.875, 1.0])
@pytest.mark.parametrize("size", [32, 64, 96, 224])
@pytest.mark.parametrize("side", [32, 48, 100])
def test_evaluation_is_timms_transform_on_small_images(kernel: str, crop: float, size: int, side: int) -> None:
    images = small(side)
    found, targets = batches.Batches(split_of(images), way(kernel, crop), 3, torch.device("cpu")).evaluation(
        np.array([2, 0, 1]), size
    )
    assert targets.tolist() == [2, 0, 1]
    assert found.shape == (3, 3, size, size)
    assert apart(found, timms([images[2], images[0], images[1]], size, kernel, crop)).max() < 0.5


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int, str], tuple[Splits, list[Image.Image]]]:
    root = tmp_path_factory.mktemp("photos")
    pictures = [("cat", "cat.png"), ("coffee", "coffee.jpg"), ("astronaut", "tall.jpg")]
    for name, file in pictures:
        (root / name).mkdir()
        picture = Image.fromarray(getattr(skimage.data, name)())
        picture = picture.crop((100, 0, 400, 500)) if file == "tall.jpg" else picture
        picture.save(root / name / file, quality=95)

    def load(size: int, kernel: str) -> tuple[Splits, list[Image.Image]]:
        found = options.Folder(root=Path(root), val_fraction=0.0, test_fraction=0.0).load(0, size)
        opened = [Image.open(root / name / file).convert("RGB") for name, file in sorted(pictures)]
        return found, opened

    return load


@pytest.mark.parametrize("kernel", ["bicubic", "bilinear"])
@pytest.mark.parametrize("crop", [0.875, 1.0])
@pytest.mark.parametrize("size", [64, 96, 224])
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_evaluation_is_timms_transform_on_photographs(photos: Callable, kernel: str, crop: float, size: int, mode: str) -> None:
    found, opened = photos(size, kernel)
    made, _ = batches.Batches(found.train, way(kernel, crop, mode), 3, torch.device("cpu")).evaluation(np.arange(3), size)
    assert apart(made, timms(opened, size, kernel, crop, mode)).max() < 1.0
    if mode != "center" and size == 224:
        # The picture differs clearly from a center crop.
        assert apart(made, timms(opened, size, kernel, crop)).min() > 10


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize(("source", "target"), [(8, 8), (8, 20), (20, 8), (5, 64)])
def test_rows_of_a_matrix_add_up_and_are_pillows(kernel: str, source: int, target: int) -> None:
    generator = np.random.default_rng(0)
    image = generator.integers(0, 256, (source, source), dtype=np.uint8)
    box = np.sort(generator.uniform(0, 1, 2))
    matrix = resize_matrices(torch.tensor([box[0]]), torch.tensor([box[1]]), source, target, kernel)[0]
    assert matrix.sum(1) == pytest.approx(1, abs=1e-5)
    filters = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC, "lanczos": Image.Resampling.LANCZOS}
    whole = resize_matrices(torch.zeros(1), torch.ones(1), source, target, kernel)[0].numpy()
    theirs = np.asarray(Image.fromarray(image.astype(np.float32)).resize((target, target), filters[kernel]))
    assert whole @ image @ whole.T == pytest.approx(theirs, abs=1e-2)


def both_ways(images: Tensor, boxes: Tensor, size: int, kernel: str) -> tuple[Tensor, Tensor]:
    out = torch.empty(len(images), 3, size, size)
    native = UNIT.apply(resize._native(images, boxes, size, kernel, exact=False))
    return native * 255, resize._products(images, boxes, size, kernel, UNIT, out) * 255


@pytest.mark.parametrize("kernel", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [40, 100])
def test_the_native_kernel_and_the_products_agree(kernel: str, size: int) -> None:
    images = torch.from_numpy(np.stack([np.asarray(image).transpose(2, 0, 1) for image in small(80)]))
    boxes = torch.tensor([[0.1, 0.2, 0.6, 0.9], [0.9, 0.0, 0.25, 1.0], [-0.1, 0.05, 0.9, 1.05]])
    native, products = both_ways(images, boxes, size, kernel)
    assert (native - products).abs().mean((1, 2, 3)).max() < 1.5


@pytest.mark.parametrize("side", [8, 80])
@pytest.mark.parametrize("kernel", ["bilinear", "bicubic", "lanczos"])
def test_boxes_cut_mirror_and_reflect(side: int, kernel: str) -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, side, side), dtype=np.uint8))
    shift = side // 4

    def made(*box: float) -> Tensor:
        return (resize.resample(image, torch.tensor([box]), side, kernel, UNIT)[0] * 255).round().to(torch.uint8)

    assert torch.equal(made(0, 0, 1, 1), image[0])
    assert torch.equal(made(1, 0, 0, 1), image[0].flip(2))
    # The native kernel is not symmetric for an axis that is not resized.
    if side <= resize.NATIVE_ABOVE or kernel == "lanczos":
        assert torch.equal(made(0, 1, 1, 0), image[0].flip(1))
    padded = torch.nn.functional.pad(image.float(), (shift,) * 4, mode="reflect").to(torch.uint8)[0]
    assert torch.equal(made(-0.25, 0.25, 0.75, 1.25), padded[:, 2 * shift :, :side])
    assert torch.equal(made(1.25, 0, 0.25, 1), padded[:, shift:-shift, 2 * shift :].flip(2))


def test_a_very_narrow_image_takes_no_more_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 3, 80, 80), dtype=np.uint8))
    made, interpolate = [], resize._interpolate

    def note(image: Tensor, size: tuple[int, int], kernel: str) -> Tensor:
        made.append(size)
        return interpolate(image, size, kernel)

    monkeypatch.setattr(resize, "_interpolate", note)
    for aspect in (10, 8000):
        box = torch.tensor([[0.5 - 0.5 / aspect, 0.0, 0.5 + 0.5 / aspect, 1.0]])
        assert resize.resample(image, box, 32, "bicubic", UNIT, exact=True).shape == (1, 3, 32, 32)
    assert made == [(32, 320), (32, 32)]


def test_what_one_image_becomes_does_not_depend_on_the_others() -> None:
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 3, 8, 8), dtype=np.uint8))
    boxes = torch.tensor([[0.0, 0.0, 1.0, 1.0], [-0.5, 0.25, 0.5, 1.25], [0.125, 0.0, 1.125, 1.0]])
    together = resize.resample(images, boxes, 21, "bicubic", UNIT)
    alone = [resize.resample(images[n : n + 1], boxes[n : n + 1], 21, "bicubic", UNIT) for n in range(3)]
    assert torch.allclose(together, torch.cat(alone), atol=1e-5)


@pytest.mark.parametrize("side", [16, 80])
def test_layout_and_range(side: int) -> None:
    image = torch.tensor([0, 255], dtype=torch.uint8).repeat(side * side // 2).view(1, 1, side, side).expand(1, 3, side, side)
    normalize = Normalize(MEAN, STD)
    flat = resize.resample(image, WHOLE, 50, "bicubic", normalize)
    last = resize.resample(image, WHOLE, 50, "bicubic", normalize, channels_last=True)
    assert torch.equal(flat, last)
    assert flat.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)
    shares = normalize.invert(flat)
    assert shares.min() > -1e-5
    assert shares.max() < 1 + 1e-5
