from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest

from zoo.commands import list as list_command
from zoo.errors import ZooError
from zoo.models import catalog
from zoo.models.catalog import Query
from zoo.results import canvas
from zoo.results.pareto import Dot, check, front_of, pareto_front


def test_the_front_is_given_by_positions_from_the_cheapest_up() -> None:
    assert pareto_front([(1, 5), (2, 4), (2, 7), (3, 7), (4, 9)]) == [0, 2, 4]
    assert pareto_front([]) == []
    assert pareto_front([(1, 1), (1, 1)]) == [0]


def test_the_front_is_what_nothing_beats() -> None:
    draws = random.Random(0)
    dots = [Dot(str(number), draws.choice([1, 2, 5, 9]) * draws.random(), draws.randrange(20)) for number in range(200)]
    best = front_of(dots)

    def beaten(dot: Dot) -> bool:
        return any(
            other.cost <= dot.cost and other.score >= dot.score and (other.cost, other.score) != (dot.cost, dot.score)
            for other in dots
        )

    assert {(dot.cost, dot.score) for dot in best} == {(dot.cost, dot.score) for dot in dots if not beaten(dot)}
    assert best == sorted(best, key=lambda dot: dot.cost)


@pytest.mark.parametrize("patterns", [[], ["resnet*"], ["resnet18.a1_in1k"], ["vit_*", "swin*"]])
def test_no_two_names_overlap_and_none_leaves_the_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, patterns: list[str]
) -> None:
    drawn = []
    monkeypatch.setattr(canvas, "write", lambda figure, *rest: drawn.append(figure))
    found = catalog.choose(Query(patterns))
    list_command.draw(found, tmp_path / "x.svg")
    (figure,) = drawn
    for axes in figure.axes:
        inside = axes.get_window_extent()
        boxes = [text.get_window_extent() for text in axes.texts]
        assert boxes
        for one, other in itertools.combinations(boxes, 2):
            assert not one.overlaps(other)
        for box in boxes:
            assert inside.x0 <= box.x0 <= box.x1 <= inside.x1 + 1
            assert box.y1 <= inside.y1 + 1
        points = axes.transData.transform([list(place) for place in axes.collections[0].get_offsets()])
        for box in boxes:
            assert not any(box.x0 < x < box.x1 and box.y0 < y < box.y1 for x, y in points)


def test_a_picture_has_a_format_and_a_folder(tmp_path: Path) -> None:
    assert check(tmp_path / "x.svg") == "svg"
    assert check(tmp_path / "x.PNG") == "png"
    (tmp_path / "folder.svg").mkdir()
    for name in ("x.gif", "nowhere/x.svg", "folder.svg"):
        with pytest.raises(ZooError, match=r"^--plot: "):
            check(tmp_path / name)
