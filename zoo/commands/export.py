"""`zoo export`: write a trained model as ONNX, as a torch program or for timm, proven on real images."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from zoo.system.console import Console, plural
from zoo.system.table import percent

if TYPE_CHECKING:
    from zoo.deploy.export import Export


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `zoo export`."""
    parser.add_argument("model", metavar="MODEL", help="a run, its model folder, or a timm or hub name")
    parser.add_argument("--format", required=True, metavar="FORMAT", help="onnx, torch or timm")
    parser.add_argument("--out", metavar="PATH", help="the file or folder (default: named like the run, in the current folder)")
    parser.add_argument("--image-size", type=int, metavar="N", help="side of the network's images in pixels")
    parser.add_argument("--batch", default="dynamic", metavar="N|dynamic", help="images per batch (default: dynamic)")
    parser.add_argument(
        "--preprocess", metavar="inside|outside", help="inside (default for onnx): the file takes photographs, uint8 [N, H, W, 3]"
    )
    parser.add_argument(
        "--precision", default="fp32", metavar="fp32|fp16|int8", help="precision of the network; fp16 and int8 only for onnx"
    )
    parser.add_argument("--check", metavar="FOLDER", help="images to check the export on (default: the run's validation images)")
    parser.add_argument("--push", metavar="OWNER/NAME", help="send a timm folder to the Hugging Face hub")
    parser.add_argument("--json", action="store_true", help="print the proof as JSON")


def run(options: argparse.Namespace) -> int:
    """Export a model and print its proof; return the exit code.

    Raises:
        ZooError: bad input, or the exported file differs too much from the live model.
    """
    from zoo.deploy.export import export

    found = export(
        options.model,
        options.format,
        out=options.out,
        image_size=options.image_size,
        batch=options.batch,
        preprocess=options.preprocess,
        precision=options.precision,
        check=options.check,
        push=options.push,
    )
    if options.json:
        print(json.dumps(json.loads(found.record.read_text(encoding="utf-8")), indent=1, ensure_ascii=False))
    else:
        report(found, Console())
    return 0


def report(found: Export, console: Console) -> None:
    """Print the path of an export and the results of its proof."""
    proof, choice = found.proof, found.choice
    what = f"{choice.format} {choice.precision}, {'photographs' if choice.inside else 'normalized batches'} in"
    console.fact("export", f"{found.path} ({what})")
    if found.note:
        console.fact("weights", found.note)
    if found.views:
        console.fact("views", found.views)
    if found.calibration:
        console.fact("calibrated", f"on {found.calibration}")
    console.fact("proof", f"{plural(proof.whole.images, 'image')}: {proof.source}")
    for line in found.images:
        console.fact("classes", line)
    far = f"largest difference of a probability {proof.whole.largest_difference:.2g}"
    if choice.inside:
        far += f" ({proof.strict.largest_difference:.2g} for images that need no resizing)"
    console.fact("equal", f"same class for {proof.whole.agreeing:,} of {plural(proof.whole.images, 'image')}; {far}")
    if proof.accuracy:
        one = proof.accuracy
        low, high = (f"{value * 100:+.2f}" for value in one.interval)
        console.fact(
            "accuracy", f"{percent(one.exported, 2)}, live {percent(one.live, 2)}; difference {low} to {high} points (95 %)"
        )
    for speed in proof.speed:
        times = f"{speed.exported_ms:.2f} ms, live {speed.live_ms:.2f} ms: {speed.ratio:.2f}x"
        console.fact("speed", f"{plural(speed.images, 'image')} on one thread {times}")
    console.fact("record", str(found.record))
    if found.address:
        console.fact("sent to", found.address)
