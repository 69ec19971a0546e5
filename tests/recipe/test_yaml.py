"""YAML 1.2 scalars, text that is rejected, and overrides on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.recipes import GOOD, load, mistakes

from zoo.errors import ZooError
from zoo.recipe import yaml
from zoo.recipe.yaml import Source, apply_overrides


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3e-4", 3e-4), ("1e5", 1e5), ("-.5", -0.5), ("0o10", 8), ("010", 10), ("0x10", 16), ("no", "no"), ("on", "on"),
        ("1:30", "1:30"), ("2026-01-02", "2026-01-02"), ("1_000", "1_000"), ("true", True), ("~", None), ("", None),
        ("'3'", "3"), ("[1, 2]", [1, 2]), ("y", "y"),
    ],
)  # fmt: skip
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = yaml.parse(text, "x")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("- a\n", "r:1: expected a mapping at top level, found a list (write 'backbone: {name: …}')"),
        ("", "r:1: expected a mapping at top level, found nothing (write 'backbone: {name: …}')"),
        ("backbone:\n  name: x\n\ty: 1\n", "r:3:1: not valid YAML: tab used for indentation (use spaces)"),
        ("a: !!python/object/apply:os.system [x]\n", "r:1: tag '!!python/object/apply:os.system' not allowed (write plain values)"),
        ("a: !x 1\n", "r:1: tag '!x' not allowed (write plain values)"),
        (GOOD + "optim:\n  lr: 1\n  lr: 2\n", "r:5: duplicate key 'optim.lr', first on line 4 (keep one)"),
        ("a: &a [1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: [*d,*d,*d,*d,*d,*d,*d,*d,*d]\n",
         "r:2: too many or too deeply nested values (write the values out, without aliases)"),
        ("a: 'caf\\xe9'\nb: \"\\ud800\"\n", "r:2: half of a surrogate pair is not text (write the character itself)"),
        ("? [a]\n: b\n", "r:1: a key must be a plain word (write 'key: value')"),
        ("{}", "r:1: backbone: missing (e.g. {name: resnet18.tv_in1k})|r:1: data: missing (e.g. {kind: cifar10})"),
        ("[" * 3000, "r: not valid YAML: nested too deeply (a recipe has two or three levels)"),
        ("{a: " * 40 + "1" + "}" * 40, "r:1: too many or too deeply nested values (write the values out, without aliases)"),
        ("a: &a [*a]\n", "r:1: too many or too deeply nested values (write the values out, without aliases)"),
    ],
)  # fmt: skip
def test_text_that_is_no_recipe_is_refused_in_one_line(tmp_path: Path, text: str, line: str) -> None:
    assert mistakes(tmp_path, text) == line.split("|")


@pytest.mark.parametrize(
    ("text", "place"),
    [("b: 1\na: 'x", "r:2:6"), ("a: {b: 1", "r:1:9"), ("a: b: c", "r:1:5"), ("a: 1\n---\nb: 2\n", "r:2:1"), ("a: \0", "r")],
)
def test_broken_yaml_names_the_place(tmp_path: Path, text: str, place: str) -> None:
    (line,) = mistakes(tmp_path, text)
    assert line.startswith(f"{place}: not valid YAML: ")


def test_overrides_are_yaml_and_name_themselves(tmp_path: Path) -> None:
    found = load(
        tmp_path, GOOD, "optim.lr=3e-4", "train.clip_grad=1", "image_size.start=64", "image_size.end=96", "schedule=linear"
    )
    assert (found.optim.lr, found.train.clip_grad, found.schedule.kind) == (3e-4, 1.0, "linear")
    assert (found.image_size.start, found.image_size.end) == (64, 96)
    assert mistakes(tmp_path, GOOD, "optim.lr=fast", "train.epoch=3") == [
        "optim.lr: expected a number, found 'fast' (e.g. 0.0003)",
        "train.epoch: unknown key (did you mean 'train.epochs'?)",
    ]
    assert mistakes(tmp_path, GOOD, "schedule.kind=lineer")[0].startswith(
        "schedule.kind: unknown 'lineer' (did you mean 'linear'?"
    )
    assert mistakes(tmp_path, GOOD, "optim.lr=[1")[0].startswith("optim.lr: not valid YAML: ")
    assert mistakes(tmp_path, GOOD, "optim={lr: 1, lr: 2}") == ["optim: duplicate key 'lr' (keep one)"]
    assert mistakes(tmp_path, GOOD, "=3") == ["command line: '=3': expected section.key=value (e.g. optim.lr=5.0e-4)"]
    assert mistakes(tmp_path, GOOD, "optim.lr") == ["command line: 'optim.lr': expected section.key=value (e.g. optim.lr=5.0e-4)"]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["data.root=my", "photos"], "command line: 'photos': expected section.key=value "
         "(a value with spaces needs quotes: 'data.root=my photos')"),
        (["photos"], "command line: 'photos': expected section.key=value (e.g. optim.lr=5.0e-4)"),
        (["data.root=photos #1"], "data.root: YAML would take the end of 'photos #1' for a comment "
         "(write data.root='\"photos #1\"')"),
    ],
)  # fmt: skip
def test_words_that_a_shell_or_yaml_would_cut_are_refused(words: list[str], line: str) -> None:
    with pytest.raises(ZooError) as error:
        apply_overrides(Source("r.yaml"), words)
    assert str(error.value) == line


def test_what_an_override_replaced_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    text = "backbone: {name: resnet18}\ndata:\n  kind: cifar10\n  root: x\noptim:\n  lr: 0.1\n"
    assert mistakes(tmp_path, text, "optim={name: adamw, lr: fast}") == [
        "optim.lr: expected a number, found 'fast' (e.g. 0.0003)"
    ]
    assert mistakes(tmp_path, text, "data.kind=folder") == ["data.root: missing (e.g. photos)"]
    # A value that no override replaced is still reported with its place in the file.
    assert mistakes(tmp_path, text.replace("0.1", "fast"), "optim.name=sgd")[0].endswith(
        "r:6: optim.lr: expected a number, found 'fast' (e.g. 0.0003)"
    )


@pytest.mark.parametrize("value", ["!!int ten", "!!float fast", "!!bool maybe", "!!int ''", "!!null x"])
def test_a_tag_that_does_not_hold_is_one_line(tmp_path: Path, value: str) -> None:
    (line,) = mistakes(tmp_path, GOOD, f"train.seed={value}")
    assert line.startswith("train.seed: ")
    assert line.endswith(f"does not match its tag '{value.partition(' ')[0]}' (write plain values)")


def test_another_kind_starts_its_section_anew(tmp_path: Path) -> None:
    text = "backbone: {name: resnet18}\ndata: {kind: folder, root: x, test_fraction: 0.5}\n"
    found = load(tmp_path, text, "data.kind=synthetic", "data.classes=3")
    assert found.data.model_dump(include={"kind", "classes"}) == {"kind": "synthetic", "classes": 3}
    assert load(tmp_path, text, "data.val_fraction=0.3").data.root == Path("x")


@pytest.mark.parametrize(
    ("short", "override", "found"),
    [
        ("data: digits", "data.max_train=50", {"data": {"kind": "digits", "max_train": 50}}),
        ("schedule: linear", "schedule.warmup_epochs=2", {"schedule": {"kind": "linear", "warmup_epochs": 2}}),
        ("augment: {crop: pad_shift}", "augment.crop.pad=2", {"augment": {"crop": {"kind": "pad_shift", "pad": 2}}}),
        ("augment: {crop: pad_shift}", "augment.crop.kind=none", {"augment": {"crop": {"kind": "none"}}}),
        ("schedule: {kind: step, gamma: 0.5}", "schedule=constant", {"schedule": {"kind": "constant"}}),
    ],
)
def test_an_override_extends_the_short_form_in_the_file(tmp_path: Path, short: str, override: str, found: dict) -> None:
    text = short + "\nbackbone: {name: resnet18}\n" + ("" if short.startswith("data") else "data: digits\n")
    dumped = load(tmp_path, text, override).model_dump(exclude_unset=True)
    assert {key: dumped[key] for key in found} == found
