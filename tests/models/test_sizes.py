"""Image sizes that a backbone does not accept, or would trim silently, are refused."""

from __future__ import annotations

import pytest
import timm
import torch
from helpers.tensors import refused

from zoo.models.build import build_model
from zoo.models.options import Backbone
from zoo.models.sizes import check_sizes, patch_layer


def check(name: str, *sizes: int, trim: bool = False) -> None:
    model = build_model(Backbone(name=name), None, 3, sizes[-1], grows=len(sizes) > 1).model
    check_sizes(name, model, sizes, trim=trim)


@pytest.mark.parametrize(
    ("name", "side", "seen", "patch", "fitting"),
    [
        ("test_vit_relpos", 33, 32, 16, "use 32 or 48"),
        ("test_vit_relpos", 63, 48, 16, "use 48 or 64"),
        ("vit_tiny_patch16_224", 225, 224, 16, "use 224 or 240"),
        ("test_convnext", 34, 32, 4, "use 32 or 36"),
    ],
)
def test_a_size_that_would_be_trimmed_is_refused_with_the_nearest(
    name: str, side: int, seen: int, patch: int, fitting: str
) -> None:
    line = refused(lambda: check(name, side))
    assert line == f"image_size: {name} cuts images into patches of {patch} px and would see {seen} of {side} px ({fitting})"
    check(name, side, trim=True)


def test_a_size_that_timm_refuses_names_the_nearest_too() -> None:
    line = refused(lambda: check("test_vit", 33))
    assert line == (
        "image_size: test_vit does not take 33 px: Input height (33) should be divisible by patch size (16) (use 32 or 48)"
    )


def test_what_lies_beyond_the_last_patch_is_not_seen() -> None:
    """Check that timm ignores these pixels without an error; if it raised one, the check above would not be needed."""
    torch.manual_seed(0)
    model = timm.create_model("test_vit_relpos", img_size=33, num_classes=3).eval()
    images = torch.randn(1, 3, 33, 33)
    other = images.clone()
    other[..., 32:, :] = 9.0
    with torch.inference_mode():
        assert torch.equal(model(images), model(other))


@pytest.mark.parametrize(
    ("name", "sizes"),
    [("test_vit", [32]), ("test_vit", [160]), ("test_vit", [32, 48, 64]), ("test_resnet", [33]), ("test_efficientnet", [45]),
     ("test_convnext", [36]), ("test_nfnet", [33]), ("test_mambaout", [50])],
)  # fmt: skip
def test_whole_patches_and_overlapping_convolutions_take_the_image_whole(name: str, sizes: list[int]) -> None:
    check(name, *sizes)


def test_a_size_between_the_first_and_the_last_blames_their_step() -> None:
    line = refused(lambda: check("test_vit", 32, 40, 48, 64))
    assert line.startswith("image_size: test_vit does not take 40 px: ")
    assert line.endswith("(set image_size.multiple to 16 or a multiple of it)")
    assert refused(lambda: check("test_vit", 40, 48, 64)).endswith("(use 32 or 48)")
    assert refused(lambda: check("test_convnext", 32, 33, 64)).endswith("(set image_size.multiple to 4 or a multiple of it)")


def test_a_size_below_the_patch() -> None:
    assert refused(lambda: check("test_vit", 8)).endswith("(use 16)")


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
@pytest.mark.parametrize("name", ["resmlp_12_224", "efficientvit_m0"])
def test_a_size_at_which_nothing_is_left(name: str) -> None:
    """Both divide by the number of patches, which is 0."""
    line = refused(lambda: check_sizes(name, build_model(Backbone(name=name), None, 4, 8).model, [8]))
    assert line.startswith(f"image_size: {name} does not take 8 px: ")


def test_the_layer_that_cuts_patches() -> None:
    layer = patch_layer(timm.create_model("test_vit"))
    assert layer is not None
    assert layer.stride == (16, 16)
    assert patch_layer(timm.create_model("test_resnet")) is None
