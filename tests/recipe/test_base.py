"""A recipe with a base: what it takes over, what it replaces, and the line that a mistake is reported at."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.recipe.dump import dump_recipe
from zoo.recipe.load import load_recipe, shipped_names
from zoo.recipe.recipe import Recipe

BASE = """\
name: base
backbone: {name: resnet18.tv_in1k, drop_rate: 0.1}
data: {kind: folder, root: photos, max_train: 100}
image_size: {start: 64, end: 96}
augment: {crop: {kind: random_resized, scale: [0.5, 1.0]}, mixup: 0.2}
schedule: {kind: step, gamma: 0.5}
output: {track: [wandb, mlflow]}
"""


def load(tmp_path: Path, own: str, base: str = BASE, overrides: tuple[str, ...] = ()) -> Recipe:
    (tmp_path / "base.yaml").write_text(base, encoding="utf-8")
    (tmp_path / "own.yaml").write_text("base: base.yaml\n" + own, encoding="utf-8")
    return load_recipe(tmp_path / "own.yaml", overrides)


def mistakes(tmp_path: Path, own: str, base: str = BASE, overrides: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ZooError) as error:
        load(tmp_path, own, base, overrides)
    return [line.replace(f"{tmp_path}/", "") for line in error.value.lines]


@pytest.mark.parametrize("name", shipped_names())
def test_a_base_alone_is_the_recipe_itself_under_another_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "own.yaml").write_text(f"base: {name}\n")
    assert load_recipe(tmp_path / "own.yaml") == load_recipe(Path(name), ["name=own"])


@pytest.mark.parametrize(
    ("own", "words"),
    [
        ("backbone: {name: resnet50.tv_in1k}", ["backbone.name=resnet50.tv_in1k"]),
        ("data: {max_train: 50, val_fraction: 0.3}", ["data.max_train=50", "data.val_fraction=0.3"]),
        ("augment: {crop: {scale: [0.1, 0.9]}}", ["augment.crop.scale=[0.1, 0.9]"]),
        ("output: {track: [aim]}", ["output.track=[aim]"]),
        ("image_size: {end: 128}", ["image_size.end=128"]),
        # A short form replaces the whole section.
        ("image_size: 32", ["image_size=32"]),
        ("schedule: step", ["schedule=step"]),
        # Another kind replaces the section; the same kind extends it.
        ("schedule: {kind: linear}", ["schedule.kind=linear"]),
        ("schedule: {kind: step, warmup_epochs: 2}", ["schedule.warmup_epochs=2"]),
        ("data: {kind: digits}", ["data.kind=digits"]),
        ("augment: {crop: {kind: pad_shift}, mixup: 0}", ["augment.crop.kind=pad_shift", "augment.mixup=0"]),
        ("backbone: {weights: random}", ["backbone.weights=random"]),
    ],
)
def test_a_recipe_on_a_base_is_the_base_with_overrides(tmp_path: Path, own: str, words: list[str]) -> None:
    found = load(tmp_path, own)
    assert found == load_recipe(tmp_path / "base.yaml", ["name=own", *words])
    assert found != load_recipe(tmp_path / "base.yaml", ["name=own"])


@pytest.mark.parametrize(
    ("base", "own", "words"),
    [
        ("schedule: linear", "schedule: {warmup_epochs: 2}", ["schedule.warmup_epochs=2"]),
        ("image_size: 64", "image_size: {end: 96}", ["image_size={start: 64, end: 96}"]),
        # The kind of the base is one_cycle, the default.
        ("schedule: {warmup_epochs: 2}", "schedule: {kind: one_cycle, final_lr_ratio: 0.1}", ["schedule.final_lr_ratio=0.1"]),
        ("schedule: {final_lr_ratio: 0.1}", "schedule: {kind: cosine}", ["schedule={kind: cosine}"]),
    ],
)
def test_a_short_form_of_the_base_is_extended(tmp_path: Path, base: str, own: str, words: list[str]) -> None:
    found = load(tmp_path, own, f"backbone: {{name: resnet18}}\ndata: digits\n{base}\n")
    assert found == load_recipe(tmp_path / "base.yaml", ["name=own", *words])


def test_a_base_may_have_a_base_and_is_found_from_the_file_that_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "team" / "small").mkdir(parents=True)
    (tmp_path / "team" / "common.yaml").write_text("base: cifar10/resnet18.yaml\ntrain: {seed: 3}\noptim: {lr: 0.1}\n")
    (tmp_path / "team" / "small" / "own.yaml").write_text("base: ../common.yaml\noptim: {lr: 0.2}\n")
    monkeypatch.chdir(tmp_path)
    expected = load_recipe(Path("cifar10/resnet18"), ["name=own", "train.seed=3", "optim.lr=0.2"])
    assert load_recipe(Path("team/small/own.yaml")) == expected
    assert load_recipe(tmp_path / "team/small/own.yaml") == expected
    (tmp_path / "absolute.yaml").write_text(f"name: own\nbase: {tmp_path}/team/small/own.yaml\n")
    assert load_recipe(Path("absolute.yaml")) == expected


def test_a_shipped_name_comes_before_a_file_and_dots_make_it_a_path(tmp_path: Path) -> None:
    (tmp_path / "quickstart").write_text("backbone: {name: resnet18}\ndata: synthetic\n")
    for base, kind in (("quickstart", "digits"), ("./quickstart", "synthetic")):
        (tmp_path / "own.yaml").write_text(f"base: {base}\n")
        assert load_recipe(tmp_path / "own.yaml").data.kind == kind


def test_the_resolved_recipe_stands_alone(tmp_path: Path) -> None:
    found = load(tmp_path, "optim: {lr: 0.1}\n")
    text = dump_recipe(found)
    assert "base:" not in text
    (tmp_path / "resolved.yaml").write_text(text)
    assert load_recipe(tmp_path / "resolved.yaml") == found


@pytest.mark.parametrize(
    ("own", "base", "overrides", "lines"),
    [
        # A wrong key or value is reported in the file and line where it was written.
        ("optim: {lr: fast}\n", BASE, (), ["own.yaml:2: optim.lr: expected a number, found 'fast' (e.g. 0.0003)"]),
        ("", BASE.replace("0.2", "x"), (), ["base.yaml:5: augment.mixup: expected a number, found 'x' (e.g. 0)"]),
        ("augment:\n  erase: 0.1\n", BASE.replace("scale", "scal"), (), ["base.yaml:5: unknown key 'augment.crop.scal' (did you mean 'augment.crop.scale'?)"]),
        ("schedule: {warmup_epochs: 1}\n", BASE.replace("{kind: step, gamma: 0.5}", "lineer"), (), ["base.yaml:6: schedule.kind: unknown 'lineer' (did you mean 'linear'? known: cosine, linear, one_cycle, step, constant)"]),
        ("data:\n  test_fraction: 2\n", BASE, (), ["own.yaml:3: data.test_fraction: must be < 1, found 2 (e.g. 0.2)"]),
        # If a section misses a key, the reported place is that of the section.
        ("", BASE.replace("root: photos, ", ""), (), ["base.yaml:3: data.root: missing (e.g. photos)"]),
        ("data:\n  kind: folder\n", BASE.replace("folder, root: photos", "digits"), (), ["own.yaml:2: data.root: missing (e.g. photos)"]),
        # A section that neither file has is reported for the recipe itself.
        ("", "data: digits\n", (), ["own.yaml:1: backbone: missing (e.g. {name: resnet18.tv_in1k})"]),
        # Mistakes in the recipe come first, then those in its base.
        ("\n\n\noptim: {lr: fast}\n", "data: {kind: x}\n\ntrain: {kind: x}\nbackbone: {name: resnet18}\n", (),
         ["own.yaml:5: optim.lr: expected a number, found 'fast' (e.g. 0.0003)",
          "base.yaml:1: data.kind: unknown 'x' (known: cifar10, cifar100, fashion_mnist, folder, digits, synthetic)",
          "base.yaml:3: unknown key 'train.kind' (known: "]),
        # An override replaces a value of either file.
        ("", BASE.replace("0.2", "x"), ("augment.mixup=y",), ["augment.mixup: expected a number, found 'y' (e.g. 0)"]),
        ("", BASE, ("base=quickstart",), ["base: unknown key (it is allowed only in a recipe file)"]),
        # A section of the base that was replaced is not checked.
        ("schedule: linear\noptim: {lr: x}\n", BASE.replace("gamma", "gama"), (), ["own.yaml:3: optim.lr: expected a number, found 'x' (e.g. 0.0003)"]),
        ("bse: x\n", BASE, (), ["own.yaml:2: unknown key 'bse' (did you mean 'base'?)"]),
        ("base: quickstart\n", BASE, (), ["own.yaml:2: duplicate key 'base', first on line 1 (keep one)"]),
        ("", "a: [\n", (), ["base.yaml:2:1: not valid YAML"]),
    ],
)  # fmt: skip
def test_a_mistake_names_the_file_and_line_that_it_was_written_at(
    tmp_path: Path, own: str, base: str, overrides: tuple[str, ...], lines: list[str]
) -> None:
    found = mistakes(tmp_path, own, base, overrides)
    assert len(found) == len(lines)
    assert [line[: len(start)] for line, start in zip(found, lines, strict=False)] == lines


def test_a_rule_across_sections_names_the_file_of_its_key(tmp_path: Path) -> None:
    line = "schedule.warmup_epochs: 4 exceeds train.epochs 2 (lower it or train longer)"
    base = BASE.replace("gamma: 0.5", "warmup_epochs: 4")
    assert mistakes(tmp_path, "train: {epochs: 2}\n", base) == [f"base.yaml:6: {line}"]
    base = BASE + "train: {epochs: 2}\n"
    assert mistakes(tmp_path, "schedule: {warmup_epochs: 4}\n", base) == [f"own.yaml:2: {line}"]


@pytest.mark.parametrize(
    ("base", "text"),
    [
        ("cifar10/resnet81", "no recipe 'cifar10/resnet81' (did you mean 'cifar10/resnet18' or "),
        ("commn.yaml", "no recipe 'commn.yaml' (did you mean 'common.yaml'? give a name from 'zoo recipe --list', or a path relative to "),
        ("sub/commn.yaml", "no recipe 'sub/commn.yaml' (did you mean 'sub/common.yaml'"),
        ("nowhere/at/all.yaml", "no recipe 'nowhere/at/all.yaml' (give a name from"),
        ("sub", "no recipe 'sub' ("),
        ("../schema.json", "no recipe '../schema.json' ("),
        ("'~nobody-here/x.yaml'", "no recipe '~nobody-here/x.yaml' ("),
        ('"a\\0b"', "expected the name or path of a recipe, found 'a\\x00b' (e.g. cifar10/resnet18)"),
        (f"{'x' * 300}.yaml", "no recipe 'xxx"),
        ("[quickstart]", "expected the name or path of a recipe, found a list (e.g. cifar10/resnet18)"),
        ("3", "expected the name or path of a recipe, found 3 (e.g. cifar10/resnet18)"),
        ("''", "expected the name or path of a recipe, found '' (e.g. cifar10/resnet18)"),
        ("", "expected the name or path of a recipe, found nothing (e.g. cifar10/resnet18)"),
    ],
)  # fmt: skip
def test_a_base_that_is_no_recipe(tmp_path: Path, base: str, text: str) -> None:
    (tmp_path / "sub").mkdir()
    for file in ("common.yaml", "sub/common.yaml"):
        (tmp_path / file).write_text(BASE)
    (tmp_path / "own.yaml").write_text(f"# mine\nbase: {base}\n")
    with pytest.raises(ZooError) as error:
        load_recipe(tmp_path / "own.yaml")
    (line,) = error.value.lines
    assert line.startswith(f"{tmp_path}/own.yaml:2: base: {text}")


def test_bases_in_a_circle_are_refused_with_their_names(tmp_path: Path) -> None:
    files = [tmp_path / f"{name}.yaml" for name in "abc"]
    for file, base in zip(files, ("b.yaml", "link.yaml", "x/a.yaml"), strict=True):
        file.write_text(f"base: {base}\n")
    (tmp_path / "link.yaml").symlink_to("c.yaml")
    (tmp_path / "x").symlink_to(tmp_path)
    a, b, _ = files
    circle = f"{a} -> {b} -> {tmp_path / 'link.yaml'} -> {tmp_path / 'x' / 'a.yaml'}"
    text = f"{tmp_path / 'link.yaml'}:1: base: the bases form a cycle: {circle} (remove one)"
    with pytest.raises(ZooError) as error:
        load_recipe(a)
    assert error.value.lines == [text]
    (tmp_path / "self.yaml").write_text("base: self.yaml\n")
    with pytest.raises(ZooError, match=r"self.yaml -> .*self.yaml \(remove one\)"):
        load_recipe(tmp_path / "self.yaml")
