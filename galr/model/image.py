"""Global branch: a backbone with four feature maps, and multiscale visual self-attention (MVSA) over them."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize
from torch.utils.checkpoint import checkpoint
from torchvision.models import get_model, list_models

from galr.errors import ConfigError


class MVSA(nn.Module):
    r"""Multiscale visual self-attention: one feature of the whole image.

    Low and high levels of the backbone are fused into six maps on one grid; a gate over that grid is computed
    from them and weighs a projection of the last level:

    .. math::
        L = conv_{3 \times 3, stride 4}[f_1, up(f_2)],\quad H = conv_{1 \times 1}[f_3, up(f_4)],\quad
        Z = [L, H] + mean_{channels}(H)

        g = \ell_2\bigl(W_s\, mean_{space}(f_4) \cdot
        \sigma(W_g\, flatten(conv(Z) \cdot \sigma(conv(Z))))\bigr)

    As in the released code, up repeats each value, and the convolution of the low levels has no padding: its
    windows of 3 by 3, 4 apart, leave out every fourth row and column.
    Source: figure 3 of the paper; `docs/how/figure.md`, section Global feature.

    Shapes:
        - **pixels:** :math:`(B, 3, S, S)` float, normalised, S = `input_size`
        - **output:** :math:`(B, embed\_dim)` float, rows of length 1

    Args:
        backbone: name of the network, see `Backbone`.
        input_size: height and width of the images in pixels, a multiple of 32.
        embed_dim: width of the output.

    Raises:
        ConfigError: the network does not exist, or the size is not a multiple of 32.
    """

    def __init__(self, backbone: str, input_size: int, embed_dim: int) -> None:
        super().__init__()
        if input_size % 32:
            raise ConfigError(f"model.input_size must be a multiple of 32, got {input_size}")
        self.backbone = Backbone(backbone)
        c1, c2, c3, c4 = self.backbone.channels
        self.low_level = nn.Conv2d(c1 + c2, 3, kernel_size=3, stride=4)
        self.high_level = nn.Conv2d(c3 + c4, 3, kernel_size=1)
        self.spatial_value = nn.Conv2d(6, 1, kernel_size=1)
        self.spatial_attention = nn.Conv2d(6, 1, kernel_size=1)
        self.global_proj = nn.Linear(c4, embed_dim)
        self.gate = nn.Linear((input_size // 16) ** 2, embed_dim)

    def forward(self, pixels: Tensor) -> Tensor:
        """Compute the global feature of each image.

        Args:
            pixels: (B, 3, input_size, input_size) float, normalised by ImageNet's mean and deviation.

        Returns:
            (B, embed_dim) float, rows of length 1.
        """
        f1, f2, f3, f4 = self.backbone(pixels)
        low = self.low_level(torch.cat([f1, _upsample2x(f2)], dim=1))  # (B, 3, S/16, S/16)
        high = self.high_level(torch.cat([f3, _upsample2x(f4)], dim=1))
        maps = torch.cat([low, high], dim=1) + high.mean(dim=1, keepdim=True)  # (B, 6, S/16, S/16)
        spatial_map = self.spatial_value(maps) * self.spatial_attention(maps).sigmoid()
        gate = self.gate(spatial_map.flatten(1)).sigmoid()  # (B, embed_dim)
        return normalize(self.global_proj(f4.mean(dim=(2, 3))) * gate)


def _upsample2x(maps: Tensor) -> Tensor:
    """Double height and width by repeating each value: (B, C, H, W) to (B, C, 2 H, 2 W)."""
    return interpolate(maps, scale_factor=2, mode="nearest")


class BackboneLayout(NamedTuple):
    """Names of a family's submodules in torchvision, in the order of the computation."""

    stem: tuple[str, ...]  # before the first map: little work, much memory
    stages: tuple[tuple[str, ...], ...]  # four; maps at 1/4, 1/8, 1/16 and 1/32 of the image
    classifier: tuple[str, ...]  # removed


RESNET_LAYOUT = BackboneLayout(
    ("conv1", "bn1", "relu", "maxpool"),
    (("layer1",), ("layer2",), ("layer3",), ("layer4",)),
    ("fc",),
)
FAMILIES = {  # by the beginning of a network's name
    "resnet": RESNET_LAYOUT,
    "resnext": RESNET_LAYOUT,
    "wide_resnet": RESNET_LAYOUT,
    "regnet": BackboneLayout(
        ("stem",), tuple((f"trunk_output.block{i}",) for i in range(1, 5)), ("fc",)
    ),
    "convnext": BackboneLayout(
        ("features.0",),
        (("features.1",), *((f"features.{i}", f"features.{i + 1}") for i in (2, 4, 6))),
        ("classifier",),
    ),
    "efficientnet_b": BackboneLayout(
        ("features.0",),
        (
            ("features.1", "features.2"),
            ("features.3",),
            ("features.4", "features.5"),
            ("features.6", "features.7"),
        ),
        ("features.8", "classifier"),
    ),
}


class Backbone(nn.Module):
    r"""A torchvision network up to its four feature maps, without its classifier.

    The paper's is `resnet18`; any other ResNet, RegNet, ConvNeXt or EfficientNet (B0 to B7) has maps of
    the same sizes and can replace it.

    Shapes:
        - **pixels:** :math:`(B, 3, S, S)` float, normalised, S a multiple of 32
        - **output:** four maps :math:`(B, C_k, S/2^{k+1}, S/2^{k+1})`, k = 1..4

    Args:
        name: torchvision's name of the network.

    Raises:
        ConfigError: there is no network of that name, or none with such maps.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        known = [model for model in list_models() if model.startswith(tuple(FAMILIES))]
        if name not in known:
            raise ConfigError(f"model.backbone '{name}' is unknown; choose from {', '.join(known)}")
        self.layout = next(FAMILIES[start] for start in FAMILIES if name.startswith(start))
        self.network = get_model(name, weights=None)
        for submodule in self.layout.classifier:
            self.network.set_submodule(submodule, nn.Identity())
        with torch.inference_mode():
            maps = self.eval()(torch.zeros(1, 3, 64, 64))
        self.train()
        self.channels: tuple[int, ...] = tuple(feature_map.shape[1] for feature_map in maps)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Compute the four feature maps.

        Args:
            pixels: (B, 3, S, S) float, normalised.

        Returns:
            (B, C_k, S / 2**(k+1), S / 2**(k+1)) float for k = 1..4; C_k is `channels[k - 1]`.
        """
        # a compiler plans memory itself
        save_memory = self.training and not torch.compiler.is_compiling()
        x = self._checkpointed_stem(pixels) if save_memory else self._stem(pixels)
        maps = []
        for stage in self.layout.stages:
            x = self._run(stage, x)
            maps.append(x)
        return tuple(maps)

    def _run(self, submodules: tuple[str, ...], x: Tensor) -> Tensor:
        """Apply some submodules of the network, one after the other."""
        for name in submodules:
            x = self.network.get_submodule(name)(x)
        return x

    def _stem(self, pixels: Tensor) -> Tensor:
        """Apply what comes before the first of the four maps."""
        return self._run(self.layout.stem, pixels)

    def _checkpointed_stem(self, pixels: Tensor) -> Tensor:
        """Apply the stem, and compute it again in the backward pass instead of keeping its activations.

        In a ResNet the stem is a twentieth of the work and a quarter of the memory of a step.
        """
        norms = [
            module
            for name in self.layout.stem
            for module in self.network.get_submodule(name).modules()
            if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm)
        ]
        return checkpoint(
            self._stem,
            pixels,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda: (nullcontext(), _frozen_bn_stats(norms)),
        )


@contextmanager
def _frozen_bn_stats(norms: list[nn.BatchNorm2d | nn.SyncBatchNorm]) -> Iterator[None]:
    """Keep running statistics as they are: the batch was counted in the first forward pass."""
    saved = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, saved, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
