from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from zoo.data.batches import Batches, Gathered
from zoo.data.draws import Drawn
from zoo.errors import ZooError
from zoo.recipe.load import load_recipe
from zoo.training.inputs import load_images, preprocessing_of
from zoo.training.preview import batches_alone, draw_step, images_of_step, seen
from zoo.training.run import train

MIXED = [
    "data.train_images=64",
    "augment.mixup=0.4",
    "augment.cutmix=1",
    "augment.mix_until=0.6",
    "augment.policy=trivial_augment",
    "augment.erase=0.5",
    "augment.color_jitter=0.3",
    "image_size={start: 24, end: 32, multiple: 4}",
]


def test_the_images_are_those_that_the_loop_trains_on(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = load_recipe(tiny, [*MIXED, "train.accumulate=1"])
    made: dict[int, tuple[np.ndarray, torch.Tensor, torch.Tensor]] = {}
    draw, finish, steps = Batches.draw, Batches.finish, []

    def note_step(self: Batches, positions: np.ndarray, augment: object, seed: int, step: int) -> Drawn:
        steps.append(step)
        return draw(self, positions, augment, seed, step)  # type: ignore[arg-type]

    def note(self: Batches, gathered: Gathered, size: int, augment: object, *, mixes: bool) -> tuple[torch.Tensor, torch.Tensor]:
        images, targets = finish(self, gathered, size, augment, mixes=mixes)  # type: ignore[arg-type]
        made.setdefault(steps[-1], (gathered.ours.positions.numpy(), images.clone(), targets.clone()))
        return images, targets

    with monkeypatch.context() as patched:
        patched.setattr(Batches, "draw", note_step)
        patched.setattr(Batches, "finish", note)
        train(recipe)
    assert len(made) == 14
    own = batches_alone(load_images(recipe))
    for step in (0, 6, 7, 13):
        found = images_of_step(recipe, own, step, 100)
        positions, images, targets = made[step]
        assert (found.positions == positions).all()
        assert torch.equal(found.images, images)
        assert torch.equal(found.targets, targets)
        few = images_of_step(recipe, own, step, 3)
        torch.testing.assert_close(few.images, images[:3], rtol=0, atol=1e-5)
        assert torch.equal(few.targets, targets[:3])


def test_the_last_step_of_a_given_time_is_at_the_end_of_the_schedule(tiny: Path) -> None:
    recipe = load_recipe(tiny, [*MIXED, "train.max_minutes=1"])
    train_batches = batches_alone(load_images(recipe))
    assert images_of_step(recipe, train_batches, 13, 2).images.shape == (2, 3, 24, 24)
    assert images_of_step(recipe, train_batches, 13, 2, steps=14).images.shape == (2, 3, 32, 32)


def test_pixels_are_the_images_without_normalization(tiny: Path) -> None:
    recipe = load_recipe(tiny, ["augment.crop=none", "augment.hflip=false"])
    inputs = load_images(recipe)
    train = batches_alone(inputs)
    shown = seen(images_of_step(recipe, train, 0, 4), train, preprocessing_of(inputs).normalize, inputs.data.classes)
    assert shown.pixels.shape == (4, 3, 32, 32)
    split = inputs.data.train
    places = [split.names().index(name) for name in shown.names]
    assert (shown.pixels == split.pixels.take(split.index[places])).all()
    assert [label[0][0] for label in shown.labels] == [inputs.data.classes[split.targets[place]] for place in places]


@pytest.mark.parametrize("step", [-1, 36])
def test_a_step_that_the_run_does_not_have_is_refused(tiny: Path, step: int) -> None:
    recipe = load_recipe(tiny)
    with pytest.raises(ZooError, match="the run has steps 0 to 35"):
        images_of_step(recipe, batches_alone(load_images(recipe)), step, 1)


def test_a_picture_that_cannot_be_written_is_one_line(tiny: Path, tmp_path: Path) -> None:
    assert draw_step(load_recipe(tiny), 1, 4, tmp_path / "a.png") == f"{tmp_path / 'a.png'}: step 1: 4 of 8 images, 32 px"
    with pytest.raises(ZooError, match="cannot be written"):
        draw_step(load_recipe(tiny), 1, 4, tmp_path / "none" / "a.png")
