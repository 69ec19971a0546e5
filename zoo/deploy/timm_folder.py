"""Write a model as a folder that timm loads, with its card; send it to the Hugging Face hub.

Families that train with branches and compute with one convolution are merged where timm can build the merged model again
(LCNetV2, in timm 1.0.31); others (FastViT, MobileOne, RepViT, …) are written as they are, since timm could not load them.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from torch import nn

from zoo.deploy.model_card import model_card
from zoo.deploy.subject import Subject
from zoo.errors import ZooError, first_line
from zoo.inference.preprocessing import Preprocessing
from zoo.models.model_folder import read_config
from zoo.models.save import save_model

CARD = "README.md"
PUSH = "--push"
# How timm is told to build the merged form of a family.
MERGED_ARGS = {"inference_mode": True}


def load_folder(folder: Path) -> nn.Module:
    """Return a folder's model as timm builds it."""
    import timm

    return timm.create_model(f"local-dir:{folder}", pretrained=True).eval()


def write_folder(subject: Subject, folder: Path, repository: str = "") -> str:
    """Write the folder; return a sentence on its weights.

    Args:
        subject: the model.
        folder: a new folder.
        repository: `OWNER/NAME` on the hub, where it will be sent; may be empty.
    """
    folder.mkdir()
    note = _write_merged(subject, folder)
    if not note:
        _write_plain(subject, folder)
    (folder / CARD).write_text(model_card(subject, repository, note), encoding="utf-8")
    result = subject.result
    divided = ", the last layer divided by a temperature" if result and result.temperature else ""
    return note or f"Weights as trained{divided}."


def _write_plain(subject: Subject, folder: Path) -> None:
    """Copy the model folder; a model without one is saved."""
    if subject.folder is None:
        save_model(subject.model, folder, subject.classes, subject.size, _data(subject.preprocessing))
        return
    shutil.copyfile(subject.folder / "model.safetensors", folder / "model.safetensors")
    if subject.tta == "none":
        shutil.copyfile(subject.folder / "config.json", folder / "config.json")
        return
    # An export is a model of one view.
    config = {key: value for key, value in read_config(subject.folder).items() if key != "tta"}
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


def _write_merged(subject: Subject, folder: Path) -> str:
    """Write the merged model where the family has one and timm can build it; return a sentence, '' where it cannot."""
    from timm.models import save_for_hf
    from timm.utils.model import reparameterize_model

    merged = reparameterize_model(subject.model)
    before, after = (sum(value.numel() for value in net.parameters()) for net in (subject.model, merged))
    if set(merged.state_dict()) == set(subject.model.state_dict()):
        return ""
    save_for_hf(
        merged,
        str(folder),
        model_config={"label_names": list(subject.classes), "num_classes": len(subject.classes)},
        model_args=MERGED_ARGS,
        safe_serialization=True,
        data_config={"input_size": (3, subject.size, subject.size), **_data(subject.preprocessing)},
    )
    try:
        load_folder(folder)
    except (TypeError, RuntimeError, ValueError, KeyError):  # timm cannot build the merged form of this family
        return ""
    return f"Branches merged for inference: {before:,} parameters became {after:,}."


def _data(preprocessing: Preprocessing) -> dict[str, Any]:
    return {key: value for key, value in preprocessing.config.items() if key != "input_size"}


def check_repository(repository: str, format: str) -> None:
    """Check what `--push` names, before anything is computed.

    Raises:
        ZooError: it is not OWNER/NAME as the hub takes it, or no folder of timm is written.
    """
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    if format != "timm":
        raise ZooError(PUSH, "sends folders of timm", "--format timm")
    try:
        validate_repo_id(repository)
        if repository.count("/") != 1:
            raise ZooError(PUSH, f"expected OWNER/NAME, found '{repository}'", "OWNER is your account, as the hub shows it")
    except HFValidationError as error:
        raise ZooError(PUSH, f"'{repository}' is no name of the hub: {first_line(error)}", "OWNER/NAME") from None


def push(folder: Path, repository: str) -> str:
    """Send a folder to the hub, made where there is none of this name; return its address.

    `timm.push_to_hf_hub` would write the weights and a card anew: what is sent here is the folder that was proven.

    Raises:
        ZooError: the hub cannot be reached or refuses it.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name="timm")
    try:
        name = api.create_repo(repository, exist_ok=True).repo_id
        return str(api.upload_folder(repo_id=name, folder_path=folder, commit_message="Add model"))
    except (OSError, ValueError, RuntimeError) as error:  # errors of the hub are OSErrors, of a wrong name ValueErrors
        what = f"not sent to {repository}: {first_line(error)}"
        raise ZooError(PUSH, what, f"{folder} is whole; 'hf auth login', then: hf upload {repository} {folder}") from None
