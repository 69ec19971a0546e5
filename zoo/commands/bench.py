"""`zoo bench`: measure throughput across models."""

from __future__ import annotations

import argparse
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.bench.benchmark import Settings, run_benchmark
from zoo.errors import ZooError, nearest
from zoo.models import catalog, names
from zoo.system import launch
from zoo.system.console import Console


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo bench`."""
    parser.add_argument("models", metavar="MODEL", nargs="*", help="timm names, or patterns such as 'resnet*'")
    parser.add_argument("--mode", default="both", metavar="train|infer|both", help="what is timed (both)")
    parser.add_argument("--image-size", metavar="N", help="side of the images in pixels (the model's own)")
    parser.add_argument("--batch-size", default="auto", metavar="N|auto", help="images of a step on one process (auto)")
    parser.add_argument("--precision", default="auto", metavar="fp32|bf16|fp16|auto", help="auto: the fastest here")
    parser.add_argument("--channels-last", default="auto", metavar="on|off|auto", help="memory layout; auto: the fastest here")
    parser.add_argument("--compile", default="off", metavar="on|off", help="torch.compile (off)")
    parser.add_argument("--steps", metavar="N", help="steps that are timed (at least 10, for at least 5 s)")
    parser.add_argument("--timeout", default="600", metavar="S", help="seconds that a model may take (600)")
    parser.add_argument("--data", metavar="FOLDER", help="images to make batches of (photographs made up in the run)")
    parser.add_argument("--processes", metavar="N,N", help="numbers of processes to measure on, e.g. 1,2 (1)")
    parser.add_argument("--threads", metavar="N", help="CPU threads of a process (cores divided by processes)")
    parser.add_argument("--classes", default="1000", metavar="N", help="outputs of the head (1000)")
    parser.add_argument("--optimizer", default="sgd", metavar="NAME", help="timm's name of the optimizer (sgd)")
    parser.add_argument("--out", metavar="DIR", type=Path, help="folder of the results (runs/bench, runs/bench-2, …)")
    parser.add_argument("--compare", metavar="CSV", type=Path, nargs=2, help="compare two results.csv, the old one first")


def run(namespace: argparse.Namespace) -> int:
    """Measure, or compare two results; returns the exit code.

    Raises:
        ZooError: bad input.
    """
    options = vars(namespace)
    if options["compare"] and options["models"]:
        raise ZooError("--compare", f"measures nothing, so {options['models'][0]} is not for it", "give two results.csv alone")
    if options["compare"]:
        from zoo.bench import compare

        for line in compare.lines(*options["compare"]):
            Console().line(line)
        return 0
    if not options["models"]:
        raise ZooError("MODEL", "which models?", "give names, or a pattern such as 'resnet*'")
    chosen = settings(options)
    start = launch.read()
    if start.processes > start.local_processes:
        raise ZooError("launch", "several machines were asked for", "measure each of them by itself")
    processes = counts("--processes", options["processes"] or str(start.processes))
    models, timeout = expand(options["models"]), seconds("--timeout", options["timeout"])
    if not start.main:
        # The first process starts those that measure; a launcher's others have nothing to do.
        return 0
    return run_benchmark(models, chosen, out=options["out"], timeout=timeout, processes=processes)


def settings(options: Mapping[str, Any]) -> Settings:
    """Check the command line's options.

    Raises:
        ZooError: naming the flag and what it takes.
    """
    mode = _one_of("--mode", options["mode"], ("train", "infer", "both"))
    layout = _one_of("--channels-last", options["channels_last"], ("on", "off", "auto"))
    try:
        optimizer = names.check_optimizer(options["optimizer"])
    except ValueError as error:
        raise ZooError("--optimizer", str(error)) from None
    data = options["data"]
    return Settings(
        modes=("infer", "train") if mode == "both" else (mode,),
        image_size=_count("--image-size", options["image_size"]),
        batch_size=None if options["batch_size"] == "auto" else _count("--batch-size", options["batch_size"], " or auto"),
        precision=_one_of("--precision", options["precision"], ("fp32", "bf16", "fp16", "auto")),
        channels_last={"on": True, "off": False}.get(layout, layout),
        compile=_one_of("--compile", options["compile"], ("on", "off")) == "on",
        steps=_count("--steps", options["steps"]),
        threads=_count("--threads", options["threads"]),
        classes=_count("--classes", options["classes"]) or 1000,
        optimizer=optimizer,
        data=str(Path(data).expanduser().absolute()) if data else None,
    )


def _one_of(flag: str, value: str, allowed: Sequence[str]) -> str:
    if value not in allowed:
        raise ZooError(flag, f"unknown '{value}'", f"use {', '.join(allowed[:-1])} or {allowed[-1]}")
    return value


def _count(flag: str, value: str | None, more: str = "") -> int | None:
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and int(value)):
        raise ZooError(flag, f"expected a whole number above 0, found '{value}'", f"e.g. {flag} 32{more}")
    return int(value)


def seconds(flag: str, value: str) -> float:
    """A positive number of seconds.

    Raises:
        ZooError: it is none.
    """
    try:
        number = float(value)
    except ValueError:
        number = 0.0
    if not 0 < number < float("inf"):
        raise ZooError(flag, f"expected seconds above 0, found '{value}'", f"e.g. {flag} 600")
    return number


def counts(flag: str, value: str) -> list[int]:
    """Numbers of processes, ascending.

    Raises:
        ZooError: one is none.
    """
    return sorted({_count(flag, part.strip()) or 1 for part in value.split(",")})


def expand(patterns: Iterable[str]) -> list[str]:
    """Model names in the order they were given, each once; a pattern stands for the architectures it matches.

    A plain name is taken as it is: an unknown one becomes a row that says so.

    Raises:
        ZooError: a pattern matches nothing.
    """
    models = catalog.architectures()
    found: dict[str, None] = {}
    for pattern in patterns:
        if not any(mark in pattern for mark in "*?["):
            found[pattern] = None
            continue
        # A tag changes the weights and not the work, so only a pattern with a dot asks for tags.
        tagged = (entry.name for entry in catalog.entries() if entry.tag)
        matches = fnmatch.filter(tagged if "." in pattern else models, pattern)
        if not matches:
            close = ", ".join(nearest(pattern.strip("*"), models))
            raise ZooError(f"MODEL {pattern}", "matches no model", f"closest: {close}" if close else "try a shorter one")
        found |= dict.fromkeys(matches)
    return list(found)
