"""An export from start to end: files are written completely and with their proof, or not at all."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.deploy.conftest import CLASSES
from zoo.deploy import export as module
from zoo.deploy.export import export
from zoo.errors import StorageError, ZooError
from zoo.inference.load import load
from zoo.system.files import digest

pytest.importorskip("onnxscript")


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_onnx_takes_photographs_and_says_what_it_is(
    model_folder: Path, check_folder: Path, tmp_path: Path, photographs: list[Image.Image]
) -> None:
    found = export(model_folder, "onnx", out=tmp_path / "a.onnx", check=check_folder)
    assert files(tmp_path) == ["a.onnx", "a.onnx.export.json"]
    record = json.loads(found.record.read_text(encoding="utf-8"))
    assert record["sha256"] == digest(found.path)
    assert record["proof"]["strict"]["largest_difference"] < 1e-4
    assert record["proof"]["whole"]["images"] == len(photographs)

    import onnxruntime

    session = onnxruntime.InferenceSession(str(found.path))
    notes = session.get_modelmeta().custom_metadata_map
    assert json.loads(notes["names"]) == list(CLASSES)
    assert (notes["interpolation"], notes["crop_pct"], notes["preprocess"]) == ("bicubic", "0.875", "inside")
    live = load(model_folder)
    for photograph in photographs:
        probabilities = session.run(["probabilities"], {"images": np.asarray(photograph)[None]})[0]
        assert probabilities.sum() == pytest.approx(1, abs=1e-5)
        np.testing.assert_allclose(probabilities, live.logits([photograph]).softmax(1).numpy(), atol=0.02)


@pytest.mark.slow
def test_another_export_of_the_name_is_replaced(model_folder: Path, check_folder: Path, tmp_path: Path) -> None:
    first = export(model_folder, "torch", out=tmp_path / "a.pt2", check=check_folder)
    before = digest(first.path)
    second = export(model_folder, "torch", out=tmp_path / "a.pt2", check=check_folder, batch=2)
    assert digest(second.path) != before
    assert json.loads(second.record.read_text(encoding="utf-8"))["sha256"] == digest(second.path)


def test_a_timm_folder_is_replaced_as_a_whole(model_folder: Path, check_folder: Path, tmp_path: Path) -> None:
    export(model_folder, "timm", out=tmp_path / "a", check=check_folder)
    (tmp_path / "a" / "config.json").unlink()
    export(model_folder, "timm", out=tmp_path / "a", check=check_folder)
    assert files(tmp_path / "a") == ["README.md", "config.json", "export.json", "model.safetensors"]


def test_a_wrong_weight_in_the_file_leaves_no_file(
    model_folder: Path, check_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import onnx

    save = onnx.save

    def spoil(graph: Any, path: Path) -> None:
        weight = next(one for one in graph.graph.initializer if len(one.dims) == 4)
        values = onnx.numpy_helper.to_array(weight).copy()
        values.flat[0] += 0.05
        weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
        save(graph, path)

    monkeypatch.setattr(onnx, "save", spoil)
    with pytest.raises(ZooError, match="differs from the live model by") as caught:
        export(model_folder, "onnx", out=tmp_path / "a.onnx", check=check_folder)
    assert caught.value.exit_code == 2
    assert files(tmp_path) == []


@pytest.mark.slow
def test_an_earlier_export_stays_when_the_next_one_fails(
    model_folder: Path, check_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = export(model_folder, "torch", out=tmp_path / "a.pt2", check=check_folder)
    before = [path.read_bytes() for path in (found.path, found.record)]

    def fail(*values: Any) -> None:
        raise ZooError("zoo export", "too far")

    monkeypatch.setattr(module, "prove", fail)
    with pytest.raises(ZooError, match="too far"):
        export(model_folder, "torch", out=tmp_path / "a.pt2", check=check_folder)
    assert [path.read_bytes() for path in (found.path, found.record)] == before
    assert len(files(tmp_path)) == 2


def test_a_missing_library_is_named(model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LIBRARIES", ("onnx", "no_such_library"))
    with pytest.raises(ZooError, match=r"needs no_such_library, not installed here \(pip install no_such_library\)"):
        export(model_folder, "onnx", out=tmp_path / "a.onnx")


def test_another_tools_format_gives_its_command(model_folder: Path) -> None:
    with pytest.raises(ZooError) as caught:
        export(model_folder, "coreml")
    weights = model_folder / "model.safetensors"
    assert f"pip install timmx; timmx export coreml test_resnet --checkpoint {weights} --num-classes 4" in str(caught.value)


@pytest.mark.parametrize(
    ("format", "out", "text"),
    [
        ("onnx", "a.bin", "does not end in .onnx"),
        ("onnx", "gone/a.onnx", "does not exist"),
        ("timm", ".", "exists and is not an export"),
    ],
)
def test_a_place_that_will_not_do_is_refused_at_once(
    model_folder: Path, tmp_path: Path, format: str, out: str, text: str
) -> None:
    with pytest.raises(ZooError, match=text):
        export(model_folder, format, out=tmp_path / out)
    assert files(tmp_path) == []


def test_only_timm_folders_are_sent(model_folder: Path) -> None:
    with pytest.raises(ZooError, match="--push: sends timm folders only"):
        export(model_folder, "onnx", push="me/animals")


def test_a_wrong_name_of_the_hub_is_found_before_anything_is_loaded(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="--push: expected OWNER/NAME, found 'animals'") as caught:
        export(tmp_path / "gone", "timm", push="animals")
    assert caught.value.exit_code == 2


def test_what_zoo_did_not_write_is_not_replaced(model_folder: Path, check_folder: Path, tmp_path: Path) -> None:
    for name, format in (("a.onnx", "onnx"), ("a.pt2", "torch")):
        (tmp_path / name).write_text("precious", encoding="utf-8")
        with pytest.raises(ZooError, match="was not written by zoo export"):
            export(model_folder, format, out=tmp_path / name, check=check_folder)
        assert (tmp_path / name).read_text(encoding="utf-8") == "precious"


@pytest.mark.slow
def test_a_proof_names_the_file_that_it_is_of(model_folder: Path, check_folder: Path, tmp_path: Path) -> None:
    """A process that is killed between writing the two leaves the new file with the old proof. The next export replaces both."""
    first = export(model_folder, "torch", out=tmp_path / "a.pt2", check=check_folder)
    stale = first.record.read_text(encoding="utf-8")
    second = export(model_folder, "torch", out=tmp_path / "a.pt2", check=check_folder, batch=2)
    second.record.write_text(stale, encoding="utf-8")
    assert json.loads(stale)["sha256"] != digest(second.path)
    third = export(model_folder, "torch", out=tmp_path / "a.pt2", check=check_folder)
    assert json.loads(third.record.read_text(encoding="utf-8"))["sha256"] == digest(third.path)


@pytest.mark.slow
def test_int8_is_calibrated_on_images_that_the_proof_does_not_count(
    model_folder: Path, check_folder: Path, tmp_path: Path, photographs: list[Image.Image], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []

    def plain(graph: Any, batches: Iterator[torch.Tensor]) -> Any:
        seen.extend(len(batch.unique(dim=0)) for batch in batches)
        return graph

    monkeypatch.setattr(module, "to_int8", plain)
    found = export(model_folder, "onnx", out=tmp_path / "a.onnx", check=check_folder, precision="int8")
    record = json.loads(found.record.read_text(encoding="utf-8"))
    assert sum(seen) + record["proof"]["whole"]["images"] == len(photographs)
    assert record["calibration"] == f"4 of the {check_folder}"


def test_a_full_disk_is_a_storage_error(
    model_folder: Path, check_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*values: Any, **more: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("zoo.deploy.timm_folder.shutil.copyfile", fail)
    with pytest.raises(StorageError, match="No space left on device") as caught:
        export(model_folder, "timm", out=tmp_path / "a", check=check_folder)
    assert "--resume" not in str(caught.value)
    assert files(tmp_path) == []


@pytest.mark.slow
@pytest.mark.parametrize(("format", "out"), [("torch", "a.pt2"), ("onnx", "a.onnx"), ("timm", "a")])
def test_a_disk_that_is_full_in_the_middle_is_one_line(
    model_folder: Path, check_folder: Path, tmp_path: Path, format: str, out: str
) -> None:
    """A limit on the file size stands for a full disk. torch's own file writer would end the process there."""
    place = tmp_path / "out"
    place.mkdir()
    command = [sys.executable, "-m", "zoo", "export", str(model_folder), "--format", format, "--check", str(check_folder)]
    limited = ["bash", "-c", 'ulimit -f 100 && exec "$@"', "bash", *command, "--out", str(place / out)]
    done = subprocess.run(limited, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.count("\n")) == (5, 1), done.stderr
    assert done.stderr.startswith("error: ")
    assert files(place) == []
