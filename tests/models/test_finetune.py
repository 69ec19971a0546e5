from __future__ import annotations

from typing import Any

import pytest
import timm

from zoo.errors import ZooError
from zoo.models.finetune import Finetune, Lora, freeze, frozen_parameters, frozen_parts, lora_mapping
from zoo.models.layers import batch_norms

PARTS = ["conv1", "layer1", "layer2", "layer3", "layer4", "fc"]
HEAD = ("fc.weight", "fc.bias")


def frozen(**options: Any) -> tuple[Any, int]:
    """Return a small ResNet after freezing, and the number of its frozen BatchNorm layers."""
    model = timm.create_model("test_resnet", num_classes=3)
    return model, len(freeze(Finetune(**options), model, HEAD))


@pytest.mark.parametrize(
    ("freeze", "first"),
    [("none", "conv1"), (0, "conv1"), (1, "layer1"), (2, "layer2"), (4, "layer4"), (5, "fc"), ("backbone", "fc")],
)
def test_freezing_takes_whole_stages_from_the_stem_on(freeze: int | str, first: str) -> None:
    model, _ = frozen(freeze=freeze)
    trained = {
        part: {parameter.requires_grad for name, parameter in model.named_parameters() if name.startswith(part)} for part in PARTS
    }
    assert trained == {part: {PARTS.index(part) >= PARTS.index(first)} for part in PARTS}


def test_lora_keeps_the_whole_backbone_and_its_batch_norm_still() -> None:
    model, still = frozen(lora=Lora(), batch_norm="train")
    assert {name for name, parameter in model.named_parameters() if parameter.requires_grad} == set(HEAD)
    assert still == len(batch_norms(model))


def test_a_rank_is_short_for_its_mapping() -> None:
    assert lora_mapping(8) == {"rank": 8}
    assert lora_mapping(True) is True
    assert lora_mapping({"rank": 4}) == {"rank": 4}


def test_more_stages_than_there_are() -> None:
    with pytest.raises(ZooError) as error:
        frozen(freeze=6)
    assert error.value.lines == ["finetune.freeze: 6, but the backbone has 5 stages (use 0 to 5, or backbone)"]


def test_batch_norm_keeps_still_where_it_is_frozen() -> None:
    whole = len(batch_norms(timm.create_model("test_resnet")))
    assert frozen()[1] == 0
    assert frozen(batch_norm="frozen")[1] == frozen(freeze="backbone")[1] == whole
    assert 0 < frozen(freeze=2)[1] < whole


def test_gradual_goes_from_the_head_to_everything_by_whole_stages() -> None:
    model = timm.create_model("test_resnet", num_classes=3)
    gradual = Finetune.model_validate_json('{"stages": "gradual"}')
    parts = frozen_parts(gradual, model, HEAD)
    assert parts == ["backbone", 4, 3, "none"]
    sizes = [len(frozen_parameters(part, model, HEAD)) for part in parts]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 0


def test_only_what_no_stage_trains_is_frozen_throughout() -> None:
    model = timm.create_model("test_resnet", num_classes=3)
    finetune = Finetune.model_validate_json('{"stages": [{"freeze": "backbone", "epochs": 1}, {"freeze": 2}]}')
    still = freeze(finetune, model, HEAD)
    trained = {name.partition(".")[0] for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert trained == {"layer2", "layer3", "layer4", "fc"}
    assert 0 < len(still) < len(batch_norms(model))
    with pytest.raises(ZooError, match=r"finetune.stages: 9, but the backbone has 5 stages \(use 0 to 5, or backbone\)"):
        freeze(Finetune.model_validate_json('{"stages": [{"freeze": 9}]}'), model, HEAD)
