"""Options that a recipe leaves open are chosen from the images and the backbone."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.recipes import GOOD, load
from PIL import Image

from zoo.data.data_set import Outline
from zoo.errors import ZooError
from zoo.recipe.recipe import Recipe, rules
from zoo.section import AUTO
from zoo.training.auto import chosen_batch_size, chosen_epochs, chosen_size, decide


def decided(tmp_path: Path, *overrides: str, images: int = 1000, side: int = 32, backbone: str = "resnet18.tv_in1k") -> Recipe:
    recipe = load(tmp_path, GOOD, f"backbone.name={backbone}", *overrides)
    return decide(recipe, lambda: Outline(images, side)).recipe


@pytest.mark.parametrize(
    ("own", "side", "size"),
    [(224, 8, 64), (224, 28, 128), (224, 32, 128), (224, 56, 224), (224, 500, 224), (384, 80, 320), (260, 4000, 260), (48, 8, 48)],
)  # fmt: skip
def test_small_images_are_enlarged_four_times_at_most(own: int, side: int, size: int) -> None:
    assert chosen_size(own, side) == size


def test_more_images_are_seen_fewer_times_in_larger_batches() -> None:
    counts = [2, 20, 300, 2_000, 10_000, 50_000, 10**6]
    epochs, batches = [chosen_epochs(count) for count in counts], [chosen_batch_size(count) for count in counts]
    assert epochs == sorted(epochs, reverse=True)
    assert batches == sorted(batches)
    assert all(2 <= size <= count for size, count in zip(batches, counts, strict=True))


def test_nothing_is_left_open_and_what_is_said_stays(tmp_path: Path) -> None:
    found = decided(tmp_path)
    assert AUTO not in (found.image_size.start, found.image_size.end, found.train.epochs, found.train.batch_size)
    assert AUTO not in (found.augment.hflip, found.finetune.batch_norm, found.output.keep_best)
    assert list(rules(found)) == []
    # `autotune.py` chooses this option, by a measurement on the machine.
    assert found.train.precision == AUTO
    words = ["image_size=96", "train.epochs=7", "train.batch_size=5", "augment.hflip=false", "finetune.batch_norm=train"]
    recipe = load(tmp_path, GOOD, *words, "output.keep_best=2")
    asked: list[int] = []
    again = decide(recipe, lambda: asked.append(1) or Outline(1, 1))
    assert again.recipe == recipe
    assert (again.reasons, asked) == ((), [])
    # A recipe without open options is not changed.
    assert decide(found, lambda: Outline(7, 7)).recipe == found


def test_the_images_grow_unless_the_backbone_takes_one_size(tmp_path: Path) -> None:
    grows = decided(tmp_path, side=500).image_size
    assert (grows.start, grows.end) == (160, 224)
    assert all(side % 32 == 0 for side in grows.sizes())
    fixed = decided(tmp_path, backbone="vit_small_patch16_224.augreg_in21k_ft_in1k").image_size
    assert (fixed.start, fixed.end) == (224, 224)
    half = decided(tmp_path, "image_size.end=96").image_size
    assert (half.start, half.end) == (64, 96)
    odd = decided(tmp_path, "image_size.end=100").image_size
    assert (odd.start, odd.end) == (100, 100)


def test_random_weights_train_their_statistics(tmp_path: Path) -> None:
    assert decided(tmp_path).finetune.batch_norm == "frozen"
    assert decided(tmp_path, "backbone.weights=random").finetune.batch_norm == "train"


def test_digits_are_not_mirrored(tmp_path: Path) -> None:
    assert decided(tmp_path).augment.hflip is True
    assert decided(tmp_path, "data=digits").augment.hflip is False


def test_what_is_chosen_keeps_the_rules(tmp_path: Path) -> None:
    found = decided(tmp_path, "schedule.warmup_epochs=50", "train.accumulate=100", images=50_000)
    assert (found.train.epochs, found.train.batch_size) == (50, 100)
    assert decided(tmp_path, "train.accumulate=500", images=600).train.batch_size == 500
    assert decided(tmp_path, images=7).train.batch_size == 2
    # The chosen last size is not smaller than the first size that is given.
    assert decided(tmp_path, "image_size.start=160", side=8).image_size.end == 160
    assert decided(tmp_path, "image_size={multiple: 16}", side=500).image_size.multiple == 16


def test_a_time_leaves_the_epochs_open(tmp_path: Path) -> None:
    assert decided(tmp_path, "train.max_minutes=3").train.epochs == AUTO


def test_the_reasons_say_what_and_why(tmp_path: Path) -> None:
    recipe = load(tmp_path, GOOD, "backbone.weights=random", "data=digits")
    assert decide(recipe, lambda: Outline(1, 8)).reasons == (
        "image_size 64 px: the images have 8 px",
        "train.batch_size 2, train.epochs 10: 1 training image",
        "augment.hflip false: digits would mean something else mirrored",
        "finetune.batch_norm train: random weights have no statistics to keep",
    )
    large = decide(load(tmp_path, GOOD), lambda: Outline(100, 900)).reasons
    assert large[0] == "image_size 160 to 224 px: resnet18.tv_in1k was made for 224 px"


def test_a_folder_is_listed_and_not_decoded(tmp_path: Path) -> None:
    for name in "ab":
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(10):
            Image.new("RGB", (40, 30)).save(folder / f"{number}.png")
        (folder / "broken.png").write_bytes(b"no image")
    words = [f"data={{kind: folder, root: '{tmp_path / 'photos'}', val_fraction: 0.2}}"]
    recipe = load(tmp_path, GOOD, *words)
    assert recipe.data.outline(0) == Outline(14, 30)
    assert decide(recipe).recipe.image_size.end == 128
    with pytest.raises(ZooError, match=r"^data\.root: "):
        decide(load(tmp_path, GOOD, f"data={{kind: folder, root: '{tmp_path / 'none'}'}}"))


@pytest.mark.parametrize(
    ("words", "expected"), [([], 1), (["train.soup=greedy"], 5), (["train.soup=greedy", "output.keep_best=3"], 3)]
)
def test_as_many_checkpoints_are_kept_as_an_average_takes(tmp_path: Path, words: list[str], expected: int) -> None:
    assert decide(load(tmp_path, GOOD, *words)).recipe.output.keep_best == expected
