"""`zoo train` for launchers: `accelerate launch scripts/train.py RECIPE [key=value …]`."""

import sys

from zoo.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
