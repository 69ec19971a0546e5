from __future__ import annotations

import pickle

from zoo.bench.settings import Request, Settings


def test_training_decides_where_it_is_measured() -> None:
    assert Settings(modes=("infer",)).main_mode == "infer"
    assert Settings(modes=("infer", "train")).main_mode == "train"


def test_choices_made_before_replace_auto_and_nothing_else() -> None:
    request = Request("resnet18", Settings(steps=3), ("a.png",))
    known = request.fixed({"precision": "fp32", "channels_last": True, "batch_size": 8})
    assert known == Request("resnet18", Settings(steps=3, precision="fp32", channels_last=True, batch_size=8), ("a.png",))
    assert request.fixed({}) == request


def test_a_request_travels_to_another_process() -> None:
    request = Request("resnet18", Settings(batch_size=4), ("a.png",))
    assert pickle.loads(pickle.dumps(request)) == request
