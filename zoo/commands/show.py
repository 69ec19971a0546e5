"""`zoo show`: show one backbone's card and its tags, or the images of a recipe's training step."""

from __future__ import annotations

import argparse
import json
import shlex
import shutil
import sys
import textwrap
from pathlib import Path

from zoo.errors import ZooError
from zoo.flags import whole_number
from zoo.models import catalog, listing
from zoo.models.availability import LocalWeights, offline
from zoo.models.catalog import Entry
from zoo.models.listing import WIDE, aligned, cells, records, short
from zoo.models.names import check_backbone


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo show`."""
    about = "a backbone, with or without a tag; with --batch a recipe"
    parser.add_argument("name", metavar="NAME|RECIPE", help=about)
    parser.add_argument("overrides", metavar="key=value", nargs="*", help="options of the recipe to change, with --batch")
    parser.add_argument("--json", action="store_true", help="print JSON")
    about = "write the images of a training step, as the model sees them, to a PNG"
    parser.add_argument("--batch", metavar="FILE.png", type=Path, help=about)
    parser.add_argument("--step", metavar="N", help="the step, counted from 0 (default 0), with --batch")
    parser.add_argument("--images", metavar="N", help="number of images at most (default 32), with --batch")


def run(options: argparse.Namespace) -> int:
    """Print a backbone's card, or draw a batch; return the exit code.

    Raises:
        ZooError: there is no such backbone, the recipe or its data is wrong, or the picture cannot be written.
    """
    if options.batch is not None:
        return draw_batch(options)
    for flag, value in (("--step", options.step), ("--images", options.images), (" ".join(options.overrides), options.overrides)):
        if value:
            raise ZooError(flag, "only goes with --batch", "add --batch FILE.png")
    entry = find(options.name)
    note = listing.other_timm()
    if note:
        print(note, file=sys.stderr)
    print(card_json(entry) if options.json else card(entry))
    return 0


def draw_batch(options: argparse.Namespace) -> int:
    """Draw the images of a recipe's training step; return the exit code.

    Raises:
        ZooError: the recipe or its data is wrong, there is no such step, or the picture cannot be written.
    """
    from zoo.recipe.load import load_recipe

    path = options.batch
    if options.json:
        raise ZooError("--json", "does not go with --batch, which writes a picture", "leave it out")
    if path.suffix.lower() != ".png":
        raise ZooError("--batch", f"{path}: not a PNG", "give a name that ends in .png")
    if path.is_dir() or not path.parent.is_dir():
        what = f"{path} is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise ZooError("--batch", what, "give the name of a file in a folder that exists")
    step = 0 if options.step is None else whole_number("--step", options.step, 0, 0)
    images = 32 if options.images is None else whole_number("--images", options.images, 1, 32)
    recipe = load_recipe(Path(options.name), options.overrides)
    recipe.data.check()
    from zoo.training.preview import draw_step

    print(draw_step(recipe, step, images, path))
    return 0


def find(name: str) -> Entry:
    """Return the catalog entry of a name; an architecture without a tag stands for timm's default tag.

    Raises:
        ZooError: there is no such backbone (the error names the nearest ones or the successor), or the catalog lacks it.
    """
    try:
        check_backbone(name)
    except ValueError as error:
        raise ZooError("zoo show", str(error)) from None
    if entry := catalog.named(name):
        return entry
    what = f"'{name}' is not in the catalog, which is for timm {catalog.version()}"
    raise ZooError("zoo show", what, f"install timm {catalog.version()}, or a zoo for the timm that is installed")


def weights(entry: Entry) -> str:
    """Return a text on where `backbone.weights: auto` would find an entry's weights now; the network is not used."""
    machine = LocalWeights()
    if not entry.tag:
        return "none: timm has no pretrained weights"
    if machine.cached(entry.hub, entry.hub_file):
        return f"hub cache {entry.hub}"
    package = machine.package(entry.architecture, entry.tag)
    if package:
        return f"package {package}"
    if not entry.hub:
        return "not downloaded: timm has only a plain URL (set backbone.weights to a file)"
    if offline():
        return f"out of reach: {entry.hub} is not in the cache, and HF_HUB_OFFLINE is set"
    return f"hub {entry.hub} (not on this machine yet)"


def recipes(architecture: str) -> list[tuple[str, str]]:
    """Return the shipped recipes of an architecture, each with the name of its backbone."""
    from zoo.recipe.load import load_recipe, shipped_recipes, shipped_root

    names = [name for name, _ in shipped_recipes()]
    used = [(name, load_recipe(shipped_root() / f"{name}.yaml").backbone.name) for name in names]
    return [(name, backbone) for name, backbone in used if backbone.partition(".")[0] == architecture]


def command(entry: Entry) -> str:
    """Return a command that trains an entry on a folder of images."""
    overrides = [f"backbone.name={entry.name}", f"image_size={entry.image_size or 224}"]
    if not entry.hub and not LocalWeights().package(entry.architecture, entry.tag):
        # The recipe keeps pretrained BatchNorm statistics and starts the head at zero: neither helps random weights.
        overrides += ["backbone.weights=random", "backbone.head_init=default", "finetune.batch_norm=train"]
    return shlex.join(["zoo", "train", "folder/example", "data.root=photos", *overrides])


def card_json(entry: Entry) -> str:
    """Return one JSON object: the entry, where its weights are, recipes, a command, and all tags of its architecture."""
    more = {
        "weights": weights(entry),
        "recipes": [name for name, _ in recipes(entry.architecture)],
        "command": command(entry),
        "tags": [row for row in records(catalog.architectures()[entry.architecture]) if row["tag"]],
    }
    return json.dumps(records([entry])[0] | more, indent=1, ensure_ascii=False)


def card(entry: Entry) -> str:
    """Return the card of an entry: all known facts, how to train it, and a table of the tags of its architecture."""
    width = shutil.get_terminal_size((WIDE, 24)).columns
    used = [name if backbone == entry.name else f"{name} ({backbone})" for name, backbone in recipes(entry.architecture)]
    facts = {
        "backbone": entry.name,
        "family": entry.family,
        "parameters": f"{entry.params / 1e6:,.2f} M" if entry.params else f"unknown: {entry.error}",
        "cost": _cost(entry),
        "input": _input(entry),
        "head": f"{entry.classes:,} classes" if entry.classes else "none: it gives features",
        "top-1": f"{entry.top1:.2f} % at {entry.top1_size} px (ImageNet-1k, timm's results-imagenet.csv)" if entry.top1 else "",
        "trained on": ", ".join(entry.pretraining_data),
        "license": _license(entry),
        "weights": weights(entry),
        "recipes": ", ".join(used) or "none of its own",
        "train it": command(entry),
    }
    lines = [_fact(key, value, width) for key, value in facts.items() if value]
    entries = catalog.architectures()[entry.architecture]
    if entry.tag:
        about = f"Tags of {entry.architecture}; timm uses the first by default:"
        # The default tag comes first, whichever tag the card describes.
        lines += ["", textwrap.fill(about, width), *aligned(cells(entries, tags=True), width)]
    return "\n".join(lines)


def _fact(key: str, value: str, width: int) -> str:
    # Do not wrap the command, so that it can be copied.
    if key == "train it":
        return f"{key:<10} {value}"
    return textwrap.fill(value, max(width, 40), initial_indent=f"{key:<10} ", subsequent_indent=" " * 11, break_on_hyphens=False)


def _cost(entry: Entry) -> str:
    if entry.gmacs is None or entry.macts is None:
        return f"unknown: {entry.error}"
    size = "x".join(map(str, entry.input_size[1:])) if len(set(entry.input_size[1:])) > 1 else str(entry.image_size)
    return f"{short(entry.gmacs)} GMACs and {short(entry.macts)} million activations for an image of {size} px"


def _input(entry: Entry) -> str:
    if not entry.image_size:
        return ""
    size = f"{entry.image_size} px, {'fixed' if entry.fixed_size else 'other sizes too'}"
    values = f"mean {' '.join(map(str, entry.mean))}, std {' '.join(map(str, entry.std))}"
    return f"{size}; {entry.interpolation}, crop {entry.crop_pct:g}, {values}"


def _license(entry: Entry) -> str:
    return catalog.license_terms(entry.license) if entry.tag else ""
