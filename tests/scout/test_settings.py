"""Requests can be sent to workers, and settings can be written to files."""

from __future__ import annotations

import json
import pickle
from dataclasses import asdict

import numpy as np

from zoo.scout.settings import Candidate, Request, Settings


def test_a_request_reaches_a_worker_as_it_is() -> None:
    request = Request(Candidate("resnet18"), {"name": "x"}, 64, 96, np.arange(3), np.zeros(3, np.int64), "d", "photos")
    assert str(pickle.loads(pickle.dumps(request))) == str(request)


def test_settings_are_plain_values_and_the_control_is_another_row() -> None:
    settings = Settings({"name": "x"}, "native", None, 5)
    assert json.loads(json.dumps(asdict(settings)))["image_size"] == "native"
    assert Candidate("a").key != Candidate("a", control=True).key
