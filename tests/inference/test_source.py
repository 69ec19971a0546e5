from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from zoo.errors import ZooError
from zoo.inference.source import find_source


def as_run(model_folder: Path, tmp_path: Path) -> Path:
    run = tmp_path / "run"
    shutil.copytree(model_folder, run / "model")
    (run / "recipe.yaml").write_text("name: run\n")
    return run


def test_a_run_its_model_and_timms_own_words_for_it(model_folder: Path, tmp_path: Path) -> None:
    run = as_run(model_folder, tmp_path)
    for name in (run, run / "model", f"local-dir:{run / 'model'}"):
        source = find_source(name)
        assert (source.kind, source.path, source.run) == ("folder", run / "model", run)
    assert find_source(model_folder).run is None


def test_names(tmp_path: Path) -> None:
    assert find_source("hf-hub:owner/name").kind == "hub"
    assert find_source("resnet18.a1_in1k").kind == "timm"
    exported = tmp_path / "a.ONNX"
    exported.touch()
    assert find_source(exported).kind == "file"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("resnet81", "MODEL: unknown model 'resnet81', and no file or folder of that name (closest: "),
        ("hf-hub:name", "MODEL: expected hf-hub:OWNER/NAME"),
        ("runs/none", "runs/none: no such file or folder"),
        ("local-dir:none", "local-dir:none: no such file or folder"),
        ("none.onnx", "none.onnx: no such file or folder"),
        ("PATH/empty", "PATH/empty: no model in this folder"),
        ("PATH/file.txt", "PATH/file.txt: not a model"),
        ("PATH/begun", "PATH/begun: the run is not finished and has no model yet (zoo train --resume PATH/begun)"),
    ],
)
def test_what_is_no_model_is_refused_in_one_line(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / "recipe.yaml").touch()
    (tmp_path / "file.txt").touch()
    with pytest.raises(ZooError) as error:
        find_source(name.replace("PATH", str(tmp_path)))
    assert str(error.value).replace(str(tmp_path), "PATH").startswith(text)
