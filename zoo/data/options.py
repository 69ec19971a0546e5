"""The data sets that a recipe may name: `data: {kind: ...}`. Each is one file, and one name in `Data`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from zoo.data.digits_set import Digits
from zoo.data.folder_set import Folder
from zoo.data.synthetic_set import Synthetic
from zoo.data.torchvision_sets import Cifar10, Cifar100, FashionMnist
from zoo.section import kind_or_mapping

Data = Annotated[
    Cifar10 | Cifar100 | FashionMnist | Folder | Digits | Synthetic,
    Field(discriminator="kind"),
    # Data sets that need no other key: their name alone is enough.
    kind_or_mapping("digits", "synthetic", "cifar10", "cifar100", "fashion_mnist"),
]
