"""The operators that mmdet's common detectors take from a compiled mmcv, computed by torchvision.

Each function keeps the signature of the operator it stands for: results are written into the
tensors that mmcv allocated, and tensors named columns, ones or argmax are its scratch space, unused here.
`galr.regions.extension` puts them where mmcv looks for them.
"""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
import torchvision.ops
from torch import Tensor

from galr.errors import ConfigError


def nms(boxes: Tensor, scores: Tensor, *, iou_threshold: float, offset: int) -> Tensor:
    """Indices of the boxes kept by greedy non-maximum suppression, best first.

    Args:
        boxes: (n, 4) x1 y1 x2 y2.
        scores: (n,).
        iou_threshold: a box that overlaps a kept one by more than this is dropped.
        offset: 0, or 1 where a box from 3 to 5 is three pixels wide.
    """
    return torchvision.ops.nms(_grown(boxes, offset), scores, iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    *,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft suppression (Bodla 2017): overlapping boxes lose score, and leave below `min_score`.

    Args:
        boxes: (n, 4) x1 y1 x2 y2.
        scores: (n,).
        dets: (n, 5), filled with the kept boxes and their lowered scores.
        iou_threshold: overlap from which methods 0 and 1 act.
        sigma: width of method 2's Gaussian of the overlap.
        min_score: a box whose score falls below is dropped; the best one never is.
        method: 0 drops, 1 lowers linearly, 2 lowers by a Gaussian.
        offset: as in `nms`.

    Returns:
        (kept,) int64 indices, best first.
    """
    grown, scores = _grown(boxes, offset), scores.clone()
    waiting, kept = torch.arange(len(boxes), device=boxes.device), list[int]()
    while len(waiting):
        best = waiting[scores[waiting].argmax()]
        dets[len(kept)] = torch.cat([boxes[best], scores[best, None]])
        kept.append(int(best))
        waiting = waiting[waiting != best]
        overlap = torchvision.ops.box_iou(grown[best, None], grown[waiting])[0]
        scores[waiting] *= _softening(overlap, iou_threshold, sigma, method)
        waiting = waiting[scores[waiting] >= min_score]
    return torch.tensor(kept, dtype=torch.int64, device=boxes.device)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    **how: Any,  # noqa: ANN401  see _roi_align
) -> None:
    """Average bilinear samples of (B, C, H, W) in each cell of each (row, x1, y1, x2, y2)."""
    output.copy_(_roi_align(input, rois, **how))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    **how: Any,  # noqa: ANN401  see _roi_align
) -> None:
    """The gradient of `roi_align_forward`, which is linear: any input will do."""
    store_gradients(
        lambda features: _roi_align(features, rois, **how),
        [torch.zeros_like(grad_input)],
        grad_output,
        [grad_input],
    )


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, *, gamma: float, alpha: float
) -> None:
    """Focal loss (Lin 2017) of each of (n, classes) logits.

    Args:
        input: (n, classes) logits.
        target: (n,) int64 class; `classes` stands for the background.
        weight: empty: a weight for each class is refused.
        output: (n, classes), filled.
        gamma: how much easy examples are played down.
        alpha: weight of the positive class in [0, 1].
    """
    output.copy_(_focal_loss(input, target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, *, gamma: float, alpha: float
) -> None:
    """The gradient of `sigmoid_focal_loss_forward` for a gradient of ones."""
    store_gradients(
        lambda logits: _focal_loss(logits, target, weight, gamma, alpha),
        [input],
        torch.ones_like(input),
        [grad_input],
    )


def refuse(operator: str, *_: object, **__: object) -> NoReturn:
    """Say which operator is missing and the way out.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(
        f"this detector needs mmcv's operator '{operator}', which torchvision does not have;"
        " choose another detector, or replace mmcv-lite by a compiled mmcv 2.1"
        " (MMCV_WITH_OPS=1, from source; it is used when it is there)"
    )


def _grown(boxes: Tensor, offset: int) -> Tensor:
    """Boxes whose last pixel is counted in, where `offset` is 1."""
    return torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)


def _softening(overlap: Tensor, iou_threshold: float, sigma: float, method: int) -> Tensor:
    """What a score is multiplied with, for each (n,) overlap with the box just kept."""
    if method == 2:
        return torch.exp(-(overlap**2) / sigma)
    touched = overlap >= iou_threshold
    return torch.where(touched, 1 - overlap if method == 1 else 0.0, 1.0)


def _roi_align(
    features: Tensor,
    rois: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> Tensor:
    """`torchvision.ops.roi_align` under mmcv's names; pool_mode 1 is the average, 0 the maximum."""
    if pool_mode == 0:
        refuse("roi_align with pool_mode 'max'")
    size = (aligned_height, aligned_width)
    return torchvision.ops.roi_align(features, rois, size, spatial_scale, sampling_ratio, aligned)


def _focal_loss(
    logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float
) -> Tensor:
    """`torchvision.ops.sigmoid_focal_loss` with the target as a class number."""
    if weight.numel():
        refuse("sigmoid_focal_loss with a weight for each class")
    classes = logits.shape[1]
    positive = torch.nn.functional.one_hot(target, classes + 1)[:, :classes].to(logits)
    return torchvision.ops.sigmoid_focal_loss(logits, positive, alpha, gamma)


def store_gradients(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    grad_output: Tensor,
    places: Sequence[Tensor],
) -> None:
    """Compute a function again and write its gradients where mmcv wants them."""
    with torch.enable_grad():
        leaves = [each.detach().requires_grad_() for each in inputs]
        found = torch.autograd.grad(function(*leaves), leaves, grad_output)
    for place, gradient in zip(places, found, strict=True):
        place.copy_(gradient)
