"""The views of an image whose predictions are averaged (test-time augmentation): their names and their mean.

Evaluation in a run, `zoo eval` and `zoo predict` all use `mean_of_views`. Only methods of tensors are used, so that the
names are known without importing torch.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from torch import Tensor

Views = Literal["none", "hflip", "five_crop"]
VIEWS: tuple[str, ...] = get_args(Views)
# Share of the short side that each of five crops shows, as in ImageNet evaluation (Krizhevsky et al. 2012: 224 of 256).
FIVE_CROP = 0.875
# Forward passes per image.
PASSES = {"none": 1, "hflip": 2, "five_crop": 5}
# Descriptions of the averaged views, for users.
ABOUT = {"none": "one view of each image", "hflip": "each image and its mirror", "five_crop": "five crops of each image"}


def mean_of_views(logits: Tensor) -> Tensor:
    """Return logits [..., C] whose softmax is the mean of the probabilities of V views, given as logits float [..., V, C].

    They stay finite even if a probability underflows.
    """
    return logits.log_softmax(-1).logsumexp(-2) - math.log(logits.shape[-2])
