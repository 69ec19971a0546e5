"""Operations on whole batches agree with torchvision's on single uint8 images within 1 on the scale from 0 to 255."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as F
from torchvision.transforms.autoaugment import _apply_op

from zoo.data import operations
from zoo.data.policy import OPERATIONS, USUAL, WIDE, AugMix, Draws, RandAugment, strengths

FILL = (10.0, 20.0, 30.0)
SIDE = 97
# torchvision's names of the operations.
NAMES = {
    name: "".join(word.capitalize() for word in name.split("_")).replace("Autocontrast", "AutoContrast") for name in OPERATIONS
}


def images() -> Tensor:
    """Return smooth pictures, noise, a ramp, noise of few colors, black and white: uint8 [8, 3, 97, 97]."""
    generator = torch.Generator().manual_seed(0)
    coarse = 255 * torch.rand(3, 3, 9, 9, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, size=SIDE, mode="bicubic").clamp(0, 255).round().to(torch.uint8)
    noise = torch.randint(0, 256, (3, SIDE, SIDE), generator=generator, dtype=torch.uint8)
    ramp = torch.linspace(20, 200, SIDE).round().to(torch.uint8).expand(3, SIDE, SIDE)
    few = (noise // 64 * 64).clamp(max=128)
    plain = [torch.full((3, SIDE, SIDE), value, dtype=torch.uint8) for value in (0, 255)]
    return torch.stack([*smooth, noise, ramp, few, *plain])


def done(found: Tensor, draws: Draws) -> Tensor:
    count = len(found)
    prepared = operations.prepare(draws, np.arange(count))
    turns = prepared.on_device([torch.from_numpy(np.ascontiguousarray(array)) for array in prepared.arrays])
    return operations.apply(found.float(), turns, FILL)


@pytest.mark.parametrize("name", OPERATIONS)
@pytest.mark.parametrize("magnitude", [0.0, 0.3, -0.3, 1.0, -1.0])
@pytest.mark.parametrize("most", [USUAL, WIDE], ids=["usual", "wide"])
def test_an_operation_is_torchvisions(name: str, magnitude: float, most: dict[str, float]) -> None:
    found = images()
    operation = np.full((1, len(found)), OPERATIONS.index(name), np.int8)
    strength = strengths(operation, np.full(operation.shape, abs(magnitude)), np.full(operation.shape, magnitude < 0), most)
    theirs = float(strength[0, 0])
    if name.startswith("translate"):
        # torchvision translates by whole pixels.
        theirs = int(theirs * SIDE)
        strength[:] = theirs / SIDE
    expected = torch.stack([_apply_op(image, NAMES[name], theirs, InterpolationMode.BILINEAR, list(FILL)) for image in found])
    assert float((done(found, Draws(operation, strength)) - expected.float()).abs().max()) <= 1


def test_each_image_has_its_own_operations_one_after_the_other() -> None:
    found = images()
    draws = RandAugment(operations=3, magnitude=12).draw(np.random.default_rng(0), len(found))
    together = done(found, draws)
    for number, image in enumerate(found):
        alone = Draws(draws.operation[:, number : number + 1], draws.strength[:, number : number + 1])
        assert torch.equal(done(image[None], alone)[0], together[number])
        step = image[None].float()
        for turn in range(3):
            step = done(step, Draws(alone.operation[turn : turn + 1], alone.strength[turn : turn + 1]))
        assert torch.equal(step[0], together[number])


def test_a_part_of_a_batch_is_that_of_the_whole() -> None:
    found = images()
    draws = AugMix().draw(np.random.default_rng(0), len(found))
    rows = np.array([5, 2, 7])
    prepared = operations.prepare(draws, rows)
    turns = prepared.on_device([torch.from_numpy(np.ascontiguousarray(array)) for array in prepared.arrays])
    assert torch.equal(operations.apply(found[rows].float(), turns, FILL), done(found, draws)[rows])


def test_a_mixture_is_between_its_parts() -> None:
    found = images()
    draws = AugMix(chains=2).draw(np.random.default_rng(3), len(found))
    mixed = done(found, draws)
    assert float(mixed.min()) >= 0
    assert float(mixed.max()) <= 255.001
    assert draws.weights is not None
    own = Draws(draws.operation, draws.strength, np.stack([np.ones(len(found)), *np.zeros((2, len(found)))]))
    assert torch.equal(done(found, own), found.float())


def test_the_image_itself_is_left_alone() -> None:
    found = images().float()
    before = found.clone()
    done(found, RandAugment().draw(np.random.default_rng(0), len(found)))
    assert torch.equal(found, before)
    nothing = operations.prepare(None, np.arange(3))
    assert (nothing.arrays, nothing.groups) == ([], [])


def test_images_are_rotated_counter_clockwise_and_mirrored_beyond_the_edge() -> None:
    found = images().float()
    for quarter in (0, 1, 2, -1):
        angles = torch.full((len(found),), 90.0 * quarter)
        torch.testing.assert_close(operations.rotate(found, angles), found.rot90(quarter, (2, 3)), rtol=0, atol=0.05)
    # All values stay within the range of the image.
    turned = operations.rotate(found, torch.full((len(found),), 20.0))
    for before, after in zip(found, turned, strict=True):
        assert before.min() - 0.01 <= after.min()
        assert after.max() <= before.max() + 0.01
    inner = slice(30, 67)
    expected = torch.stack([F.rotate(image, 20.0, InterpolationMode.BILINEAR) for image in found])
    torch.testing.assert_close(turned[..., inner, inner], expected[..., inner, inner], rtol=0, atol=0.05)
