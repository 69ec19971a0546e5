"""Run `python -m zoo`, the same as the console script `zoo`."""

from zoo.cli import console

console()
