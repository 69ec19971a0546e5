from __future__ import annotations

from pathlib import Path

import numpy as np
from helpers import photographs

from zoo.cli import main
from zoo.inference.load import load


def test_features_in_a_file_are_those_of_python(model_folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(3):
        photographs.picture("left", number).save(photos / f"{number}.png")
    assert main(["embed", str(model_folder), str(photos), "--out", str(tmp_path / "f.npz")]) == 0
    with np.load(tmp_path / "f.npz", allow_pickle=False) as found:
        assert found["filename"].tolist() == [str(photos / f"{number}.png") for number in range(3)]
        assert np.allclose(found["features"], load(model_folder).embed(photos).numpy(), atol=1e-5)


def test_the_rest_goes_on_beside_an_unreadable_image(model_folder: Path, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "a.png").write_bytes(b"nothing")
    photographs.picture("left", 0).save(photos / "b.png")
    assert main(["embed", str(model_folder), str(photos), "--out", str(tmp_path / "f.npz")]) == 3
    with np.load(tmp_path / "f.npz", allow_pickle=False) as found:
        assert np.isnan(found["features"][0]).all()
        assert np.isfinite(found["features"][1]).all()
        assert found["error"].tolist() == ["not an image", ""]
