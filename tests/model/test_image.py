"""Global branch: feature maps of several backbones, and MVSA over them."""

import pytest
import torch

from galr.model import image
from galr.model.image import MVSA, Backbone

ONE_OF_EACH_FAMILY = ("resnet50", "regnet_x_400mf", "convnext_tiny", "efficientnet_b1")


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
    torch.testing.assert_close(branch(pixels), v / v.norm(dim=1, keepdim=True))


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
        f1, f2, _, _ = branch.backbone(torch.zeros(2, 3, size, size))
        assert branch(torch.zeros(2, 3, size, size)).shape == (2, 16)
        low = branch.low_level(torch.cat([f1, repeat(f2)], 1))
    assert low.shape == (2, 3, size // 16, size // 16)


@pytest.mark.parametrize("name", ONE_OF_EACH_FAMILY)
def test_networks_of_every_family_have_four_maps(name):
    torch.manual_seed(0)
    backbone = Backbone(name)
    maps = backbone(torch.randn(2, 3, 64, 64))
    assert [tuple(feature_map.shape[2:]) for feature_map in maps] == [
        (16, 16),
        (8, 8),
        (4, 4),
        (2, 2),
    ]
    assert backbone.channels == tuple(feature_map.shape[1] for feature_map in maps)
    (maps[3] * torch.randn_like(maps[3])).sum().backward()
    unused = {name for name, weight in backbone.named_parameters() if weight.grad is None}
    assert unused == set()


def test_maps_are_those_of_the_whole_network():
    torch.manual_seed(0)
    backbone = Backbone("resnet18").eval()
    network, outputs = backbone.network, {}
    for name in ("layer1", "layer2", "layer3", "layer4"):
        getattr(network, name).register_forward_hook(
            lambda _, __, output, name=name: outputs.update({name: output})
        )
    pixels = torch.randn(2, 3, 64, 64)
    network(pixels)
    for map_, output in zip(backbone(pixels), outputs.values(), strict=True):
        assert torch.equal(map_, output)


@pytest.mark.parametrize("name", ["resnet18", "efficientnet_b0"])
def test_recomputing_the_stem_changes_no_gradient_and_no_statistics(name):
    torch.manual_seed(0)
    checkpointed, plain = Backbone(name), Backbone(name)
    plain.load_state_dict(checkpointed.state_dict())
    plain._checkpointed_stem = plain._stem
    pixels = torch.randn(3, 3, 64, 64)
    for backbone in (checkpointed, plain):
        torch.manual_seed(1)  # EfficientNet leaves out blocks at random
        sum(feature_map.square().mean() for feature_map in backbone(pixels)).backward()
    for (key, one), two in zip(checkpointed.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(one.grad, two.grad), key
    for (key, one), two in zip(checkpointed.named_buffers(), plain.buffers(), strict=True):
        assert torch.equal(one, two), key


def test_a_compiled_backbone_does_not_recompute_its_stem(monkeypatch):
    """In training it compiles to one graph without a break, whose output is that of the plain one."""
    torch.manual_seed(0)
    backbone, pixels = Backbone("resnet18").train(), torch.randn(2, 3, 32, 32)
    expected = backbone(pixels)
    monkeypatch.setattr(image, "checkpoint", None)
    compiled = torch.compile(backbone, backend="eager", fullgraph=True)
    for one, two in zip(compiled(pixels), expected, strict=True):
        torch.testing.assert_close(one, two)
