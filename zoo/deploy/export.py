"""Export a model: write it beside its place, prove it on real images, and only then put it there."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoo import __version__
from zoo.deploy import onnx_network, onnx_pixels, timm_folder, torch_program
from zoo.deploy.formats import DYNAMIC, FORMATS, TIMMX, Choice, choose, other_tool
from zoo.deploy.low_precision import CALIBRATION_IMAGES, to_fp16, to_int8
from zoo.deploy.proof import AGREE, STRICT, Live, Network, Proof, prove
from zoo.deploy.proof_images import ProofImages, images_of
from zoo.deploy.subject import Subject, subject_of
from zoo.errors import StorageError, ZooError
from zoo.inference.exported import INSTALL, OnnxNetwork, TorchNetwork, notes_of
from zoo.inference.source import find_source, read_config
from zoo.system.files import digest, existing, staged
from zoo.system.hardware import cpu_name, metadata_version, versions

RECORD = "export.json"
# Libraries of the extra `onnx`.
LIBRARIES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Export:
    """An exported model that was proven.

    Attributes:
        path: the file or folder.
        record: `export.json`, which has the proof.
        choice: what was asked for.
        proof: how far it is from the live model.
        note: a sentence on the weights; may be empty.
        address: where it was sent; '' where it was not.
    """

    path: Path
    record: Path
    choice: Choice
    proof: Proof
    note: str = ""
    address: str = ""


def export(
    model: str | Path,
    format: str,
    *,
    out: str | Path | None = None,
    image_size: int | None = None,
    batch: int | str = DYNAMIC,
    preprocess: str | None = None,
    precision: str = "fp32",
    check: str | Path | None = None,
    push: str | None = None,
) -> Export:
    """Write a model for other programs, proven on real images.

    Args:
        model: a run, its model folder, or a name of timm or the hub.
        format: timm, onnx or torch.
        out: the file or folder; by default it is named like the run, in the current folder. An earlier export is replaced.
        image_size: side of the network's images in pixels; by default that of the model.
        batch: images of a batch, or `dynamic`.
        preprocess: inside (default of onnx): the file takes photographs; outside: a normalized batch.
        precision: fp32; onnx also fp16 and int8.
        check: a folder of images to prove it on; by default the run's validation images.
        push: `OWNER/NAME` on the Hugging Face hub to send a timm folder to.

    Raises:
        ZooError: bad input, or a file that is too far from the live model; none is left then.
        StorageError: it cannot be written.
    """
    if format in TIMMX:
        raise _for_timmx(format, model)
    choice = choose(format, precision, preprocess, batch, image_size)
    if push and format != "timm":
        raise ZooError("--push", "sends folders of timm", "--format timm")
    _check_libraries(choice)
    subject = subject_of(model, image_size)
    if choice.inside:
        onnx_pixels.check_pixels(subject.config)
    target = Path(out).expanduser() if out else Path(f"{subject.name}{FORMATS[format]}")
    _check_target(target, choice)
    images = images_of(subject.run, Path(check) if check else None, subject.classes)
    try:
        found = _write(subject, choice, target, images, push or "")
    except OSError as error:
        raise StorageError(str(target), f"cannot be written: {error.strerror or error}", "free some space") from None
    return found if not push else Export(**{**vars(found), "address": timm_folder.push(target, push)})


def _write(subject: Subject, choice: Choice, target: Path, images: ProofImages, repository: str) -> Export:
    """Write, prove, and put in place: the file first, then its proof."""
    folder = choice.format == "timm"
    record = target / RECORD if folder else target.with_name(f"{target.name}.{RECORD}")
    with nullcontext() if folder else staged(record) as beside, staged(target) as staging:
        note, network = _make(subject, choice, staging, images, repository)
        proof = prove(Live(subject.model, subject.preprocessing), network, images, choice.precision)
        text = json.dumps(_record(subject, choice, target, staging, proof, note), indent=2, ensure_ascii=False)
        (beside or staging / RECORD).write_text(text + "\n", encoding="utf-8")
    return Export(target, record, choice, proof, note)


def _make(subject: Subject, choice: Choice, path: Path, images: ProofImages, repository: str) -> tuple[str, Network]:
    """Write a file or folder and open it again; return a sentence on it, and its network."""
    if choice.format == "timm":
        note = timm_folder.write_folder(subject, path, repository)
        return note, timm_folder.FolderNetwork(path)
    if choice.format == "torch":
        torch_program.write_program(subject.model, subject.size, choice.batch, _notes(subject, choice), path)
        return "", TorchNetwork(path)
    _write_onnx(subject, choice, path, images)
    return "", OnnxNetwork(path)


def _write_onnx(subject: Subject, choice: Choice, path: Path, images: ProofImages) -> None:
    import onnx

    graph = onnx_network.network_graph(subject.model, subject.size, choice.batch)
    if choice.precision == "int8":
        graph = to_int8(graph, _batches(subject, images.spread(CALIBRATION_IMAGES), choice.batch or 32))
    elif choice.precision == "fp16":
        graph = to_fp16(graph)
    if choice.inside:
        graph = onnx_pixels.with_pixels(graph, subject.config)
    graph.producer_name, graph.producer_version = "zoo", __version__
    onnx.helper.set_model_props(graph, _notes(subject, choice))
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, path)


def _batches(subject: Subject, images: ProofImages, size: int) -> Iterator[Tensor]:
    """Yield whole batches of the model's input, float32 [size, 3, T, T]; images beyond the last whole one are left out."""
    live = Live(subject.model, subject.preprocessing)
    for start in range(0, max(len(images) - size, 0) + 1, size):
        yield live.batch([images.image(place % len(images)) for place in range(start, start + size)])


def _notes(subject: Subject, choice: Choice) -> dict[str, str]:
    """Return what an exported file says of itself."""
    return notes_of(
        subject.classes,
        subject.config,
        inside=choice.inside,
        precision=choice.precision,
        backbone=subject.backbone,
        license=subject.license,
        run=subject.name,
        sha256=subject.digest,
        zoo=__version__,
    )


def _record(subject: Subject, choice: Choice, target: Path, staging: Path, proof: Proof, note: str) -> dict[str, Any]:
    """Return what `export.json` says."""
    weights = staging / "model.safetensors" if staging.is_dir() else staging
    installed = {name: found for name in LIBRARIES if (found := metadata_version(name))}
    return {
        "file": target.name,
        "sha256": digest(weights),
        "bytes": weights.stat().st_size,
        "format": choice.format,
        "precision": choice.precision,
        "preprocess": choice.preprocess,
        "batch": choice.batch or DYNAMIC,
        "image_size": subject.size,
        "backbone": subject.backbone,
        "classes": len(subject.classes),
        "model_sha256": subject.digest,
        "note": note,
        "proof": proof.record(),
        "allowed": {"largest_difference": STRICT[choice.precision], "agreeing": AGREE[choice.precision]},
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "versions": versions() | installed,
    }


def _check_libraries(choice: Choice) -> None:
    """Check that what writes a format is installed.

    Raises:
        ZooError: with the command that installs it.
    """
    missing = [name for name in LIBRARIES if choice.format == "onnx" and importlib.util.find_spec(name) is None]
    if missing:
        raise ZooError("--format onnx", f"needs {' and '.join(missing)}, not installed here", INSTALL)


def _check_target(target: Path, choice: Choice) -> None:
    """Check that the target can be written, and that nothing but an earlier export is replaced.

    Raises:
        ZooError: it cannot.
    """
    if choice.format == "timm":
        if target.exists() and not (target / RECORD).is_file():
            raise ZooError("--out", f"{target} exists and is no export", "give a new folder")
    elif target.is_dir() or target.suffix != FORMATS[choice.format]:
        raise ZooError("--out", f"{target} does not end in {FORMATS[choice.format]}", f"e.g. model{FORMATS[choice.format]}")
    parent = existing(target.parent)
    if not target.absolute().parent.is_dir() or not os.access(parent, os.W_OK):
        what = "cannot be written" if target.absolute().parent.is_dir() else "does not exist"
        raise ZooError("--out", f"the folder {target.absolute().parent} {what}", "make it, or give another")


def _for_timmx(format: str, model: str | Path) -> ZooError:
    """Return the error that names the command of timmx for a run."""
    folder = find_source(model).path
    if folder is None or not folder.is_dir():
        return ZooError(
            f"--format {format}", "not written by zoo, but by timmx", f"pip install timmx; timmx export {TIMMX[format]} {model}"
        )
    config = read_config(folder)
    data = config.get("pretrained_cfg", {})
    return other_tool(format, config["architecture"], int(config["num_classes"]), data, folder / "model.safetensors")
