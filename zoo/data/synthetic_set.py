"""Made-up images for tests and trials: nothing is read or downloaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from zoo.data.data_set import DataSet

if TYPE_CHECKING:
    from zoo.data.splits import Split


class Synthetic(DataSet):
    """Made-up images that a small network can tell apart: a fixed pattern of colors for each class, and noise."""

    kind: Literal["synthetic"] = "synthetic"
    classes: int = Field(default=10, ge=2, description="Number of classes.")
    train_images: int = Field(default=640, ge=2, description="Number of training images.")
    test_images: int = Field(default=160, ge=1, description="Number of test images.")
    size: int = Field(default=32, ge=4, description="Side of the images in pixels.")

    def read(self) -> tuple[list[str], Split, Split | None]:
        """Return class names, training and test images, drawn from a fixed seed, so that they are the same in every run."""
        import numpy as np

        from zoo.data import rng
        from zoo.data.pixel_store import PixelStore
        from zoo.data.splits import Origin, Split

        generator = rng.generator_of(0, rng.SYNTHETIC)
        cells = generator.uniform(40, 216, (self.classes, 3, 4, 4))
        cell = -(-self.size // 4)
        patterns = np.repeat(np.repeat(cells, cell, 2), cell, 3)[..., : self.size, : self.size]  # [classes, 3, S, S]

        def draw(count: int, part: str) -> Split:
            targets = np.arange(count) % self.classes
            noise = generator.normal(0, 24, (count, 3, self.size, self.size))
            images = np.clip(patterns[targets] + noise, 0, 255).astype(np.uint8)
            return Split.of(PixelStore.square(images), targets, Origin(part=part))

        names = [f"class{label}" for label in range(self.classes)]
        return names, draw(self.train_images, "train"), draw(self.test_images, "test")

    def class_count(self) -> int:
        """Return the number of classes."""
        return self.classes
