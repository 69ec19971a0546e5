"""Export a model: write it beside its target, prove it on real images, and only then move it into place."""

from __future__ import annotations

import importlib.util
import json
import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo import __version__
from zoo.data.views import ABOUT
from zoo.deploy import onnx_network, onnx_pixels, timm_folder, torch_program
from zoo.deploy.formats import DYNAMIC, FORMATS, TIMMX, Choice, choose, other_tool
from zoo.deploy.low_precision import CALIBRATION_IMAGES, to_fp16, to_int8
from zoo.deploy.proof import AGREE, STRICT, Exported, Proof, on_cpu, prove
from zoo.deploy.proof_images import ProofImages, images_of, set_apart
from zoo.deploy.subject import Subject, subject_of
from zoo.deploy.target import PRODUCER, RECORD, check_target, digests, record_of
from zoo.errors import ZooError
from zoo.inference.exported import FileNetwork, OnnxNetwork, TorchNetwork, notes_of
from zoo.inference.source import find_source
from zoo.models.model_folder import read_config
from zoo.system.files import digest, expanded, staged, storing
from zoo.system.hardware import cpu_name, metadata_version, versions

# Libraries of the extra `onnx`.
LIBRARIES = ("onnx", "onnxscript", "onnxruntime")


@dataclass(frozen=True)
class Export:
    """An exported model that was proven.

    Attributes:
        path: the file or folder.
        record: `export.json`, which has the proof.
        choice: the options of the export.
        proof: how far it is from the live model.
        note: a sentence on the weights; may be empty.
        images: lines on the images of the proof.
        calibration: a description of the images that int8 was calibrated on; '' for other precisions.
        address: its address on the hub; '' if it was not pushed.
        views: a sentence if the run was scored with several views of an image, else ''.
    """

    path: Path
    record: Path
    choice: Choice
    proof: Proof
    note: str = ""
    images: tuple[str, ...] = ()
    calibration: str = ""
    address: str = ""
    views: str = ""


def export(
    model: str | os.PathLike[str],
    format: str,
    *,
    out: str | os.PathLike[str] | None = None,
    image_size: int | None = None,
    batch: int | str = DYNAMIC,
    preprocess: str | None = None,
    precision: str = "fp32",
    check: str | os.PathLike[str] | None = None,
    push: str | None = None,
) -> Export:
    """Write a model for other programs, proven on real images.

    Args:
        model: a run, its model folder, or a name of timm or the hub.
        format: timm, onnx or torch.
        out: the file or folder; by default it is named like the run, in the current folder. An earlier export is replaced.
        image_size: side of the network's images in pixels; by default the model's own.
        batch: batch size, or `dynamic`.
        preprocess: inside (default of onnx): the file takes photographs; outside: it takes a normalized batch.
        precision: fp32; onnx also fp16 and int8.
        check: a folder of images to prove it on; by default the run's validation images.
        push: `OWNER/NAME` on the Hugging Face hub to push a timm folder to.

    Raises:
        ZooError: bad input, or the export differs too much from the live model and is removed.
        StorageError: the export cannot be written.
    """
    if format in TIMMX:
        raise _for_timmx(format, model)
    choice = choose(format, precision, preprocess, batch, image_size)
    if push is not None:
        timm_folder.check_repository(push, format)
    _check_libraries(choice)
    subject = subject_of(model, image_size)
    if choice.inside:
        onnx_pixels.check_pixels(subject.config)
    target = expanded(out) if out else Path(f"{subject.name}{FORMATS[format]}")
    target = target if target.name not in ("", "..") else target.resolve()
    check_target(target, choice)
    images, calibration = images_of(subject.run, Path(check) if check else None, subject.classes, subject.aliases), None
    if choice.precision == "int8":
        calibration, images = set_apart(subject.run, images, CALIBRATION_IMAGES)
    size = 4 * sum(value.numel() for value in subject.model.state_dict().values())
    with storing(target, size, "free some space, or give another place with --out"):
        found = _write(subject, choice, target, images, calibration, push or "")
    return found if not push else replace(found, address=timm_folder.push(target, push))


def _write(
    subject: Subject, choice: Choice, target: Path, images: ProofImages, calibration: ProofImages | None, repository: str
) -> Export:
    """Write an export, prove it, and move it into place: first the file, then its record."""
    folder = choice.format == "timm"
    record = record_of(target, choice)
    measured = f"{len(calibration):,} of the {calibration.source}" if calibration else ""
    with nullcontext() if folder else staged(record) as beside, staged(target) as staging:
        note, exported = _make(subject, choice, staging, calibration, repository)
        proof = prove(on_cpu(subject.model, subject.preprocessing), exported, images, choice.precision)
        views = f"one; the figures of the run average {ABOUT[subject.tta]}" if subject.tta != "none" else ""
        found = Export(target, record, choice, proof, note, images.notes, measured, views=views)
        text = json.dumps(_record(subject, found, staging), indent=2, ensure_ascii=False)
        (beside or staging / RECORD).write_text(text + "\n", encoding="utf-8")
    return found


def _make(subject: Subject, choice: Choice, path: Path, calibration: ProofImages | None, repository: str) -> tuple[str, Exported]:
    """Write a file or folder and load it again; return a sentence on its weights, and the loaded model."""
    if choice.format == "timm":
        note = timm_folder.write_folder(subject, path, repository)
        network = on_cpu(timm_folder.load_folder(path), subject.preprocessing)
        return note, Exported(network, network)
    outside = None if choice.inside else subject.preprocessing
    if choice.format == "torch":
        torch_program.write_program(subject.model, subject.size, choice.batch, _notes(subject, choice), path)
        program = FileNetwork(TorchNetwork(path), outside)
        return "", Exported(program, program, batch=choice.batch)
    _write_onnx(subject, choice, path, calibration)
    file, alone = (FileNetwork(OnnxNetwork(path, threads), outside) for threads in (None, 1))
    return "", Exported(file, alone, choice.inside, choice.batch)


def _write_onnx(subject: Subject, choice: Choice, path: Path, calibration: ProofImages | None) -> None:
    import onnx

    graph = onnx_network.network_graph(subject.model, subject.size, choice.batch)
    if calibration is not None:
        graph = to_int8(graph, _batches(subject, calibration, choice.batch or 32))
    elif choice.precision == "fp16":
        graph = to_fp16(graph)
    if choice.inside:
        graph = onnx_pixels.with_pixels(graph, subject.config)
    graph.producer_name, graph.producer_version = PRODUCER, __version__
    onnx.helper.set_model_props(graph, _notes(subject, choice))
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, path)


def _batches(subject: Subject, images: ProofImages, size: int) -> Iterator[Tensor]:
    """Yield full batches of the model's input, float32 [size, 3, T, T]; images beyond the last full one are left out."""
    prepared = subject.preprocessing
    for start in range(0, max(len(images) - size, 0) + 1, size):
        some = [images.image(place % len(images)) for place in range(start, start + size)]
        yield prepared.normalize(torch.from_numpy(np.stack([prepared.pixels(image) for image in some])))


def _notes(subject: Subject, choice: Choice) -> dict[str, str]:
    """Return the metadata to store in an exported file."""
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


def _record(subject: Subject, found: Export, staging: Path) -> dict[str, Any]:
    """Return the content of `export.json`."""
    choice = found.choice
    weights = staging / "model.safetensors" if staging.is_dir() else staging
    installed = {name: version for name in LIBRARIES if (version := metadata_version(name))}
    return {
        "file": found.path.name,
        "sha256": digest(weights),
        "bytes": weights.stat().st_size,
        "files": digests(staging) if staging.is_dir() else {},
        "format": choice.format,
        "precision": choice.precision,
        "preprocess": choice.preprocess,
        "batch": choice.batch or DYNAMIC,
        "image_size": subject.size,
        "backbone": subject.backbone,
        "classes": len(subject.classes),
        "model_sha256": subject.digest,
        "note": found.note,
        "views": found.views,
        "images": list(found.images),
        "calibration": found.calibration,
        "proof": found.proof.record(),
        "allowed": {"largest_difference": STRICT[choice.precision], "agreeing": AGREE[choice.precision]},
        "cpu": cpu_name(),
        "threads": torch.get_num_threads(),
        "versions": versions() | installed,
    }


def _check_libraries(choice: Choice) -> None:
    """Check that the libraries for a format are installed.

    Raises:
        ZooError: some are missing; the error names the command that installs them.
    """
    missing = [name for name in LIBRARIES if choice.format == "onnx" and importlib.util.find_spec(name) is None]
    if missing:
        raise ZooError("--format onnx", f"needs {' and '.join(missing)}, not installed here", f"pip install {' '.join(missing)}")


def _for_timmx(format: str, model: str | os.PathLike[str]) -> ZooError:
    """Return the error that names the timmx command for a model."""
    folder = find_source(model).path
    if folder is None or not folder.is_dir():
        return ZooError(
            f"--format {format}",
            "zoo does not write this format, but timmx does",
            f"pip install timmx; timmx export {TIMMX[format]} {model}",
        )
    config = read_config(folder)
    data = config.get("pretrained_cfg", {})
    return other_tool(format, config["architecture"], int(config["num_classes"]), data, folder / "model.safetensors")
