"""The operators that mmdet's common detectors take from a compiled mmcv, computed by torchvision.

Each function keeps the signature of the operator it stands for: results are written into the
tensors that mmcv allocated, and tensors named columns, ones or argmax are its scratch space, unused here.
`galr.regions.mmdet_imports` puts them where mmcv looks for them.

The deformable operators of a compiled mmcv, computed by torchvision and by mmcv's own PyTorch.

As in `galr.regions.mmcv_ops`, signatures are mmcv's and results go into the tensors it allocated.
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
    return torchvision.ops.nms(_with_last_pixel(boxes, offset), scores, iou_threshold)


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
    enlarged, scores = _with_last_pixel(boxes, offset), scores.clone()
    remaining, kept = torch.arange(len(boxes), device=boxes.device), list[int]()
    while len(remaining):
        best = remaining[scores[remaining].argmax()]
        dets[len(kept)] = torch.cat([boxes[best], scores[best, None]])
        kept.append(int(best))
        remaining = remaining[remaining != best]
        overlap = torchvision.ops.box_iou(enlarged[best, None], enlarged[remaining])[0]
        scores[remaining] *= _score_factor(overlap, iou_threshold, sigma, method)
        remaining = remaining[scores[remaining] >= min_score]
    return torch.tensor(kept, dtype=torch.int64, device=boxes.device)


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    **options: Any,  # noqa: ANN401  see _roi_align
) -> None:
    """Average bilinear samples of (B, C, H, W) in each cell of each (row, x1, y1, x2, y2)."""
    output.copy_(_roi_align(input, rois, **options))


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    **options: Any,  # noqa: ANN401  see _roi_align
) -> None:
    """The gradient of `roi_align_forward`, which is linear: any input will do."""
    store_gradients(
        lambda features: _roi_align(features, rois, **options),
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


def raise_missing(name: str, *_: object, **__: object) -> NoReturn:
    """Say which operator is missing and the way out.

    Raises:
        ConfigError: always.
    """
    raise ConfigError(
        f"this detector needs mmcv's operator '{name}', which torchvision does not have;"
        " choose another detector, or replace mmcv-lite by a compiled mmcv 2.1"
        " (MMCV_WITH_OPS=1, from source; it is used when it is there)"
    )


def _with_last_pixel(boxes: Tensor, offset: int) -> Tensor:
    """Boxes whose last pixel is counted in, where `offset` is 1."""
    return torch.cat([boxes[:, :2], boxes[:, 2:] + offset], dim=1)


def _score_factor(overlap: Tensor, iou_threshold: float, sigma: float, method: int) -> Tensor:
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
        raise_missing("roi_align with pool_mode 'max'")
    size = (aligned_height, aligned_width)
    return torchvision.ops.roi_align(features, rois, size, spatial_scale, sampling_ratio, aligned)


def _focal_loss(
    logits: Tensor, target: Tensor, weight: Tensor, gamma: float, alpha: float
) -> Tensor:
    """`torchvision.ops.sigmoid_focal_loss` with the target as a class number."""
    if weight.numel():
        raise_missing("sigmoid_focal_loss with a weight for each class")
    classes = logits.shape[1]
    positive = torch.nn.functional.one_hot(target, classes + 1)[:, :classes].to(logits)
    return torchvision.ops.sigmoid_focal_loss(logits, positive, alpha, gamma)


def store_gradients(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    grad_output: Tensor,
    outputs: Sequence[Tensor],
) -> None:
    """Compute a function again and write its gradients where mmcv wants them."""
    with torch.enable_grad():
        leaves = [each.detach().requires_grad_() for each in inputs]
        gradients_ = torch.autograd.grad(function(*leaves), leaves, grad_output)
    for place, gradient in zip(outputs, gradients_, strict=True):
        place.copy_(gradient)


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **options: int,
) -> None:
    """Deformable convolution (Dai 2017): each tap of the kernel reads at its own offset."""
    output.copy_(_deform_conv(input, offset, weight, **options))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **options: int,
) -> None:
    """Gradients of `deform_conv_forward` with respect to features and offsets."""
    store_gradients(
        lambda features, shift: _deform_conv(features, shift, weight, **options),
        [input, offset],
        grad_output,
        [grad_input, grad_offset],
    )


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    *,
    scale: float,
    **options: int,
) -> None:
    """Gradient of `deform_conv_forward` with respect to the weights, times `scale`."""
    store_gradients(
        lambda weight: _deform_conv(input, offset, weight, **options),
        [torch.zeros_like(grad_weight)],  # linear in the weights: any will do
        grad_output * scale,
        [grad_weight],
    )


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    *,
    with_bias: bool,
    **options: int,
) -> None:
    """Deformable convolution whose taps are also weighted by a mask (Zhu 2019)."""
    given = [bias] if with_bias else []
    output.copy_(_modulated_deform_conv(**options)(input, offset, mask, weight, *given))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    *,
    with_bias: bool,
    **options: int,
) -> None:
    """All gradients of `modulated_deform_conv_forward`."""
    inputs, places = (
        [input, offset, mask, weight],
        [grad_input, grad_offset, grad_mask, grad_weight],
    )
    if with_bias:
        inputs, places = [*inputs, bias], [*places, grad_bias]
    store_gradients(_modulated_deform_conv(**options), inputs, grad_output, places)


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    *,
    im2col_step: int,
) -> Tensor:
    """Multi-scale deformable attention (Zhu 2021), by mmcv's own definition in PyTorch."""
    return _deformable_attention(value, spatial_shapes, sampling_locations, attention_weights)


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    *,
    im2col_step: int,
) -> None:
    """All gradients of `ms_deform_attn_forward`."""
    store_gradients(
        lambda value, places, weights: _deformable_attention(
            value, spatial_shapes, places, weights
        ),
        [value, sampling_locations, attention_weights],
        grad_output,
        [grad_value, grad_sampling_loc, grad_attn_weight],
    )


def _deform_conv(
    features: Tensor,
    offset: Tensor,
    weight: Tensor,
    *,
    dH: int,
    dW: int,
    padH: int,
    padW: int,
    dilationH: int,
    dilationW: int,
    **read_from_shapes: int,  # kernel size and groups, which torchvision reads from the tensors
) -> Tensor:
    """`torchvision.ops.deform_conv2d` under the names of mmcv's first version."""
    return torchvision.ops.deform_conv2d(
        features, offset, weight, None, (dH, dW), (padH, padW), (dilationH, dilationW)
    )


def _modulated_deform_conv(
    *,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    **read_from_shapes: int,  # as in _deform_conv
) -> Callable[..., Tensor]:
    """`torchvision.ops.deform_conv2d` under the names of mmcv's second version, which has a mask."""

    def convolve(
        features: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        stride, padding, dilation = (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w)
        return torchvision.ops.deform_conv2d(
            features, offset, weight, bias, stride, padding, dilation, mask
        )

    return convolve


def _deformable_attention(
    value: Tensor, spatial_shapes: Tensor, sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """What mmcv itself computes where it finds no GPU."""
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    return multi_scale_deformable_attn_pytorch(
        value, spatial_shapes, sampling_locations, attention_weights
    )
