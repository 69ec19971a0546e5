"""scikit-learn's hand-written digits: a real data set that needs no network."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from zoo.data.data_set import DataSet
from zoo.errors import ZooError

if TYPE_CHECKING:
    from zoo.data.splits import Split


class Digits(DataSet):
    """scikit-learn's hand-written digits: 1,797 real images of 8 x 8 pixels, shipped inside its package."""

    mirrors: ClassVar[bool] = False
    kind: Literal["digits"] = "digits"
    test_fraction: float = Field(default=0.2, gt=0, lt=1, description="Share of the images kept back as the test set.")

    def read(self) -> tuple[list[str], Split, Split | None]:
        """Return class names, training and test images.

        Raises:
            ZooError: scikit-learn is not installed.
        """
        import numpy as np

        from zoo.data.pixel_store import PixelStore
        from zoo.data.splits import Origin, Split, stratified_split

        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise ZooError("data.kind", "digits needs scikit-learn", "pip install scikit-learn") from None
        images, targets = load_digits(return_X_y=True)  # [N, 64] from 0 to 16
        gray = np.round(images.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
        whole = Split.of(PixelStore.square(np.repeat(gray, 3, axis=1)), targets, Origin(part="digits"))
        # The test images stay the same whatever the seed, so that runs can be compared.
        train, test = stratified_split(whole, self.test_fraction, seed=0)
        return [str(digit) for digit in range(10)], train, test

    def class_count(self) -> int:
        """Return the number of digits."""
        return 10
