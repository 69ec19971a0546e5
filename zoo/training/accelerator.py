"""Set up Hugging Face Accelerate, for training and benchmarks alike."""

from __future__ import annotations

import warnings

from accelerate import Accelerator, DistributedDataParallelKwargs
from accelerate.state import AcceleratorState
from accelerate.utils import GradientAccumulationPlugin

from zoo.system import launch
from zoo.training.preflight import MIXED_PRECISION

# Warnings of libraries that a user cannot act on: how the message begins, and why it does not matter.
HARMLESS_WARNINGS = (
    # The option that replaces it in Accelerate would still copy rank 0's buffers at the start.
    "`broadcast_buffers` is deprecated",
    # Depthwise weights have the same bytes in either layout; DistributedDataParallel copies them once more.
    "Grad strides do not match bucket view strides",
)


def make_accelerator(precision: str) -> Accelerator:
    """Start Accelerate with a precision: fp32, bf16 or fp16."""
    # A second run in the same Python process may use another precision, which the state of the first run would reject.
    # `PartialState`, which holds the process group, is kept.
    AcceleratorState._reset_state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return Accelerator(
            cpu=launch.on_cpu(),
            mixed_precision=MIXED_PRECISION[precision],
            # zoo accumulates gradients itself: Accelerate would divide the last, partial group by the full count.
            gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=1),
            # Each process keeps its own BatchNorm statistics while training; they are averaged before evaluation.
            # Gradients are views of the buckets that are sent, which saves a copy and its memory.
            kwargs_handlers=[DistributedDataParallelKwargs(broadcast_buffers=False, gradient_as_bucket_view=True)],
        )


def silence_harmless_warnings() -> None:
    """Keep warnings that a user cannot act on off the console, in this process from now on."""
    for message in HARMLESS_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
