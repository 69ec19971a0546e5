from __future__ import annotations

from zoo.results.pareto import pareto_front


def test_the_front_is_given_by_positions_from_the_cheapest_up() -> None:
    assert pareto_front([(1, 5), (2, 4), (2, 7), (3, 7), (4, 9)]) == [0, 2, 4]
    assert pareto_front([]) == []
    assert pareto_front([(1, 1), (1, 1)]) == [0]
