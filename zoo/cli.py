"""The command line. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import argparse
import os
import sys
import traceback
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from zoo import __version__
from zoo.errors import Stopped, ZooError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; returns the exit code."""
    parser = build_parser()
    options = _parsed(parser, arguments)
    try:
        return options.run(options)
    except ZooError as error:
        from zoo.system import launch

        if options.debug:
            traceback.print_exc()
        if launch.claims_error_output():
            for line in error.lines:
                print(f"error: {line}", file=sys.stderr)
        return error.exit_code
    except Stopped as stopped:
        if os.environ.get("RANK", "0") == "0":
            print(stopped, file=sys.stderr)
        return stopped.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output has left (`zoo list | head`); nothing more can be said.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _parsed(parser: argparse.ArgumentParser, arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse; overrides may stand after an option too, which argparse alone does not take."""
    options, rest = parser.parse_known_args(arguments)
    if any(word.startswith("-") for word in rest) or (rest and not hasattr(options, "overrides")):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        options.overrides = [*options.overrides, *rest]
    return options


def console() -> None:
    """The console script `zoo`."""
    sys.exit(main())


class _Parser(argparse.ArgumentParser):
    """argparse with errors in this project's form: one line, exit code 2."""

    def error(self, message: str) -> None:  # type: ignore[override]
        self.exit(2, f"error: command line: {message} ('{self.prog} --help' shows the options)\n")


def build_parser() -> argparse.ArgumentParser:
    """All commands and their options."""
    common = _Parser(add_help=False)
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser = _Parser(prog="zoo", description="Fine-tune any timm backbone by name, from a YAML recipe.")
    parser.add_argument("--version", action="version", version=f"zoo {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_Parser)

    train = commands.add_parser("train", parents=[common], help="run a recipe", description="Run a recipe.")
    about = "a recipe file, or the name of a shipped one (the run's own, with --resume RUN)"
    train.add_argument("recipe", metavar="RECIPE", type=Path, nargs="?", help=about)
    train.add_argument("overrides", metavar="key=value", nargs="*", help="options to change, e.g. optim.lr=1e-3")
    train.add_argument(
        "--resume",
        metavar="RUN|auto",
        help="go on with an interrupted run (auto: the newest of this name, else a new one)",
    )
    train.add_argument(
        "--allow-change", action="store_true", help="go on although the recipe differs from the run's, and record how"
    )
    train.set_defaults(run=_train)

    recipe = commands.add_parser(
        "recipe", parents=[common], help="show a recipe, whole", description="Show a recipe with every option."
    )
    recipe.add_argument("recipe", metavar="RECIPE", type=Path, nargs="?", help="a recipe file, or the name of a shipped one")
    recipe.add_argument("overrides", metavar="key=value", nargs="*", help="options to change")
    recipe.add_argument("--schema", action="store_true", help="print the JSON schema of recipes")
    recipe.add_argument("--list", action="store_true", help="list the shipped recipes")
    recipe.set_defaults(run=_recipe)
    _add_list_and_show(commands, common)
    about = "Measure throughput across models, each in a process of its own."
    _bench_options(commands.add_parser("bench", parents=[common], help="measure throughput across models", description=about))
    return parser


def _add_list_and_show(commands: Any, common: argparse.ArgumentParser) -> None:
    listed = commands.add_parser(
        "list",
        parents=[common],
        help="find a backbone",
        description="List timm's backbones, what they cost and how good they are.",
    )
    listed.add_argument("patterns", metavar="PATTERN", nargs="*", help="names, with or without a tag; * and ? are wildcards")
    listed.add_argument("--max-params", metavar="N", help="so many parameters at most: 30M, 1.2e7")
    listed.add_argument("--max-gmacs", metavar="N", help="so many billion multiply-adds of an image at most")
    listed.add_argument("--image-size", metavar="N", help="made for images of so many pixels")
    listed.add_argument("--licence", metavar="NAME", help="a licence's name, or permissive: one that allows commercial use")
    listed.add_argument("--pretrained", action="store_true", help="with pretrained weights")
    listed.add_argument("--cached", action="store_true", help="with weights on this machine: in the hub's cache or a package")
    listed.add_argument("--sort", metavar="KEY", default="name", help="name, params, gmacs or top1")
    form = listed.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print JSON")
    form.add_argument("--csv", action="store_true", help="print CSV")
    listed.add_argument("--plot", metavar="FILE", type=Path, help="draw cost against top-1 as .svg or .png, the best ones named")
    listed.set_defaults(run=_list)

    show = commands.add_parser(
        "show", parents=[common], help="one backbone's card", description="Show what is known of a backbone, and its tags."
    )
    show.add_argument("name", metavar="NAME", help="a backbone, with or without its tag")
    show.add_argument("--json", action="store_true", help="print JSON")
    show.set_defaults(run=_show)


def _bench_options(bench: argparse.ArgumentParser) -> None:
    """The options of `zoo bench`; their values are checked by `zoo.bench`, which names the flag."""
    bench.add_argument("models", metavar="MODEL", nargs="*", help="timm names, or patterns such as 'resnet*'")
    bench.add_argument("--mode", default="both", metavar="train|infer|both", help="what is timed (both)")
    bench.add_argument("--image-size", metavar="N", help="side of the images in pixels (the model's own)")
    bench.add_argument("--batch-size", default="auto", metavar="N|auto", help="images of a step on one process (auto)")
    bench.add_argument("--precision", default="auto", metavar="fp32|bf16|fp16|auto", help="auto: the fastest here")
    bench.add_argument("--channels-last", default="auto", metavar="on|off|auto", help="memory layout; auto: the fastest here")
    bench.add_argument("--compile", default="off", metavar="on|off", help="torch.compile (off)")
    bench.add_argument("--steps", metavar="N", help="steps that are timed (at least 10, for at least 5 s)")
    bench.add_argument("--timeout", default="600", metavar="S", help="seconds that a model may take (600)")
    bench.add_argument("--data", metavar="FOLDER", help="images to make batches of (photographs made up in the run)")
    bench.add_argument("--processes", metavar="N,N", help="numbers of processes to measure on, e.g. 1,2 (1)")
    bench.add_argument("--threads", metavar="N", help="CPU threads of a process (cores divided by processes)")
    bench.add_argument("--classes", default="1000", metavar="N", help="outputs of the head (1000)")
    bench.add_argument("--optimizer", default="sgd", metavar="NAME", help="timm's name of the optimizer (sgd)")
    bench.add_argument("--out", metavar="DIR", type=Path, help="folder of the results (runs/bench, runs/bench-2, …)")
    bench.add_argument("--compare", metavar="CSV", type=Path, nargs=2, help="compare two results.csv, the old one first")
    bench.set_defaults(run=_bench)


def _bench(options: argparse.Namespace) -> int:
    from zoo import bench

    return bench.command(vars(options))


def _train(options: argparse.Namespace) -> int:
    from zoo.recipe.load import load_recipe
    from zoo.results.folder import newest_unfinished
    from zoo.system import launch, signals
    from zoo.system.threads import announce_threads
    from zoo.train.run import train

    run = _run(options.resume)
    loaded = load_recipe(*_what(options, run))
    start = launch.read()
    if options.resume == "auto":
        run = newest_unfinished(loaded.output.root, str(loaded.name))
        if run is None and start.main:
            print(f"resume     nothing named {loaded.name} in {loaded.output.root} to go on with: a new run begins")
    launch.follow_launcher()
    announce_threads(loaded.train.threads, start)
    signals.install()

    train(loaded, run, allow_change=options.allow_change)
    return 0


def _run(resume: str | None) -> Path | None:
    """The run folder that `--resume` names; None where it names none."""
    if resume in (None, "auto"):
        return None
    path = Path(str(resume))
    if not (path / "recipe.yaml").is_file():
        raise ZooError("--resume", f"no run in {path}", "give a run folder, or auto")
    return path


def _what(options: argparse.Namespace, run: Path | None) -> tuple[Path, list[str]]:
    """The recipe to train and the options to change; a run that is gone on with knows its recipe."""
    recipe, overrides = options.recipe, options.overrides
    if run is not None and (recipe is None or ("=" in str(recipe) and not recipe.exists())):
        return run / "recipe.yaml", [*([str(recipe)] if recipe else []), *overrides]
    if recipe is None:
        raise ZooError("zoo train", "which recipe?", "give a recipe, 'zoo recipe --list' shows the shipped ones, or --resume RUN")
    return recipe, overrides


def _recipe(options: argparse.Namespace) -> int:
    from zoo.recipe.dump import dump_recipe
    from zoo.recipe.load import load_recipe, recipe_schema, shipped_recipes

    if options.schema:
        print(recipe_schema(), end="")
    elif options.list:
        listed = shipped_recipes()
        width = max((len(name) for name, _ in listed), default=0)
        for name, about in listed:
            print(f"{name:<{width}}  {about}")
    elif options.recipe is None:
        raise ZooError("zoo recipe", "which recipe?", "give a recipe, --list or --schema")
    else:
        print(dump_recipe(load_recipe(options.recipe, options.overrides)), end="")
    return 0


def _list(options: argparse.Namespace) -> int:
    from zoo import listing
    from zoo.models import catalog
    from zoo.models.catalog import Query

    asked = {field.name: getattr(options, field.name) for field in fields(Query)}
    query = Query(**asked)
    found = catalog.choose(query)
    drawn = listing.plot(found, options.plot) if options.plot else ""
    note = listing.other_timm()
    if note:
        print(note, file=sys.stderr)
    if options.json:
        print(listing.as_json(found))
    elif options.csv:
        print(listing.as_csv(found))
    else:
        print(drawn or listing.as_table(found, query))
    return 0


def _show(options: argparse.Namespace) -> int:
    from zoo import listing

    entry = listing.find(options.name)
    note = listing.other_timm()
    if note:
        print(note, file=sys.stderr)
    print(listing.card_json(entry) if options.json else listing.card(entry))
    return 0
