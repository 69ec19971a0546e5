"""Add preprocessing and softmax to an ONNX graph: resize, crop and normalize before the network, softmax after it.

Its input is photographs `images` uint8 [N, H, W, 3] of any size, the same for all images of a batch. Its output is
`probabilities` float32 [N, C].

Pillow resizes in two passes, first the width and then the height, and rounds to whole numbers (half up) after each. The graph
does the same with one `Resize` per axis: its kernel is widened for downscaling (`antialias`), and only existing pixels have
weights (`exclude_outside`). A single `Resize` of both axes differs from Pillow by up to 22 of 255; two differ by at most 1,
for less than 1 % of the values.

Pillow 13 resizes the height first if that removes more than twice as many rows as columns, as in photographs more than twice
as high as wide; earlier versions do not. The graph does what the installed version does: in the other order, the same image
differs by up to 5 of 255.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from zoo.errors import ZooError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

IMAGES, PROBABILITIES = "images", "probabilities"
# Attributes of `Resize` for timm's interpolations. Pillow's cubic kernel has a = -0.5.
MODES: dict[str, dict[str, Any]] = {"bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5}, "bilinear": {"mode": "linear"}}
TODO = "--preprocess outside leaves it to your program"
# Prefix of the names of added nodes and constants, so that they do not clash with the network's.
PREFIX = "photo/"


def check_pixels(config: Mapping[str, Any]) -> None:
    """Check that a graph can express a model's preprocessing.

    Raises:
        ZooError: it lacks the interpolation or the crop, or the images are not square.
    """
    where, (_, high, wide) = "--preprocess inside", config["input_size"]
    if config["interpolation"] not in MODES:
        raise ZooError(where, f"ONNX has no {config['interpolation']} resizing", TODO)
    if config.get("crop_mode", "center") not in ("center", "squash", "border"):
        raise ZooError(where, f"ONNX has no crop_mode {config['crop_mode']}", TODO)
    if high != wide:
        raise ZooError(where, f"images of {high} x {wide} are not square", TODO)
    if resized_side(config) < high and config.get("crop_mode") != "border":
        raise ZooError(where, f"crop_pct {config['crop_pct']} shows a border around the image", TODO)


def resized_side(config: Mapping[str, Any]) -> int:
    """Return the size of the shorter side (with `border` the longer one) before the crop, in pixels, rounded as in timm."""
    return math.floor(config["input_size"][-1] / (config.get("crop_pct") or 1.0))


def with_pixels(network: ModelProto, config: Mapping[str, Any]) -> ModelProto:
    """Extend a network's graph in place so that it maps photographs to probabilities, and return it.

    Raises:
        ZooError: a graph cannot express this preprocessing.
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


@cache
def takes_height_first() -> bool:
    """Return whether the installed Pillow resizes the height of a tall image first."""
    noise = np.random.default_rng(0).integers(0, 256, (60, 20, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    height_first = image.resize((20, 30), Image.Resampling.BICUBIC).resize((10, 30), Image.Resampling.BICUBIC)
    return np.array_equal(np.asarray(image.resize((10, 30), Image.Resampling.BICUBIC)), np.asarray(height_first))


def _resize_and_crop(build: _Builder, config: Mapping[str, Any], out: str) -> None:
    """Add the nodes from `IMAGES` to the network's input `out`."""
    size = config["input_size"][-1]
    pixels = build.add("Transpose", build.add("Cast", IMAGES, to=1), perm=[0, 3, 1, 2])  # float32 [N, 3, H, W]
    shape = build.add("Shape", pixels)
    sides = {axis: build.add("Gather", shape, build.ints(axis)) for axis in (2, 3)}  # int64 [1] each
    targets = _targets(build, sides, config)

    def passes(order: Sequence[int]) -> str:
        found = pixels
        for axis in order:
            found = _centered(build, _resized(build, found, axis, targets[axis], config), targets[axis], axis, size)
        return found

    if takes_height_first():
        tall = _saves_rows(build, sides, targets)
        pixels = build.choice(tall, lambda: passes((2, 3)), lambda: passes((3, 2)))
    else:
        pixels = passes((3, 2))
    if config.get("crop_mode") == "border":
        pixels = _bordered(build, pixels, size, config["mean"])
    pixels = build.add("Div", pixels, build.floats(255.0))
    pixels = build.add("Sub", pixels, build.floats(*config["mean"]))
    build.add("Div", pixels, build.floats(*config["std"]), out=out)


def _targets(build: _Builder, sides: Mapping[int, str], config: Mapping[str, Any]) -> dict[int, str]:
    """Add nodes that compute the resized height (axis 2) and width (axis 3), int64 [1] each."""
    scale = build.ints(resized_side(config))
    if config.get("crop_mode") == "squash":
        return {2: scale, 3: scale}
    if config.get("crop_mode") == "border":
        return {axis: _kept_in_proportion(build, sides, side, scale) for axis, side in sides.items()}
    shorter = build.add("Min", sides[2], sides[3])
    # Integer division, since torchvision truncates the quotient.
    return {axis: build.add("Div", build.add("Mul", side, scale), shorter) for axis, side in sides.items()}


def _kept_in_proportion(build: _Builder, sides: Mapping[int, str], side: str, scale: str) -> str:
    """Add nodes for a side in timm's ResizeKeepRatio, which resizes the longer one to `scale`: its operations in float64."""
    longer, target, length = (build.add("Cast", value, to=11) for value in (build.add("Max", sides[2], sides[3]), scale, side))
    quotient = build.add("Div", length, build.add("Div", longer, target))
    # `Round` rounds halves to even, as Python does. At least one pixel, where timm would fail.
    return build.add("Max", build.add("Cast", build.add("Round", quotient), to=7), build.ints(1))


def _bordered(build: _Builder, pixels: str, size: int, mean: Sequence[float]) -> str:
    """Add nodes that center float32 [N, 3, H, W] on squares of the mean color, which is rounded to whole numbers as in timm."""
    fill = build.floats(*(float(round(255 * value)) for value in mean))
    shape = build.add("Shape", pixels)
    lacking = [build.add("Sub", build.ints(size), build.add("Gather", shape, build.ints(axis))) for axis in (2, 3)]
    before = [build.add("Div", spare, build.ints(2)) for spare in lacking]
    after = [build.add("Sub", spare, first) for spare, first in zip(lacking, before, strict=True)]
    none = build.ints(0, 0)
    # Pad the difference from the color with zeros, since `Pad` takes one value for all channels.
    padded = build.add("Pad", build.add("Sub", pixels, fill), build.add("Concat", none, *before, none, *after, axis=0))
    return build.add("Add", padded, fill)


def _saves_rows(build: _Builder, sides: Mapping[int, str], targets: Mapping[int, str]) -> str:
    """Add Pillow's test for resizing the height first: does resizing remove more than twice as many rows as columns?"""
    rows, columns = (build.add("Sub", sides[axis], targets[axis]) for axis in (2, 3))
    more = build.add("Greater", rows, build.add("Mul", columns, build.ints(2)))
    both = build.add("And", more, build.add("Greater", rows, build.ints(0)))
    return build.add("Squeeze", both)


def _resized(build: _Builder, pixels: str, axis: int, target: str, config: Mapping[str, Any]) -> str:
    """Add one pass of Pillow's resize along an axis; returns float32 [N, 3, H, W] with whole numbers from 0 to 255."""
    shape = build.add("Shape", pixels)
    rest = {other: build.add("Gather", shape, build.ints(other)) for other in range(4) if other != axis}
    # Give all four sizes: onnxruntime's transpose optimizer does not support the attribute `axes`.
    sizes = build.add("Concat", *(rest.get(other, target) for other in range(4)), axis=0)
    kernel = {"antialias": 1, "exclude_outside": 1, "coordinate_transformation_mode": "half_pixel"}
    pixels = build.add("Resize", pixels, "", "", sizes, **kernel, **MODES[config["interpolation"]])
    # Not `Round`, which rounds halves to even.
    pixels = build.add("Floor", build.add("Add", pixels, build.scalar(0.5)))
    return build.add("Clip", pixels, build.scalar(0.0), build.scalar(255.0))


def _centered(build: _Builder, pixels: str, length: str, axis: int, size: int) -> str:
    """Add nodes that crop an axis to its central `size` pixels, or keep it if shorter; rounded as in torchvision."""
    spare = build.add("Cast", build.add("Max", build.add("Sub", length, build.ints(size)), build.ints(0)), to=1)
    start = build.add("Cast", build.add("Round", build.add("Mul", spare, build.scalar(0.5))), to=7)  # halves to even
    return build.add("Slice", pixels, start, build.add("Add", start, build.ints(size)), build.ints(axis))


class _Builder:
    """A builder of the nodes and constants of a graph, which are named by number."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[Any] = []
        self.count = 0

    def add(self, kind: str, *inputs: str, out: str = "", **attributes: Any) -> str:
        """Add a node; return the name of its output."""
        from onnx import helper

        self.count += 1
        name = out or f"{PREFIX}{kind.lower()}_{self.count}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], f"{PREFIX}node_{self.count}", **attributes))
        return name

    def choice(self, condition: str, one: Callable[[], str], other: Callable[[], str]) -> str:
        """Add an `If` node that runs one of two parts; each function adds the nodes of a part and returns its output."""
        return self.add("If", condition, then_branch=self._part(one), else_branch=self._part(other))

    def _part(self, build: Callable[[], str]) -> GraphProto:
        from onnx import TensorProto, helper

        outside, self.nodes = self.nodes, []
        value = helper.make_tensor_value_info(build(), TensorProto.FLOAT, None)
        inside, self.nodes = self.nodes, outside
        return helper.make_graph(inside, f"{PREFIX}part_{self.count}", [], [value])

    def ints(self, *values: int) -> str:
        """Add a constant int64 [n]."""
        return self._constant(np.array(values, np.int64))

    def scalar(self, value: float) -> str:
        """Add a scalar constant float32."""
        return self._constant(np.array(value, np.float32))

    def floats(self, *values: float) -> str:
        """Add a constant float32 [1, n, 1, 1]."""
        return self._constant(np.array(values, np.float32).reshape(1, -1, 1, 1))

    def _constant(self, array: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"{PREFIX}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name
