from __future__ import annotations

from pathlib import Path

import pytest
from helpers.command_line import mistake


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["resnet18", "a.jpg"], "error: --out: no output file given (give --out features.npz, or --json)"),
        (["resnet18", "a.jpg", "--out", "a.csv"], "error: --out: a.csv does not end in one of .npz, .parquet"),
        (["resnet18", "a.jpg", "--out", "a.npz", "--json"], "error: --json: prints the results, --out writes them to a file"),
        (["resnet18", "b.jpg", "--out", "a.npz"], "error: b.jpg: no such file or folder (check the path)"),
    ],
)
def test_a_mistake_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    line: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.jpg").touch()
    assert mistake(capsys, "embed", *arguments).startswith(line)
    assert [path.name for path in tmp_path.iterdir()] == ["a.jpg"]
