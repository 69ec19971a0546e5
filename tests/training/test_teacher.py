"""The inputs and outputs of a teacher, also if it was trained with another normalization, image size or order of the classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.models import CLASSES, DATA, lively, save_tiny
from torch import nn

from zoo.data.resize import Normalize
from zoo.errors import ZooError
from zoo.recipe.load import load_recipe
from zoo.recipe.recipe import Recipe
from zoo.training.auto import decide
from zoo.training.teacher import Teacher, load_teacher

OURS: dict[str, Any] = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.4, 0.3)}


def recipe_of(tiny: Path, teacher: Path, *overrides: str) -> Recipe:
    return decide(load_recipe(tiny, [f"distill={teacher}", *overrides])).recipe


def load(recipe: Recipe, classes: tuple[str, ...] = CLASSES, facts: dict[str, Any] = OURS, **more: Any) -> Teacher:
    found = load_teacher(recipe, lively(), classes, facts, torch.device("cpu"), **more)
    assert found is not None
    return found


def test_a_teacher_sees_the_pixels_as_its_own_training_normalized_them(tiny: Path, model_folder: Path) -> None:
    pixels = torch.randint(0, 256, (4, 3, 48, 48), generator=torch.Generator().manual_seed(0))
    own, ours = Normalize(DATA["mean"], DATA["std"]), Normalize(OURS["mean"], OURS["std"])
    with torch.no_grad():
        expected = lively()(own.apply(pixels))
    teacher = load(recipe_of(tiny, model_folder, "image_size=48"))
    torch.testing.assert_close(teacher(ours.apply(pixels)), expected, rtol=1e-4, atol=1e-4)
    assert "its images are normalized as in its own training" in teacher.notes
    alike = load(recipe_of(tiny, model_folder, "image_size=48"), facts=DATA)
    torch.testing.assert_close(alike(own.apply(pixels)), expected, rtol=1e-4, atol=1e-4)
    assert alike.notes == ()
    images = own.apply(pixels)
    assert alike.view.of(images) is images


def test_classes_are_matched_by_name(tiny: Path, model_folder: Path) -> None:
    recipe, images = recipe_of(tiny, model_folder, "image_size=48"), torch.randn(2, 3, 48, 48)
    same, other = load(recipe)(images), load(recipe, CLASSES[::-1])
    assert torch.equal(other(images), same.flip(1))
    assert "its classes are in another order: matched by name" in other.notes


@pytest.mark.parametrize(
    ("classes", "text"),
    [
        (("left", "right"), r"has other classes than the data: it also has tö,p \(train a teacher on these classes\)"),
        (("left", "right", "up"), r"it lacks up and also has tö,p"),
        (("left", "right", "tö,p", "down"), r"it lacks down \("),
    ],
)
def test_a_teacher_of_other_classes_is_refused(tiny: Path, model_folder: Path, classes: tuple[str, ...], text: str) -> None:
    with pytest.raises(ZooError, match=f"distill.teacher: .*{text}"):
        load(recipe_of(tiny, model_folder), classes)


def test_a_teacher_without_names_of_its_classes_is_refused(tiny: Path, model_folder: Path) -> None:
    config = json.loads((model_folder / "config.json").read_text())
    del config["label_names"]
    (model_folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ZooError, match="does not name its classes"):
        load(recipe_of(tiny, model_folder))


def test_images_are_resized_in_proportion_to_those_of_the_student(tiny: Path, model_folder: Path) -> None:
    teacher = load(recipe_of(tiny, model_folder, "image_size={start: 24, end: 32, multiple: 8}"))
    assert [teacher.view.side(side) for side in (24, 32)] == [36, 48]
    assert teacher.view.of(torch.zeros(2, 3, 24, 24)).shape == (2, 3, 36, 36)
    assert "its images are resized: it sees 48 px where the student sees 32" in teacher.notes


@pytest.mark.parametrize(("fixed", "sides"), [(False, [128, 160]), (True, [160, 160])])
def test_a_teacher_of_patches_sees_whole_ones_or_its_one_size(tiny: Path, tmp_path: Path, fixed: bool, sides: list[int]) -> None:
    folder = save_tiny(tmp_path / "vit", name="test_vit", size=160)
    config = json.loads((folder / "config.json").read_text())
    config["pretrained_cfg"]["fixed_input_size"] = fixed
    (folder / "config.json").write_text(json.dumps(config))
    teacher = load(recipe_of(tiny, folder, "image_size={start: 24, end: 32, multiple: 8}"))
    assert [teacher.view.side(side) for side in (24, 32)] == sides
    assert teacher(torch.zeros(2, 3, 24, 24)).shape == (2, 3)


def test_it_has_no_gradient_and_draws_nothing(tiny: Path, model_folder: Path) -> None:
    teacher = load(recipe_of(tiny, model_folder, "image_size=48"))
    images = torch.randn(2, 3, 48, 48, requires_grad=True)
    before = torch.get_rng_state()
    first = teacher(images)
    assert not first.requires_grad
    assert torch.equal(first, teacher(images))
    assert torch.equal(before, torch.get_rng_state())
    assert not teacher.answers.training


def test_features_are_those_before_the_last_layer(tiny: Path, model_folder: Path) -> None:
    teacher = load(recipe_of(tiny, model_folder, "image_size=48", "distill.kind=feature"), facts=DATA)
    images, model = torch.randn(2, 3, 48, 48), lively()
    with torch.no_grad():
        expected = model.forward_head(model.forward_features(images), pre_logits=True)  # type: ignore[operator]
    assert teacher.widths == (expected.shape[1], expected.shape[1])
    torch.testing.assert_close(teacher(images), expected, rtol=1e-4, atol=1e-4)


def test_a_student_without_features_is_refused(tiny: Path, model_folder: Path) -> None:
    recipe = recipe_of(tiny, model_folder, "distill.kind=feature")
    with pytest.raises(ZooError, match=r"distill.kind: test_resnet has no feature vector before its last layer \(use logit\)"):
        load_teacher(recipe, nn.Linear(2, 2), CLASSES, OURS, torch.device("cpu"))


def test_a_teacher_that_changed_since_is_refused(tiny: Path, model_folder: Path) -> None:
    recipe = recipe_of(tiny, model_folder)
    began = {"teacher": load(recipe).record()}
    assert load(recipe, resumed=began).digest == began["teacher"]["digest"]
    config = model_folder / "config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(ZooError, match=r"is not the model that the run began with .*restore that model, or start a new run"):
        load(recipe, resumed=began)
