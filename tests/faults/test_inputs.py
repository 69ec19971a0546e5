"""Bad input of every kind: exit code 2, one line that says where, what and what to do, no traceback, nothing written."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
import subprocess
import sys
import tarfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from harness import Server
from PIL import Image
from safetensors.torch import save_file

pytestmark = pytest.mark.slow

BACKBONE = "backbone: {name: test_resnet, weights: random}\n"
SYNTHETIC = "data: {kind: synthetic, train_images: 40, test_images: 8, classes: 2}\n"
REST = "image_size: 32\ntrain: {epochs: 1, batch_size: 8, precision: fp32, channels_last: false, threads: 1}\n"

# Recipe text and what follows `error: `, R for the recipe's path.
RECIPES: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", r"R:1: expected a mapping at top level, found nothing \(.+\)"),
    "only a comment": ("# nothing\n", r"R:1: expected a mapping at top level, found nothing \(.+\)"),
    "a list": ("- a\n- b\n", r"R:1: expected a mapping at top level, found a list \(.+\)"),
    "a word": ("hello\n", r"R:1: expected a mapping at top level.*\(.+\)"),
    "a number": ("12\n", r"R:1: expected a mapping at top level.*\(.+\)"),
    "tab": ("train:\n\tepochs: 1\n", r"R:2:1: not valid YAML: .*\(.+\)"),
    "open quote": ("name: 'a\ntrain: {}\n", r"R:\d+:\d+: not valid YAML: .*"),
    "open brace": ("train: {epochs: 1\n", r"R:\d+:\d+: not valid YAML: .*"),
    "bad indent": ("train:\n   epochs: 1\n  seed: 2\n", r"R:\d+:\d+: not valid YAML: .*"),
    "two documents": (BACKBONE + SYNTHETIC + "---\nname: b\n", r"R:3.*(document).*"),
    "not utf-8": (b"name: caf\xe9\n", r"R.*UTF-8.*"),
    "nul byte": (b"name: a\0b\n", r"R.*: .*"),
    "binary": (bytes(range(256)), r"R.*: .*"),
    "utf-16": ("name: a\n".encode("utf-16"), r"R.*: .*"),
    "python tag": ("backbone: !!python/object/apply:os.system ['true']\n" + SYNTHETIC, r"R:1: tag '.*os.system' not allowed \(.+\)"),
    "own tag": ("backbone: !thing {name: resnet18}\n" + SYNTHETIC, r"R:1: tag '!thing' not allowed \(.+\)"),
    "alias bomb": (
        "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(f"{c}: &{c} [{', '.join([f'*{p}'] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)),
        r"R:\d+.*: .*",
    ),
    "alias of itself": ("a: &a [*a]\n" + BACKBONE + SYNTHETIC, r"R:1.*: .*"),
    "merge key": ("train:\n  <<: {epochs: 1}\n" + BACKBONE + SYNTHETIC, r"R:2: unknown key 'train.<<' \(.+\)"),
    "double key": (BACKBONE + SYNTHETIC + "optim:\n  lr: 1\n  lr: 2\n", r"R:5: duplicate key 'optim.lr', first on line 4 \(keep one\)"),
    "number key": (BACKBONE + SYNTHETIC + "1: 2\n", r"R:3: unknown key '1'.*"),
    "null key": (BACKBONE + SYNTHETIC + "? \n: 2\n", r"R:3.*: .*"),
    "list key": (BACKBONE + SYNTHETIC + "? [a]\n: 2\n", r"R:3.*: .*"),
    "unknown key": (BACKBONE + SYNTHETIC + "train: {epoch: 3}\n", r"R:3: unknown key 'train.epoch' \(did you mean 'train.epochs'\?\)"),
    "unknown section": (BACKBONE + SYNTHETIC + "trian: {epochs: 3}\n", r"R:3: unknown key 'trian' \(did you mean 'train'\?\)"),
    "null section": (BACKBONE + SYNTHETIC + "train:\n", r"R:3: train: expected a mapping.*\(.+\)"),
    "list section": (BACKBONE + SYNTHETIC + "train: [1]\n", r"R:3: train: expected a mapping, found a list.*"),
    "no backbone": (SYNTHETIC, r"R:1: backbone: missing \(.+\)"),
    "no data": (BACKBONE, r"R:1: data: missing.*\(.+\)"),
    "backbone without a name": ("backbone: {weights: random}\n" + SYNTHETIC, r"R:1: backbone.name: missing \(.+\)"),
    "unknown backbone": ("backbone: {name: resnet999}\n" + SYNTHETIC, r"R:1: backbone.name: unknown .*'resnet999' \(.+\)"),
    "unknown tag": ("backbone: {name: resnet18.tv_in2k}\n" + SYNTHETIC, r"R:1: backbone.name: .*tv_in2k.* \(.+\)"),
    "callable": ("backbone: {name: os.system}\n" + SYNTHETIC, r"R:1: backbone.name: unknown .*"),
    "path as name": ("backbone: {name: ../../etc/passwd}\n" + SYNTHETIC, r"R:1: backbone.name: .* \(.*weights.*\)"),
    "hub as name": ("backbone: {name: 'hf-hub:x/y'}\n" + SYNTHETIC, r"R:1: backbone.name: .* \(.*weights.*\)"),
    "local folder as name": ("backbone: {name: 'local-dir:x'}\n" + SYNTHETIC, r"R:1: backbone.name: .* \(.*weights.*\)"),
    "target": (BACKBONE + SYNTHETIC + "optim: {_target_: os.system}\n", r"R:3: unknown key 'optim._target_'.*"),
    "number of classes": ("backbone: {name: resnet18, num_classes: 0}\n" + SYNTHETIC, r"R:1: unknown key 'backbone.num_classes' \(.+\)"),
    "unknown weights": ("backbone: {name: resnet18, weights: best}\n" + SYNTHETIC, r"R:1: backbone.weights.*: unknown 'best' \(.+\)"),
    "weights without path": ("backbone: {name: resnet18, weights: {kind: file}}\n" + SYNTHETIC, r"R:1: backbone.weights.path: missing.*"),
    "unknown data": (BACKBONE + "data: {kind: cifar}\n", r"R:2: data.kind: unknown 'cifar' \(.*cifar10.*\)"),
    "folder without root": (BACKBONE + "data: {kind: folder}\n", r"R:2: data.root: missing.*\(.+\)"),
    "fraction of one": (BACKBONE + "data: {kind: digits, val_fraction: 1}\n", r"R:2: data.val_fraction: must be < 1, found 1.*"),
    "no images": (BACKBONE + "data: {kind: digits, max_train: 0}\n", r"R:2: data.max_train: must be >= 1, found 0.*"),
    "empty name": ("name: ''\n" + BACKBONE + SYNTHETIC, r"R:1: name: .*\(.+\)"),
    "name with a path": ("name: ../x\n" + BACKBONE + SYNTHETIC, r"R:1: name: .*\(.+\)"),
    "size of a shrinking image": (BACKBONE + SYNTHETIC + "image_size: {start: 64, end: 32}\n", r"R:3: image_size.start: 64 exceeds end 32 \(.+\)"),
    "size of nothing": (BACKBONE + SYNTHETIC + "image_size: 0\n", r"R:3: image_size.*: must be >= 8, found 0.*"),
    "size as text": (BACKBONE + SYNTHETIC + "image_size: 224px\n", r"R:3: image_size: expected .*, found '224px'.*"),
    "warm-up too long": (BACKBONE + SYNTHETIC + "schedule: {kind: cosine, warmup_epochs: 20}\n", r"R:3: schedule.warmup_epochs: 20 exceeds train.epochs 10 \(.+\)"),
    "unknown optimizer": (BACKBONE + SYNTHETIC + "optim: {name: adamq}\n", r"R:3: optim.name: unknown 'adamq' \(.*adam.*\)"),
    "unknown schedule": (BACKBONE + SYNTHETIC + "schedule: {kind: cosin}\n", r"R:3: schedule.kind: unknown 'cosin' \(did you mean 'cosine'\?.*\)"),
    "unknown crop": (BACKBONE + SYNTHETIC + "augment: {crop: random}\n", r"R:3: augment.crop.*: unknown 'random' \(.+\)"),
    "scale upside down": (BACKBONE + SYNTHETIC + "augment: {crop: {kind: random_resized, scale: [0.9, 0.1]}}\n", r"R:3: augment.crop.scale: .*\(.+\)"),
    "select by test": (BACKBONE + SYNTHETIC + "eval: {select_by: test.accuracy}\n", r"R:3: eval.select_by: .*\(.+\)"),
    "checkpoint never": (BACKBONE + SYNTHETIC + "output: {checkpoint_every: 0 epochs}\n", r"R:3: output.checkpoint_every: .*\(.+\)"),
    "tracker": (BACKBONE + SYNTHETIC + "output: {track: tensorboard}\n", r"R:3: output.track: expected a list, found 'tensorboard'.*"),
}  # fmt: skip

VALUES: dict[str, str] = {
    "optim.lr=fast": r"optim.lr: expected a number, found 'fast'.*\(e.g. .+\)",
    "optim.lr=0": r"optim.lr: must be > 0, found 0 \(e.g. .+\)",
    "optim.lr=-1": r"optim.lr: must be > 0, found -1 \(e.g. .+\)",
    "optim.lr=.nan": r"optim.lr: expected a finite number, found .*",
    "optim.lr=.inf": r"optim.lr: expected a finite number, found .*",
    "optim.lr=[1]": r"optim.lr: expected a number, found a list.*",
    "optim.lr=null": r"optim.lr: expected a number, found nothing.*",
    "optim.lr=": r"optim.lr: expected a number, found .*",
    "optim.lr=true": r"optim.lr: expected a number, found true.*",
    "optim.weight_decay=-0.1": r"optim.weight_decay: must be >= 0, found -0.1.*",
    "train.epochs=1.5": r"train.epochs: expected a whole number, found 1.5 \(e.g. 10\)",
    "train.epochs=true": r"train.epochs: expected a whole number, found true.*",
    "train.epochs=yes": r"train.epochs: expected a whole number, found 'yes'.*",
    "train.epochs=0": r"train.epochs: must be >= 1, found 0.*",
    "train.epochs=1e999": r"train.epochs: .*",
    "train.batch_size=0": r"train.batch_size: must be >= 1, found 0 \(e.g. 128\)",
    "train.batch_size=-8": r"train.batch_size: must be >= 1, found -8.*",
    "train.batch_size=999999999999999999999999": r"train.batch_size: must be <= .*",
    "train.accumulate=0": r"train.accumulate: must be >= 1, found 0 \(or write auto\)",
    "train.accumulate=all": r"train.accumulate: .*auto.*",
    "train.threads=0": r"train.threads: must be >= 1, found 0 \(or write auto\)",
    "train.precision=fp64": r"train.precision: unknown 'fp64' \(.+\)",
    "train.label_smoothing=1": r"train.label_smoothing: must be < 1, found 1.*",
    "train.ema=1": r"train.ema: must be < 1, found 1.*",
    "train.clip_grad=0": r"train.clip_grad: must be > 0, found 0.*",
    "train.patience=0": r"train.patience: must be >= 1, found 0.*",
    "train.seed=-1": r"train.seed: must be >= 0, found -1.*",
    "train.class_weights=all": r"train.class_weights: unknown 'all' \(.+\)",
    "train.compile=maybe": r"train.compile: expected true or false, found 'maybe'.*",
    "train.timeout=0": r"train.timeout: must be >= 5, found 0.*",
    "finetune.freeze=head": r"finetune.freeze: .*",
    "finetune.batch_norm=off": r"finetune.batch_norm: unknown 'off' \(.+\)",
    "finetune.layer_decay=2": r"finetune.layer_decay: must be <= 1, found 2.*",
    "augment.mixup=-1": r"augment.mixup: must be >= 0, found -1.*",
    "augment.erase=2": r"augment.erase: must be <= 1, found 2.*",
    "augment.hflip=1": r"augment.hflip: expected true or false, found 1.*",
    "output.keep_last=0": r"output.keep_last: must be >= 1, found 0.*",
    "eval.crop=2": r"eval.crop: must be > 0 and <= 1, found 2.*",
    "trian.epochs=3": r"trian.*: unknown key.*",
    "train.epochs.more=3": r"train.epochs.*: .*",
    "optim.lr": r"command line: 'optim.lr': expected section.key=value \(e.g. .+\)",
    "=3": r"command line: '=3': expected section.key=value.*",
    "train=3": r"train: expected a mapping, found 3.*",
    "name=a/b": r"name: expected a plain folder name, found 'a/b'.*",
    "train.epochs={": r"train.epochs.*: .*",
    "backbone.name=resnet19": r"backbone.name: unknown .*resnet18.*",
}


def assert_one_line(code: int, errors: str, pattern: str) -> None:
    lines = errors.strip().splitlines()
    assert code == 2, errors
    assert len(lines) == 1, errors
    assert re.fullmatch(rf"error: {pattern}", lines[0]), lines[0]
    assert "Traceback" not in errors


def cli(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    program = "import sys\nfrom zoo.cli import main\ncode = main(sys.argv[1:])\nassert not {'torch', 'numpy', 'timm'} & set(sys.modules)\nsys.exit(code)"
    return subprocess.run([sys.executable, "-c", program, *arguments], cwd=cwd, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("case", RECIPES)
def test_a_recipe_that_is_wrong(case: str, tmp_path: Path) -> None:
    text, pattern = RECIPES[case]
    path = tmp_path / "r.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    began = time.monotonic()
    done = cli("train", "r.yaml", cwd=tmp_path)
    took = time.monotonic() - began
    if case == "alias bomb":  # it may be wrong in more than one way
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    else:
        assert_one_line(done.returncode, done.stderr, pattern.replace("R", "r.yaml", 1))
    assert took < 5  # under a second on a machine at rest
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.yaml"]


@pytest.mark.parametrize("override", VALUES)
def test_a_value_that_is_wrong(override: str, tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(BACKBONE + SYNTHETIC)
    done = cli("train", "r.yaml", override, cwd=tmp_path)
    assert_one_line(done.returncode, done.stderr, VALUES[override])
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.yaml"]


@pytest.mark.parametrize(
    ("arguments", "pattern"),
    [
        (["train", "none.yaml"], r"none.yaml: no such recipe \('zoo recipe --list' shows the shipped ones\)"),
        (["train", "."], r"\.: is a directory \(give the path of a YAML file\)"),
        (["train"], r"command line: .*"),
        (["trian", "quickstart"], r"command line: .*"),
        (["train", "quickstart", "--resum", "x", "--fast"], r"command line: .*"),
        (["recipe"], r"zoo recipe: which recipe\? \(.+\)"),
        (["train", "quickstart", "--resume", "/nowhere"], r"--resume: no run in /nowhere \(.+\)"),
    ],
)
def test_a_command_that_is_wrong(arguments: list[str], pattern: str, tmp_path: Path) -> None:
    done = cli(*arguments, cwd=tmp_path)
    assert_one_line(done.returncode, done.stderr, pattern)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------- images, weights, environment


def photos(root: Path, *, classes: tuple[str, ...] = ("a", "b"), count: int = 12) -> Path:
    generator = np.random.default_rng(0)
    for name in classes:
        folder = root / "train" / name
        folder.mkdir(parents=True)
        for number in range(count):
            Image.fromarray(generator.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(folder / f"{number:02}.png")
    return root


def png(width: int, height: int) -> bytes:
    """A PNG file that claims a size and has no pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


Spoil = Callable[[Path], object]
IMAGES: dict[str, tuple[Spoil, str]] = {
    "missing root": (lambda root: root.rename(root.with_name("other")), r"data.root: no such directory: ROOT \(.+\)"),
    "root is a file": (lambda root: (root.rename(root.with_name("other")), root.write_text("x")), r"data.root: .*ROOT.* \(.+\)"),
    "truncated png": (lambda root: cut(root / "train/a/03.png"), r"data.root: 1 unreadable image, first: ROOT/train/a/03.png: .+ \(replace or remove it\)"),
    "empty file": (lambda root: (root / "train/a/03.png").write_bytes(b""), r"data.root: 1 unreadable image, first: ROOT/train/a/03.png: empty file \(.+\)"),
    "text": (lambda root: (root / "train/a/03.jpg").write_text("hello"), r"data.root: 1 unreadable image, first: ROOT/train/a/03.jpg: not an image \(.+\)"),
    "svg": (lambda root: (root / "train/a/03.png").write_text("<svg/>"), r"data.root: 1 unreadable image.*not an image \(.+\)"),
    "html": (lambda root: (root / "train/a/x.webp").write_text("<!doctype html>"), r"data.root: 1 unreadable image.*not an image \(.+\)"),
    "three at once": (
        lambda root: [(root / f"train/a/{number}.jpg").write_bytes(b"") for number in range(3)],
        r"data.root: 3 unreadable images, first: ROOT/train/a/0.jpg: empty file \(replace or remove them\)",
    ),
    "bomb": (lambda root: (root / "train/a/x.png").write_bytes(png(60_000, 60_000)), r"data.root: 1 unreadable image, first: ROOT/train/a/x.png: .*million pixels \(.+\)"),
    "header only": (lambda root: (root / "train/a/x.png").write_bytes(png(100, 100)), r"data.root: 1 unreadable image, first: ROOT/train/a/x.png: .+ \(.+\)"),
    "unreadable pipe": (lambda root: os.mkfifo(root / "train/a/x.png"), r"data.root: .*x.png.* \(.+\)"),
    "dead link": (lambda root: (root / "train/a/x.png").symlink_to(root / "gone"), r"data.root: .*x.png.* \(.+\)"),
    "loop": (lambda root: (root / "train/a/loop").symlink_to(root / "train"), r"data.root: .*loop.* \(.+\)"),
    "link to itself": (lambda root: (root / "train/a/x.png").symlink_to(root / "train/a/x.png"), r"data.root: .*x.png.* \(.+\)"),
    "link out": (lambda root: (root / "train/c").symlink_to("/etc"), r"data.root: .*ROOT/train/c.* \(.+\)"),
    "empty class": (lambda root: (root / "train/c").mkdir(), r"data.root: class 'c' has no images in ROOT/train/c \(.+\)"),
    "one class": (lambda root: (root / "train/b").rename(root / "gone"), r"data.root: a single class, 'a', .* \(.+\)"),
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
    """What runs code when it is unpickled."""

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
    """A place where nothing can be written, for root either."""
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
    from zoo.checkpoint import _digest

    outside = {"../../../../secret.safetensors": _digest(secret)}
    (folder / "manifest.json").write_text(json.dumps({**manifest, **outside}))
    code, text = server.run("train", str(recipe), "--resume", str(run))
    assert_one_line(code, text, r"--resume: .*step-\d+: damaged: .*, no earlier checkpoint \(start a new run\)")
    (folder / "manifest.json").write_text(json.dumps(manifest))
    (folder / "model.safetensors").write_bytes(pickle.dumps(Payload(canary)))
    (folder / "manifest.json").write_text(json.dumps({**manifest, "model.safetensors": _digest(folder / "model.safetensors")}))
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
    assert_one_line(code, console, rf"data.root: {re.escape(str(root))}/.* is damaged: md5 \w+, expected \w+ \(delete it, .+\)")
    assert not canary.exists()
    assert not (tmp_path / "runs").exists()
