"""From stored uint8 images to the model's input, in batches on the device; regions follow their image."""

import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from galr.features.views import TURNS, ViewParams, resample_normalized
from galr.graphs.detections import BOX_FEATURES, MIN_SIZE
from galr.graphs.edges import EdgeConfig, adjacency_matrix
from galr.model.galr import GraphBatch, PixelStatistics


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
    return ViewParams(rotation.view(-1, 2, 2), offset, torch.full((count,), crop_fraction))


def sample_turns(count: int, min_crop: float, generator: torch.Generator) -> ViewParams:
    """Sample a quarter turn, mirrored or not, and a crop of any size for each image of a batch (our extension).

    An aerial image has no upper side: turned and mirrored it is as likely as before, and a quarter turn uncovers
    no corners.

    Args:
        count: B, images in the batch.
        min_crop: smallest side of a crop over side of the image, in (0, 1].
        generator: random generator on the CPU, whatever the device, so that all devices sample alike.
    """
    rotation = TURNS[torch.randint(len(TURNS), (count,), generator=generator)]
    crop_fraction = min_crop + (1 - min_crop) * torch.rand(count, generator=generator)
    free = (1 - crop_fraction).unsqueeze(1)
    offset = (torch.rand(count, 2, generator=generator) * 2 - 1) * free
    return ViewParams(rotation, offset, crop_fraction)


def rotate_crop(
    images: Tensor, views: ViewParams, input_size: int, statistics: PixelStatistics
) -> Tensor:
    """Rotate, crop and normalize images, with a single resampling.

    Corners that the rotation uncovers are black before normalization. Computed in float32 whatever the
    precision of training: coordinates rounded to bfloat16 would be off by half a pixel.

    Args:
        images: (B, 3, size, size) uint8.
        views: of the same B images, on the CPU.
        input_size: side of the result in pixels.
        statistics: what to normalize by.

    Returns:
        (B, 3, input_size, input_size) float32, normalized, channels last in memory.
    """
    rotation, offset, crop_fraction = views
    centre = (rotation * offset.unsqueeze(1)).sum(dim=2, keepdim=True)  # (B, 2, 1), of the crop
    affine = torch.cat([rotation * crop_fraction.view(-1, 1, 1), centre], dim=2)
    affine = affine.to(images.device, non_blocking=True)
    return resample_normalized(
        images,
        input_size,
        lambda chunk: grid_sample(
            images[chunk].float(), _sampling_grid(affine[chunk], input_size), align_corners=False
        ),
        statistics,
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
    fraction = views.crop_fraction.to(boxes).view(-1, 1, 1)
    centre = (centre - offset.unsqueeze(1)) / fraction  # from -1 to 1 across the crop
    half = boxes[..., 2:] @ rotation.abs() / fraction
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
