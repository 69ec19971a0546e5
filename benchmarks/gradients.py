"""Time the convolutions that zoo computes itself on a CPU and PyTorch's own, layer by layer, in float32 and bfloat16.

    python benchmarks/gradients.py [--models NAME ...] [--size 96] [--batch-size 16]

A line has the milliseconds of one layer by PyTorch and by zoo: a forward and backward pass with gradients for the images and
the weight, the fastest of several. The layers are a backbone's depthwise and 1x1 convolutions, each kind once. The last two
lines of a backbone have the sum of all layers, each kind as often as it occurs, and the time of the whole model with frozen
BatchNorm, by PyTorch as it is and as zoo trains it.
"""

from __future__ import annotations

import argparse
import collections
import copy
import time
from collections.abc import Callable, Iterator
from typing import Any

import timm
import torch
from torch import nn

from zoo.models import fast_conv
from zoo.models.fold_batchnorm import fold_batchnorm
from zoo.models.layers import batch_norms
from zoo.system import launch
from zoo.system.device import native_bf16
from zoo.system.threads import keep_freed_memory, set_threads

# Images in the batch that is passed through a model to list its layers, and to find the BatchNorm layers to fold.
EXAMPLES = 2


def main() -> None:
    """Print a table for each backbone and precision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["tf_efficientnet_lite0"])
    parser.add_argument("--size", type=int, default=96, help="side of the images in pixels (96)")
    parser.add_argument("--batch-size", type=int, default=16, help="images of a micro-batch (16)")
    parser.add_argument("--times", type=int, default=10, help="times that each is taken (10)")
    options = parser.parse_args()
    set_threads("auto", launch.read())
    keep_freed_memory()
    precisions = ["fp32", "bf16"] if native_bf16(torch.device("cpu")) else ["fp32"]
    for name in options.models:
        for precision in precisions:
            print(f"\n{name}, {precision}, {options.size} px, {options.batch_size} images: ms forward and backward")
            print(f"{'':<55}{'PyTorch':>9}{'zoo':>9}")
            compare(name, precision, options)


def compare(name: str, precision: str, options: argparse.Namespace) -> None:
    """Print the table of one backbone in one precision."""
    sums = [0.0, 0.0]
    for layer, (channels, high, wide), times in layers(name, options.size):
        images = channels_last(options.batch_size, channels, high, wide)
        plain = {quick: plain for plain, quick in fast_conv.FAST.items()}[type(layer)]
        both = []
        for number, kind in enumerate((plain, type(layer))):
            layer.__class__ = kind
            both.append(milliseconds(layer, images, precision, options.times))
            sums[number] += times * both[-1]
        text = f"{times} x {channels} to {layer.out_channels} channels of {high} x {wide}"
        print(line(f"{text}, kernel {layer.kernel_size[0]}, stride {layer.stride[0]}", both), flush=True)
    print(line("all of these", sums))
    images = channels_last(options.batch_size, 3, options.size, options.size)
    print(line("the whole model", [milliseconds(each, images, precision, options.times) for each in models(name, options.size)]))


def line(text: str, values: list[float]) -> str:
    """Return a line of the table, with values in milliseconds."""
    return f"{text:<55}" + "".join(f"{value:>9.2f}" for value in values)


def channels_last(*shape: int) -> torch.Tensor:
    """Return random images in channels_last memory."""
    return torch.randn(shape).contiguous(memory_format=torch.channels_last)


def layers(name: str, size: int) -> Iterator[tuple[Any, tuple[int, ...], int]]:
    """Yield one layer of each kind that zoo computes itself, the shape [C, H, W] of its input, and how often the kind occurs."""
    model = timm.create_model(name).train()
    fast_conv.use_fast_convs(model)
    kinds: dict[Any, Any] = {}
    times: collections.Counter[Any] = collections.Counter()

    def see(layer: Any, inputs: Any, _output: Any) -> None:
        kind = (tuple(inputs[0].shape[1:]), layer.out_channels, layer.kernel_size, layer.stride)
        kinds.setdefault(kind, layer)
        times[kind] += 1

    handles = [layer.register_forward_hook(see) for layer in model.modules() if isinstance(layer, fast_conv.FastConv2d)]
    model(torch.zeros(EXAMPLES, 3, size, size))
    for handle in handles:
        handle.remove()
    for kind, layer in kinds.items():
        yield layer.to(memory_format=torch.channels_last), kind[0], times[kind]


def models(name: str, size: int) -> Iterator[nn.Module]:
    """Yield a backbone with frozen BatchNorm in channels_last memory, first as timm makes it, then as zoo trains it."""
    model = timm.create_model(name).eval().to(memory_format=torch.channels_last)
    quick = copy.deepcopy(model)
    yield model
    fast_conv.use_fast_convs(quick)
    fold_batchnorm(quick, [norm for _, norm in batch_norms(quick)], channels_last(EXAMPLES, 3, size, size))
    yield quick


def milliseconds(layer: nn.Module, images: torch.Tensor, precision: str, times: int) -> float:
    """Return the milliseconds of the fastest forward and backward pass, after a warm-up pass."""
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    images = images.to(dtype).requires_grad_()

    def step() -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            outputs = layer(images)
        outputs.backward(torch.ones_like(outputs))

    step()
    return 1e3 * min(seconds(step) for _ in range(times))


def seconds(act: Callable[[], None]) -> float:
    """Return the seconds of an action."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
