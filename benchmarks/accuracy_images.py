"""Make the data sets for `benchmarks/accuracy.py` as folders of images: CIFAR-10, digits, and parts of photographs.

    python benchmarks/accuracy_images.py --cifar FOLDER --out images

FOLDER has train/CLASS/IMAGE of CIFAR-10. Needs `pip install scikit-image scikit-learn`. Each set has train and val but no
test, so that nothing is chosen on test images.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

# Validation images of a class of CIFAR-10: 2,000 in total, so that a percentage point is 20 images.
CIFAR_VAL = 200
# Training images of a class of CIFAR-10 for each data set; the last one has all images that are not in val.
CIFAR_TRAIN = {"cifar-1280": 128, "cifar-6400": 640, "cifar-48000": 4_800}
# Training images of the first and of the last class of the uneven data set; the last class has a hundredth.
UNEVEN = (640, 6.4)
# Share of the digits in val.
DIGITS_VAL = 0.4
# Number of parts per side of a photograph; neighboring parts go to different splits.
PARTS = 4
# Number of cuts from each part, and their side in pixels.
CUTS = 6
CUT_SIDE = 96
# Photographs that come with scikit-image, without a download; scikit-learn's two are added to them.
PHOTOGRAPHS = ("astronaut", "brick", "camera", "cat", "coffee", "coins", "grass", "gravel", "rocket", "hubble_deep_field")


def main() -> None:
    """Make the data sets that are not there yet."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cifar", type=Path, required=True, metavar="FOLDER", help="CIFAR-10, as FOLDER/train/CLASS/IMAGE")
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="where the data sets are made")
    options = parser.parse_args()
    makers: dict[str, Callable[[Path], None]] = {
        name: lambda folder, count=count: cifar(options.cifar, folder, [count] * 10) for name, count in CIFAR_TRAIN.items()
    }
    makers |= {"digits": digits, "cuts": cuts, "cifar-uneven": lambda folder: uneven(options.cifar, folder)}
    for name, make in makers.items():
        folder = options.out / name
        if not folder.exists():
            make(folder)
        for split in ("train", "val"):
            files = list((folder / split).glob("*/*"))
            print(f"{name}/{split}: {len(files):,} images of {len({file.parent for file in files})} classes")


def uneven(source: Path, folder: Path) -> None:
    """Copy fewer training images of each class than of the one before; val has equally many of each class."""
    cifar(source, folder, [round(count) for count in np.geomspace(*UNEVEN, 10)])


def cifar(source: Path, folder: Path, counts: Sequence[int]) -> None:
    """Copy the first images of each class to train, as many as its number in `counts`, and the last `CIFAR_VAL` to val."""
    for directory, count in zip(sorted((source / "train").iterdir()), counts, strict=True):
        files = sorted(directory.iterdir())
        for split, chosen in (("train", files[:count]), ("val", files[-CIFAR_VAL:])):
            target = folder / split / directory.name
            target.mkdir(parents=True)
            for file in chosen:
                shutil.copy(file, target)


def digits(folder: Path) -> None:
    """Write scikit-learn's digits, 8 x 8 pixels, divided at random into train and val."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)  # [N, 64], values from 0 to 16
    validates = np.random.default_rng(0).permutation(len(labels)) < DIGITS_VAL * len(labels)
    for number, (image, label, val) in enumerate(zip(pixels.reshape(-1, 8, 8), labels, validates, strict=True)):
        write(folder / ("val" if val else "train") / str(label) / f"{number:04}.png", (image * (255 / 16)).astype(np.uint8))


def cuts(folder: Path) -> None:
    """Write cuts of photographs; the class is the photograph, and no pixel is in both splits."""
    generator = np.random.default_rng(0)
    for name, pixels in photographs():
        height, width = pixels.shape[0] // PARTS, pixels.shape[1] // PARTS
        side = min(CUT_SIDE, height, width)
        for row, column in np.ndindex(PARTS, PARTS):
            split = "train" if (row + column) % 2 == 0 else "val"
            for cut in range(CUTS):
                top = row * height + int(generator.integers(height - side + 1))
                left = column * width + int(generator.integers(width - side + 1))
                write(folder / split / name / f"{row}{column}-{cut}.png", pixels[top : top + side, left : left + side])


def photographs() -> Iterator[tuple[str, np.ndarray]]:
    """Yield the name and the pixels of each photograph, uint8 [H, W] or [H, W, 3]."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    for name in PHOTOGRAPHS:
        yield name, np.asarray(getattr(data, name)())
    for name, pixels in zip(("china", "flower"), load_sample_images().images, strict=True):
        yield name, pixels


def write(path: Path, pixels: np.ndarray) -> None:
    """Write an image and make its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


if __name__ == "__main__":
    main()
