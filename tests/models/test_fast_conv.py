from __future__ import annotations

import copy
from unittest import mock

import pytest
import timm
import torch
from timm.layers import Conv2dSame
from torch import nn

from zoo.models import fast_conv
from zoo.models.fast_conv import Geometry, conv2d, use_fast_convs
from zoo.models.fold_batchnorm import fold_batchnorm
from zoo.models.layers import batch_norms


@pytest.mark.parametrize("same", [False, True], ids=["fixed padding", "TensorFlow's padding"])
@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, (3, 5), 9])
@pytest.mark.parametrize(("kernel", "stride"), [(3, 1), (3, 2), (5, 1), (5, 2), (7, 1), (7, 4), ((5, 7), 1)])
def test_gradients_are_those_of_pytorch(
    kernel: int | tuple[int, int], stride: int, size: int | tuple[int, int], same: bool
) -> None:
    torch.manual_seed(0)
    padding = tuple(side // 2 for side in (kernel if isinstance(kernel, tuple) else (kernel, kernel)))
    plain = Conv2dSame(6, 6, kernel, stride, groups=6) if same else nn.Conv2d(6, 6, kernel, stride, padding, groups=6)
    quick = copy.deepcopy(plain)
    assert use_fast_convs(nn.Sequential(quick)) == 1
    high, wide = size if isinstance(size, tuple) else (size, size)
    results = []
    for layer in (plain, quick):
        images = torch.arange(4 * 6 * high * wide).reshape(4, 6, high, wide).sin().requires_grad_()
        output = layer(images.contiguous(memory_format=torch.channels_last))
        (output * output.detach().cos()).sum().backward()
        results.append([output, images.grad, layer.weight.grad, layer.bias.grad])
    for theirs, ours in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("activation", [None, nn.ReLU, nn.ReLU6])
@pytest.mark.parametrize(
    ("channels", "kernel", "stride", "groups", "size"),
    [
        (8, 3, 1, 8, 12),
        (8, 3, 2, 8, 13),
        (8, 5, 1, 8, 6),
        (8, 5, 2, 8, 15),
        (8, 1, 1, 1, 3),
        (8, 1, 1, 1, 14),
        (8, 1, 2, 1, 6),
        (8, 3, 1, 1, 6),
        (8, 3, 1, 2, 6),
    ],
)
@pytest.mark.parametrize("layout", [torch.channels_last, torch.contiguous_format])
def test_bf16_gradients_are_those_of_pytorch(
    activation: type[nn.Module] | None,
    channels: int,
    kernel: int,
    stride: int,
    groups: int,
    size: int,
    layout: torch.memory_format,
) -> None:
    torch.manual_seed(0)
    images = torch.randn(4, channels, size, size).contiguous(memory_format=layout)
    weight = torch.randn(16 if groups == 1 else channels, channels // groups, kernel, kernel)
    bias = torch.randn(len(weight))
    geometry = Geometry((stride, stride), (kernel // 2, kernel // 2), (1, 1), groups)

    def found(own: bool) -> list[torch.Tensor]:
        leaves = [tensor.clone().requires_grad_() for tensor in (images, weight, bias)]
        with torch.autocast("cpu", torch.bfloat16):
            output = conv2d(*leaves, geometry, activation) if own else nn.functional.conv2d(*leaves, *geometry)
            if activation and not own:
                output = activation()(output)
        assert output.dtype == torch.bfloat16
        (output.float() * torch.arange(output.numel()).view(output.shape).cos()).sum().backward()
        return [output.float(), *(leaf.grad for leaf in leaves)]

    for theirs, ours in zip(found(False), found(True), strict=True):
        # bfloat16 has 8 bits of precision.
        assert (ours - theirs).norm() <= 0.01 * theirs.norm()


@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6])
def test_an_activation_within_the_kernel_gives_the_same_bits(activation: type[nn.Module]) -> None:
    images, weight, bias = 4 * torch.randn(3, 8, 9, 9), torch.randn(12, 8, 3, 3), torch.randn(12)
    geometry = Geometry((1, 1), (1, 1), (1, 1), 1)
    separate = activation()(nn.functional.conv2d(images, weight, bias, *geometry))
    with torch.no_grad():
        assert torch.equal(conv2d(images, weight, bias, geometry, activation), separate)
    for fuses in (True, False):
        with mock.patch.object(fast_conv, "_fuses", return_value=fuses):
            leaf = weight.clone().requires_grad_()
            output = conv2d(images, leaf, bias, geometry, activation)
            assert torch.equal(output, separate)
            output.sum().backward()
            passes = (separate > 0) & (separate < 6 if activation is nn.ReLU6 else separate > 0)
            expected = torch.nn.grad.conv2d_weight(images, leaf.shape, passes.float(), padding=1)
            torch.testing.assert_close(leaf.grad, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("bf16", [False, True])
def test_no_images_have_gradients_of_zero(kernel: int, bf16: bool) -> None:
    geometry = Geometry((1, 1), (kernel // 2, kernel // 2), (1, 1), 1)
    images, weight, bias = torch.randn(0, 8, 13, 13), torch.randn(12, 8, kernel, kernel), torch.randn(12)
    leaves = [tensor.requires_grad_() for tensor in (images, weight, bias)]
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        output = conv2d(*leaves, geometry, nn.ReLU6)
    assert output.shape == (0, 12, 13, 13)
    output.sum().backward()
    assert not weight.grad.any()
    assert not bias.grad.any()


@pytest.mark.parametrize(("side", "own"), [(7, True), (8, False)])
def test_only_small_maps_take_the_other_way(side: int, own: bool) -> None:
    layer = nn.Conv2d(4, 4, 5, padding=2, groups=4, bias=False)
    use_fast_convs(nn.Sequential(layer))
    with mock.patch.object(fast_conv, "_weight_gradient", wraps=fast_conv._weight_gradient) as way:
        layer(torch.randn(2, 4, side, side)).sum().backward()
    assert way.called == own


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "mobilenetv3_small_050", "convnext_atto"])
def test_a_model_learns_the_same_and_keeps_its_tensors(name: str) -> None:
    torch.manual_seed(0)
    plain = timm.create_model(name, num_classes=5).eval()
    quick = copy.deepcopy(plain)
    assert use_fast_convs(quick) > 5
    images = torch.randn(2, 3, 64, 64)
    for model in (plain, quick):
        model(images).logsumexp(1).sum().backward()
    assert list(plain.state_dict()) == list(quick.state_dict())
    for (key, theirs), ours in zip(plain.named_parameters(), quick.parameters(), strict=True):
        scale = float(theirs.grad.abs().max())
        torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-4 * scale + 1e-7, rtol=1e-3, msg=key)


@pytest.mark.parametrize("learns", ["everything", "norms", "convolutions", "the end"])
def test_folded_layers_learn_what_separate_ones_do(learns: str) -> None:
    torch.manual_seed(0)
    plain = timm.create_model("tf_efficientnet_lite0", num_classes=5).eval()
    norms = [norm for _, norm in batch_norms(plain)]
    with torch.no_grad():
        for norm in norms:
            norm.running_mean.normal_(0, 0.1)
            norm.running_var.uniform_(0.5, 2)
            norm.bias.normal_(0, 0.1)
    shapes = {"norms": lambda key, shape: len(shape) == 1, "convolutions": lambda key, shape: len(shape) == 4}
    wanted = shapes.get(learns, lambda key, shape: learns == "everything" or key.startswith(("blocks.6", "conv_head")))
    for key, parameter in plain.named_parameters():
        parameter.requires_grad_(wanted(key, parameter.shape))
    folded = copy.deepcopy(plain)
    use_fast_convs(folded)
    images = torch.randn(2, 3, 64, 64)
    assert fold_batchnorm(folded, [norm for _, norm in batch_norms(folded)], images) > 20
    for model in (plain, folded):
        model(images).logsumexp(1).sum().backward()
    for (key, theirs), ours in zip(plain.named_parameters(), folded.parameters(), strict=True):
        assert (theirs.grad is None) == (ours.grad is None), key
        if theirs.grad is not None:
            scale = float(theirs.grad.abs().max())
            torch.testing.assert_close(ours.grad, theirs.grad, atol=1e-3 * scale + 1e-7, rtol=1e-2, msg=key)


def test_activations_copy_nothing_they_overwrite() -> None:
    layers = nn.Sequential(nn.ReLU6(inplace=True), nn.SiLU(inplace=True), nn.ReLU(inplace=True))
    use_fast_convs(layers)
    assert [layer.inplace for layer in layers] == [False, False, True]


def test_layers_that_are_more_than_a_convolution_are_left_alone() -> None:
    layers = [nn.Conv2d(4, 4, 5, padding=2, groups=4, padding_mode="circular"), nn.Conv2d(4, 4, 5, padding="same", groups=4)]
    assert use_fast_convs(nn.Sequential(*layers)) == 0
    assert use_fast_convs(nn.Sequential(nn.Conv2d(4, 8, 5, groups=4), nn.Conv2d(4, 4, 5))) == 0
