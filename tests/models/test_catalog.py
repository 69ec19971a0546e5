"""The catalog agrees with timm, and errors name a filter or pattern that fits nothing."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, get_args, get_origin, get_type_hints

import pytest
import timm
import torch

from zoo.errors import ZooError
from zoo.models import catalog
from zoo.models.catalog import Entry, Query, choose

ROOT = Path(__file__).parents[2]
same_timm = pytest.mark.skipif(timm.__version__ != catalog.version(), reason="another timm than the catalog's")


def entry(name: str) -> Entry:
    return next(entry for entry in catalog.entries() if entry.name == name)


def refused(call: Callable[[], object]) -> list[str]:
    with pytest.raises(ZooError) as caught:
        call()
    return caught.value.lines


# ------------------------------------------------------------------------------------- facts


@same_timm
def test_every_architecture_and_every_tag_is_there() -> None:
    tagged = {entry.name for entry in catalog.entries() if entry.tag}
    assert tagged == set(timm.list_pretrained())
    assert set(catalog.architectures()) == set(timm.list_models())
    assert len({entry.name for entry in catalog.entries()}) == len(catalog.entries())


@same_timm
@pytest.mark.parametrize("name", ["resnet18", "vit_tiny_patch16_224", "test_convnext", "tf_efficientnet_lite0"])
def test_the_first_tag_is_the_one_timm_takes_and_the_facts_are_timms(name: str) -> None:
    first, config = catalog.architectures()[name][0], timm.get_pretrained_cfg(name)
    assert config is not None
    assert first.tag == config.tag
    assert (first.input_size, first.fixed_size) == (config.input_size, config.fixed_input_size)
    assert (first.mean, first.std, first.interpolation) == (config.mean, config.std, config.interpolation)
    assert (first.crop_pct, first.classes, first.license) == (config.crop_pct, config.num_classes, config.license)
    with torch.device("meta"):
        model = timm.create_model(first.name)
    assert first.params == sum(parameter.numel() for parameter in model.parameters())


# Millions of parameters, GMACs and millions of activations as in timm's results/benchmark-infer-*.csv.
PUBLISHED = [
    ("resnet18.a1_in1k", 11.69, 1.82, 2.48),
    ("vit_small_patch16_224.augreg_in21k_ft_in1k", 22.05, 4.61, 11.95),
    ("deit_tiny_distilled_patch16_224.fb_in1k", 5.91, 1.27, 6.01),
    ("convnext_pico.d1_in1k", 9.05, 1.37, 6.10),
    ("tf_efficientnet_lite0.in1k", 4.65, 0.40, 6.74),
    ("mixer_b32_224", 60.29, 3.24, 6.29),
    ("swin_tiny_patch4_window7_224.ms_in1k", 28.29, 4.51, 17.06),
    ("efficientnet_b0_gn", 5.29, 0.42, 6.75),
    ("dm_nfnet_f1.dm_in1k", 132.63, 17.87, 22.94),
]


@pytest.mark.parametrize(("name", "params", "gmacs", "macts"), PUBLISHED)
def test_costs_are_the_published_ones(name: str, params: float, gmacs: float, macts: float) -> None:
    known = entry(name)
    assert known.params is not None
    assert round(known.params / 1e6, 2) == pytest.approx(params, abs=0.0051)
    assert known.gmacs == pytest.approx(gmacs, rel=0.02, abs=0.0051)
    assert known.macts == pytest.approx(macts, rel=0.02, abs=0.0051)


def test_costs_are_there_or_the_reason_why_not() -> None:
    for known in catalog.entries():
        assert (known.gmacs is None) == bool(known.error), known.name
    assert sum(bool(known.error) for known in catalog.entries()) <= len(catalog.entries()) // 100


def test_heads_of_other_data_sets_are_counted_in() -> None:
    small, large = entry("vit_small_patch16_224.augreg_in1k"), entry("vit_small_patch16_224.augreg_in21k")
    assert (small.classes, large.classes) == (1000, 21843)
    assert small.params
    assert large.params == small.params + 385 * (21843 - 1000)


def test_accuracy_is_of_the_weights_and_says_its_size() -> None:
    assert (entry("resnet18.tv_in1k").top1, entry("resnet18.tv_in1k").top1_size) == (69.752, 224)
    assert {known.top1 for known in catalog.entries() if not known.tag} == {None}
    assert sum(known.top1 is not None for known in catalog.entries()) > 1200
    assert all(known.top1 is None or 20 < known.top1 < 100 for known in catalog.entries())


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("resnet18.tv_in1k", ("in1k",)),
        ("vit_small_patch16_224.augreg_in21k_ft_in1k", ("in21k", "in1k")),
        ("vit_base_patch16_clip_224.laion2b_ft_in12k_in1k", ("laion2b", "in12k", "in1k")),
        ("resnet18.fb_swsl_ig1b_ft_in1k", ("ig1b", "in1k")),
        ("convnextv2_atto.fcmae", ()),
    ],
)
def test_pretraining_data_is_what_the_tag_says(name: str, data: tuple[str, ...]) -> None:
    assert entry(name).pretraining_data == data


# ---------------------------------------------------------------------------------- choosing


@pytest.mark.parametrize(("text", "value"), [("12M", 12e6), ("1.2e7", 12e6), ("12000000", 12e6), ("0.5b", 5e8), ("30 M", 3e7)])
def test_numbers_of_parameters(text: str, value: float) -> None:
    found = choose(Query(max_params=text))
    assert found == [known for known in catalog.entries() if known.params is not None and known.params <= value]


@pytest.mark.parametrize(
    ("query", "line"),
    [
        (Query(max_params="12Q"), "--max-params: expected a number, alone or with K or M or B after it, found '12Q' (e.g. 12M, "),
        (Query(max_params="much"), "--max-params: expected a number, "),
        (Query(max_params="nan"), "--max-params: expected a number, "),
        (Query(max_params="-1"), "--max-params: expected a number, "),
        (Query(max_params="0"), "--max-params: must be above 0, found '0' (e.g. 12M, "),
        (Query(max_params="1e999"), "--max-params: must be above 0"),
        (Query(max_gmacs="5T"), "--max-gmacs: expected a number, alone or with G after it, found '5T' (e.g. 5 or 0.5"),
        (Query(image_size="big"), "--image-size: expected a number, alone or with px after it, found 'big' (e.g. 224"),
        (Query(license="free"), "--license: unknown 'free' (permissive, or one of apache-2.0, "),
        (Query(sort="params1"), "--sort: unknown 'params1' (did you mean 'params'? one of name, params, gmacs, top1)"),
        (Query(patterns=["resnt18"]), "zoo list: no backbone matches 'resnt18' (closest: resnet18, "),
        (Query(patterns=["resnet18.tv2*"]), "zoo list: no backbone matches 'resnet18.tv2*' (closest: resnet18."),
    ],
)
def test_what_cannot_be_read_is_one_line(query: Query, line: str) -> None:
    lines = refused(lambda: choose(query))
    assert len(lines) == 1
    assert lines[0].startswith(line)


def test_parameters_without_their_unit_suggest_millions_where_nothing_fits() -> None:
    for text in ("12", "0.5", " 7 "):
        line = f"--max-params: no backbone has at most {float(text):g} parameters (did you mean {text.strip()}M?)"
        assert refused(lambda text=text: choose(Query(max_params=text))) == [line]
    assert choose(Query(patterns=["resnet50"], max_params="12")) == []
    assert choose(Query(max_params="12K")) == []


def test_a_pattern_that_fits_nothing_is_reported_where_it_was_asked() -> None:
    (line,) = refused(lambda: catalog.matching(["resnt18"], "zoo bench"))
    assert line.startswith("zoo bench: no backbone matches 'resnt18' (closest: resnet18, ")


def test_every_column_is_read_as_its_type() -> None:
    hints = get_type_hints(Entry)
    for known in catalog.entries()[::50]:
        for column, kind in hints.items():
            value = getattr(known, column)
            assert isinstance(value, get_origin(kind) or kind if get_origin(kind) is tuple else kind), column
            if get_origin(kind) is tuple:
                assert all(isinstance(part, get_args(kind)[0]) for part in value), column


def test_each_pattern_that_fits_nothing_is_reported() -> None:
    assert len(refused(lambda: choose(Query(patterns=["resnt18", "resnet18", "vitt_tiny*"])))) == 2


def test_patterns_are_names_with_or_without_a_tag() -> None:
    of_one = [known.name for known in catalog.architectures()["resnet18"]]
    assert [known.name for known in choose(Query(patterns=["resnet18"]))] == of_one
    assert [known.name for known in choose(Query(patterns=["resnet18.tv_in1k"]))] == ["resnet18.tv_in1k"]
    both = [known.name for known in choose(Query(patterns=["resnet18", "vit_tiny_*", "resnet18.*"]))]
    assert len(both) == len(set(both)) > len(of_one)
    assert all(name.startswith(("resnet18.", "vit_tiny_")) for name in both)


def test_filters_in_any_combination() -> None:
    found = choose(Query(("vit*", "resnet*"), "30M", "5", "224", "permissive", pretrained=True, sort="top1"))
    assert found
    for known in found:
        assert known.tag
        assert known.params is not None
        assert known.gmacs is not None
        assert (known.params <= 30e6, known.gmacs <= 5, known.image_size) == (True, True, 224)
        assert known.license
    scores = [known.top1 for known in found]
    assert scores == sorted([score for score in scores if score], reverse=True) + [None] * scores.count(None)


@pytest.mark.parametrize("by", ["params", "gmacs"])
def test_the_cheapest_first_and_the_unknown_last(by: str) -> None:
    costs = [getattr(known, by) for known in choose(Query(sort=by))]
    there = [cost for cost in costs if cost is not None]
    assert costs == sorted(there) + [None] * (len(costs) - len(there))


def test_a_permissive_license_is_named_and_allows_commercial_use() -> None:
    left = {known.license for known in choose(Query(license="permissive"))}
    assert {"apache-2.0", "mit", "bsd-3-clause"} <= left
    assert left.isdisjoint({"", "other", "unknown", "cc-by-nc-4.0", "apple-amlr", "fair-noncommercial-research-license"})
    assert {known.license for known in choose(Query(license="mit"))} == {"mit"}


# --------------------------------------------------------------------------------- how it is made


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import build_catalog

    monkeypatch.setattr(build_catalog, "COSTS", tmp_path / "costs.jsonl")
    rows = [("test_resnet", "r160_in1k"), ("test_vit", "r160_in1k")]
    monkeypatch.setattr(
        build_catalog, "configs", lambda: [(name, tag, timm.get_pretrained_cfg(f"{name}.{tag}")) for name, tag in rows]
    )
    yield build_catalog
    sys.modules.pop("build_catalog")


def test_a_model_that_fails_is_a_row_that_says_why(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    build = timm.create_model

    def fragile(name: str, **options: Any) -> torch.nn.Module:
        if name.startswith("test_vit"):
            raise RuntimeError("no such\nlayer")
        return build(name, **options)

    monkeypatch.setattr(timm, "create_model", fragile)
    resnet, vit = script.costs().values()
    assert vit == {"error": "not built: RuntimeError: no such layer"}
    assert (resnet["params"], resnet["gmacs"]) == (entry("test_resnet.r160_in1k").params, pytest.approx(0.1, abs=0.0051))


def test_an_interrupted_run_resumes_where_it_stopped(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = script.costs()
    first = script.COSTS.read_text().splitlines()[0]
    script.COSTS.write_text(first + "\n")
    asked: list[str] = []
    measure = script.measure
    monkeypatch.setattr(script, "measure", lambda name, wanted: (asked.append(name), measure(name, wanted))[1])
    assert script.costs() == whole
    assert asked == ["test_vit.r160_in1k"]
    assert json.loads(first)["timm"] == timm.__version__


def test_the_license_is_that_of_the_weights_that_were_used() -> None:
    assert catalog.license_of("resnet18.a1_in1k", "auto") == catalog.license_of("resnet18.a1_in1k", "package") == "apache-2.0"
    assert catalog.license_of("resnet18.a1_in1k", "random") == catalog.license_of("no_such_model", "auto") == ""
    assert catalog.license_terms("cc-by-nc-4.0") == "cc-by-nc-4.0 (no commercial use)"
    assert catalog.license_terms("") == "none named (ask its authors)"
