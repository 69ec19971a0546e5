"""Put the way from photographs to probabilities into an ONNX graph: resize, crop, normalize before it, softmax after it.

In go photographs `images` uint8 [N, H, W, 3] of any size, all of a batch of one; out come `probabilities` float32 [N, C].

Pillow resizes in two passes, first the width and then the height, and rounds to whole numbers after each, half up. So does
the graph, with `Resize` of one axis, its kernel widened for smaller images (`antialias`), and weights only of pixels that
there are (`exclude_outside`). One `Resize` of both axes differs by up to 22 of 255; this by at most 1, for 0.03 to 0.4 % of
the values.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.errors import ZooError

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

IMAGES, PROBABILITIES = "images", "probabilities"
# What `Resize` calls timm's interpolations, and its attributes. Pillow's cubic kernel has a = -0.5.
MODES: dict[str, dict[str, Any]] = {"bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5}, "bilinear": {"mode": "linear"}}
TODO = "--preprocess outside leaves it to your program"
# Names of what is added start with this, so that none can be one of the network's.
PREFIX = "photo/"


def check_pixels(config: Mapping[str, Any]) -> None:
    """Check that a graph can hold a model's preprocessing.

    Raises:
        ZooError: it cannot: another interpolation, borders, or images that are not square.
    """
    where, (_, high, wide) = "--preprocess inside", config["input_size"]
    if config["interpolation"] not in MODES:
        raise ZooError(where, f"ONNX has no {config['interpolation']} resizing", TODO)
    if config.get("crop_mode", "center") not in ("center", "squash"):
        raise ZooError(where, f"crop_mode {config['crop_mode']} has no graph", TODO)
    if high != wide:
        raise ZooError(where, f"images of {high} x {wide} are not square", TODO)
    if resized_side(config) < high:
        raise ZooError(where, f"crop_pct {config['crop_pct']} shows a border around the image", TODO)


def resized_side(config: Mapping[str, Any]) -> int:
    """Return to how many pixels the shorter side is resized before the crop, as timm rounds it."""
    return math.floor(config["input_size"][-1] / (config.get("crop_pct") or 1.0))


def with_pixels(network: ModelProto, config: Mapping[str, Any]) -> ModelProto:
    """Return a graph from photographs to probabilities around a network's graph, which is changed.

    Raises:
        ZooError: the graph cannot hold this preprocessing.
    """
    from onnx import TensorProto, helper

    check_pixels(config)
    graph = network.graph
    batch, classes = graph.input[0].type.tensor_type.shape.dim[0], graph.output[0].type.tensor_type.shape.dim[1].dim_value
    rows = batch.dim_value or batch.dim_param or "batch"
    inside, outside = graph.input[0].name, graph.output[0].name
    build = _Builder()
    _resize_and_crop(build, config, inside)
    nodes = [*build.nodes, *graph.node, helper.make_node("Softmax", [outside], [PROBABILITIES], PREFIX + "softmax", axis=1)]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.initializer.extend(build.constants)
    graph.input.append(helper.make_tensor_value_info(IMAGES, TensorProto.UINT8, [rows, "height", "width", 3]))
    graph.output.append(helper.make_tensor_value_info(PROBABILITIES, TensorProto.FLOAT, [rows, classes]))
    return network


def _resize_and_crop(build: _Builder, config: Mapping[str, Any], out: str) -> None:
    """Add the nodes from `IMAGES` to the network's input `out`."""
    scale, size = resized_side(config), config["input_size"][-1]
    pixels = build.add("Transpose", build.add("Cast", IMAGES, to=1), perm=[0, 3, 1, 2])  # float32 [N, 3, H, W]
    shape = build.add("Shape", IMAGES)
    sides = {axis: build.add("Slice", shape, build.ints(axis - 1), build.ints(axis)) for axis in (2, 3)}  # int64 [1] each
    shorter = build.add("Min", sides[2], sides[3])
    for axis in (3, 2):
        if config.get("crop_mode") == "squash":
            target = build.ints(scale)
        else:
            # Whole numbers divided without the remainder, as torchvision cuts its quotient off.
            target = build.add("Div", build.add("Mul", sides[axis], build.ints(scale)), shorter)
        pixels = build.add("Resize", pixels, "", "", target, axes=[axis], **_kernel(config))
        # Not `Round`, which takes halves to the even number.
        pixels = build.add("Floor", build.add("Add", pixels, build.floats(0.5)))
        pixels = build.add("Clip", pixels, build.scalar(0.0), build.scalar(255.0))
        pixels = _centered(build, pixels, target, axis, size)
    pixels = build.add("Div", pixels, build.floats(255.0))
    pixels = build.add("Sub", pixels, build.floats(*config["mean"]))
    build.add("Div", pixels, build.floats(*config["std"]), out=out)


def _kernel(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes of `Resize` that make it Pillow's."""
    shared = {"antialias": 1, "exclude_outside": 1, "coordinate_transformation_mode": "half_pixel"}
    return shared | MODES[config["interpolation"]]


def _centered(build: _Builder, pixels: str, length: str, axis: int, size: int) -> str:
    """Add nodes that keep `size` pixels around the middle of an axis; halves go to the even number, as in torchvision."""
    spare = build.add("Cast", build.add("Sub", length, build.ints(size)), to=1)
    start = build.add("Cast", build.add("Round", build.add("Mul", spare, build.floats(0.5, shape=[1]))), to=7)
    return build.add("Slice", pixels, start, build.add("Add", start, build.ints(size)), build.ints(axis))


class _Builder:
    """Nodes and constants of a graph, named by their number."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[Any] = []

    def add(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        from onnx import helper

        name = out or f"{PREFIX}{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], f"{PREFIX}node_{len(self.nodes)}", **attributes))
        return name

    def ints(self, *values: int) -> str:
        """Add a constant int64 [n]."""
        return self._constant(np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        """Add a constant float32 without axes."""
        return self._constant(np.array(value, np.float32))

    def floats(self, *values: float, shape: list[int] | None = None) -> str:
        """Add a constant float32 [1, n, 1, 1], or of another shape."""
        return self._constant(np.array(values, np.float32).reshape(shape or [1, -1, 1, 1]))

    def _constant(self, array: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"{PREFIX}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name
