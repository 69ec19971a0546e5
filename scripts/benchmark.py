"""`zoo bench` for launchers: `accelerate launch scripts/benchmark.py MODEL …`."""

import sys

from zoo.cli import main

if __name__ == "__main__":
    sys.exit(main(["bench", *sys.argv[1:]]))
