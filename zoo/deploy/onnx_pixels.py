"""Put the way from photographs to probabilities into an ONNX graph: resize, crop, normalize before it, softmax after it.

In go photographs `images` uint8 [N, H, W, 3] of any size, all of a batch of one; out come `probabilities` float32 [N, C].

Pillow resizes in two passes, first the width and then the height, and rounds to whole numbers after each, half up. So does
the graph, with `Resize` of one axis, its kernel widened for smaller images (`antialias`), and weights only of pixels that
there are (`exclude_outside`). One `Resize` of both axes differs by up to 22 of 255; this by at most 1, for less than 1 % of
the values.

Pillow 13 takes the height first where that saves more rows than it costs columns, as in photographs more than twice as high
as wide; earlier versions do not. The graph does what the installed version does: taken the other way, the same image differs
by up to 5 of 255.
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
# What `Resize` calls timm's interpolations, and its attributes. Pillow's cubic kernel has a = -0.5.
MODES: dict[str, dict[str, Any]] = {"bicubic": {"mode": "cubic", "cubic_coeff_a": -0.5}, "bilinear": {"mode": "linear"}}
TODO = "--preprocess outside leaves it to your program"
# Names of what is added start with this, so that none can be one of the network's.
PREFIX = "photo/"


def check_pixels(config: Mapping[str, Any]) -> None:
    """Check that a graph can hold a model's preprocessing.

    Raises:
        ZooError: it cannot: another interpolation, or images that are not square.
    """
    where, (_, high, wide) = "--preprocess inside", config["input_size"]
    if config["interpolation"] not in MODES:
        raise ZooError(where, f"ONNX has no {config['interpolation']} resizing", TODO)
    if config.get("crop_mode", "center") not in ("center", "squash", "border"):
        raise ZooError(where, f"crop_mode {config['crop_mode']} has no graph", TODO)
    if high != wide:
        raise ZooError(where, f"images of {high} x {wide} are not square", TODO)
    if resized_side(config) < high and config.get("crop_mode") != "border":
        raise ZooError(where, f"crop_pct {config['crop_pct']} shows a border around the image", TODO)


def resized_side(config: Mapping[str, Any]) -> int:
    """Return to how many pixels the shorter side is resized before the crop, with `border` the longer one, as timm rounds it."""
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
    """Add nodes for what the height (axis 2) and the width (3) become: int64 [1] each."""
    scale = build.ints(resized_side(config))
    if config.get("crop_mode") == "squash":
        return {2: scale, 3: scale}
    if config.get("crop_mode") == "border":
        return {axis: _kept_in_proportion(build, sides, side, scale) for axis, side in sides.items()}
    shorter = build.add("Min", sides[2], sides[3])
    # Whole numbers divided without the remainder, as torchvision cuts its quotient off.
    return {axis: build.add("Div", build.add("Mul", side, scale), shorter) for axis, side in sides.items()}


def _kept_in_proportion(build: _Builder, sides: Mapping[int, str], side: str, scale: str) -> str:
    """Add timm's ResizeKeepRatio for a side, where the longer one becomes `scale`: the same operations, in float64."""
    longer, target, length = (build.add("Cast", value, to=11) for value in (build.add("Max", sides[2], sides[3]), scale, side))
    quotient = build.add("Div", length, build.add("Div", longer, target))
    # Halves to the even number, as Python rounds. A line of pixels at least: timm gives up there.
    return build.add("Max", build.add("Cast", build.add("Round", quotient), to=7), build.ints(1))


def _bordered(build: _Builder, pixels: str, size: int, mean: Sequence[float]) -> str:
    """Add nodes that put float32 [N, 3, H, W] in the middle of squares of the mean color, in whole numbers, as timm does."""
    fill = build.floats(*(float(round(255 * value)) for value in mean))
    shape = build.add("Shape", pixels)
    lacking = [build.add("Sub", build.ints(size), build.add("Gather", shape, build.ints(axis))) for axis in (2, 3)]
    before = [build.add("Div", spare, build.ints(2)) for spare in lacking]
    after = [build.add("Sub", spare, first) for spare, first in zip(lacking, before, strict=True)]
    none = build.ints(0, 0)
    # Around what lies above and below the color: `Pad` takes one value for all channels.
    padded = build.add("Pad", build.add("Sub", pixels, fill), build.add("Concat", none, *before, none, *after, axis=0))
    return build.add("Add", padded, fill)


def _saves_rows(build: _Builder, sides: Mapping[int, str], targets: Mapping[int, str]) -> str:
    """Add Pillow's question: are there fewer rows after it, by more than twice as many as there are fewer columns?"""
    rows, columns = (build.add("Sub", sides[axis], targets[axis]) for axis in (2, 3))
    more = build.add("Greater", rows, build.add("Mul", columns, build.ints(2)))
    both = build.add("And", more, build.add("Greater", rows, build.ints(0)))
    return build.add("Squeeze", both)


def _resized(build: _Builder, pixels: str, axis: int, target: str, config: Mapping[str, Any]) -> str:
    """Add one pass of Pillow: float32 [N, 3, H, W] with whole numbers from 0 to 255."""
    shape = build.add("Shape", pixels)
    rest = {other: build.add("Gather", shape, build.ints(other)) for other in range(4) if other != axis}
    # All four sizes: onnxruntime's optimizer of transposes does not know the attribute `axes`.
    sizes = build.add("Concat", *(rest.get(other, target) for other in range(4)), axis=0)
    kernel = {"antialias": 1, "exclude_outside": 1, "coordinate_transformation_mode": "half_pixel"}
    pixels = build.add("Resize", pixels, "", "", sizes, **kernel, **MODES[config["interpolation"]])
    # Not `Round`, which takes halves to the even number.
    pixels = build.add("Floor", build.add("Add", pixels, build.scalar(0.5)))
    return build.add("Clip", pixels, build.scalar(0.0), build.scalar(255.0))


def _centered(build: _Builder, pixels: str, length: str, axis: int, size: int) -> str:
    """Add nodes that keep `size` pixels around the middle of an axis, or all of fewer; halves as torchvision rounds them."""
    spare = build.add("Cast", build.add("Max", build.add("Sub", length, build.ints(size)), build.ints(0)), to=1)
    start = build.add("Cast", build.add("Round", build.add("Mul", spare, build.scalar(0.5))), to=7)  # to the even number
    return build.add("Slice", pixels, start, build.add("Add", start, build.ints(size)), build.ints(axis))


class _Builder:
    """Nodes and constants of a graph, named by their number."""

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
        """Add nodes of which only one part runs, by a condition; each part returns the name of its output."""
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
        """Add a constant float32 without axes."""
        return self._constant(np.array(value, np.float32))

    def floats(self, *values: float) -> str:
        """Add a constant float32 [1, n, 1, 1]."""
        return self._constant(np.array(values, np.float32).reshape(1, -1, 1, 1))

    def _constant(self, array: np.ndarray) -> str:
        from onnx import numpy_helper

        name = f"{PREFIX}constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name
