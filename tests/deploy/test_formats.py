from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zoo.deploy.formats import Choice, choose, other_tool
from zoo.errors import ZooError


def test_photographs_go_into_onnx_unless_asked_otherwise() -> None:
    assert choose("onnx") == Choice("onnx", preprocess="inside")
    assert choose("onnx", preprocess="outside", batch="4").batch == 4
    assert not choose("torch").inside


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"format": "onx"}, "did you mean 'onnx'"),
        ({"format": "onnx", "precision": "int4"}, "one of fp32, fp16, int8"),
        ({"format": "torch", "precision": "int8"}, "fp32 only"),
        ({"format": "onnx", "preprocess": "both"}, "one of inside, outside"),
        ({"format": "torch", "preprocess": "inside"}, "--preprocess outside"),
        ({"format": "timm", "batch": 3}, "leave --preprocess"),
        ({"format": "onnx", "batch": "many"}, "found 'many'"),
        ({"format": "onnx", "batch": 0}, "found '0'"),
        ({"format": "onnx", "image_size": 0}, "at least 1"),
    ],
)
def test_what_there_is_not_is_one_line(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ZooError, match=text) as caught:
        choose(**given)
    assert len(caught.value.lines) == 1


def test_the_command_of_the_other_tool_can_be_copied() -> None:
    data = {"input_size": [3, 96, 96], "mean": [0.5, 0.4, 0.3], "std": [1, 1, 1]}
    error = other_tool("tflite", "resnet18", 7, data, Path("my runs/a/model.safetensors"))
    command = "timmx export litert resnet18 --checkpoint 'my runs/a/model.safetensors' --num-classes 7 --normalize --softmax"
    assert f"pip install timmx; {command} --input-size 3 96 96 --mean 0.5 0.4 0.3 --std 1 1 1" in str(error)
