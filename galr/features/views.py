"""Fixed views of stored images: turned, mirrored and cropped, resized and normalized for the model."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from galr.model.galr import PixelStatistics

CPU_CHUNK = 4  # images a CPU resamples at a time; they stay in its cache, which halves the time
_QUARTER_TURN, _MIRROR = (
    torch.tensor([[0.0, -1.0], [1.0, 0.0]]),
    torch.diag(torch.tensor([-1.0, 1.0])),
)
TURNS = torch.stack(  # (8, 2, 2): quarter turns, then the same of the mirrored image
    [
        base @ torch.linalg.matrix_power(_QUARTER_TURN, count)
        for base in (torch.eye(2), _MIRROR)
        for count in range(4)
    ]
)
CROPS = torch.tensor(  # (6, 3): fraction of the side, and the centre's x and y from -1 to 1
    [[1.0, 0.0, 0.0], [0.8, 0.0, 0.0], *([0.8, 0.2 * x, 0.2 * y] for y in (-1, 1) for x in (-1, 1))]
)


class ViewParams(NamedTuple):
    """Rotation, mirroring and crop of each image of a batch.

    The point p of the crop, with coordinates from -1 to 1, shows the point
    rotation · (crop_fraction · p + offset) of the image.
    """

    rotation: Tensor  # (B, 2, 2) float, orthogonal: rotations, mirrored or not
    offset: Tensor  # (B, 2) float, the crop's centre in the rotated image, x and y from -1 to 1
    crop_fraction: Tensor  # (B,) float, side of the crop over side of the image, at most 1


def fixed_views(numbers: Tensor) -> ViewParams:
    """The fixed views of some numbers: turned, mirrored, and from number 8 on cropped as well (our extension).

    View 0 is the plain image; views 0 to 3 are quarter turns, 4 to 7 the same of the mirrored image; each further
    eight show a crop of 0.8 of the image's side: its middle, then its four corners.

    Args:
        numbers: (B,) int64, in [0, MAX_VIEWS).
    """
    place = CROPS[numbers // len(TURNS)]
    return ViewParams(TURNS[numbers % len(TURNS)], place[:, 1:], place[:, 0])


def show_view(images: Tensor, number: int) -> Tensor:
    """Cut a fixed view out of images, without resampling.

    Args:
        images: (B, 3, size, size) uint8.
        number: of the view, see `fixed_views`.

    Returns:
        (B, 3, side, side) uint8; side is size, or 0.8 of it.
    """
    turn = number % len(TURNS)
    mirrored = images.flip(-1) if turn >= 4 else images
    turned = torch.rot90(mirrored, turn % 4, (-2, -1))
    fraction, x, y = CROPS[number // len(TURNS)].tolist()
    size = images.shape[-1]
    side = round(size * fraction)
    left, top = (
        round((size - side) * (1 + centre / max(1 - fraction, 1e-9)) / 2) for centre in (x, y)
    )
    return turned[..., top : top + side, left : left + side]


def resize(images: Tensor, input_size: int, statistics: PixelStatistics) -> Tensor:
    """Resize and normalize images, for validation and test.

    Args:
        images: (B, 3, size, size) uint8.
        input_size: side of the result in pixels.
        statistics: what to normalize by.

    Returns:
        (B, 3, input_size, input_size) float32, normalized, channels last in memory.
    """
    return resample_normalized(
        images,
        input_size,
        lambda chunk: interpolate(
            images[chunk].float(),
            size=(input_size, input_size),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        ),
        statistics,
    )


def resample_normalized(
    images: Tensor,
    input_size: int,
    resample: Callable[[slice], Tensor],
    statistics: PixelStatistics,
) -> Tensor:
    """Resample images in chunks, and normalize them.

    Args:
        images: (B, 3, size, size) uint8.
        input_size: side of the result in pixels.
        resample: gives the resampled images of a slice of the batch, (chunk, 3, input_size, input_size)
            float32.
        statistics: what to normalize by.

    Returns:
        (B, 3, input_size, input_size) float32, channels last in memory.
    """
    count, device = len(images), images.device
    mean, std = statistics
    scale, shift = (
        table.view(3, 1, 1).to(device, non_blocking=True)
        for table in (1 / (255 * std), -mean / std)
    )
    shape = (count, 3, input_size, input_size)
    result = torch.empty(shape, device=device, memory_format=torch.channels_last)
    chunk = CPU_CHUNK if device.type == "cpu" else count
    for start in range(0, count, chunk):
        some = slice(start, start + chunk)
        torch.addcmul(shift, resample(some), scale, out=result[some])
    return result
