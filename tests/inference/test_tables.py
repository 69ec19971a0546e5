from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from zoo.errors import ZooError
from zoo.inference.tables import FEATURES, check_format, encoded, write_table

COLUMNS = ["filename", "label", "prob", "prob:a,b", "error"]
ROWS = [
    {"filename": 'quote".jpg', "label": "a,b", "prob": 0.25, "prob:a,b": 0.5, "error": None},
    {"filename": "new\nline.jpg", "label": None, "prob": None, "prob:a,b": None, "error": "truncated"},
]


def test_csv_and_json_lines(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", COLUMNS, lambda: iter(ROWS))
    with open(tmp_path / "t.csv", newline="", encoding="utf-8") as file:
        read = list(csv.DictReader(file))
    assert read == [{key: "" if value is None else str(value) for key, value in row.items()} for row in ROWS]
    write_table(tmp_path / "t.jsonl", COLUMNS, lambda: iter(ROWS))
    assert [json.loads(line) for line in (tmp_path / "t.jsonl").read_text().splitlines()] == ROWS


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_bytes_of_a_name_that_are_no_text_are_escapes(tmp_path: Path, kind: str) -> None:
    write_table(tmp_path / f"t.{kind}", ["filename"], lambda: iter([{"filename": "caf\udce9.jpg"}]))
    text = (tmp_path / f"t.{kind}").read_text(encoding="utf-8")
    assert ("caf\\udce9.jpg" if kind == "csv" else "caf\\\\udce9.jpg") in text


def test_a_carriage_return_in_a_name_ends_no_row_of_csv(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", ["filename", "error"], lambda: iter([{"filename": "a\rb.jpg", "error": None}]))
    with open(tmp_path / "t.csv", newline="", encoding="utf-8") as file:
        assert list(csv.DictReader(file)) == [{"filename": "a\rb.jpg", "error": ""}]


def test_parquet(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    many = [row | {"filename": str(number)} for number in range(700) for row in ROWS]
    write_table(tmp_path / "t.parquet", COLUMNS, lambda: iter(many))
    assert parquet.read_table(tmp_path / "t.parquet").to_pylist() == many


def test_arrays_of_features(tmp_path: Path) -> None:
    features = np.random.default_rng(0).random((3, 5), np.float32)
    rows = [{"filename": "bad", FEATURES: None, "error": "empty file"}]
    rows += [{"filename": str(number), FEATURES: encoded(row), "error": None} for number, row in enumerate(features)]
    write_table(tmp_path / "t.npz", [], lambda: iter(rows))
    with np.load(tmp_path / "t.npz", allow_pickle=False) as found:
        assert np.array_equal(found["features"][1:], features)
        assert np.isnan(found["features"][0]).all()
        assert found["filename"].tolist() == ["bad", "0", "1", "2"]
        assert found["error"].tolist() == ["empty file", "", "", ""]


def test_a_failed_table_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("old")

    def rows() -> object:
        yield ROWS[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_table(tmp_path / "t.csv", COLUMNS, rows)  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]
    assert (tmp_path / "t.csv").read_text() == "old"


@pytest.mark.parametrize(("name", "text"), [("t.xlsx", "does not end in one of .csv, .jsonl"), ("none/t.csv", "does not exist")])
def test_outputs_that_cannot_be_written_are_refused(tmp_path: Path, name: str, text: str) -> None:
    with pytest.raises(ZooError, match=f"--out: .*{text}"):
        check_format(tmp_path / name, (".csv", ".jsonl"))


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ZooError, match="pip install pyarrow"):
        check_format(tmp_path / "t.parquet", (".parquet",))
