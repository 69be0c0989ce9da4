"""Global branch: feature maps of timm's networks, MVSA over them, and the pooled last map."""

import pytest
import timm
import torch

from galr.errors import ConfigError
from galr.model.image import MVSA, Backbone, PooledFeature

IN_STAGES = ("resnet50", "regnetx_002", "convnext_atto", "tf_efficientnet_lite0")
WITH_A_LAST_MAP = {  # one with channels last, one with tokens, some of them no image's, one without maps
    "swin_tiny_patch4_window7_224": 224,
    "vit_tiny_patch16_224": 224,
    "test_vit": 160,
    "tf_efficientnet_lite0": 64,
}


def test_global_branch_is_the_formula():
    torch.manual_seed(0)
    branch = MVSA("resnet18", input_size=64, embed_dim=16).eval()
    pixels = torch.randn(2, 3, 64, 64)
    f1, f2, f3, f4 = branch.backbone(pixels)
    assert [tuple(f.shape[1:]) for f in (f1, f2, f3, f4)] == [
        (64, 16, 16),
        (128, 8, 8),
        (256, 4, 4),
        (512, 2, 2),
    ]
    low = strided_convolution(branch.low_level, torch.cat([f1, repeat(f2)], 1))
    high = branch.high_level(torch.cat([f3, repeat(f4)], 1))
    z = torch.cat([low, high], 1)
    z = z + (high[:, 0] + high[:, 1] + high[:, 2])[:, None] / 3
    u, a = branch.spatial_value(z), branch.spatial_attention(z).sigmoid()
    gate = torch.sigmoid(branch.gate((u * a).reshape(2, -1)))
    v = branch.global_proj(f4.mean(-1).mean(-1)) * gate
    expected = v / v.norm(dim=1, keepdim=True)
    torch.testing.assert_close(branch(*branch.features(pixels)), expected)


def repeat(maps):
    """Double height and width, each value becoming four."""
    return maps.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def strided_convolution(layer, maps):
    """Convolve 3 by 3 in windows that begin at every fourth row and column, window by window."""
    starts = range(0, maps.shape[2] - 2, 4)
    windows = [[maps[:, :, y : y + 3, x : x + 3] for x in starts] for y in starts]
    values = [
        [torch.einsum("bchw,ochw->bo", window, layer.weight) + layer.bias for window in row]
        for row in windows
    ]
    return torch.stack([torch.stack(row, -1) for row in values], -2)


@pytest.mark.parametrize("size", [32, 64, 96, 160, 224, 256, 288])
def test_low_and_high_levels_have_one_grid_at_every_input_size(size):
    with torch.device("meta"):
        branch = MVSA("resnet18", input_size=size, embed_dim=16)
        f1, f2, f3, f4 = branch.features(torch.zeros(2, 3, size, size))
        assert branch(f1, f2, f3, f4).shape == (2, 16)
        low = branch.low_level(torch.cat([f1, repeat(f2)], 1))
    assert low.shape == (2, 3, size // 16, size // 16)


@pytest.mark.parametrize("name", IN_STAGES)
def test_networks_in_stages_have_four_maps_and_no_unused_weight(name):
    torch.manual_seed(0)
    backbone = Backbone(name, pyramid=True)
    for module in backbone.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)  # timm's residual blocks begin as the identity
    maps = backbone(torch.randn(2, 3, 64, 64))
    sides = [tuple(feature_map.shape[2:]) for feature_map in maps]
    assert sides == [(16, 16), (8, 8), (4, 4), (2, 2)]
    assert backbone.channels == tuple(feature_map.shape[1] for feature_map in maps)
    (maps[3] * torch.randn_like(maps[3])).sum().backward()
    unused = {name for name, weight in backbone.named_parameters() if weight.grad is None}
    assert unused == set()


def test_maps_are_those_of_the_whole_network():
    torch.manual_seed(0)
    backbone = Backbone("resnet18", pyramid=True).eval()
    network, outputs = timm.create_model("resnet18", num_classes=0).eval(), {}
    network.load_state_dict(backbone.network.state_dict())
    for name in ("layer1", "layer2", "layer3", "layer4"):
        getattr(network, name).register_forward_hook(
            lambda _, __, output, name=name: outputs.update({name: output})
        )
    pixels = torch.randn(2, 3, 64, 64)
    network(pixels)
    for map_, output in zip(backbone(pixels), outputs.values(), strict=True):
        assert torch.equal(map_, output)


@pytest.mark.parametrize(("name", "size"), WITH_A_LAST_MAP.items())
def test_any_network_has_average_and_maximum_of_its_last_map(name, size):
    torch.manual_seed(0)
    backbone = Backbone(name, pyramid=False).eval()
    pixels = torch.randn(2, 3, size, size)
    (pooled,) = backbone(pixels)
    channels = backbone.channels[-1]
    assert pooled.shape == (2, 2 * channels)
    last = backbone.network.forward_features(pixels)
    if last.ndim == 3:
        tokens = last[:, -((size // 16) ** 2) :]  # an image's patches; before them stands no place
    else:
        tokens = (last if last.shape[-1] == channels else last.movedim(1, -1)).flatten(1, 2)
    assert (
        tokens.shape[2] == channels
        and tokens.shape[1] == (size // (16 if last.ndim == 3 else 32)) ** 2
    )
    torch.testing.assert_close(pooled[:, :channels], tokens.mean(1))
    torch.testing.assert_close(pooled[:, channels:], tokens.max(1).values)


def test_a_pooled_feature_is_its_head_on_standardised_numbers():
    torch.manual_seed(0)
    branch = PooledFeature("resnet18", 16, head="mlp", head_dim=24, dropout=0.0).eval()
    (pooled,) = branch.features(torch.randn(3, 3, 64, 64))
    mean, variance = torch.rand(1024), torch.rand(1024) + 0.5
    branch.head.standardise.running_mean.copy_(mean)
    branch.head.standardise.running_var.copy_(variance)
    x = (pooled - mean) / (variance + 1e-5).sqrt()
    norm, _, first, _, _, second = branch.head.project
    x = (x - x.mean(1, keepdim=True)) / (x.var(1, correction=0, keepdim=True) + norm.eps).sqrt()
    x = x @ first.weight.T + first.bias
    x = x * (1 + torch.erf(x / 2**0.5)) / 2 @ second.weight.T + second.bias  # GELU
    torch.testing.assert_close(branch(pooled), x / x.norm(dim=1, keepdim=True))


def test_normalisation_is_that_of_the_weights():
    assert Backbone("resnet18.tv_in1k", pyramid=True).pixel_mean.tolist() == pytest.approx(
        [0.485, 0.456, 0.406]
    )
    assert Backbone("vit_tiny_patch16_224", pyramid=False).pixel_std.tolist() == [0.5, 0.5, 0.5]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("resnet81", "timm has no network 'resnet81'; did you mean .*resnet"),
        ("zzzzzzzz", r"timm has no network 'zzzzzzzz'; see timm.list_models\(\)"),
        ("vit_tiny_patch16_224", "has no map of 1/4 of the image, and MVSA reads .*pooled"),
        ("resnet18.nobody", "model.backbone 'resnet18.nobody': .*nobody.*; correct what follows"),
    ],
)
def test_a_network_that_does_not_exist_or_has_no_maps_is_one_line(name, message):
    with pytest.raises(ConfigError, match=message) as caught:
        Backbone(name, pyramid=True)
    assert "\n" not in str(caught.value)


def test_what_is_no_width_of_a_head_is_one_line():
    with pytest.raises(ConfigError, match=r"head none keeps the encoder's 1024 numbers, .*is 16"):
        PooledFeature("resnet18", 16, head="none", head_dim=24, dropout=0.0)
    with pytest.raises(ConfigError, match=r"model.head 'conv' is unknown; choose from mlp, linear"):
        PooledFeature("resnet18", 16, head="conv", head_dim=24, dropout=0.0)
