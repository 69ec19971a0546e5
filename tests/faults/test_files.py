"""Bad images, weights, machines, checkpoints and archives: exit code 2, one line, no traceback, nothing written, no code run."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.faults.harness import Server
from helpers.faults.one_line import BACKBONE, REST, SYNTHETIC, assert_one_line
from PIL import Image
from safetensors.torch import save_file

pytestmark = pytest.mark.slow


def photos(root: Path, *, classes: tuple[str, ...] = ("a", "b"), count: int = 12) -> Path:
    generator = np.random.default_rng(0)
    for name in classes:
        folder = root / "train" / name
        folder.mkdir(parents=True)
        for number in range(count):
            Image.fromarray(generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / f"{number:02}.png")
    return root


def png(width: int, height: int) -> bytes:
    """Return a PNG file with a header for an image of this size, but without its pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


Spoil = Callable[[Path], object]
IMAGES: dict[str, tuple[Spoil, str]] = {
    "missing root": (lambda root: root.rename(root.with_name("other")), r"data.root: no such folder: ROOT \(.+\)"),
    "root is a file": (lambda root: (root.rename(root.with_name("other")), root.write_text("x")), r"data.root: .*ROOT.* \(.+\)"),
    "truncated png": (lambda root: cut(root / "train/a/03.png"), r"data.root: 1 unreadable image, first: ROOT/train/a/03.png: .+ \(replace or remove it, or set data.on_bad=skip\)"),
    "empty file": (lambda root: (root / "train/a/03.png").write_bytes(b""), r"data.root: 1 unreadable image, first: ROOT/train/a/03.png: empty file \(.+\)"),
    "text": (lambda root: (root / "train/a/03.jpg").write_text("hello"), r"data.root: 1 unreadable image, first: ROOT/train/a/03.jpg: not an image \(.+\)"),
    "svg": (lambda root: (root / "train/a/03.png").write_text("<svg/>"), r"data.root: 1 unreadable image.*not an image \(.+\)"),
    "html": (lambda root: (root / "train/a/x.webp").write_text("<!doctype html>"), r"data.root: 1 unreadable image.*not an image \(.+\)"),
    "three at once": (
        lambda root: [(root / f"train/a/{number}.jpg").write_bytes(b"") for number in range(3)],
        r"data.root: 3 unreadable images, first: ROOT/train/a/0.jpg: empty file; all are listed in .+\.csv \(replace or remove them, or set data.on_bad=skip\)",
    ),
    "bomb": (lambda root: (root / "train/a/x.png").write_bytes(png(60_000, 60_000)), r"data.root: 1 unreadable image, first: ROOT/train/a/x.png: .*million pixels \(.+\)"),
    "header only": (lambda root: (root / "train/a/x.png").write_bytes(png(100, 100)), r"data.root: 1 unreadable image, first: ROOT/train/a/x.png: .+ \(.+\)"),
    "unreadable pipe": (lambda root: os.mkfifo(root / "train/a/x.png"), r"data.root: .*x.png.* \(.+\)"),
    "dead link": (lambda root: (root / "train/a/x.png").symlink_to(root / "gone"), r"data.root: .*x.png.* \(.+\)"),
    "loop": (lambda root: (root / "train/a/loop").symlink_to(root / "train"), r"data.root: .*loop.* \(.+\)"),
    "link to itself": (lambda root: (root / "train/a/x.png").symlink_to(root / "train/a/x.png"), r"data.root: .*x.png.* \(.+\)"),
    "link out": (lambda root: (root / "train/c").symlink_to("/etc"), r"data.root: .*ROOT/train/c.* \(.+\)"),
    "empty class": (lambda root: (root / "train/c").mkdir(), r"data.root: class 'c' has no images in ROOT/train/c \(.+\)"),
    "one class": (lambda root: (root / "train/b").rename(root / "gone"), r"data.root: only one class, 'a', .* \(.+\)"),
    "only in val": (lambda root: photos(root / "x", classes=("a", "z")) and (root / "x/train").rename(root / "val"), r"data.root: class 'z' is in val but not in train \(.+\)"),
    "name that is no text": (lambda root: os.mkdir(os.fsencode(root) + b"/train/caf\xe9"), r"data.root: .*caf.* \(.+\)"),
    "control characters": (lambda root: (root / "train/a").rename(root / "train/\x1b[31mred"), r"data.root: .*red.* \(.+\)"),
    "no class folders": (lambda root: [(root / "train" / name).rename(root / name) for name in "ab"], r"data.root: no class folders in ROOT/train \(.+\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", IMAGES)
def test_images_that_are_wrong(server: Server, tmp_path: Path, case: str) -> None:
    root = photos(tmp_path / "photos")
    spoil, pattern = IMAGES[case]
    spoil(root)
    recipe = tmp_path / "r.yaml"
    recipe.write_text(BACKBONE + f"data: {{kind: folder, root: {root}}}\n" + REST + f"output: {{root: {tmp_path / 'runs'}}}\n")
    code, text = server.run("train", str(recipe))
    assert_one_line(code, text, pattern.replace("ROOT", re.escape(str(root))))
    assert not (tmp_path / "runs").exists()
    assert not list((Path(os.environ["ZOO_CACHE"]) / "pixels").glob(".*/"))


class Payload:
    """An object that runs code when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return os.system, (f"touch {self.canary}",)


def state(name: str = "test_resnet") -> dict[str, torch.Tensor]:
    import timm

    torch.manual_seed(0)
    return {key: value.contiguous() for key, value in timm.create_model(name).state_dict().items()}


def nan() -> dict[str, torch.Tensor]:
    tensors = state()
    next(iter(tensors.values()))[0] = float("nan")
    return tensors


WEIGHTS: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("w.pth", lambda path: None, r"backbone.weights: no such file: FILE \(.+\)"),
    "a folder": ("w.pth", lambda path: path.mkdir(), r"backbone.weights: no such file: FILE \(.+\)"),
    "html": ("w.pth", lambda path: path.write_text("<!doctype html><html>404</html>"), r"backbone.weights: FILE .+ \(.+\)"),
    "html safetensors": ("w.safetensors", lambda path: path.write_text("<!doctype html>" * 20), r"backbone.weights: FILE .+ \(.+\)"),
    "empty": ("w.pth", lambda path: path.write_bytes(b""), r"backbone.weights: FILE .+ \(.+\)"),
    "empty safetensors": ("w.safetensors", lambda path: path.write_bytes(b""), r"backbone.weights: FILE .+ \(.+\)"),
    "cut": ("w.pth", lambda path: (torch.save(state(), path), cut(path)), r"backbone.weights: FILE .+ \(.+\)"),
    "cut safetensors": ("w.safetensors", lambda path: (save_file(state(), path), cut(path)), r"backbone.weights: FILE .+ \(.+\)"),
    "other architecture": ("w.pth", lambda path: torch.save(state("resnet10t"), path), r"backbone.weights: .*FILE .+ \(.+\)"),
    "prefixed": ("w.pth", lambda path: torch.save({f"backbone.{key}": value for key, value in state().items()}, path), r"backbone.weights: file FILE matches 0 of \d+ tensors of test_resnet \(rename its keys, e.g. .+\)"),
    "empty dictionary": ("w.pth", lambda path: torch.save({}, path), r"backbone.weights: .*FILE .+ \(.+\)"),
    "empty safetensors file": ("w.safetensors", lambda path: save_file({}, path), r"backbone.weights: .*FILE .+ \(.+\)"),
    "half of it": ("w.pth", lambda path: torch.save(dict(list(state().items())[:20]), path), r"backbone.weights: .*FILE matches .+ missing.+ \(.+\)"),
    "more than it": ("w.pth", lambda path: torch.save({**state(), "extra.weight": torch.ones(2)}, path), r"backbone.weights: .*FILE .+unexpected, first extra.weight \(.+\)"),
    "not a number": ("w.pth", lambda path: torch.save(nan(), path), r"backbone.weights: .*FILE holds values that are not finite, first in .+ \(.+\)"),
    "a whole module": ("w.pth", lambda path: torch.save(torch.nn.Linear(2, 2), path), r"backbone.weights: FILE holds code: .+ \(save a plain state dict.+\)"),
    "code": ("w.pth", lambda path: torch.save({"state_dict": Payload(path.with_name("canary"))}, path), r"backbone.weights: FILE holds code: .*system \(save a plain state dict.+\)"),
    "plain pickle": ("w.bin", lambda path: path.write_bytes(pickle.dumps(Payload(path.with_name("canary")))), r"backbone.weights: FILE .+ \(.+\)"),
    "pickle as safetensors": ("w.safetensors", lambda path: path.write_bytes(pickle.dumps(Payload(path.with_name("canary")))), r"backbone.weights: FILE .+ \(.+\)"),
    "a list": ("w.pth", lambda path: torch.save([torch.ones(2)], path), r"backbone.weights: FILE holds no state dict \(.+\)"),
    "a number": ("w.pth", lambda path: torch.save(3, path), r"backbone.weights: FILE holds no state dict \(.+\)"),
    "an image": ("w.pth", lambda path: path.write_bytes(png(4, 4)), r"backbone.weights: FILE .+ \(.+\)"),
}  # fmt: skip


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights_that_are_wrong(server: Server, tmp_path: Path, case: str) -> None:
    name, make, pattern = WEIGHTS[case]
    path = tmp_path / name
    make(path)
    recipe = tmp_path / "r.yaml"
    text = f"backbone: {{name: test_resnet, weights: {{kind: file, path: {path}}}}}\n"
    recipe.write_text(text + SYNTHETIC + REST + f"output: {{root: {tmp_path / 'runs'}}}\n")
    code, console = server.run("train", str(recipe))
    assert_one_line(code, console, pattern.replace("FILE", re.escape(str(path))))
    assert not (tmp_path / "runs").exists()
    assert not (tmp_path / "canary").exists()


def denied(folder: Path) -> str:
    """Create a file, and return its path: nothing can be written below it, not even by root."""
    (folder / "file").write_text("x")
    return str(folder / "file")


@pytest.mark.parametrize(
    ("overrides", "pattern"),
    [
        (["output.root=FOLDER/file"], r"output.root: not a directory: .* \(choose another\)"),
        (["output.root=FOLDER/file/below"], r"output.root: not a directory: .* \(choose another\)"),
        (["output.root=/proc/x"], r"output.root: not writable: .* \(choose another\)"),
        (["output.root=/dev/null/x"], r"output.root: not a directory: .* \(choose another\)"),
        (["train.batch_size=100"], r"train.batch_size: 100, but only 36 training images \(lower it\)"),
        (["train.precision=fp16"], r"train.precision: fp16 needs a GPU \(use auto, bf16 or fp32\)"),
        (["data.max_train=1"], r"data.max_train: 1 images for 2 classes.*"),
        (["data.val_fraction=0", "eval.select_by=val.accuracy"], r".*eval.select_by: .* \(.+\)"),
        (["backbone.weights=pretrained"], r"backbone.weights: .* \(.+\)"),
        (["backbone.weights={kind: package, name: none}"], r"backbone.weights.name: .* \(.+\)"),
        (["backbone.weights={kind: torchvision, name: Nothing}"], r"backbone.weights.*: .* \(.+\)"),
        (["backbone.weights={kind: run, path: /nowhere}"], r"backbone.weights: no model in /nowhere \(.+\)"),
        (["data={kind: cifar10, root: FOLDER/none}"], r"data.root: CIFAR10 is not in .* and cannot be downloaded: .* \(.+\)"),
    ],
)
def test_a_machine_that_is_not_as_asked(server: Server, tmp_path: Path, overrides: list[str], pattern: str) -> None:
    denied(tmp_path)
    recipe = tmp_path / "r.yaml"
    recipe.write_text(BACKBONE + SYNTHETIC + REST + f"output: {{root: {tmp_path / 'runs'}}}\n")
    code, text = server.run("train", str(recipe), *(each.replace("FOLDER", str(tmp_path)) for each in overrides))
    assert_one_line(code, text, pattern)
    assert not (tmp_path / "runs").exists()


def test_checkpoints_that_hold_or_name_what_they_must_not(server: Server, tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(BACKBONE + SYNTHETIC + REST + f"output: {{root: {tmp_path / 'runs'}}}\n")
    code, text = server.run("train", str(recipe))
    assert code == 0, text
    run = tmp_path / "runs" / "r"
    (folder,) = (run / "checkpoints").glob("step-*")
    secret, canary = tmp_path / "secret.safetensors", tmp_path / "canary"
    save_file({"a": torch.ones(1)}, secret)
    manifest = json.loads((folder / "manifest.json").read_text())
    from zoo.system.files import digest

    outside = {"../../../../secret.safetensors": digest(secret)}
    (folder / "manifest.json").write_text(json.dumps({**manifest, **outside}))
    code, text = server.run("train", str(recipe), "--resume", str(run))
    assert_one_line(code, text, r"--resume: .*step-\d+: damaged: .*, no earlier checkpoint \(start a new run\)")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "model.safetensors").write_bytes(pickle.dumps(Payload(canary)))
    (folder / "manifest.json").write_text(json.dumps({**manifest, "model.safetensors": digest(folder / "model.safetensors")}))
    code, text = server.run("train", str(recipe), "--resume", str(run))
    assert_one_line(code, text, r"--resume: .*step-\d+: damaged: .*, no earlier checkpoint \(start a new run\)")
    assert not canary.exists()


@pytest.mark.parametrize("inside", ["a path out of the archive", "code"])
def test_archives_that_hold_what_they_must_not(server: Server, tmp_path: Path, inside: str) -> None:
    root, canary = tmp_path / "data", tmp_path / "canary"
    batch = root / "cifar-10-batches-py" / "data_batch_1"
    batch.parent.mkdir(parents=True)
    if inside == "code":
        batch.write_bytes(pickle.dumps(Payload(canary)))
    else:
        with tarfile.open(root / "cifar-10-python.tar.gz", "w:gz") as archive:
            archive.addfile(tarfile.TarInfo("../canary"))
    recipe = tmp_path / "r.yaml"
    text = BACKBONE + f"data: {{kind: cifar10, root: {root}}}\n" + REST
    recipe.write_text(text + f"output: {{root: {tmp_path / 'runs'}}}\n")
    code, console = server.run("train", str(recipe))
    assert_one_line(code, console, rf"data.root: {re.escape(str(root))}/.* is damaged: md5 \w+, expected \w+ \(delete it to .+\)")
    assert not canary.exists()
    assert not (tmp_path / "runs").exists()
