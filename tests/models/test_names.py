"""Names of backbones and optimizers are looked up in tables; the error for a misspelled one gives the nearest names."""

from __future__ import annotations

import pytest
import timm
import timm.optim

from zoo.models import catalog, names

same_timm = pytest.mark.skipif(timm.__version__ != catalog.version(), reason="another timm than the catalog's")


@pytest.mark.parametrize("name", ["resnet18", "resnet18.tv_in1k", "test_vit", "mixer_b32_224"])
def test_a_name_that_timm_has_is_returned(name: str) -> None:
    assert names.check_backbone(name) == name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("resnt18", r"unknown model 'resnt18' \(closest: resnet18, .*'zoo list' shows all\)"),
        ("resnet18.tv_in2k", r"unknown pretrained tag 'tv_in2k' of resnet18 \(tags: resnet18\.tv_in1k"),
        ("mixer_b32_224.in1k", r"unknown pretrained tag 'in1k' of mixer_b32_224 \(it has no tags, use 'mixer_b32_224'\)"),
        ("hf-hub:timm/resnet18", r"sources are not allowed in names \(use backbone\.weights"),
        ("./model", r"sources are not allowed in names"),
    ],
)
def test_other_names_are_refused_with_the_nearest(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        names.check_backbone(name)


def test_removed_and_renamed_backbones() -> None:
    successors = names.table()["deprecated"]
    old, new = next((old, new) for old, new in successors.items() if new)
    with pytest.raises(ValueError, match=f"'{old}' is deprecated in timm .use '{new}'"):
        names.check_backbone(old)
    for old, new in successors.items():
        if new is None:
            with pytest.raises(ValueError, match="was removed from timm"):
                names.check_backbone(old)


@same_timm
def test_the_optimizers_are_timms() -> None:
    assert set(names.table()["optimizers"]) == set(timm.optim.list_optimizers())
    assert names.check_optimizer("adamw") == "adamw"
    with pytest.raises(ValueError, match=r"unknown 'sdg' \(did you mean 'sgd'\?"):
        names.check_optimizer("sdg")
