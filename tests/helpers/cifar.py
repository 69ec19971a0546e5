"""A tiny CIFAR-10 in its own format."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import numpy as np
import pytest
import torchvision


def write_cifar(root: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write 40 training and 20 test images below a root. torchvision then expects their checksums and cannot download others."""
    generator = np.random.default_rng(0)
    base = root / "cifar-10-batches-py"
    base.mkdir(parents=True)

    def write(name: str, value: dict) -> list[str]:
        (base / name).write_bytes(pickle.dumps(value))
        return [name, hashlib.md5((base / name).read_bytes()).hexdigest()]

    def batch(first: int) -> dict:
        return {"data": generator.integers(0, 256, (20, 3072), np.uint8), "labels": [(first + n) % 10 for n in range(20)]}

    kind = torchvision.datasets.CIFAR10
    monkeypatch.setattr(kind, "train_list", [write(f"data_batch_{n}", batch(n)) for n in (1, 2)])
    monkeypatch.setattr(kind, "test_list", [write("test_batch", batch(0))])
    names, md5 = write("batches.meta", {"label_names": [f"c{n}" for n in range(10)]})
    monkeypatch.setattr(kind, "meta", {"filename": names, "key": "label_names", "md5": md5})
    monkeypatch.setattr(kind, "url", "http://127.0.0.1:9/cifar.tar.gz")
    return root
