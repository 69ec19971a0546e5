"""Each mistake is one line with its place and the known keys or values."""

import json
from pathlib import Path
from typing import Annotated, Literal

import pytest
from helpers.recipes import GOOD, mistakes
from pydantic import Field, ValidationError, field_validator

from zoo.errors import Mistakes
from zoo.recipe import messages, yaml
from zoo.section import Section


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("train: {epoch: 3}", "r:3: unknown key 'train.epoch' (did you mean 'train.epochs'?)"),
        ("trian: {}", "r:3: unknown key 'trian' (did you mean 'train'?)"),
        ("optim: {lr: fast}", "r:3: optim.lr: expected a number, found 'fast' (e.g. 0.0003)"),
        ("optim: {lr: 0}", "r:3: optim.lr: must be > 0, found 0 (e.g. 0.0003)"),
        ("optim: {lr: .inf}", "r:3: optim.lr: expected a finite number, found inf (e.g. 0.0003)"),
        ("optim: {name: adamq}", "r:3: optim.name: unknown 'adamq' (did you mean 'adam'? known: adamw, sgd, adam, nadamw, lion, lamb, muon, …)"),
        ("train: {epochs: 1.5}", "r:3: train.epochs: expected a whole number, found 1.5 (or write auto)"),
        ("train: {epochs: true}", "r:3: train.epochs: expected a whole number, found true (or write auto)"),
        ("train: {epochs: yes}", "r:3: train.epochs: unknown 'yes' (known: auto, a whole number)"),
        ("train: {batch_size: 0}", "r:3: train.batch_size: must be >= 1, found 0 (or write auto)"),
        ("train: {accumulate: 0}", "r:3: train.accumulate: must be >= 1, found 0 (or write auto)"),
        ("train: {precision: fp17}", "r:3: train.precision: unknown 'fp17' (did you mean 'fp16'? known: auto, fp32, bf16, fp16)"),
        ("augment: {crop: {kind: pad_shif}}", "r:3: augment.crop.kind: unknown 'pad_shif' (did you mean 'pad_shift'? known: none, pad_shift, random_resized)"),
        ("augment: {crop: {kind: pad_shift, pat: 1}}", "r:3: unknown key 'augment.crop.pat' (did you mean 'augment.crop.pad'?)"),
        ("augment: {crop: {kind: random_resized, scale: [1]}}", "r:3: augment.crop.scale: expected 2 values, found 1 (e.g. [0.35, 1])"),
        ("augment: {crop: {kind: random_resized, scale: [1, 0.5]}}", "r:3: augment.crop.scale: must be two shares with 0 < least <= largest <= 1, found [1.0, 0.5] (e.g. [0.35, 1.0])"),
        ("augment: {crop: {kind: random_resized, ratio: [a, 1]}}", "r:3: augment.crop.ratio.0: expected a number, found 'a' (e.g. [0.75, 1.33333])"),
        ("schedule: lineer", "r:3: schedule: unknown 'lineer' (did you mean 'linear'? known: cosine, linear, one_cycle, step, constant)"),
        ("schedule: {knd: linear}", "r:3: unknown key 'schedule.knd' (did you mean 'schedule.kind'?)"),
        ("schedule: 3", "r:3: schedule: expected a mapping, found 3 (e.g. {kind: cosine})"),
        ("optim:", "r:3: optim: expected a mapping, found nothing (e.g. {name: adamw})"),
        ("finetune: {freeze: bakbone}", "r:3: finetune.freeze: unknown 'bakbone' (did you mean 'backbone'? known: none, backbone, a whole number)"),
        ("finetune: {freeze: 1.5}", "r:3: finetune.freeze: expected a whole number, found 1.5 (or write none or backbone)"),
        ("finetune: {freeze: -1}", "r:3: finetune.freeze: must be >= 0, found -1 (or write none or backbone)"),
        ("train: {channels_last: yes}", "r:3: train.channels_last: unknown 'yes' (known: auto, true or false)"),
        ("train: {epochs: " + "9" * 500 + "}", "r:3: train.epochs: expected a whole number, found inf (or write auto)"),
        ("output: {root: 3}", "r:3: output.root: expected a path, found 3"),
        ("image_size: {start: 96, end: 64}", "r:3: image_size.start: 96 exceeds end 64 (sizes only grow)"),
        ("image_size: {start: 64, end: 4000}", "r:3: image_size.end: must be <= 2048, found 4000 (or write auto)"),
        ("schedule: {warmup_epochs: 20}\ntrain: {epochs: 10}", "r:3: schedule.warmup_epochs: 20 exceeds train.epochs 10 (lower it or train longer)"),
        ("image_size: big", "r:3: image_size: expected a whole number, auto or {start, end}, found 'big' (e.g. 224)"),
        ("image_size: 2", "r:3: image_size: must be >= 8, found 2 (or write auto)"),
        ("train: {class_weights: [1, true]}", "r:3: train.class_weights: expected numbers > 0, found true (one for each class)"),
        ("train: {class_weights: [1, -2]}", "r:3: train.class_weights: expected numbers > 0, found -2 (one for each class)"),
        ("train: {class_weights: [1, a]}", "r:3: train.class_weights: expected numbers > 0, found 'a' (one for each class)"),
        ("train: {class_weights: []}", "r:3: train.class_weights: expected numbers > 0, found none (one for each class)"),
        ("train: {max_minutes: 0}", "r:3: train.max_minutes: must be > 0, found 0 (e.g. 10)"),
        ("name: a/b", "r:3: name: expected a plain folder name, found 'a/b' (e.g. my-run)"),
        ("name: ..", "r:3: name: expected a plain folder name, found '..' (e.g. my-run)"),
        ("eval: {select_by: test.accuracy}", "r:3: eval.select_by: the test set must not choose the weights (use val.accuracy, or last)"),
        ("output: {checkpoint_every: often}", "r:3: output.checkpoint_every: expected a number of epochs or steps, found 'often' (e.g. '1 epoch' or '500 steps')"),
    ],
)  # fmt: skip
def test_a_wrong_value_is_one_line_with_its_place(tmp_path: Path, section: str, line: str) -> None:
    assert mistakes(tmp_path, GOOD + section + "\n") == [line]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("resnet999", "unknown model 'resnet999' (closest: "),
        ("resnet18.tv_in2k", "unknown pretrained tag 'tv_in2k' of resnet18 (tags: resnet18.tv_in1k"),
        ("../../etc/passwd", "sources are not allowed in names"),
        ("hf-hub:x/y", "sources are not allowed in names"),
        ("local-dir:x", "sources are not allowed in names"),
        ("vit_tiny_patch16_224_in21k", "is deprecated in timm (use 'vit_tiny_patch16_224.augreg_in21k')"),
    ],
)
def test_a_wrong_backbone_offers_the_nearest(tmp_path: Path, name: str, text: str) -> None:
    (line,) = mistakes(tmp_path, f"data: digits\nbackbone:\n  name: '{name}'\n")
    assert line.startswith("r:3: backbone.name: ")
    assert text in line


def test_all_mistakes_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "train: {epochs: x}\ndata: {kind: folder}\nbackbone: {name: resnet18, num_classes: 3}\noptim: {lr: -1, nam: x}\n"
    lines = mistakes(tmp_path, text)
    assert [line.partition(" ")[0] for line in lines] == ["r:1:", "r:2:", "r:3:", "r:4:", "r:4:"]
    assert "r:2: data.root: missing (e.g. photos)" in lines
    assert "r:3: unknown key 'backbone.num_classes' (the number of classes comes from the data)" in lines


class Part(Section):
    kind: Literal["part"] = "part"
    size: int = 1


class Other(Section):
    kind: Literal["other"] = "other"


class Sample(Section):
    word: Literal["a", "b"] = "a"
    whole: int = Field(default=1, ge=1)
    below: int = Field(default=1, lt=9)
    number: float = Field(default=1.5, gt=0, le=2)
    flag: bool = False
    path: Path = Field(default=Path("x"), validate_default=False)
    pair: tuple[float, float] = (1.0, 2.0)
    names: tuple[str, ...] = ()
    part: Annotated[Part | Other, Field(discriminator="kind")] = Part()
    plain: Part = Part()
    either: int | Literal["auto"] = 1

    @field_validator("below")
    @classmethod
    def _not_seven(cls, value: int) -> int:
        if value == 7:
            raise ValueError("not seven")
        return value


@pytest.mark.parametrize(
    ("written", "loc", "code", "context"),
    [
        ({"word": "c"}, ("word",), "literal_error", {}),
        ({"whole": "x"}, ("whole",), "int_type", {}),
        ({"whole": 1.5}, ("whole",), "int_type", {}),
        ({"whole": 0}, ("whole",), "greater_than_equal", {"ge": 1}),
        ({"below": 9}, ("below",), "less_than", {"lt": 9}),
        ({"number": "x"}, ("number",), "float_type", {}),
        ({"number": 0}, ("number",), "greater_than", {"gt": 0}),
        ({"number": 3}, ("number",), "less_than_equal", {"le": 2}),
        ({"number": float("inf")}, ("number",), "finite_number", {}),
        ({"flag": "x"}, ("flag",), "bool_type", {}),
        ({"path": 3}, ("path",), "string_type", {}),
        ({"pair": 1}, ("pair",), "tuple_type", {}),
        ({"pair": [1]}, ("pair", 1), "missing", {}),
        ({"pair": [1, 2, 3]}, ("pair",), "too_long", {}),
        ({"names": [1]}, ("names", 0), "string_type", {}),
        ({"part": {"kind": "x"}}, ("part",), "union_tag_invalid", {"tag": "x"}),
        ({"part": {}}, ("part",), "union_tag_not_found", {}),
        ({"part": {"kind": "part", "sice": 1}}, ("part", "part", "sice"), "extra_forbidden", {}),
        ({"plain": 3}, ("plain",), "model_type", {}),
        ({"either": "x"}, ("either", "int"), "int_type", {}),
    ],
)  # fmt: skip
def test_pydantic_reports_mistakes_as_expected(
    written: dict[str, object], loc: tuple[str | int, ...], code: str, context: dict[str, object]
) -> None:
    """If this test fails with a new version of pydantic, our messages must be adapted."""
    with pytest.raises(ValidationError) as error:
        Sample.model_validate_json(json.dumps(written))
    detail = error.value.errors()[0]
    assert (detail["loc"], detail["type"]) == (loc, code)
    assert context.items() <= detail.get("ctx", {}).items()


def test_pydantic_hands_over_the_error_of_a_validator() -> None:
    with pytest.raises(ValidationError) as error:
        Sample.model_validate_json('{"below": 7}')
    assert str(error.value.errors()[0]["ctx"]["error"]) == "not seven"


def test_a_word_besides_a_number_is_a_second_error_of_the_same_value() -> None:
    with pytest.raises(ValidationError) as error:
        Sample.model_validate_json('{"either": "x"}')
    assert [detail["type"] for detail in error.value.errors()] == ["int_type", "literal_error"]


@pytest.mark.parametrize(
    ("written", "line"),
    [
        ("word: c", "s:1: word: unknown 'c' (known: a, b)"),
        ("part: {kind: prt}", "s:1: part.kind: unknown 'prt' (did you mean 'part'? known: part, other)"),
        ("part: {}", "s:1: part: kind is missing (one of: part, other)"),
        ("either: autp", "s:1: either: unknown 'autp' (did you mean 'auto'? known: auto, a whole number)"),
        ("pair: [1, 2, 3]", "s:1: pair: expected 2 values, found 3 (e.g. [1, 2])"),
    ],
)
def test_known_words_are_those_of_the_type(written: str, line: str) -> None:
    source = yaml.Source("s")
    source.tree = yaml.parse(written, "s", source.places)
    with pytest.raises(Mistakes) as error:
        messages.validate(Sample, source)
    assert error.value.lines == [line]
