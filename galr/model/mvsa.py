"""Global branch: a pyramid of feature maps and multiscale visual self-attention (MVSA)."""

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from galr.errors import ConfigError
from galr.model.pyramid import Pyramid


class GlobalBranch(nn.Module):
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

    def __init__(self, backbone: str, crop: int, embedding: int) -> None:
        super().__init__()
        if crop % 32:
            raise ConfigError(f"model.crop must be a multiple of 32, got {crop}")
        self.pyramid = Pyramid(backbone)
        c1, c2, c3, c4 = self.pyramid.channels
        self.lower = nn.Conv2d(c1 + c2, 3, kernel_size=3, stride=4)
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
    """Double height and width, each number becoming four."""
    return interpolate(maps, scale_factor=2, mode="nearest")
