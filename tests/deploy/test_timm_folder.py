from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import timm
import torch

from zoo.deploy.subject import Subject, subject_of
from zoo.deploy.timm_folder import check_repository, load_folder, push, write_folder
from zoo.errors import ZooError


def test_it_is_the_model_folder_and_a_card(subject: Subject, model_folder: Path, tmp_path: Path) -> None:
    assert write_folder(subject, tmp_path / "out") == "Weights as trained."
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"README.md", "config.json", "model.safetensors"}
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "out" / name).read_bytes() == (model_folder / name).read_bytes()
    batch = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(load_folder(tmp_path / "out")(batch), subject.model(batch))


def test_a_model_without_a_folder_is_saved(subject: Subject, tmp_path: Path) -> None:
    write_folder(replace(subject, folder=None), tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text(encoding="utf-8"))["label_names"] == list(subject.classes)


def test_branches_are_merged_where_timm_can_build_the_merged_form(subject: Subject, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = timm.create_model("lcnetv2_small", num_classes=4).eval()
    note = write_folder(replace(subject, model=model, folder=None), tmp_path / "out")
    assert note.startswith("Branches merged for inference")
    batch = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(load_folder(tmp_path / "out")(batch), model(batch), atol=1e-3, rtol=1e-3)
    assert "Branches merged" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")


def test_branches_stay_where_timm_cannot(subject: Subject, tmp_path: Path) -> None:
    model = timm.create_model("repghostnet_050", num_classes=4).eval()
    assert write_folder(replace(subject, model=model, folder=None), tmp_path / "out") == "Weights as trained."
    load_folder(tmp_path / "out")


def test_a_folder_is_sent_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []

    class Repository:
        repo_id = "me/animals"

    class Api:
        def __init__(self, **options: Any) -> None: ...

        def create_repo(self, name: str, exist_ok: bool) -> Repository:
            sent.append(name)
            return Repository()

        def upload_folder(self, **options: Any) -> str:
            sent.append(options["folder_path"])
            return "https://hub/me/animals"

    monkeypatch.setattr("huggingface_hub.HfApi", Api)
    assert push(tmp_path, "me/animals") == "https://hub/me/animals"
    assert sent == ["me/animals", tmp_path]


def test_a_hub_out_of_reach_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ZooError, match="--push: not sent to me/animals") as caught:
        push(tmp_path, "me/animals")
    assert len(caught.value.lines) == 1


@pytest.mark.parametrize("name", ["animals", "a/b/c", "me/", "/animals", "me/ani mals", ""])
def test_a_name_that_the_hub_would_not_take_is_refused(name: str) -> None:
    with pytest.raises(ZooError, match=r"--push: .*OWNER"):
        check_repository(name, "timm")


def test_an_exported_folder_is_a_model_of_one_view(model_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(model_folder, tmp_path / "model")
    config = (model_folder / "config.json").read_text(encoding="utf-8")
    (tmp_path / "model" / "config.json").write_text(json.dumps(json.loads(config) | {"tta": "hflip"}), encoding="utf-8")
    subject = subject_of(tmp_path / "model")
    assert subject.tta == "hflip"
    write_folder(subject, tmp_path / "out")
    assert (tmp_path / "out" / "config.json").read_text(encoding="utf-8") == config
