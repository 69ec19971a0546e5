"""The probe compared with scikit-learn's classifiers, on features with known class centers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from zoo.scout import probe as module
from zoo.scout.folds import divide
from zoo.scout.probe import Fits, nearest, principal, probe


def blobs(count: int, width: int, classes: int, spread: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Draw features around a center for each class; the widest feature is a thousand times as wide as the narrowest."""
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % classes
    centers = torch.randn(classes, width, generator=generator)
    features = centers[targets] + spread * torch.randn(count, width, generator=generator)
    return features * torch.logspace(-1, 2, width) + 5, targets


def folds_of(targets: Tensor, count: int = 5) -> np.ndarray:
    return divide(targets.numpy(), np.arange(len(targets)), count, 0)


@pytest.mark.parametrize(("count", "width"), [(300, 20), (90, 200)])
def test_a_fit_is_that_of_scikit_learn(count: int, width: int) -> None:
    from sklearn.linear_model import LogisticRegression

    features, targets = blobs(count, width, 4, 3.0)
    standardized = ((features - features.mean(0)) / features.std(0)).numpy()
    trained = torch.arange(count) % 3 > 0
    for penalty in (0.3, 0.01):
        right = Fits(principal(features), targets, [trained]).fit([penalty], 100)[:, 0]
        referee = LogisticRegression(C=1 / (penalty * int(trained.sum())), max_iter=5000, tol=1e-6)
        referee.fit(standardized[trained.numpy()], targets[trained].numpy())
        agreed = referee.predict(standardized) == targets.numpy()
        # One image may be so close to the decision boundary that the two fits put it on different sides.
        assert (agreed != right.numpy()).sum() <= 1


def test_a_few_iterations_are_enough() -> None:
    features, targets = blobs(400, 60, 5, 2.5)
    fold = folds_of(targets)
    found = probe(features, targets, fold)
    basis = principal(features)
    parts = [torch.from_numpy(fold != left) for left in range(5)]
    exact = Fits(basis, targets, parts).fit(found.penalties, 300)
    for left, accuracy in enumerate(found.folds):
        assert accuracy == pytest.approx(float(exact[torch.from_numpy(fold == left), left].double().mean()), abs=0.013)


def test_noise_is_worth_nothing_and_clear_classes_are_worth_all() -> None:
    features, targets = blobs(300, 16, 3, 0.1)
    found = probe(features, targets, folds_of(targets))
    assert min(found.folds) == 1.0
    assert found.knn == 1.0
    noise = torch.randn(300, 64, generator=torch.Generator().manual_seed(1))
    found = probe(noise, targets, folds_of(targets))
    assert np.mean(found.folds) < 0.45
    # Nothing can be learned from noise, so the strongest penalties are best.
    assert np.median(found.penalties) >= 0.3


def test_the_labels_of_a_fold_do_not_change_its_own_fits() -> None:
    features, targets = blobs(150, 10, 3, 2.0)
    fold = torch.from_numpy(folds_of(targets, 3))
    wrong = torch.where(fold == 0, (targets + 1) % 3, targets)
    basis, part = principal(features), [fold != 0]
    before = Fits(basis, targets, part)
    before.fit([0.1], 30)
    after = Fits(basis, wrong, part)
    after.fit([0.1], 30)
    assert torch.allclose(before.weight, after.weight)


def test_features_that_say_nothing_do_no_harm() -> None:
    features, targets = blobs(120, 8, 3, 0.5)
    padded = torch.cat([features, torch.full((120, 3), 7.0), features[:, :2]], dim=1)
    assert np.mean(probe(padded, targets, folds_of(targets)).folds) > 0.9


def test_neighbors_are_those_of_scikit_learn_in_other_folds(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.neighbors import KNeighborsClassifier

    features, targets = blobs(200, 6, 4, 1.5)
    fold = torch.from_numpy(folds_of(targets, 4))
    centered = (features - features.mean(0)).numpy()
    hits = 0
    for number in range(4):
        own = (fold == number).numpy()
        weigh = lambda distance: 1 - distance / 2  # noqa: E731
        referee = KNeighborsClassifier(7, metric="cosine", weights=weigh).fit(centered[~own], targets[~own])
        hits += int((referee.predict(centered[own]) == targets[own].numpy()).sum())
    monkeypatch.setattr(module, "CHUNK", 64)
    assert nearest(features, targets, fold, 7) == pytest.approx(hits / 200, abs=0.006)
    # Each image has a fold of its own, and the labels are random. The accuracy would be higher if an image were its own neighbor.
    shuffled = targets[torch.randperm(200, generator=torch.Generator().manual_seed(0))]
    assert nearest(features, shuffled, torch.arange(200)) < 0.5
