"""Run `zoo train` with a launcher: `accelerate launch scripts/train.py RECIPE [key=value …]`."""

import sys

from zoo.cli import console

if __name__ == "__main__":
    console(["train", *sys.argv[1:]])
