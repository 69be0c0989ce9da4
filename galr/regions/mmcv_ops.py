"""The operators that mmdet's common detectors take from a compiled mmcv, computed by torchvision.

Each function has the signature of the mmcv operator of the same name: its results are written into the tensors that
mmcv allocated, and scratch tensors are not used. `galr.regions.mmdet_imports` installs them.
"""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import torch
import torchvision.ops
from torch import Tensor

from galr.errors import ConfigError


def raise_missing(name: str, *_: object, **__: object) -> NoReturn:
    """Explain that an operator is missing.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(
        f"this detector needs mmcv's operator '{name}', which torchvision does not have;"
        " choose another detector, or replace mmcv-lite by a compiled mmcv 2.1"
        " (built from source with MMCV_WITH_OPS=1; it is used if it is installed)"
    )


def nms(boxes: Tensor, scores: Tensor, *, iou_threshold: float, offset: int) -> Tensor:
    """Suppress boxes that overlap a box of a higher score.

    Args:
        boxes: (boxes, 4) float, x1 y1 x2 y2.
        scores: (boxes,) float.
        iou_threshold: highest intersection over union of two boxes that are both kept, in [0, 1].
        offset: 0, or 1 if a box from 3 to 5 is three pixels wide.

    Returns:
        (kept,) int64 indices, in descending order of score.
    """
    return torchvision.ops.nms(_add_offset(boxes, offset), scores, iou_threshold)


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
    """Lower the scores of boxes that overlap a box of a higher score (Soft-NMS, Bodla 2017).

    Args:
        boxes: (boxes, 4) float, x1 y1 x2 y2.
        scores: (boxes,) float.
        dets: (boxes, 5) float, filled with the kept boxes and their lowered scores.
        iou_threshold: intersection over union from which methods 0 and 1 act.
        sigma: width of the Gaussian of method 2.
        min_score: a box is dropped when its score falls below; the best box never is.
        method: 0 drops, 1 lowers linearly, 2 lowers by a Gaussian of the overlap.
        offset: as for `nms`.

    Returns:
        (kept,) int64 indices, in descending order of lowered score.
    """
    enlarged, scores = _add_offset(boxes, offset), scores.clone()
    remaining, kept = torch.arange(len(boxes), device=boxes.device), list[int]()
    while len(remaining):
        best = remaining[scores[remaining].argmax()]
        dets[len(kept)] = torch.cat([boxes[best], scores[best, None]])
        kept.append(int(best))
        remaining = remaining[remaining != best]
        iou = torchvision.ops.box_iou(enlarged[best, None], enlarged[remaining])[0]
        if method == 2:
            scores[remaining] *= torch.exp(-(iou**2) / sigma)
        else:
            factor = 1 - iou if method == 1 else 0.0
            scores[remaining] *= torch.where(iou >= iou_threshold, factor, 1.0)
        remaining = remaining[scores[remaining] >= min_score]
    return torch.tensor(kept, dtype=torch.int64, device=boxes.device)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    *scratch: Tensor,
    **options: Any,  # noqa: ANN401  see _roi_align
) -> None:
    """Average bilinear samples of a feature map in each cell of each box (He 2017).

    Args:
        input: (images, channels, height, width) float.
        rois: (boxes, 5) float: index of the image, x1 y1 x2 y2.
        output: (boxes, channels, aligned_height, aligned_width) float, filled.
        scratch: not used.
        options: see `_roi_align`.
    """
    output.copy_(_roi_align(input, rois, **options))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    **options: Any,  # noqa: ANN401  see _roi_align
) -> None:
    """Fill the gradient of `roi_align_forward`, a linear function, so that any input will do."""
    any_input = torch.zeros_like(grad_input)
    store_gradients(
        lambda features: _roi_align(features, rois, **options),
        [any_input],
        grad_output,
        [grad_input],
    )


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, *, gamma: float, alpha: float
) -> None:
    """Compute the focal loss (Lin 2017) of each logit.

    Args:
        input: (boxes, classes) float logits.
        target: (boxes,) int64 class; `classes` is the background.
        weight: must be empty: weights of classes are not supported.
        output: (boxes, classes) float, filled.
        gamma: how much the loss of easy examples is reduced.
        alpha: weight of the positive class in [0, 1].
    """
    output.copy_(_focal_loss(input, target, weight, gamma, alpha))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, *, gamma: float, alpha: float
) -> None:
    """Fill the gradient of the sum of `sigmoid_focal_loss_forward`."""
    store_gradients(
        lambda logits: _focal_loss(logits, target, weight, gamma, alpha),
        [input],
        torch.ones_like(input),
        [grad_input],
    )


def store_gradients(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    grad_output: Tensor,
    grad_inputs: Sequence[Tensor],
) -> None:
    """Compute a function again and write its gradients where mmcv expects them.

    Args:
        function: takes the inputs and returns one tensor.
        inputs: any shapes, float.
        grad_output: the gradient with respect to the function's result, of the same shape.
        grad_inputs: of the shapes of the inputs; filled.
    """
    with torch.enable_grad():
        leaves = [each.detach().requires_grad_() for each in inputs]
        gradients = torch.autograd.grad(function(*leaves), leaves, grad_output)
    for target, gradient in zip(grad_inputs, gradients, strict=True):
        target.copy_(gradient)


def _add_offset(boxes: Tensor, offset: int) -> Tensor:
    """Move the far corners of (boxes, 4) boxes by `offset` pixels."""
    return torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)


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
    """Call `torchvision.ops.roi_align` with mmcv's names; pool_mode 1 is the average, 0 the maximum."""
    if pool_mode == 0:
        raise_missing("roi_align with pool_mode 'max'")
    size = (aligned_height, aligned_width)
    return torchvision.ops.roi_align(features, rois, size, spatial_scale, sampling_ratio, aligned)


def _focal_loss(
    logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float
) -> Tensor:
    """Call `torchvision.ops.sigmoid_focal_loss` with a class number as the target."""
    if weight.numel():
        raise_missing("sigmoid_focal_loss with a weight for each class")
    classes = logits.shape[1]
    positive = torch.nn.functional.one_hot(target, classes + 1)[:, :classes].to(logits)
    return torchvision.ops.sigmoid_focal_loss(logits, positive, alpha, gamma)
