"""The Python interface: what `import zoo` offers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo.errors import ZooError


def test_importing_it_is_cheap() -> None:
    program = "import sys, zoo; assert not {'torch', 'numpy', 'timm', 'pydantic', 'yaml'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)


def test_train_then_evaluate_then_predict(tiny: Path) -> None:
    result = zoo.train(tiny, train={"epochs": 1}, data={"test_images": 20})
    assert result.epochs == 1
    assert result.test is not None
    assert result.test.n == 20
    assert result.folder is not None
    assert "folder" not in (result.folder / "result.json").read_text(encoding="utf-8")
    scored = zoo.evaluate(result.folder)
    assert scored.scores == result.test
    model = zoo.load(result.folder)
    assert model.classes == result.classes
    assert zoo.train(tiny, train={"epochs": 1}).folder != result.folder


def test_an_option_may_hold_a_path(tiny: Path, tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="no such folder"):
        zoo.train(tiny, data={"kind": "folder", "root": tmp_path / "none"})
    with pytest.raises(ZooError, match=r"no such folder: .*/fotos/📷"):
        zoo.train(tiny, data={"kind": "folder", "root": "fotos/📷"})


def test_an_option_can_be_a_whole_section(tiny: Path) -> None:
    result = zoo.train(tiny, data={"kind": "synthetic", "train_images": 16, "test_images": 8, "classes": 2}, train={"epochs": 1})
    assert result.num_classes == 2


def test_errors_are_exceptions_with_the_text_of_the_commands(tiny: Path) -> None:
    with pytest.raises(ZooError, match=r"train\.epochs: "):
        zoo.train(tiny, train={"epochs": "many"})
    with pytest.raises(ZooError, match="MODEL: unknown model 'nosuch'"):
        zoo.load("nosuch")
    with pytest.raises(ZooError, match="unknown"):
        zoo.export("nosuch", "onnx")


@pytest.mark.slow
def test_two_precisions_in_one_process(tiny: Path) -> None:
    small = {"train_images": 16, "test_images": 8}
    for precision in ("fp32", "bf16"):
        result = zoo.train(tiny, train={"epochs": 1, "precision": precision}, data=small)
        assert result.precision == precision
        assert zoo.evaluate(str(result.folder)).scores == result.test
