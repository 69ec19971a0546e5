"""Entries are the same in JSON and CSV, and a table fits its terminal."""

from __future__ import annotations

import csv
import io
import json

import pytest

from zoo.models import catalog, listing
from zoo.models.catalog import Query, choose


def test_json_and_csv_have_the_same_values() -> None:
    found = choose(Query(patterns=["resnet18", "mixer_b32_224"]))
    objects = json.loads(listing.as_json(found))
    rows = list(csv.DictReader(io.StringIO(listing.as_csv(found))))
    assert [row["name"] for row in objects] == [row["name"] for row in rows] == [entry.name for entry in found]
    for one, row in zip(objects, rows, strict=True):
        assert one.keys() == row.keys()
        assert one["licence"] == one["license"]
        assert row["mean"] == " ".join(map(str, one["mean"]))
    bare = next(one for one in objects if one["name"] == "mixer_b32_224")
    assert (bare["tag"], bare["top1"], bare["license"]) == (None, None, None)


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
def test_a_table_is_no_wider_than_its_terminal(width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    query = Query(patterns=["vit_small*", "resnet18"])
    found = choose(query)
    lines = listing.as_table(found, query).splitlines()
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("name")
    assert len([line for line in lines if line.startswith(("vit_small", "resnet18"))]) == len(found)
    assert f"{len(found)} of {len(catalog.entries()):,}" in " ".join(lines)


def test_a_long_name_keeps_both_its_ends() -> None:
    rows = [{"name": "name"}, {"name": "vit_base_patch16_clip_quickgelu_224.openai"}]
    line = listing.aligned(rows, 20)[1]
    assert len(line) == 20
    assert line.startswith("vit_base")
    assert line.endswith("224.openai")


def test_nothing_that_fits_is_said_with_what_has_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    query = Query(patterns=["resnet50"], max_params="1K")
    assert listing.as_table(choose(query), query).startswith("0 of ")
    assert f"; {len(catalog.architectures()['resnet50'])} match by name" in listing.as_table([], query)


@pytest.mark.parametrize(("value", "text"), [(None, "?"), (0.123, "0.12"), (999.5, "999.50"), (1234.5, "1,234")])
def test_numbers_are_short(value: float | None, text: str) -> None:
    assert listing.short(value) == text


def test_another_timm_than_the_catalogs_is_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.metadata.version", lambda _: "9.9.9")
    assert listing.other_timm().endswith("but 9.9.9 is installed: names and figures may differ")
    monkeypatch.setattr("importlib.metadata.version", lambda _: catalog.version())
    assert listing.other_timm() == ""
