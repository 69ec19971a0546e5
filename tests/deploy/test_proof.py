from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from zoo.deploy.proof import Agreement, Live, prove
from zoo.deploy.proof_images import ProofImages, images_of
from zoo.deploy.subject import Subject
from zoo.errors import ZooError


class Copy:
    """The live model itself, in the place of an exported file."""

    batch: int | None = None

    def __init__(self, subject: Subject, *, takes_pixels: bool = False) -> None:
        self.takes_pixels = takes_pixels
        self.live = Live(copy.deepcopy(subject.model), subject.preprocessing)

    def logits(self, batch: Tensor | np.ndarray) -> Tensor:
        if isinstance(batch, Tensor):
            return self.live.logits(batch)
        from PIL import Image

        return self.live.logits(self.live.batch([Image.fromarray(one) for one in batch]))


@pytest.fixture
def images(check_folder: Path, subject: Subject) -> ProofImages:
    return images_of(None, check_folder, subject.classes)


@pytest.mark.parametrize("takes_pixels", [False, True])
def test_a_copy_agrees_in_everything(subject: Subject, images: ProofImages, takes_pixels: bool) -> None:
    found = prove(Live(subject.model, subject.preprocessing), Copy(subject, takes_pixels=takes_pixels), images, "fp32")
    assert found.whole.agreeing == found.strict.agreeing == len(images)
    assert found.strict.largest_difference < 1e-6
    assert found.accuracy is not None
    assert found.accuracy.images == int((images.targets >= 0).sum())
    assert [speed.images for speed in found.speed] == [1, 4]
    assert found.record()["speed"][0]["ratio"] > 0


@pytest.mark.parametrize("takes_pixels", [False, True])
def test_one_wrong_weight_is_found(subject: Subject, images: ProofImages, takes_pixels: bool) -> None:
    wrong = Copy(subject, takes_pixels=takes_pixels)
    weight = next(iter(wrong.live.model.parameters()))
    with torch.no_grad():
        weight.view(-1)[0] += 0.05
    with pytest.raises(ZooError, match="differs from the live model by") as caught:
        prove(Live(subject.model, subject.preprocessing), wrong, images, "fp32")
    assert len(caught.value.lines) == 1


def test_other_answers_are_refused_whatever_the_precision(subject: Subject, images: ProofImages) -> None:
    wrong = Copy(subject)
    with torch.no_grad():
        wrong.live.model.get_submodule("fc").weight.neg_()
    with pytest.raises(ZooError, match=r"gives the live model's answer for \d of 9 images"):
        prove(Live(subject.model, subject.preprocessing), wrong, images, "int8")


def test_what_is_not_a_number_is_as_far_off_as_can_be() -> None:
    assert Agreement.of(torch.zeros(2, 3), torch.full((2, 3), torch.nan)).largest_difference == 1
