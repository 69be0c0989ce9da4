"""A torchvision network as a pyramid: four maps of a picture, each half the size of the one before.

Global branch: a pyramid of feature maps and multiscale visual self-attention (MVSA).
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize
from torch.utils.checkpoint import checkpoint
from torchvision.models import get_model, list_models

from galr.errors import ConfigError


class BackboneLayout(NamedTuple):
    """How torchvision calls what a family of networks consists of, in order of the computation."""

    stem: tuple[str, ...]  # before the first map: little work, much memory
    stages: tuple[tuple[str, ...], ...]  # four; maps at a fourth, 1/8, 1/16 and 1/32 of the picture
    classifier: tuple[str, ...]  # taken out: nobody asks for classes


RESNET_LAYOUT = BackboneLayout(
    ("conv1", "bn1", "relu", "maxpool"),
    (("layer1",), ("layer2",), ("layer3",), ("layer4",)),
    ("fc",),
)
FAMILIES = {  # by how their names begin
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

    The paper's is `resnet18`; any other residual network, RegNet, ConvNeXt or EfficientNet (B0 to B7)
    has maps of the same sizes and stands in for it.

    Shapes:
        - **pixels:** :math:`(B, 3, S, S)`, normalised, S a multiple of 32
        - **output:** four maps :math:`(B, C_k, S/2^{k+1}, S/2^{k+1})`, k = 1..4

    Args:
        backbone: torchvision's name of the network.

    Raises:
        ConfigError: there is no network of that name, or none with such maps.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        known = [submodule for submodule in list_models() if submodule.startswith(tuple(FAMILIES))]
        if name not in known:
            raise ConfigError(f"model.backbone '{name}' is unknown; choose from {', '.join(known)}")
        self.layout = next(FAMILIES[start] for start in FAMILIES if name.startswith(start))
        self.network = get_model(name, weights=None)
        for name in self.layout.classifier:
            self.network.set_submodule(name, nn.Identity())
        with torch.inference_mode():
            maps = self.eval()(torch.zeros(1, 3, 64, 64))
        self.train()
        self.channels: tuple[int, ...] = tuple(each.shape[1] for each in maps)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        checkpointed = (
            self.training and not torch.compiler.is_compiling()
        )  # a compiler plans memory itself
        x = self._checkpointed_stem(pixels) if checkpointed else self._stem(pixels)
        maps = []
        for stage in self.layout.stages:
            x = self._run(stage, x)
            maps.append(x)
        return tuple(maps)

    def _run(self, names: tuple[str, ...], x: Tensor) -> Tensor:
        """Pass some parts of the network, one after the other."""
        for name in names:
            x = self.network.get_submodule(name)(x)
        return x

    def _stem(self, pixels: Tensor) -> Tensor:
        """What comes before the first of the four maps."""
        return self._run(self.layout.stem, pixels)

    def _checkpointed_stem(self, pixels: Tensor) -> Tensor:
        """The same, computed again in the backward pass instead of kept.

        In a residual network the stem is a twentieth of the work and a quarter of the memory of a step.
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
    """Let a batch that was seen before leave no second trace in the running statistics."""
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count


class MVSA(nn.Module):
    r"""MVSA: what the whole picture shows (METHOD 4, paper Fig. 3).

    Low and high levels are fused into six maps on one grid, a gate over that grid is read from them,
    and the gate weighs the picture's own summary ("solo"):
    :math:`v_g = \ell_2(solo \cdot \sigma(W\,[u \cdot a]))`.

    As in the released code, maps grow by repeating their nearest number, and the convolution of the
    low levels takes no padding: its windows of 3 by 3, 4 apart, leave out every fourth row and column.

    Shapes:
        - **pixels:** :math:`(B, 3, S, S)`, normalised, S = `crop`
        - **output:** :math:`(B, embedding)`, unit rows
    """

    def __init__(self, backbone: str, input_size: int, embed_dim: int) -> None:
        super().__init__()
        if input_size % 32:
            raise ConfigError(f"model.crop must be a multiple of 32, got {input_size}")
        self.backbone = Backbone(backbone)
        c1, c2, c3, c4 = self.backbone.channels
        self.low_level = nn.Conv2d(c1 + c2, 3, kernel_size=3, stride=4)
        self.high_level = nn.Conv2d(c3 + c4, 3, kernel_size=1)
        self.spatial_value = nn.Conv2d(6, 1, kernel_size=1)
        self.spatial_attention = nn.Conv2d(6, 1, kernel_size=1)
        self.global_proj = nn.Linear(c4, embed_dim)
        self.gate = nn.Linear((input_size // 16) ** 2, embed_dim)

    def forward(self, pixels: Tensor) -> Tensor:
        f1, f2, f3, f4 = self.backbone(pixels)
        low = self.low_level(torch.cat([f1, _upsample2x(f2)], dim=1))  # (B, 3, S/16, S/16)
        high = self.high_level(torch.cat([f3, _upsample2x(f4)], dim=1))
        both = torch.cat([low, high], dim=1) + high.mean(dim=1, keepdim=True)
        spatial_map = (
            self.spatial_value(both) * self.spatial_attention(both).sigmoid()
        )  # (B, 1, S/16, S/16)
        gate = self.gate(spatial_map.flatten(1)).sigmoid()
        return normalize(self.global_proj(f4.mean(dim=(2, 3))) * gate)


def _upsample2x(maps: Tensor) -> Tensor:
    """Double height and width, each number becoming four."""
    return interpolate(maps, scale_factor=2, mode="nearest")
