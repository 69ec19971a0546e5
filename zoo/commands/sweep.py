"""`zoo sweep`: fine-tune every combination of backbones, seeds and option values; can be resumed."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.commands import bench
from zoo.errors import ZooError
from zoo.flags import count, seconds

# Seconds of each unit of a time.
UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo sweep`."""
    parser.add_argument("recipe", metavar="RECIPE", type=Path, nargs="?", help="a recipe file, or the name of a shipped one")
    about = "timm names, or patterns such as 'resnet*'; and options of all runs, e.g. train.epochs=3"
    parser.add_argument("overrides", metavar="MODEL|key=value", nargs="*", help=about)
    parser.add_argument("--seeds", metavar="N,N", help="seeds, each a run of its own (default: the recipe's)")
    about = "an option with its values, each a run of its own, e.g. optim.lr=1e-3,3e-3; may be given several times"
    parser.add_argument("--set", metavar="key=a,b", action="append", default=[], help=about)
    about = "runs at a time, each with its share of the cores (default 1; with --on ray as many as fit)"
    parser.add_argument("--jobs", metavar="N", help=about)
    parser.add_argument("--timeout", metavar="S", help="time limit per run in seconds (default: none)")
    about = "end in this time, e.g. 30m or 2h: runs that are far behind are stopped early"
    parser.add_argument("--budget", metavar="TIME", help=about)
    parser.add_argument("--on", default="local", metavar="local|ray", help="train here, or on a Ray cluster (default local)")
    about = "results folder (default: resume a sweep with the same settings in runs, else a new runs/sweep-N)"
    parser.add_argument("--out", metavar="DIR", type=Path, help=about)
    parser.add_argument("--plan", action="store_true", help="print the runs and their predicted hours on this machine, and stop")


def run(options: argparse.Namespace) -> int:
    """Train all combinations; return the exit code.

    Raises:
        ZooError: bad input.
        Stopped: a signal interrupted the sweep.
    """
    from zoo.sweep.start import How, run_sweep
    from zoo.system import launch, signals

    start = launch.read()
    if start.processes > 1:
        raise ZooError("launch", "zoo sweep starts its processes itself", "start it without a launcher; see --jobs and --on ray")
    jobs = count("--jobs", options.jobs)
    grid = grid_of(options, jobs)
    budget = duration("--budget", options.budget) if options.budget else None
    timeout = seconds("--timeout", options.timeout) if options.timeout else None
    if options.on not in ("local", "ray"):
        raise ZooError("--on", f"unknown '{options.on}'", "use local or ray")
    if options.plan:
        check_plan(options)
        from zoo.sweep.plan import print_plan

        return print_plan(grid, jobs or 1)
    signals.install()
    return run_sweep(grid, options.out, How(jobs, timeout, budget, options.on))


def check_plan(options: argparse.Namespace) -> None:
    """Check that no flag conflicts with `--plan`, which predicts the time of complete runs on this machine.

    Raises:
        ZooError: a flag conflicts with it.
    """
    for flag, given in (("--budget", options.budget), ("--timeout", options.timeout), ("--on ray", options.on == "ray")):
        if given:
            raise ZooError(flag, "does not go with --plan, which predicts the time of whole runs on this machine", "leave it out")


def grid_of(options: argparse.Namespace, jobs: int | None) -> Any:
    """Return the requested runs as a `zoo.sweep.grid.Grid`.

    Raises:
        ZooError: a flag or word is wrong.
    """
    from zoo.sweep.grid import Grid
    from zoo.system.hardware import cores

    models = [word for word in options.overrides if "=" not in word]
    if options.recipe is None:
        raise ZooError("zoo sweep", "which recipe?", "give a recipe, 'zoo recipe --list' shows the shipped ones, and MODELs")
    if not models:
        raise ZooError("MODEL", "which models?", "give names after the recipe, or a pattern such as 'resnet*'")
    backbones = bench.expand(models)
    bench.check_any_known(backbones)
    return Grid(
        recipe=options.recipe,
        backbones=backbones,
        values=values_of(options.set),
        seeds=seeds_of(options.seeds) if options.seeds is not None else [],
        overrides=[word for word in options.overrides if "=" in word],
        # Parallel runs share the cores: if each used all of them, they would wait for each other.
        threads=max(1, cores() // jobs) if jobs and jobs > 1 and options.on == "local" else None,
    )


def seeds_of(text: str) -> list[int]:
    """Return the seeds of `--seeds`.

    Raises:
        ZooError: a seed is not a whole number of at least 0, is too large, or appears twice.
    """
    parts = [part.strip() for part in text.split(",")]
    wrong = next((part for part in parts if not (part.isascii() and part.isdigit()) or int(part) >= 2**63), None)
    if wrong is not None:
        raise ZooError("--seeds", f"expected whole numbers of at least 0, found '{wrong}'", "e.g. --seeds 0,1,2")
    seeds = [int(part) for part in parts]
    _check_different("--seeds", seeds)
    return seeds


def values_of(flags: Sequence[str]) -> Mapping[str, list[Any]]:
    """Return the options of `--set` with their values, read as YAML.

    Raises:
        ZooError: a flag is not of the form `key=a,b`, or a key or value appears twice.
    """
    from zoo.recipe.yaml import parse

    found: dict[str, list[Any]] = {}
    for flag in flags:
        key, equals, text = flag.partition("=")
        if not equals or not text.strip() or not all(key.split(".")):
            raise ZooError("--set", f"'{flag}': expected key=value,value", "e.g. --set optim.lr=1e-3,3e-3")
        if key in found:
            raise ZooError(f"--set {key}", "is given twice", "give all of its values in one --set")
        try:
            found[key] = parse(f"[{text}]", key)
        except ZooError as error:
            raise error.at(f"--set {key}") from None
        _check_different(f"--set {key}", found[key])
    return found


def _check_different(where: str, values: Sequence[Any]) -> None:
    """Check that no value appears twice.

    Raises:
        ZooError: a value appears twice.
    """
    texts = [json.dumps(value) for value in values]
    twice = next((text for text in texts if texts.count(text) > 1), None)
    if twice is not None:
        raise ZooError(where, f"{twice} is given twice", "give each once")


def duration(flag: str, text: str) -> float:
    """Return the seconds of a time such as `30m`, `90s` or `1h30m`.

    Raises:
        ZooError: the text is not a time, or the time is 0.
    """
    match = re.fullmatch(r"(?:\d+(?:\.\d+)?[hms])+", text)
    parts = re.findall(r"([\d.]+)([hms])", text) if match else []
    total = sum(float(number) * UNITS[unit] for number, unit in parts)
    if not total:
        raise ZooError(flag, f"expected a time above 0, found '{text}'", f"e.g. {flag} 30m, 2h or 90s")
    return total
