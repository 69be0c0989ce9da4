"""From stored uint8 pictures to what the network sees; all of it in batches, on the device.

Regions follow the picture: where it is turned and cropped, so are its boxes, and the edges between them.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from galr.graphs.detections import BOX_FEATURES, MIN_SIZE
from galr.graphs.edges import EdgeConfig, adjacency_matrix
from galr.model.galr import GraphBatch

IMAGENET_MEAN, IMAGENET_STD = (
    (0.485, 0.456, 0.406),
    (0.229, 0.224, 0.225),
)  # ImageNet's, as in METHOD 1
CPU_CHUNK = (
    4  # pictures a CPU resamples at a time: they stay in its cache, and it takes half as long
)


class ViewParams(NamedTuple):
    """How a batch of square pictures is turned and cropped.

    A place p of the view, from -1 to 1 across, shows the place turn · (share · p + shift) of the picture.
    """

    rotation: Tensor  # (B, 2, 2) float, rotation
    offset: Tensor  # (B, 2) float, the crop's centre in the turned picture
    crop_fraction: float  # side of the crop over side of the picture, at most 1


def sample_views(
    count: int, crop_fraction: float, max_rotation: float, generator: torch.Generator
) -> ViewParams:
    """Draw an angle in [0, degrees] and a crop inside the picture's side for each of a batch (METHOD 1).

    Args:
        count: B.
        share: side of the crop over side of the picture, at most 1.
        degrees: largest angle.
        generator: of random numbers, on the CPU whatever the device, so that all devices draw alike.
    """
    angle = torch.rand(count, generator=generator) * max_rotation * torch.pi / 180
    shift = (torch.rand(count, 2, generator=generator) * 2 - 1) * (1 - crop_fraction)
    turn = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1).view(-1, 2, 2)
    return ViewParams(turn, shift, crop_fraction)


def rotate_crop(images: Tensor, views: ViewParams, input_size: int) -> Tensor:
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
    affine = torch.cat([turn * share, centre], dim=2).to(images.device, non_blocking=True)
    return _resample_normalized(
        images,
        input_size,
        lambda some: grid_sample(
            images[some].float(), _sampling_grid(affine[some], input_size), align_corners=False
        ),
    )


def resize(images: Tensor, input_size: int) -> Tensor:
    """Resize, for validation and test.

    Args:
        pictures: (B, 3, size, size) uint8.
        crop: size of the result in pixels.

    Returns:
        (B, 3, crop, crop) float32, normalised, channels last in memory.
    """
    return _resample_normalized(
        images,
        input_size,
        lambda some: interpolate(
            images[some].float(),
            size=(input_size, input_size),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        ),
    )


def _sampling_grid(affine: Tensor, input_size: int) -> Tensor:
    """Where each pixel of a crop lies in its picture, from -1 to 1: (B, 2, 3) → (B, crop, crop, 2) of x and y.

    Sums alone: a matrix product would be rounded where training runs in bfloat16 or TF32.
    """
    middle = torch.linspace(
        1 / input_size - 1, 1 - 1 / input_size, input_size, device=affine.device
    )
    by_x, by_y, origin = affine[:, None, None].unbind(-1)  # (B, 1, 1, 2) each
    return middle.view(1, 1, -1, 1) * by_x + (middle.view(1, -1, 1, 1) * by_y + origin)


def _resample_normalized(
    images: Tensor, input_size: int, resample: Callable[[slice], Tensor]
) -> Tensor:
    """Resample pictures by portions, and give them zero mean and unit spread by ImageNet's statistics."""
    count, device = len(images), images.device
    mean, spread = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
    scale, offset = (
        each.view(3, 1, 1).to(device, non_blocking=True)
        for each in (1 / (255 * spread), -mean / spread)
    )
    result = torch.empty(
        (count, 3, input_size, input_size), device=device, memory_format=torch.channels_last
    )
    portion = CPU_CHUNK if device.type == "cpu" else count
    for start in range(0, count, portion):
        some = slice(start, start + portion)
        torch.addcmul(offset, resample(some), scale, out=result[some])
    return result


def transform_graph(graph: GraphBatch, views: ViewParams, edges: EdgeConfig) -> GraphBatch:
    """Turn and crop the regions as their pictures are, and weigh their edges anew (our reconstruction).

    A box becomes the smallest upright one around the turned one, cut at the crop's border; a region that
    no longer shows is left out, and the others close up. It is what DREA would make of the moved boxes, on the
    device and for a batch at once.

    Args:
        graph: of B pictures, its representation ending in score and box as DREA writes it.
        views: of the same B pictures, on the CPU.
        edges: how DREA weighed the edges.

    Returns:
        The moved graph: same shapes, rows of what no longer shows are padding at the end.
    """
    representation, _, mask = graph
    boxes = transform_boxes(representation[..., -len(BOX_FEATURES) :], views)
    mask = mask & (boxes[..., 2:] > MIN_SIZE).all(dim=-1)
    order = (
        (~mask).to(torch.uint8).argsort(dim=1, stable=True)
    )  # what shows first, else as it stood
    mask = mask.gather(1, order)
    rows = torch.cat([representation[..., : -len(BOX_FEATURES)], boxes], dim=-1)
    rows = rows.gather(1, order.unsqueeze(2).expand_as(rows)) * mask.unsqueeze(2)
    laid = torch.where(mask, rows[..., -len(BOX_FEATURES) :].movedim(-1, 0), 1.0)  # no box is empty
    score = rows[..., -len(BOX_FEATURES) - 1]
    return GraphBatch(rows, adjacency_matrix(laid, score, mask, edges), mask)


def transform_boxes(boxes: Tensor, views: ViewParams) -> Tensor:
    """Turn boxes with their pictures, take the upright hull, and cut it at the crop's border.

    Args:
        boxes: (B, n, 4) centre x, y, width and height in units of the picture.
        views: of the B pictures.

    Returns:
        (B, n, 4) the same in units of the crop; no wider or no higher than 0 where nothing shows.
    """
    turn, shift = views.rotation.to(boxes), views.offset.to(boxes)
    place = (boxes[..., :2] * 2 - 1) @ turn  # a row times the rotation turns back
    centre = (place - shift.unsqueeze(1)) / views.crop_fraction  # from -1 to 1 across the crop
    half = boxes[..., 2:] @ turn.abs() / views.crop_fraction
    low, high = (side.clamp(-1, 1) for side in (centre - half, centre + half))
    return torch.cat([(low + high + 2) / 4, (high - low) / 2], dim=-1)
