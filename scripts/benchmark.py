"""Run `zoo bench` with a launcher: `accelerate launch scripts/benchmark.py MODEL …`."""

import sys

from zoo.cli import console

if __name__ == "__main__":
    console(["bench", *sys.argv[1:]])
