"""The checks of every data set, and how a new data set is divided into splits."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from zoo.data.data_set import DataSet
from zoo.data.options import Digits, Synthetic
from zoo.data.pixel_store import PixelStore
from zoo.data.splits import Split
from zoo.errors import ZooError
from zoo.recipe.load import load_recipe


class Stripes(DataSet):
    """Two classes with five images each."""

    kind: Literal["stripes"] = "stripes"

    def read(self) -> tuple[list[str], Split, Split | None]:
        images = np.zeros((10, 3, 4, 4), np.uint8)
        return ["a", "b"], Split.of(PixelStore.square(images), np.arange(10) % 2), None


def test_a_new_data_set_needs_a_reader_only() -> None:
    found = Stripes(val_fraction=0.2).load(seed=0, image_size=32)
    assert str(found) == "8 train / 2 val images, 2 classes, stored at 4 px"


def test_a_data_set_that_is_not_the_one_of_the_checkpoint_is_refused() -> None:
    data = Stripes(val_fraction=0.2)
    data.load(0, 32, expected={"data": data.load(0, 32).fingerprint()})
    with pytest.raises(ZooError, match=r"^--resume: the data has changed since the run began: "):
        data.load(1, 32, expected={"data": data.load(0, 32).fingerprint()})


@pytest.mark.parametrize(
    ("data", "mistake"),
    [
        (Synthetic(classes=5, max_train=4), ("max_train", "4 images for 5 classes (give at least 5)")),
        (Synthetic(fold=1), ("fold", "1, but data.folds is null (give the number of folds, e.g. data.folds=5)")),
        (Synthetic(folds=3, fold=3), ("fold", "3, but data.folds is 3 (give 0 to 2)")),
        (
            Synthetic(folds=3, val_fraction=0.3),
            ("val_fraction", "0.3, but data.folds 3 chooses the validation images (leave it out, or set it to its default 0.1)"),
        ),
    ],
)
def test_options_that_cannot_go_together(data: DataSet, mistake: tuple[str, str]) -> None:
    assert list(data.rules()) == [mistake]


def test_they_are_reported_at_their_line(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text("backbone: {name: test_resnet}\ndata:\n  kind: digits\n  max_train: 4\n")
    with pytest.raises(ZooError) as error:
        load_recipe(path)
    assert error.value.lines[0].startswith(f"{path}:4: data.max_train: 4 images for 10 classes")


def test_val_is_cut_from_what_test_leaves() -> None:
    data = Digits(val_fraction=0.5, test_fraction=0.5).load(0, 32)
    assert data.val is not None
    assert 0.2 < len(data.train) / 1797 < 0.3
