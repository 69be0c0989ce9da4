"""From stored uint8 pictures to what the network sees; all of it in batches, on the device."""

from collections.abc import Sequence
from typing import NamedTuple

import h5py
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, as in METHOD 1


def read(images: h5py.Dataset, rows: Sequence[int]) -> Tensor:
    """Read pictures in the order asked for, one read each: memory holds a batch, never the dataset.

    Args:
        images: (images, size, size, 3) uint8.
        rows: (B,) rows, repeats allowed.

    Returns:
        (B, 3, size, size) uint8, channels last in memory, as convolutions like it.
    """
    batch = np.empty((len(rows), *images.shape[1:]), dtype=np.uint8)
    for place, row in enumerate(rows):
        images.read_direct(batch, np.s_[row], np.s_[place])
    return torch.from_numpy(batch).permute(0, 3, 1, 2)


def normalised(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) in [0, 255] → zero mean and unit spread by ImageNet's statistics."""
    mean = pictures.new_tensor(MEAN).view(3, 1, 1)
    spread = pictures.new_tensor(SPREAD).view(3, 1, 1)
    return (pictures / 255 - mean) / spread


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

    Corners that the rotation uncovers are black before normalisation.

    Args:
        pictures: (B, 3, size, size) uint8.
        views: of the same B pictures, on the CPU.
        crop: size of the result in pixels.

    Returns:
        (B, 3, crop, crop) float32, normalised.
    """
    turn, shift, share = views
    count = len(pictures)
    affine = torch.cat([turn * share, turn @ shift.unsqueeze(2)], dim=2)  # (B, 2, 3)
    grid = affine_grid(affine.to(pictures.device), [count, 3, crop, crop], align_corners=False)
    return normalised(grid_sample(pictures.float(), grid, align_corners=False))


def resized(pictures: Tensor, crop: int) -> Tensor:
    """(B, 3, size, size) uint8 → (B, 3, crop, crop) float32, normalised, for validation and test."""
    small = interpolate(
        pictures.float(), size=(crop, crop), mode="bilinear", align_corners=False, antialias=True
    )
    return normalised(small)
