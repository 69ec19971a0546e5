from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from zoo.deploy.onnx_pixels import check_pixels, with_pixels
from zoo.errors import ZooError
from zoo.inference.preprocessing import Preprocessing

onnx = pytest.importorskip("onnx")
# A mean and standard deviation that leave the pixel values unchanged.
PLAIN: dict[str, Any] = {"mean": (0.0, 0.0, 0.0), "std": (1.0, 1.0, 1.0), "crop_pct": 0.875, "crop_mode": "center"}


def pixels_alone(config: dict[str, Any]) -> Any:
    """Build a graph that outputs the input of its network: the network is the identity, and the softmax is removed."""
    size = config["input_size"][-1]
    helper, shape = onnx.helper, ["batch", 3, size, size]
    ends = [helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape) for name in ("pixels", "logits")]
    graph = helper.make_graph([helper.make_node("Identity", ["pixels"], ["logits"])], "nothing", ends[:1], ends[1:])
    found = with_pixels(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), config)
    del found.graph.node[-1], found.graph.output[:]
    found.graph.output.append(ends[1])
    return found


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize(
    ("crop_mode", "crop_pct", "size"),
    [
        ("center", 0.875, 33),
        ("center", 1.0, 96),
        ("squash", 0.9, 64),
        ("border", 0.875, 64),
        ("border", 1.0, 64),
        ("border", 1.1, 64),
    ],
)
def test_pixels_are_timms_within_one(
    photographs: list[Image.Image],
    run_graph: Callable[..., np.ndarray],
    interpolation: str,
    crop_mode: str,
    crop_pct: float,
    size: int,
) -> None:
    config = PLAIN | {"interpolation": interpolation, "crop_mode": crop_mode, "crop_pct": crop_pct, "input_size": (3, size, size)}
    graph, timms = pixels_alone(config), Preprocessing(config)
    for photograph in photographs:
        found = run_graph(graph, np.asarray(photograph)[None])[0].transpose(1, 2, 0) * 255
        far = np.abs(found - timms.pixels(photograph))
        assert far.max() < 1.01, photograph.size
        assert (far > 0.5).mean() < 0.01, photograph.size


def test_tall_photographs_are_resized_in_pillows_order(run_graph: Callable[..., np.ndarray]) -> None:
    config = PLAIN | {"interpolation": "bicubic", "crop_pct": 1.0, "input_size": (3, 32, 32)}
    graph, timms = pixels_alone(config), Preprocessing(config)
    for high in (79, 80, 81, 83, 120, 400):
        image = np.random.default_rng(high).integers(0, 256, (high, 40, 3), dtype=np.uint8)
        found = run_graph(graph, image[None])[0].transpose(1, 2, 0) * 255
        assert np.abs(found - timms.pixels(Image.fromarray(image))).max() < 1.01, high


def test_means_and_deviations_are_those_of_the_model(run_graph: Callable[..., np.ndarray]) -> None:
    config = PLAIN | {"interpolation": "bicubic", "input_size": (3, 8, 8), "mean": (0.1, 0.2, 0.3), "std": (0.5, 0.25, 0.2)}
    found = run_graph(pixels_alone(config), np.full((2, 9, 9, 3), 51, np.uint8))
    np.testing.assert_allclose(found[1, :, 0, 0], [0.2, 0.0, -0.5], atol=1e-6)


def test_an_image_of_the_resized_size_is_left_as_it_is(run_graph: Callable[..., np.ndarray]) -> None:
    config = PLAIN | {"interpolation": "bicubic", "input_size": (3, 28, 28)}
    image = np.random.default_rng(0).integers(0, 256, (1, 32, 32, 3), dtype=np.uint8)
    found = run_graph(pixels_alone(config), image)[0].transpose(1, 2, 0) * 255
    np.testing.assert_allclose(found, image[0, 2:30, 2:30], atol=1e-3)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"interpolation": "lanczos"}, "ONNX has no lanczos resizing"),
        ({"crop_mode": "tiles"}, "crop_mode tiles"),
        ({"input_size": (3, 32, 48)}, "not square"),
        ({"crop_pct": 1.2}, "shows a border"),
    ],
)
def test_what_a_graph_cannot_hold_is_refused(change: dict[str, Any], text: str) -> None:
    with pytest.raises(ZooError, match=text) as caught:
        check_pixels(PLAIN | {"interpolation": "bicubic", "input_size": (3, 32, 32)} | change)
    assert "--preprocess outside" in str(caught.value)
