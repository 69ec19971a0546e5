from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import jsonschema
import pytest

from zoo.errors import ZooError
from zoo.recipe import yaml
from zoo.recipe.dump import dump_recipe
from zoo.recipe.load import load_recipe, recipe_schema, shipped_recipes, shipped_root
from zoo.recipe.recipe import Recipe

GOOD = "backbone: {name: resnet18.tv_in1k}\ndata: {kind: synthetic}\n"


def load(tmp_path: Path, text: str, *overrides: str) -> Recipe:
    path = tmp_path / "r.yaml"
    path.write_text(text, encoding="utf-8")
    return load_recipe(path, overrides)


def mistakes(tmp_path: Path, text: str, *overrides: str) -> list[str]:
    with pytest.raises(ZooError) as error:
        load(tmp_path, text, *overrides)
    return [line.replace(str(tmp_path / "r.yaml"), "r") for line in error.value.lines]


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
        ("a: 'caf\\xe9'\nb: \"\\ud800\"\n", "r:2: half of a surrogate pair is no text (write the character itself)"),
        ("? [a]\n: b\n", "r:1: a key must be a plain word (write 'key: value')"),
        ("{}", "r:1: backbone: missing (e.g. {name: resnet18.tv_in1k})|r:1: data: missing (e.g. {kind: cifar10})"),
        ("[" * 3000, "r: not valid YAML: nested too deeply (a recipe has two or three levels)"),
        ("{a: " * 40 + "1" + "}" * 40, "r:1: too many or too deeply nested values (write the values out, without aliases)"),
        ("a: &a [*a]\n", "r:1: too many or too deeply nested values (write the values out, without aliases)"),
    ],
)  # fmt: skip
def test_what_is_no_recipe_is_one_line(tmp_path: Path, text: str, line: str) -> None:
    assert mistakes(tmp_path, text) == line.split("|")


@pytest.mark.parametrize(
    ("text", "place"),
    [("b: 1\na: 'x", "r:2:6"), ("a: {b: 1", "r:1:9"), ("a: b: c", "r:1:5"), ("a: 1\n---\nb: 2\n", "r:2:1"), ("a: \0", "r")],
)
def test_broken_yaml_names_the_place(tmp_path: Path, text: str, place: str) -> None:
    (line,) = mistakes(tmp_path, text)
    assert line.startswith(f"{place}: not valid YAML: ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.yaml").write_bytes(b"name: caf\xe9\n")
    for path, text in [
        (tmp_path / "none.yaml", "no such recipe"),
        (tmp_path, "is a directory"),
        (tmp_path / "latin.yaml", "not UTF-8"),
    ]:
        with pytest.raises(ZooError, match=text):
            load_recipe(path)


@pytest.mark.parametrize(
    ("section", "line"),
    [
        ("train: {epoch: 3}", "r:3: unknown key 'train.epoch' (did you mean 'train.epochs'?)"),
        ("trian: {}", "r:3: unknown key 'trian' (did you mean 'train'?)"),
        ("optim: {lr: fast}", "r:3: optim.lr: expected a number, found 'fast' (e.g. 0.0005)"),
        ("optim: {lr: 0}", "r:3: optim.lr: must be > 0, found 0 (e.g. 0.0005)"),
        ("optim: {lr: .inf}", "r:3: optim.lr: expected a finite number, found inf (e.g. 0.0005)"),
        ("optim: {name: adamq}", "r:3: optim.name: unknown 'adamq' (did you mean 'adam'? known: adamw, sgd, adam, nadamw, lion, lamb, muon, …)"),
        ("train: {epochs: 1.5}", "r:3: train.epochs: expected a whole number, found 1.5 (e.g. 10)"),
        ("train: {epochs: true}", "r:3: train.epochs: expected a whole number, found true (e.g. 10)"),
        ("train: {epochs: yes}", "r:3: train.epochs: expected a whole number, found 'yes' (e.g. 10)"),
        ("train: {batch_size: 0}", "r:3: train.batch_size: must be >= 1, found 0 (e.g. 128)"),
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
        ("train: {epochs: " + "9" * 500 + "}", "r:3: train.epochs: expected a whole number, found inf (e.g. 10)"),
        ("output: {root: 3}", "r:3: output.root: expected a path, found 3"),
        ("image_size: {start: 96, end: 64}", "r:3: image_size.start: 96 exceeds end 64 (sizes only grow)"),
        ("image_size: {start: 64}", "r:3: image_size.end: missing (e.g. 224)"),
        ("schedule: {warmup_epochs: 20}", "r:3: schedule.warmup_epochs: 20 exceeds train.epochs 10 (lower it or train longer)"),
        ("image_size: big", "r:3: image_size: expected a whole number or {start, end}, found 'big' (e.g. 224)"),
        ("image_size: 2", "r:3: image_size: must be >= 8, found 2 (e.g. 224)"),
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


def test_overrides_are_yaml_and_name_themselves(tmp_path: Path) -> None:
    found = load(
        tmp_path, GOOD, "optim.lr=3e-4", "train.clip_grad=1", "image_size.start=64", "image_size.end=96", "schedule=linear"
    )
    assert (found.optim.lr, found.train.clip_grad, found.schedule.kind) == (3e-4, 1.0, "linear")
    assert (found.image_size.start, found.image_size.end) == (64, 96)
    assert mistakes(tmp_path, GOOD, "optim.lr=fast", "train.epoch=3") == [
        "optim.lr: expected a number, found 'fast' (e.g. 0.0005)",
        "train.epoch: unknown key (did you mean 'train.epochs'?)",
    ]
    assert mistakes(tmp_path, GOOD, "schedule.kind=lineer")[0].startswith(
        "schedule.kind: unknown 'lineer' (did you mean 'linear'?"
    )
    assert mistakes(tmp_path, GOOD, "optim.lr=[1")[0].startswith("optim.lr: not valid YAML: ")
    assert mistakes(tmp_path, GOOD, "optim={lr: 1, lr: 2}") == ["optim: duplicate key 'lr' (keep one)"]
    assert mistakes(tmp_path, GOOD, "=3") == ["command line: '=3': expected section.key=value (e.g. optim.lr=5.0e-4)"]
    assert mistakes(tmp_path, GOOD, "optim.lr") == ["command line: 'optim.lr': expected section.key=value (e.g. optim.lr=5.0e-4)"]


def test_what_an_override_replaced_is_not_blamed_on_the_file(tmp_path: Path) -> None:
    text = "backbone: {name: resnet18}\ndata:\n  kind: cifar10\n  root: x\noptim:\n  lr: 0.1\n"
    assert mistakes(tmp_path, text, "optim={name: adamw, lr: fast}") == [
        "optim.lr: expected a number, found 'fast' (e.g. 0.0005)"
    ]
    assert mistakes(tmp_path, text, "data.kind=folder") == ["data.root: missing (e.g. photos)"]
    # What it did not touch is.
    assert mistakes(tmp_path, text.replace("0.1", "fast"), "optim.name=sgd")[0].endswith(
        "r:6: optim.lr: expected a number, found 'fast' (e.g. 0.0005)"
    )


def test_a_size_that_is_one_number_can_be_made_to_grow(tmp_path: Path) -> None:
    size = load(tmp_path, GOOD + "image_size: 224\n", "image_size.end=256").image_size
    assert (size.start, size.end) == (224, 256)


@pytest.mark.parametrize("value", ["!!int ten", "!!float fast", "!!bool maybe", "!!int ''", "!!null x"])
def test_a_tag_that_does_not_hold_is_one_line(tmp_path: Path, value: str) -> None:
    (line,) = mistakes(tmp_path, GOOD, f"train.seed={value}")
    assert line.startswith("train.seed: ")
    assert line.endswith(f"is not what its tag '{value.partition(' ')[0]}' says (write plain values)")


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
def test_an_override_goes_on_from_the_short_form_in_the_file(tmp_path: Path, short: str, override: str, found: dict) -> None:
    text = short + "\nbackbone: {name: resnet18}\n" + ("" if short.startswith("data") else "data: digits\n")
    dumped = load(tmp_path, text, override).model_dump(exclude_unset=True)
    assert {key: dumped[key] for key in found} == found


@pytest.mark.parametrize(
    ("text", "key", "found"),
    [
        ("backbone: {name: resnet18, weights: random}", "backbone.weights.kind", "random"),
        ("backbone: {name: resnet18, weights: {kind: file, path: x.pth}}", "backbone.weights.path", Path("x.pth")),
        ("image_size: 96", "image_size.end", 96),
        ("schedule: linear", "schedule.kind", "linear"),
        ("schedule: {warmup_epochs: 0}", "schedule.kind", "cosine"),
        ("augment: {crop: none}", "augment.crop.kind", "none"),
        ("data: digits", "data.kind", "digits"),
        ("train: {clip_grad: 1}", "train.clip_grad", 1.0),
        ("name: 2026-01-02", "name", "2026-01-02"),
        ("name: no", "name", "no"),
        ("output: {track: [tensorboard]}", "output.track", ("tensorboard",)),
    ],
)
def test_short_forms_stand_for_whole_sections(tmp_path: Path, text: str, key: str, found: object) -> None:
    rest = {"backbone": "backbone: {name: resnet18}", "data": "data: digits"}
    value: object = load(tmp_path, "\n".join([text, *(line for name, line in rest.items() if not text.startswith(name))]))
    for part in key.split("."):
        value = getattr(value, part)
    assert value == found
    assert load(tmp_path, "backbone: {name: resnet18}\ndata: digits\n").name == "r"


@pytest.mark.parametrize("name", ["no", "1:30", "0o10", "3e-4", "true", "~x", "2026-01-02", "a b: c #d", "'q'", "ünï"])
def test_words_survive_being_written_out(tmp_path: Path, name: str) -> None:
    found = load(tmp_path, GOOD).model_copy(update={"name": name})
    assert load(tmp_path, dump_recipe(found)) == found


@pytest.mark.parametrize("value", [1e-5, 3e22, 0.1, 1 / 3, 1e-300])
def test_numbers_survive_being_written_out(tmp_path: Path, value: float) -> None:
    assert load(tmp_path, dump_recipe(load(tmp_path, GOOD, f"optim.lr={value!r}"))).optim.lr == value


@pytest.mark.parametrize("name", [name for name, _ in shipped_recipes()])
def test_a_resolved_recipe_reads_back_the_same_and_fits_the_schema(tmp_path: Path, name: str) -> None:
    found = load_recipe(Path(name))
    text = dump_recipe(found)
    assert load(tmp_path, text) == found
    jsonschema.validate(yaml.parse(text, "x"), json.loads(recipe_schema()))


def test_the_schema_file_is_fresh() -> None:
    file = shipped_root() / "schema.json"
    assert file.read_text(encoding="utf-8") == recipe_schema(), "run: zoo recipe --schema > recipes/schema.json"


def test_recipes_are_checked_without_torch_or_numpy(tmp_path: Path) -> None:
    code = (
        "import sys; from zoo.cli import main; main(['recipe', '--list']); main(['recipe', 'quickstart', 'optim.lr=x'])\n"
        "sys.exit(any(name in sys.modules for name in ('torch', 'numpy', 'timm', 'PIL')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "error: optim.lr: expected a number, found 'x' (e.g. 0.0005)\n"


def test_every_option_is_described() -> None:
    bare = [
        f"{title}.{name}"
        for title, section in json.loads(recipe_schema())["$defs"].items()
        for name, option in section["properties"].items()
        if name != "kind" and "description" not in option
    ]
    assert bare == []


def test_rules_across_sections_are_all_told(tmp_path: Path) -> None:
    text = GOOD.replace("synthetic", "synthetic, val_fraction: 0") + "schedule: {warmup_epochs: 99}\ntrain: {accumulate: 999}\n"
    assert [line.split(" ")[1] for line in mistakes(tmp_path, text)] == [
        "eval.select_by:",
        "schedule.warmup_epochs:",
        "train.accumulate:",
    ]
    assert mistakes(tmp_path, GOOD, "eval.select_by=last", "train.patience=2")[0].startswith(
        "train.patience: needs a metric of val"
    )


def test_sizes_in_between_are_multiples_whatever_the_first(tmp_path: Path) -> None:
    size = load(tmp_path, GOOD, "image_size={start: 50, end: 100}").image_size
    assert size.sizes() == [50, 64, 80, 96, 100]
    assert {size.at(step, 100) for step in range(100)} == {*size.sizes()}


@pytest.mark.parametrize("side", [0, -1, 7, 5000])
def test_a_store_has_a_sensible_side(tmp_path: Path, side: int) -> None:
    text = "backbone: {name: resnet18}\ndata: {kind: folder, root: x}\n"
    assert mistakes(tmp_path, text, f"data.store_size={side}") == [
        f"data.store_size: must be >= 8 and <= 4096, found {side} (or write auto)"
    ]


def test_sizes_grow_in_multiples_and_end_at_the_end(tmp_path: Path) -> None:
    size = load(tmp_path, GOOD, "image_size={start: 64, end: 100, until: 0.5}").image_size
    sides = [size.at(step, 40) for step in range(40)]
    assert (sides[0], sides[19], sides[20], sides[-1]) == (64, 96, 100, 100)
    assert sides == sorted(sides)
    assert all(side % 16 == 0 for side in sides[:20])
