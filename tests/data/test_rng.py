"""Randomness as a function of seed, purpose and step."""

from __future__ import annotations

from zoo.data.rng import epoch_order, torch_seed


def test_an_epochs_order_is_a_permutation_of_its_own() -> None:
    orders = [epoch_order(0, epoch, 50).tolist() for epoch in (0, 0, 1)] + [epoch_order(1, 0, 50).tolist()]
    assert all(sorted(order) == list(range(50)) for order in orders)
    assert orders[0] == orders[1]
    assert orders[0] != orders[2] != orders[3] != orders[0]


def test_dropout_seeds_differ_by_step_and_rank() -> None:
    seeds = {torch_seed(seed, step, rank) for seed in range(3) for step in range(5) for rank in range(4)}
    assert len(seeds) == 60
    assert all(0 <= seed < 2**63 for seed in seeds)
