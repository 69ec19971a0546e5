"""`zoo bench`: measure throughput across models."""

from __future__ import annotations

import argparse
import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoo.bench.benchmark import run_benchmark
from zoo.bench.settings import INFER, TRAIN, Settings
from zoo.errors import Mistakes, ZooError, nearest
from zoo.flags import count, seconds
from zoo.models import catalog, names
from zoo.system import launch
from zoo.system.console import Console
from zoo.system.files import expanded
from zoo.system.signals import stoppable


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo bench`."""
    parser.add_argument("models", metavar="MODEL", nargs="*", help="timm names, or patterns such as 'resnet*'")
    parser.add_argument("--mode", default="both", metavar="train|infer|both", help="what to time (default both)")
    parser.add_argument("--image-size", metavar="N", help="side of the images in pixels (default: the model's own)")
    about = "images per step and process (default auto: on a CPU the fastest of a few, on a GPU the most that fit)"
    parser.add_argument("--batch-size", default="auto", metavar="N|auto", help=about)
    about = "number format (default auto: the fastest here)"
    parser.add_argument("--precision", default="auto", metavar="fp32|bf16|fp16|auto", help=about)
    about = "channels_last memory layout (default auto: the faster one here)"
    parser.add_argument("--channels-last", default="auto", metavar="on|off|auto", help=about)
    parser.add_argument("--compile", default="off", metavar="on|off", help="use torch.compile (default off)")
    parser.add_argument("--steps", metavar="N", help="number of timed steps (default: at least 10, and at least 5 seconds)")
    parser.add_argument("--timeout", default="600", metavar="S", help="time limit per model in seconds (default 600)")
    parser.add_argument("--data", metavar="FOLDER", help="image folder to make batches from (default: made-up photographs)")
    about = "numbers of processes, each measured in turn, e.g. 1,2 (default 1)"
    parser.add_argument("--processes", metavar="N,N", help=about)
    parser.add_argument("--threads", metavar="N", help="CPU threads per process (default: cores divided by processes)")
    parser.add_argument("--classes", default="1000", metavar="N", help="number of classes of the head (default 1000)")
    parser.add_argument("--optimizer", default="sgd", metavar="NAME", help="name of a timm optimizer (default sgd)")
    about = "results folder (default: resume an unfinished one with the same settings, else a new runs/bench-N)"
    parser.add_argument("--out", metavar="DIR", type=Path, help=about)
    about = "compare two results.csv files, the old one first, without measuring"
    parser.add_argument("--compare", metavar="CSV", type=Path, nargs=2, help=about)


def run(namespace: argparse.Namespace) -> int:
    """Measure models, or compare two results; return the exit code.

    Raises:
        ZooError: bad input.
    """
    options = vars(namespace)
    if options["compare"] and options["models"]:
        what = f"measures nothing and takes no models, found {options['models'][0]}"
        raise ZooError("--compare", what, "give only two results.csv files")
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
        raise ZooError("launch", "zoo bench measures one machine, and was launched on several", "start it on each of them")
    processes = counts("--processes", options["processes"] or str(start.processes))
    models, timeout = expand(options["models"]), seconds("--timeout", options["timeout"])
    check_any_known(models)
    if not start.main:
        # The first process starts the workers that measure. The launcher's other processes have nothing to do.
        return 0
    with stoppable():
        return run_benchmark(models, chosen, out=options["out"], timeout=timeout, processes=processes)


def settings(options: Mapping[str, Any]) -> Settings:
    """Return the settings that the flags ask for.

    Raises:
        ZooError: a flag has a wrong value.
    """
    mode = _one_of("--mode", options["mode"], ("train", "infer", "both"))
    layout = _one_of("--channels-last", options["channels_last"], ("on", "off", "auto"))
    try:
        optimizer = names.check_optimizer(options["optimizer"])
    except ValueError as error:
        raise ZooError("--optimizer", str(error)) from None
    data = options["data"]
    return Settings(
        modes=(INFER, TRAIN) if mode == "both" else (mode,),
        image_size=count("--image-size", options["image_size"]),
        batch_size=None if options["batch_size"] == "auto" else count("--batch-size", options["batch_size"], " or auto"),
        precision=_one_of("--precision", options["precision"], ("fp32", "bf16", "fp16", "auto")),
        channels_last={"on": True, "off": False}.get(layout, layout),
        compile=_one_of("--compile", options["compile"], ("on", "off")) == "on",
        steps=count("--steps", options["steps"]),
        threads=count("--threads", options["threads"]),
        classes=count("--classes", options["classes"]) or 1000,
        optimizer=optimizer,
        data=str(expanded(data).absolute()) if data else None,
    )


def _one_of(flag: str, value: str, allowed: Sequence[str]) -> str:
    """Return the value of a flag.

    Raises:
        ZooError: the value is not allowed.
    """
    if value not in allowed:
        raise ZooError(flag, f"unknown '{value}'", f"use {', '.join(allowed[:-1])} or {allowed[-1]}")
    return value


def counts(flag: str, value: str) -> list[int]:
    """Return a flag's comma-separated numbers, each once, in ascending order.

    Raises:
        ZooError: one of them is not a whole number above 0.
    """
    return sorted({count(flag, part.strip()) or 1 for part in value.split(",")})


def expand(patterns: Iterable[str]) -> list[str]:
    """Return model names in the given order without duplicates; a pattern is replaced by the architectures it matches.

    Plain names are not checked: an unknown one becomes a row whose error suggests the nearest names.

    Raises:
        ZooError: a pattern matches nothing.
    """
    models = catalog.architectures()
    found: dict[str, None] = {}
    for pattern in patterns:
        if not any(mark in pattern for mark in "*?["):
            found[pattern] = None
            continue
        # A tag changes the weights but not the speed, so only patterns with a dot match tags.
        tagged = (entry.name for entry in catalog.entries() if entry.tag)
        matches = fnmatch.filter(tagged if "." in pattern else models, pattern)
        if not matches:
            close = ", ".join(nearest(pattern.strip("*"), models))
            raise ZooError(f"MODEL {pattern}", "matches no model", f"closest: {close}" if close else "try a shorter one")
        found |= dict.fromkeys(matches)
    return list(found)


def check_any_known(models: Sequence[str]) -> None:
    """Check that timm has at least one of the models; otherwise a benchmark would contain only errors.

    Raises:
        Mistakes: timm has none of them; there is a line for each, with the nearest names.
    """
    mistakes = []
    for model in models:
        try:
            names.check_backbone(model)
        except ValueError as error:
            mistakes.append(str(ZooError("MODEL", str(error))))
        else:
            return
    raise Mistakes(mistakes)
