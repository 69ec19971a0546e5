"""Score one model on 10,007 images in batches of several sizes, on however many processes there are; prints the hits."""

from __future__ import annotations

import sys
from datetime import timedelta

import numpy as np
import torch
from accelerate import Accelerator, PartialState

from zoo.data.batches import Batches, Preprocessing
from zoo.data.pixel_store import PixelStore
from zoo.data.resize import Normalize
from zoo.data.splits import Split
from zoo.training.evaluate import evaluate

COUNT, SIDE = 10_007, 8


def main(batch_sizes: list[int]) -> None:
    """Print the number of hits for each batch size."""
    torch.set_num_threads(1)
    PartialState(cpu=True, timeout=timedelta(seconds=120))
    accelerator = Accelerator(cpu=True)
    generator = np.random.default_rng(0)
    pixels = PixelStore.square(generator.integers(0, 256, (COUNT, 3, SIDE, SIDE), dtype=np.uint8))
    split = Split.of(pixels, generator.integers(0, 10, COUNT))
    batches = Batches(split, Preprocessing(Normalize((0.5,) * 3, (0.5,) * 3), "bilinear", 1.0), 10, accelerator.device)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * SIDE * SIDE, 10))
    for size in batch_sizes:
        logits, targets = evaluate(accelerator, model, batches, SIDE, size)
        if accelerator.is_main_process:
            print(size, int((logits.argmax(1) == targets).sum()), len(targets), flush=True)
    # As a run does: left to the interpreter's end, gloo's threads may end the process with SIGABRT.
    accelerator.end_training()


if __name__ == "__main__":
    main([int(size) for size in sys.argv[1:]])
