"""From stored uint8 pictures to what the network sees; all of it in batches, on the device."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as in METHOD 1
PORTION = 4  # pictures a CPU resamples at a time: they stay in its cache, and it takes half as long


class Views(NamedTuple):
    """How a batch of square pictures is turned and cropped.

    A place p of the view, from -1 to 1 across, shows the place turn · (share · p + shift) of the picture.
    """

    turn: Tensor  # (B, 2, 2) float, rotation
    shift: Tensor  # (B, 2) float, the crop's centre in the turned picture
    share: float  # side of the crop over side of the picture, at most 1


def drawn_views(count: int, share: float, degrees: float, generator: torch.Generator) -> Views:
    """Draw an angle in [0, degrees] and a crop inside the picture's side for each of a batch (METHOD 1).

    Args:
        count: B.
        share: side of the crop over side of the picture, at most 1.
        degrees: largest angle.
        generator: of random numbers, on the CPU whatever the device, so that all devices draw alike.
    """
    angle = torch.rand(count, generator=generator) * degrees * torch.pi / 180
    shift = (torch.rand(count, 2, generator=generator) * 2 - 1) * (1 - share)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(-1, 2, 2)
    return Views(turn, shift, share)


def turned(pictures: Tensor, views: Views, crop: int) -> Tensor:
    """Rotate and crop, in one resampling.

    Corners that the rotation uncovers are black before normalisation. Computed in float32 whatever the
    precision of training: places rounded to bfloat16 would be half a pixel off.

    Args:
        pictures: (B, 3, size, size) uint8.
        views: of the same B pictures, on the CPU.
        crop: size of the result in pixels.

    Returns:
        (B, 3, crop, crop) float32, normalised, channels last in memory.
    """
    turn, shift, share = views
    centre = (turn * shift.unsqueeze(1)).sum(dim=2, keepdim=True)  # (B, 2, 1), of the crop
    affine = torch.cat([turn * share, centre], dim=2).to(pictures.device, non_blocking=True)
    return _normalised(
        pictures,
        crop,
        lambda some: grid_sample(
            pictures[some].float(), _places(affine[some], crop), align_corners=False
        ),
    )


def resized(pictures: Tensor, crop: int) -> Tensor:
    """Resize, for validation and test.

    Args:
        pictures: (B, 3, size, size) uint8.
        crop: size of the result in pixels.

    Returns:
        (B, 3, crop, crop) float32, normalised, channels last in memory.
    """
    return _normalised(
        pictures,
        crop,
        lambda some: interpolate(
            pictures[some].float(),
            size=(crop, crop),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        ),
    )


def _places(affine: Tensor, crop: int) -> Tensor:
    """Where each pixel of a crop lies in its picture, from -1 to 1: (B, 2, 3) → (B, crop, crop, 2) of x and y.

    Sums alone: a matrix product would be rounded where training runs in bfloat16 or TF32.
    """
    middle = torch.linspace(1 / crop - 1, 1 - 1 / crop, crop, device=affine.device)
    by_x, by_y, origin = affine[:, None, None].unbind(-1)  # (B, 1, 1, 2) each
    return middle.view(1, 1, -1, 1) * by_x + (middle.view(1, -1, 1, 1) * by_y + origin)


def _normalised(pictures: Tensor, crop: int, resample: Callable[[slice], Tensor]) -> Tensor:
    """Resample pictures by portions, and give them zero mean and unit spread by ImageNet's statistics."""
    count, device = len(pictures), pictures.device
    mean, spread = torch.tensor(MEAN), torch.tensor(SPREAD)
    scale, offset = (
        each.view(3, 1, 1).to(device, non_blocking=True)
        for each in (1 / (255 * spread), -mean / spread)
    )
    result = torch.empty((count, 3, crop, crop), device=device, memory_format=torch.channels_last)
    portion = PORTION if device.type == "cpu" else count
    for start in range(0, count, portion):
        some = slice(start, start + portion)
        torch.addcmul(offset, resample(some), scale, out=result[some])
    return result
