"""Classes are matched by name in any order, and differences are reported."""

from __future__ import annotations

import pytest

from zoo.errors import ZooError
from zoo.inference.match_classes import listed, match_classes

MODEL = ["cat", "dog", "golden retriever"]
ALIASES = {"n02123045": 0, "tabby": 0, "hound": 1}


def notes(data: list[str], model: list[str] = MODEL, count: int = 2) -> tuple[str, ...]:
    return match_classes(data, model, ALIASES, [count] * len(data)).notes


def test_the_same_classes_leave_nothing_to_say() -> None:
    found = match_classes(MODEL, MODEL, {}, [1, 1, 1])
    assert (found.outputs, found.notes) == ((0, 1, 2), ())


@pytest.mark.parametrize(
    ("data", "outputs"),
    [
        (["dog", "cat"], (1, 0)),
        (["Cat", "DOG"], (0, 1)),
        (["n02123045", "Hound", "Golden_Retriever"], (0, 1, 2)),
        (["tabby", "cat"], (0, 0)),
        (["bird", "dog"], (None, 1)),
    ],
)
def test_names_decide(data: list[str], outputs: tuple[int | None, ...]) -> None:
    assert match_classes(data, MODEL, ALIASES, [1] * len(data)).outputs == outputs


def test_a_spelling_that_two_classes_share_is_neither() -> None:
    assert match_classes(["CAT", "Cat"], ["cat", "Cat"], {}, [1, 1]).outputs == (None, 1)


def test_another_order_missing_unknown_and_renamed_classes_are_a_line_each() -> None:
    assert notes(["dog", "bird", "tabby"]) == (
        "the classes are in another order than the model's: matched by name",
        "matched under another name: tabby is cat",
        "left out: 2 images of 1 class that the model does not know: bird",
        "no images of 1 of the model's 3 classes: golden retriever",
    )


def test_a_class_without_images_is_one_that_is_absent() -> None:
    found = match_classes(MODEL, MODEL, {}, [1, 0, 1])
    assert found.notes == ("no images of 1 of the model's 3 classes: dog",)


def test_long_lists_are_cut() -> None:
    model = [f"class{number}" for number in range(1000)]
    assert notes(model[:600], model) == (
        "no images of 400 of the model's 1,000 classes: class600, class601, class602, class603, class604 and 395 more",
    )
    assert notes(model[:1], model) == ("no images of 999 of the model's 1,000 classes",)


def test_names_with_commas_are_told_apart() -> None:
    assert listed(["tench, Tinca tinca", "cock"]) == "tench, Tinca tinca; cock"


def test_no_class_in_common_names_some_of_both() -> None:
    with pytest.raises(ZooError) as error:
        match_classes(["a", "b"], MODEL, ALIASES, [1, 1])
    assert str(error.value).startswith(
        "--data: no class in common: the data has a, b; the model has cat, dog, golden retriever ("
    )
