"""Write a model as a folder that timm loads, with its card; push it to the Hugging Face hub.

In some families, several branches of the trained model can be merged into one convolution for inference. They are merged if
timm can build the merged model again (LCNetV2, in timm 1.0.31). Others (FastViT, MobileOne, RepViT, …) are written unmerged,
since timm could not load the merged model.
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
# Arguments with which timm builds the merged form of a family.
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
        repository: `OWNER/NAME` on the hub that the folder will be pushed to; may be empty.
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
    """Copy the model folder, or save a model that has none."""
    if subject.folder is None:
        save_model(subject.model, folder, subject.classes, subject.size, _data(subject.preprocessing))
        return
    shutil.copyfile(subject.folder / "model.safetensors", folder / "model.safetensors")
    if subject.tta == "none":
        shutil.copyfile(subject.folder / "config.json", folder / "config.json")
        return
    # An exported model evaluates a single view.
    config = {key: value for key, value in read_config(subject.folder).items() if key != "tta"}
    (folder / "config.json").write_text(json.dumps(config, indent=2), encoding="utf-8")


def _write_merged(subject: Subject, folder: Path) -> str:
    """Write the merged model if the family has one and timm can build it; return a sentence on it, else ''."""
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
    """Check the repository of `--push`, before anything is computed.

    Raises:
        ZooError: it is not a valid OWNER/NAME of the hub, or the format is not timm.
    """
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    if format != "timm":
        raise ZooError(PUSH, "sends timm folders only", "add --format timm")
    try:
        validate_repo_id(repository)
        if repository.count("/") != 1:
            raise ZooError(PUSH, f"expected OWNER/NAME, found '{repository}'", "OWNER is your account, as the hub shows it")
    except HFValidationError as error:
        raise ZooError(PUSH, f"'{repository}' is not a valid hub name: {first_line(error)}", "OWNER/NAME") from None


def push(folder: Path, repository: str) -> str:
    """Push a folder to a repository of the hub, which is created if needed; return its address.

    `timm.push_to_hf_hub` would write the weights and a card again, but the folder that was proven must be pushed.

    Raises:
        ZooError: the hub cannot be reached, or refuses the folder.
    """
    from huggingface_hub import HfApi

    api = HfApi(library_name="timm")
    try:
        name = api.create_repo(repository, exist_ok=True).repo_id
        return str(api.upload_folder(repo_id=name, folder_path=folder, commit_message="Add model"))
    except (OSError, ValueError, RuntimeError) as error:  # the hub raises OSErrors, and ValueErrors for a wrong name
        what = f"not sent to {repository}: {first_line(error)}"
        raise ZooError(PUSH, what, f"{folder} is complete; run 'hf auth login', then 'hf upload {repository} {folder}'") from None
