"""What the whole picture shows: pyramids of several networks, and MVSA over them."""

import pytest
import torch

from galr.model import image as pyramids
from galr.model.image import MVSA, Backbone

ONE_A_FAMILY = ("resnet50", "regnet_x_400mf", "convnext_tiny", "efficientnet_b1")


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
    low = by_hand(branch.low_level, torch.cat([f1, twice(f2)], 1))
    high = branch.high_level(torch.cat([f3, twice(f4)], 1))
    z = torch.cat([low, high], 1)
    z = z + (high[:, 0] + high[:, 1] + high[:, 2])[:, None] / 3
    u, a = branch.spatial_value(z), branch.spatial_attention(z).sigmoid()
    gate = torch.sigmoid(branch.gate((u * a).reshape(2, -1)))
    v = branch.global_proj(f4.mean(-1).mean(-1)) * gate
    torch.testing.assert_close(branch(pixels), v / v.norm(dim=1, keepdim=True))


def twice(maps):
    """Every number four times."""
    return maps.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)


def by_hand(layer, maps):
    """A 3 by 3 convolution whose windows begin at every fourth row and column of the maps."""
    starts = range(0, maps.shape[2] - 2, 4)
    windows = [[maps[:, :, y : y + 3, x : x + 3] for x in starts] for y in starts]
    values = [
        [torch.einsum("bchw,ochw->bo", window, layer.weight) + layer.bias for window in row]
        for row in windows
    ]
    return torch.stack([torch.stack(row, -1) for row in values], -2)


@pytest.mark.parametrize("crop", [32, 64, 96, 160, 224, 256, 288])
def test_low_and_high_maps_meet_on_one_grid_at_every_crop(crop):
    with torch.device("meta"):
        branch = MVSA("resnet18", input_size=crop, embed_dim=16)
        f1, f2, _, _ = branch.backbone(torch.zeros(2, 3, crop, crop))
        assert branch(torch.zeros(2, 3, crop, crop)).shape == (2, 16)
        low = branch.low_level(torch.cat([f1, twice(f2)], 1))
    assert low.shape == (2, 3, crop // 16, crop // 16)


@pytest.mark.parametrize("backbone", ONE_A_FAMILY)
def test_networks_of_every_family_stand_in(backbone):
    torch.manual_seed(0)
    pyramid = Backbone(backbone)
    maps = pyramid(torch.randn(2, 3, 64, 64))
    assert [tuple(each.shape[2:]) for each in maps] == [(16, 16), (8, 8), (4, 4), (2, 2)]
    assert pyramid.channels == tuple(each.shape[1] for each in maps)
    (maps[3] * torch.randn_like(maps[3])).sum().backward()
    unused = {name for name, each in pyramid.named_parameters() if each.grad is None}
    assert unused == set()


def test_maps_are_those_of_the_whole_network():
    torch.manual_seed(0)
    pyramid = Backbone("resnet18").eval()
    network, held = pyramid.network, {}
    for name in ("layer1", "layer2", "layer3", "layer4"):
        getattr(network, name).register_forward_hook(
            lambda _, __, output, name=name: held.update({name: output})
        )
    pixels = torch.randn(2, 3, 64, 64)
    network(pixels)
    assert all(
        torch.equal(one, two) for one, two in zip(pyramid(pixels), held.values(), strict=True)
    )


@pytest.mark.parametrize("backbone", ["resnet18", "efficientnet_b0"])
def test_recomputing_the_stem_changes_no_gradient_and_no_statistics(backbone):
    torch.manual_seed(0)
    light, plain = Backbone(backbone), Backbone(backbone)
    plain.load_state_dict(light.state_dict())
    plain._checkpointed_stem = plain._stem
    pixels = torch.randn(3, 3, 64, 64)
    for pyramid in (light, plain):
        torch.manual_seed(1)  # EfficientNet leaves out blocks by chance
        sum(each.square().mean() for each in pyramid(pixels)).backward()
    for (name, one), two in zip(light.named_parameters(), plain.parameters(), strict=True):
        assert torch.equal(one.grad, two.grad), name
    for (name, one), two in zip(light.named_buffers(), plain.buffers(), strict=True):
        assert torch.equal(one, two), name


def test_compiled_the_stem_is_kept_as_any_other_part(monkeypatch):
    """In training, as one graph without a break, and it gives what it gives uncompiled."""
    torch.manual_seed(0)
    pyramid, pixels = Backbone("resnet18").train(), torch.randn(2, 3, 32, 32)
    expected = pyramid(pixels)
    monkeypatch.setattr(pyramids, "checkpoint", None)
    compiled = torch.compile(pyramid, backend="eager", fullgraph=True)
    for one, two in zip(compiled(pixels), expected, strict=True):
        torch.testing.assert_close(one, two)
