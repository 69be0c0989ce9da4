"""The deformable operators of a compiled mmcv, computed by torchvision and by mmcv's own PyTorch.

As in `galr.regions.operators`, signatures are mmcv's and results go into the tensors it allocated.
"""

from collections.abc import Callable

import torch
import torchvision.ops
from torch import Tensor

from galr.regions.operators import store_gradients


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **how: int,
) -> None:
    """Deformable convolution (Dai 2017): each tap of the kernel reads at its own offset."""
    output.copy_(_deform_conv(input, offset, weight, **how))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **how: int,
) -> None:
    """Gradients of `deform_conv_forward` with respect to features and offsets."""
    store_gradients(
        lambda features, shift: _deform_conv(features, shift, weight, **how),
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
    **how: int,
) -> None:
    """Gradient of `deform_conv_forward` with respect to the weights, times `scale`."""
    store_gradients(
        lambda weight: _deform_conv(input, offset, weight, **how),
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
    **how: int,
) -> None:
    """Deformable convolution whose taps are also weighted by a mask (Zhu 2019)."""
    given = [bias] if with_bias else []
    output.copy_(_modulated_deform_conv(**how)(input, offset, mask, weight, *given))


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
    **how: int,
) -> None:
    """All gradients of `modulated_deform_conv_forward`."""
    inputs, places = (
        [input, offset, mask, weight],
        [grad_input, grad_offset, grad_mask, grad_weight],
    )
    if with_bias:
        inputs, places = [*inputs, bias], [*places, grad_bias]
    store_gradients(_modulated_deform_conv(**how), inputs, grad_output, places)


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
