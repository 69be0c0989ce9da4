"""The deformable operators of a compiled mmcv, computed by torchvision's `deform_conv2d`.

Signatures are mmcv's, as in `galr.regions.mmcv_ops`. Deformable attention, which torchvision does not have, is mmcv's
own PyTorch function: DINO needs the operator on a GPU.
"""

from collections.abc import Callable

import torch
import torchvision.ops
from torch import Tensor

from galr.regions.mmcv_ops import store_gradients


def deform_conv_forward(
    input: Tensor, weight: Tensor, offset: Tensor, output: Tensor, *scratch: Tensor, **options: int
) -> None:
    """Convolve with an offset for each tap of the kernel at each position (Dai 2017).

    Args:
        input: (images, channels, height, width) float.
        weight: (out channels, channels / groups, kernel height, kernel width) float.
        offset: (images, 2 * taps * offset groups, out height, out width) float, y and x of each tap in pixels.
        output: (images, out channels, out height, out width) float, filled.
        scratch: not used.
        options: see `_deform_conv`.
    """
    output.copy_(_deform_conv(**options)(input, offset, weight))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    *scratch: Tensor,
    **options: int,
) -> None:
    """Fill the gradients of `deform_conv_forward` with respect to input and offsets."""
    convolve = _deform_conv(**options)
    store_gradients(
        lambda features, shift: convolve(features, shift, weight),
        [input, offset],
        grad_output,
        [grad_input, grad_offset],
    )


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    *scratch: Tensor,
    scale: float,
    **options: int,
) -> None:
    """Fill the gradient of `deform_conv_forward`, which is linear in the weights, times `scale`."""
    convolve, any_weight = _deform_conv(**options), torch.zeros_like(grad_weight)
    store_gradients(
        lambda weight: convolve(input, offset, weight),
        [any_weight],
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
    *scratch: Tensor,
    with_bias: bool,
    **options: int,
) -> None:
    """Convolve as `deform_conv_forward`, with a weight for each tap at each position too (Zhu 2019).

    Args:
        input: as for `deform_conv_forward`, like weight, offset and output.
        weight: see there.
        bias: (out channels,) float.
        ones: not used, like scratch.
        offset: see there.
        mask: (images, taps * offset groups, out height, out width) float in [0, 1].
        output: see there.
        scratch: not used.
        with_bias: whether the bias is added.
        options: see `_modulated_deform_conv`.
    """
    inputs = [input, offset, mask, weight, *([bias] if with_bias else [])]
    output.copy_(_modulated_deform_conv(**options)(*inputs))


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
    """Fill all gradients of `modulated_deform_conv_forward`."""
    inputs = [input, offset, mask, weight, *([bias] if with_bias else [])]
    outputs = [grad_input, grad_offset, grad_mask, grad_weight, *([grad_bias] if with_bias else [])]
    store_gradients(_modulated_deform_conv(**options), inputs, grad_output, outputs)


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    *,
    im2col_step: int,
) -> Tensor:
    """Compute multi-scale deformable attention (Zhu 2021).

    Args:
        value: (images, pixels of all levels, heads, channels) float.
        spatial_shapes: (levels, 2) int64, height and width.
        level_start_index: not used, like im2col_step.
        sampling_locations: (images, queries, heads, levels, points, 2) float, x and y in [0, 1].
        attention_weights: (images, queries, heads, levels, points) float.
        im2col_step: not used.

    Returns:
        (images, queries, heads * channels) float.
    """
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
    """Fill all gradients of `ms_deform_attn_forward`."""
    store_gradients(
        lambda value, locations, weights: _deformable_attention(
            value, spatial_shapes, locations, weights
        ),
        [value, sampling_locations, attention_weights],
        grad_output,
        [grad_value, grad_sampling_loc, grad_attn_weight],
    )


def _deform_conv(
    *, dH: int, dW: int, padH: int, padW: int, dilationH: int, dilationW: int, **_: int
) -> Callable[..., Tensor]:
    """Return `deform_conv2d` of (input, offset, weight) with the options of mmcv's deform_conv.

    torchvision reads the other options, kernel size and groups, from the shapes.
    """
    geometry = (dH, dW), (padH, padW), (dilationH, dilationW)

    def convolve(input: Tensor, offset: Tensor, weight: Tensor) -> Tensor:
        return torchvision.ops.deform_conv2d(input, offset, weight, None, *geometry)

    return convolve


def _modulated_deform_conv(
    *,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    **_: int,
) -> Callable[..., Tensor]:
    """Return `deform_conv2d` of (input, offset, mask, weight, bias) with mmcv's options; the bias is optional."""
    geometry = (stride_h, stride_w), (pad_h, pad_w), (dilation_h, dilation_w)

    def convolve(
        input: Tensor, offset: Tensor, mask: Tensor, weight: Tensor, bias: Tensor | None = None
    ) -> Tensor:
        return torchvision.ops.deform_conv2d(input, offset, weight, bias, *geometry, mask)

    return convolve


def _deformable_attention(
    value: Tensor, spatial_shapes: Tensor, sampling_locations: Tensor, attention_weights: Tensor
) -> Tensor:
    """Call the function that mmcv itself uses without a GPU."""
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    return multi_scale_deformable_attn_pytorch(
        value, spatial_shapes, sampling_locations, attention_weights
    )
