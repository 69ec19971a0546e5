from __future__ import annotations

import copy
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from zoo.deploy.proof import Agreement, Exported, alternate, on_cpu, prove
from zoo.deploy.proof_images import ProofImages, images_of
from zoo.deploy.subject import Subject
from zoo.errors import ZooError
from zoo.inference.networks import TimmNetwork


class Photographs(TimmNetwork):
    """The live model in place of an exported file that takes photographs."""

    def logits(self, pixels: Sequence[np.ndarray]) -> Tensor:
        return super().logits([self.preprocessing.pixels(Image.fromarray(one)) for one in pixels])


def copied(subject: Subject, *, takes_photographs: bool = False) -> Exported:
    network = (Photographs if takes_photographs else TimmNetwork)(copy.deepcopy(subject.model), subject.preprocessing)
    return Exported(network, network, takes_photographs)


def live_of(subject: Subject) -> TimmNetwork:
    return on_cpu(subject.model, subject.preprocessing)


@pytest.fixture
def images(check_folder: Path, subject: Subject) -> ProofImages:
    return images_of(None, check_folder, subject.classes)


@pytest.mark.parametrize("takes_photographs", [False, True])
def test_a_copy_agrees_in_everything(subject: Subject, images: ProofImages, takes_photographs: bool) -> None:
    found = prove(live_of(subject), copied(subject, takes_photographs=takes_photographs), images, "fp32")
    assert found.whole.agreeing == found.strict.agreeing == len(images)
    assert found.strict.largest_difference < 1e-6
    assert found.accuracy is not None
    assert found.accuracy.images == int((images.targets >= 0).sum())
    assert [speed.images for speed in found.speed] == [1, 4]
    assert found.record()["speed"][0]["ratio"] > 0


@pytest.mark.parametrize("takes_photographs", [False, True])
def test_one_wrong_weight_is_found(subject: Subject, images: ProofImages, takes_photographs: bool) -> None:
    wrong = copied(subject, takes_photographs=takes_photographs)
    weight = next(iter(wrong.network.module().parameters()))
    with torch.no_grad():
        weight.view(-1)[0] += 0.05
    with pytest.raises(ZooError, match="differs from the live model by") as caught:
        prove(live_of(subject), wrong, images, "fp32")
    assert len(caught.value.lines) == 1


def test_other_answers_are_refused_whatever_the_precision(subject: Subject, images: ProofImages) -> None:
    wrong = copied(subject)
    with torch.no_grad():
        next(iter(wrong.network.module().get_submodule("fc").parameters())).neg_()
    with pytest.raises(ZooError, match=r"gives the live model's answer for \d of 9 images"):
        prove(live_of(subject), wrong, images, "int8")


def test_what_is_not_a_number_is_as_far_off_as_can_be() -> None:
    assert Agreement.of(torch.zeros(2, 3), torch.full((2, 3), torch.nan)).largest_difference == 1


def test_both_are_timed_alike(subject: Subject, images: ProofImages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both run on one thread, equally often, with the same number of images, in batches of the size that `zoo predict` uses."""
    monkeypatch.setattr("zoo.deploy.proof.MANY", 10)
    live, exported = live_of(subject), copied(subject)
    seen: dict[str, list[tuple[int, int]]] = {"live": [], "exported": []}

    def watch(network: TimmNetwork, name: str) -> None:
        compute = network.logits

        def logits(pixels: Sequence[np.ndarray]) -> Tensor:
            if threading.current_thread() is threading.main_thread():
                seen[name].append((len(pixels), torch.get_num_threads()))
            return compute(pixels)

        monkeypatch.setattr(network, "logits", logits)

    live.batch_size = 4
    assert isinstance(exported.network, TimmNetwork)
    exported.network.batch_size = 4
    watch(live, "live")
    watch(exported.network, "exported")
    threads = torch.get_num_threads()
    prove(live, exported, images, "fp32")
    assert torch.get_num_threads() == threads
    assert seen["live"] == seen["exported"]
    # (images, threads) of a call: a single image, and ten images in batches of 4, 4 and 2.
    assert set(seen["live"]) == {(1, 1), (4, 1), (2, 1)}


def test_the_time_of_others_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoo.deploy.proof.REPEATS", 3)
    work = iter([0, 0, 0.05, 0.002, 0.002, 0.05, 0.002, 0.05])

    def busy() -> None:
        ends = time.process_time() + next(work)
        while time.process_time() < ends:
            pass

    assert max(alternate([busy] * 2)) < 0.04
    # Sleeping takes no CPU time, like waiting while other programs run.
    assert max(alternate([lambda: time.sleep(0.02)] * 2)) < 0.015


def test_a_file_that_cannot_be_run_is_one_line(subject: Subject, images: ProofImages, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = copied(subject)

    def fail(pixels: Sequence[np.ndarray]) -> Tensor:
        raise RuntimeError("sizes do not match")

    monkeypatch.setattr(broken.network, "logits", fail)
    with pytest.raises(ZooError, match="fails on real images: sizes do not match"):
        prove(live_of(subject), broken, images, "fp32")
