"""Global branch: a residual network and multiscale visual self-attention (MVSA)."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize
from torch.utils.checkpoint import checkpoint
from torchvision.models import get_model, list_models

from galr.errors import ConfigError


class Pyramid(nn.Module):
    r"""A torchvision residual network up to its four feature maps.

    Shapes:
        - **pixels:** :math:`(B, 3, S, S)`, normalised, S a multiple of 32
        - **output:** four maps :math:`(B, C_k, S/2^{k+1}, S/2^{k+1})`, k = 1..4
    """

    def __init__(self, backbone: str) -> None:
        super().__init__()
        known = [
            name for name in list_models() if name.startswith(("resnet", "resnext", "wide_res"))
        ]
        if backbone not in known:
            raise ConfigError(
                f"model.backbone '{backbone}' is unknown; choose from {', '.join(known)}"
            )
        self.network = get_model(backbone, weights=None)
        self.network.fc = nn.Identity()
        with torch.inference_mode():
            maps = self.eval()(torch.zeros(1, 3, 64, 64))
        self.train()
        self.channels: tuple[int, ...] = tuple(each.shape[1] for each in maps)

    def forward(self, pixels: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        net = self.network
        f1 = net.layer1(self._light_stem(pixels) if self.training else self._stem(pixels))
        f2 = net.layer2(f1)
        f3 = net.layer3(f2)
        return f1, f2, f3, net.layer4(f3)

    def _stem(self, pixels: Tensor) -> Tensor:
        """What comes before the first of the four maps."""
        net = self.network
        return net.maxpool(net.relu(net.bn1(net.conv1(pixels))))

    def _light_stem(self, pixels: Tensor) -> Tensor:
        """The same, computed again in the backward pass instead of kept.

        The stem is a twentieth of the work and a quarter of the memory of a step.
        """
        return checkpoint(
            self._stem,
            pixels,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda: (nullcontext(), _uncounted(self.network.bn1)),
        )


@contextmanager
def _uncounted(norm: nn.BatchNorm2d) -> Iterator[None]:
    """Let a batch that was seen before leave no second trace in the running statistics."""
    momentum, norm.momentum = norm.momentum, 0.0
    count, norm.num_batches_tracked = norm.num_batches_tracked, None
    try:
        yield
    finally:
        norm.momentum, norm.num_batches_tracked = momentum, count


class GlobalBranch(nn.Module):
    r"""MVSA: what the whole picture shows (METHOD 4, paper Fig. 3).

    Low and high levels are fused into six maps on one grid, a gate over that grid is read from them,
    and the gate weighs the picture's own summary ("solo"):
    :math:`v_g = \ell_2(solo \cdot \sigma(W\,[u \cdot a]))`.

    Shapes:
        - **pixels:** :math:`(B, 3, S, S)`, normalised, S = `crop`
        - **output:** :math:`(B, embedding)`, unit rows
    """

    def __init__(self, backbone: str, crop: int, embedding: int) -> None:
        super().__init__()
        if crop % 32:
            raise ConfigError(f"model.crop must be a multiple of 32, got {crop}")
        self.pyramid = Pyramid(backbone)
        c1, c2, c3, c4 = self.pyramid.channels
        self.lower = nn.Conv2d(c1 + c2, 3, kernel_size=3, stride=4, padding=1)
        self.higher = nn.Conv2d(c3 + c4, 3, kernel_size=1)
        self.unit = nn.Conv2d(6, 1, kernel_size=1)
        self.attention = nn.Conv2d(6, 1, kernel_size=1)
        self.solo = nn.Linear(c4, embedding)
        self.gate = nn.Linear((crop // 16) ** 2, embedding)

    def forward(self, pixels: Tensor) -> Tensor:
        f1, f2, f3, f4 = self.pyramid(pixels)
        low = self.lower(torch.cat([f1, _twice(f2)], dim=1))  # (B, 3, S/16, S/16)
        high = self.higher(torch.cat([f3, _twice(f4)], dim=1))
        both = torch.cat([low, high], dim=1) + high.mean(dim=1, keepdim=True)
        map_ = self.unit(both) * self.attention(both).sigmoid()  # (B, 1, S/16, S/16)
        gate = self.gate(map_.flatten(1)).sigmoid()
        return normalize(self.solo(f4.mean(dim=(2, 3))) * gate)


def _twice(maps: Tensor) -> Tensor:
    """Double height and width."""
    return interpolate(maps, scale_factor=2, mode="bilinear", align_corners=False)
