"""From stored uint8 images to the model's input, in batches on the device; regions follow their image."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from galr.graphs.detections import BOX_FEATURES, MIN_SIZE
from galr.graphs.edges import EdgeConfig, adjacency_matrix
from galr.model.galr import GraphBatch

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CPU_CHUNK = 4  # images a CPU resamples at a time; they stay in its cache, which halves the time


class ViewParams(NamedTuple):
    """Random rotation and crop of each image of a batch.

    The point p of the crop, with coordinates from -1 to 1, shows the point
    rotation · (crop_fraction · p + offset) of the image.
    """

    rotation: Tensor  # (B, 2, 2) float, rotation matrices
    offset: Tensor  # (B, 2) float, the crop's centre in the rotated image, x and y from -1 to 1
    crop_fraction: float  # side of the crop over side of the image, at most 1


def sample_views(
    count: int, crop_fraction: float, max_rotation: float, generator: torch.Generator
) -> ViewParams:
    """Sample a rotation in [0, max_rotation] and a crop within the image's side for each image of a batch.

    The released code rotates by up to 90° and crops 256 of 278 pixels.

    Args:
        count: B, images in the batch.
        crop_fraction: side of the crop over side of the image, at most 1.
        max_rotation: largest angle in degrees.
        generator: random generator on the CPU, whatever the device, so that all devices sample alike.
    """
    angle = torch.rand(count, generator=generator) * max_rotation * torch.pi / 180
    offset = (torch.rand(count, 2, generator=generator) * 2 - 1) * (1 - crop_fraction)
    rotation = torch.stack([angle.cos(), -angle.sin(), angle.sin(), angle.cos()], dim=1)
    return ViewParams(rotation.view(-1, 2, 2), offset, crop_fraction)


def rotate_crop(images: Tensor, views: ViewParams, input_size: int) -> Tensor:
    """Rotate, crop and normalize images, with a single resampling.

    Corners that the rotation uncovers are black before normalization. Computed in float32 whatever the
    precision of training: coordinates rounded to bfloat16 would be off by half a pixel.

    Args:
        images: (B, 3, size, size) uint8.
        views: of the same B images, on the CPU.
        input_size: side of the result in pixels.

    Returns:
        (B, 3, input_size, input_size) float32, normalized, channels last in memory.
    """
    rotation, offset, crop_fraction = views
    centre = (rotation * offset.unsqueeze(1)).sum(dim=2, keepdim=True)  # (B, 2, 1), of the crop
    affine = torch.cat([rotation * crop_fraction, centre], dim=2)
    affine = affine.to(images.device, non_blocking=True)
    return _resample_normalized(
        images,
        input_size,
        lambda chunk: grid_sample(
            images[chunk].float(), _sampling_grid(affine[chunk], input_size), align_corners=False
        ),
    )


def resize(images: Tensor, input_size: int) -> Tensor:
    """Resize and normalize images, for validation and test.

    Args:
        images: (B, 3, size, size) uint8.
        input_size: side of the result in pixels.

    Returns:
        (B, 3, input_size, input_size) float32, normalized, channels last in memory.
    """
    return _resample_normalized(
        images,
        input_size,
        lambda chunk: interpolate(
            images[chunk].float(),
            size=(input_size, input_size),
            mode="bilinear",
            align_corners=False,
            antialias=True,
        ),
    )


def transform_graph(graph: GraphBatch, views: ViewParams, edges: EdgeConfig) -> GraphBatch:
    """Rotate and crop regions with their images, and recompute their edges (our reconstruction).

    The released code leaves boxes where they are (`docs/how/reconstructed.md`). Here a box becomes the smallest
    upright box around the rotated one, cut at the crop's border. Regions outside the crop are removed, and the
    rows after them move up. The result is the graph that DREA gives for the transformed boxes, computed for the
    whole batch on the device.

    Args:
        graph: of B images; its representation ends in score and box, as DREA writes it.
        views: of the same B images, on the CPU.
        edges: how DREA weighs edges.

    Returns:
        The transformed graph in the same shapes; rows of removed regions are padding at the end.
    """
    representation, _, mask = graph
    boxes = transform_boxes(representation[..., -len(BOX_FEATURES) :], views)
    mask = mask & (boxes[..., 2:] > MIN_SIZE).all(dim=-1)
    # Rows with a region come first; both kinds of rows keep their order.
    order = (~mask).to(torch.uint8).argsort(dim=1, stable=True)
    mask = mask.gather(1, order)
    rows = torch.cat([representation[..., : -len(BOX_FEATURES)], boxes], dim=-1)
    rows = rows.gather(1, order.unsqueeze(2).expand_as(rows)) * mask.unsqueeze(2)
    box_numbers = torch.where(
        mask, rows[..., -len(BOX_FEATURES) :].movedim(-1, 0), 1.0
    )  # none is empty
    score = rows[..., -len(BOX_FEATURES) - 1]
    return GraphBatch(rows, adjacency_matrix(box_numbers, score, mask, edges), mask)


def transform_boxes(boxes: Tensor, views: ViewParams) -> Tensor:
    """Rotate boxes with their images, take the upright hull, and cut it at the crop's border.

    Args:
        boxes: (B, n, 4) float, centre x, centre y, width and height in fractions of the image's side.
        views: of the B images.

    Returns:
        (B, n, 4) the same in fractions of the crop's side; width or height is 0 or less outside the crop.
    """
    rotation, offset = views.rotation.to(boxes), views.offset.to(boxes)
    # A row times the rotation matrix rotates back.
    centre = (boxes[..., :2] * 2 - 1) @ rotation
    centre = (centre - offset.unsqueeze(1)) / views.crop_fraction  # from -1 to 1 across the crop
    half = boxes[..., 2:] @ rotation.abs() / views.crop_fraction
    low, high = (corner.clamp(-1, 1) for corner in (centre - half, centre + half))
    return torch.cat([(low + high + 2) / 4, (high - low) / 2], dim=-1)


def _sampling_grid(affine: Tensor, input_size: int) -> Tensor:
    """Coordinates in the image of each pixel of the crop.

    Sums of products alone: a matrix product would be rounded where training runs in bfloat16 or TF32.

    Args:
        affine: (B, 2, 3) float.
        input_size: side of the crop in pixels.

    Returns:
        (B, input_size, input_size, 2) float, x and y from -1 to 1.
    """
    last = 1 - 1 / input_size
    centres = torch.linspace(-last, last, input_size, device=affine.device)
    by_x, by_y, origin = affine[:, None, None].unbind(-1)  # (B, 1, 1, 2) each
    return centres.view(1, 1, -1, 1) * by_x + (centres.view(1, -1, 1, 1) * by_y + origin)


def _resample_normalized(
    images: Tensor, input_size: int, resample: Callable[[slice], Tensor]
) -> Tensor:
    """Resample images in chunks, and normalize them by ImageNet's statistics.

    Args:
        images: (B, 3, size, size) uint8.
        input_size: side of the result in pixels.
        resample: gives the resampled images of a slice of the batch, (chunk, 3, input_size, input_size)
            float32.

    Returns:
        (B, 3, input_size, input_size) float32, channels last in memory.
    """
    count, device = len(images), images.device
    mean, std = torch.tensor(IMAGENET_MEAN), torch.tensor(IMAGENET_STD)
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
