from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from helpers.command_line import mistake


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["nosuch", "a.jpg"], "error: MODEL: unknown model 'nosuch', and no file or folder of that name"),
        (["MODEL", "none.jpg"], "error: none.jpg: no such file or folder (check the path)"),
        (["MODEL", "empty"], "error: empty: no images in this folder"),
        (["MODEL", "a.jpg", "--out", "a.xls"], "error: --out: a.xls does not end in one of .csv, .jsonl, .parquet"),
        (["MODEL", "a.jpg", "--resume"], "error: --resume: only a file can be resumed (give --out FILE too)"),
        (["MODEL", "a.jpg", "--topk", "0"], "error: --topk: expected a whole number of at least 1, found '0'"),
        (["MODEL", "a.jpg", "--min-confidence", "60"], "error: --min-confidence: expected a number from 0 to 1"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_written(
    model_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    line: str,
) -> None:
    place = tmp_path / "here"
    (place / "empty").mkdir(parents=True)
    (place / "a.jpg").touch()
    monkeypatch.chdir(place)
    words = [str(model_folder) if word == "MODEL" else word for word in arguments]
    assert mistake(capsys, "predict", *words).startswith(line)
    assert sorted(path.name for path in place.iterdir()) == ["a.jpg", "empty"]


def test_a_mistake_is_answered_without_torch(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom zoo.cli import main\n"
        "assert main(['predict', 'resnet18', 'none.jpg']) == 2\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, cwd=tmp_path)
