"""Bad recipes, values and commands: exit code 2, one line that says where, what and what to do, no traceback, nothing written."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.faults.one_line import BACKBONE, SYNTHETIC, assert_one_line

pytestmark = pytest.mark.slow

# The text of a recipe, and a pattern for what follows `error: `, in which the first R stands for the path of the recipe.
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
    "warm-up too long": (BACKBONE + SYNTHETIC + "schedule: {kind: cosine, warmup_epochs: 20}\ntrain: {epochs: 10}\n", r"R:3: schedule.warmup_epochs: 20 exceeds train.epochs 10 \(.+\)"),
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
    "train.epochs=1.5": r"train.epochs: expected a whole number, found 1.5 \(or write auto\)",
    "train.epochs=true": r"train.epochs: expected a whole number, found true.*",
    "train.epochs=yes": r"train.epochs: unknown 'yes' \(known: auto, a whole number\)",
    "train.epochs=0": r"train.epochs: must be >= 1, found 0.*",
    "train.epochs=1e999": r"train.epochs: .*",
    "train.batch_size=0": r"train.batch_size: must be >= 1, found 0 \(or write auto\)",
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
    "train.compile=maybe": r"train.compile: unknown 'maybe' .*",
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
    if case == "alias bomb":  # it has several mistakes, so there may be several lines
        assert (done.returncode, "Traceback" in done.stderr) == (2, False), done.stderr
    else:
        assert_one_line(done.returncode, done.stderr, pattern.replace("R", "r.yaml", 1))
    assert took < 5  # less than a second on an idle machine
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
        (
            ["train", "."],
            r"\.: is a directory \(give the path of a YAML file, or to train on the images in it: folder/example data\.root=\.\)",
        ),
        (["train"], r"zoo train: which recipe\? \(.+\)"),
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
