from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from helpers.reports import ODD, images, scored

from zoo.report.analysis import worst_mistakes
from zoo.report.gallery import Gallery, Images
from zoo.report.scored import Scored
from zoo.report.thumbnails import thumbnail

CLASSES = ("cat", "dog", "cow")
PLENTY = 10**7


def test_a_mistake_is_shown_with_its_label_first() -> None:
    found = scored(3)
    gallery = Gallery(images(found, CLASSES), found, CLASSES, PLENTY)
    (position,) = worst_mistakes(found)[:1]
    (shot,) = gallery.predicted(np.array([position]))
    assert (shot.second, shot.title) == (CLASSES[found.labels[position]], CLASSES[found.predicted[position]])
    assert shot.file == found.files[position]
    assert all(text in shot.alt for text in (shot.file, shot.second, shot.title))
    split = gallery.split
    assert split is not None
    row = split.index[position]
    assert shot.picture == thumbnail(split.pixels.images[row], float(split.pixels.aspects[row]))


def test_images_are_found_by_name_in_data_that_has_changed() -> None:
    found = scored(3)
    have = images(found, CLASSES)
    assert have.data is not None
    assert have.data.test is not None
    turned = have.data.test.take(np.arange(len(found))[::-1][:-5])
    gallery = Gallery(Images(replace(have.data, test=turned)), found, CLASSES, PLENTY)
    assert gallery.lacking == 5
    same = Gallery(have, found, CLASSES, PLENTY).predicted(np.arange(60))
    other = gallery.predicted(np.arange(60))
    assert other[5:] == same[5:]
    assert [shot.picture for shot in other[:5]] == [None] * 5


def test_a_run_that_named_no_images_gets_their_names_from_the_data() -> None:
    found = scored(3)
    have = images(found, CLASSES)
    bare = replace(found, files=[f"test[{row}]" for row in range(60)], named=False)
    gallery = Gallery(have, bare, CLASSES, PLENTY)
    assert gallery.scored is not None
    assert gallery.scored.files == found.files
    other = replace(bare, labels=(bare.labels + 1) % 3)
    assert Gallery(have, other, CLASSES, PLENTY).lacking == 60


def test_a_budget_goes_to_those_who_ask_first() -> None:
    found = scored(3)
    one = len(thumbnail(np.zeros((3, 20, 20), np.uint8)).uri) * 4
    gallery = Gallery(images(found, CLASSES), found, CLASSES, one)
    shots = gallery.predicted(np.arange(60))
    with_picture = [shot.picture is not None for shot in shots]
    assert with_picture == sorted(with_picture, reverse=True)
    assert 0 < sum(with_picture) < 60
    assert sum(len(shot.picture.uri) for shot in shots if shot.picture) <= one
    assert [shot.picture for shot in gallery.classes_shown()] == [None] * 3


def test_each_class_is_shown_once() -> None:
    found = scored(10)
    shots = Gallery(images(found, ODD), found, ODD, PLENTY).classes_shown()
    assert [shot.title for shot in shots] == list(ODD)
    assert [shot.file for shot in shots] == [f"train/{name}/0.png" for name in ODD]


def test_what_the_model_saw_is_shown_with_all_its_labels() -> None:
    found = scored(3)
    first, second = Gallery(images(found, CLASSES), found, CLASSES, PLENTY).seen()
    assert first.title == "cat"
    assert second.title == "dog 70 % + cat 30 %"


@pytest.mark.parametrize("found", [None, scored(3)])
def test_without_images_there_are_no_pictures(found: Scored | None) -> None:
    gallery = Gallery(Images(), found, CLASSES, PLENTY)
    assert gallery.seen() == gallery.classes_shown() == []
    assert gallery.lacking == 0
    if found:
        assert gallery.predicted(np.array([1]))[0].picture is None
