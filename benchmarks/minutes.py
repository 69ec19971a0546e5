"""Check that runs with `train.max_minutes` end in time, by the wall-clock time of whole commands.

python benchmarks/minutes.py RECIPE [key=value ...] --minutes 0.5,1,2 --rounds 4
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
import tempfile
import time

# Share of the given time by which a run may end earlier or later.
ALLOWED = 0.05


def main() -> None:
    """Run the recipe several times for each number of minutes, and print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe file, or the name of a shipped one")
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="options to change")
    parser.add_argument("--minutes", default="1", metavar="N,N", help="the times to give (default 1)")
    parser.add_argument("--rounds", type=int, default=3, metavar="N", help="runs of each (default 3)")
    options = parser.parse_args()
    kept: list[bool] = []
    for _, minutes in itertools.product(range(options.rounds), map(float, options.minutes.split(","))):
        with tempfile.TemporaryDirectory() as folder:
            words = [options.recipe, *options.overrides, f"train.max_minutes={minutes:g}", f"output.root={folder}"]
            began = time.perf_counter()
            subprocess.run([sys.executable, "-m", "zoo", "train", *words], check=True, stdout=subprocess.DEVNULL)
            seconds = time.perf_counter() - began
        share = seconds / (60 * minutes) - 1
        kept.append(abs(share) <= ALLOWED)
        print(f"{minutes:g} min: {seconds:.1f} s, {share:+.1%}", flush=True)
    print(f"{sum(kept)} of {len(kept)} within {ALLOWED:.0%}")


if __name__ == "__main__":
    main()
