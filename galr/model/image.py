"""Global branch: a timm network, and one feature of the image out of its maps (MVSA, or the pooled last map)."""

from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize

from galr.errors import ConfigError
from galr.model.encoder_sources import unknown_backbone
from galr.model.heads import ProjectionHead

REDUCTIONS = (4, 8, 16, 32)  # of the four maps: side of the image over side of the map


class MVSA(nn.Module):
    r"""Multiscale visual self-attention: one feature of the whole image.

    Low and high levels of the backbone are fused into six maps on one grid; a gate over that grid is computed
    from them and weighs a projection of the last level:

    .. math::
        L = conv_{3 \times 3, stride 4}[f_1, up(f_2)],\quad H = conv_{1 \times 1}[f_3, up(f_4)],\quad
        Z = [L, H] + mean_{channels}(H)

        g = \ell_2\bigl(W_s\, mean_{space}(f_4) \cdot
        \sigma(W_g\, flatten(conv(Z) \cdot \sigma(conv(Z))))\bigr)

    As in the released code, up repeats each value, and the convolution of the low levels has no padding: its
    windows of 3 by 3, 4 apart, leave out every fourth row and column.
    Source: figure 3 of the paper; `docs/how/figure.md`, section Global feature.

    Shapes:
        - **pixels:** :math:`(B, 3, S, S)` float, normalised, S = `input_size`
        - **output:** :math:`(B, embed\_dim)` float, rows of length 1

    Args:
        backbone: timm's name of the network, see `Backbone`.
        input_size: height and width of the images in pixels, a multiple of 32.
        embed_dim: width of the output.

    Raises:
        ConfigError: the network does not exist or has no such maps, or the size is not a multiple of 32.
    """

    def __init__(self, backbone: str, input_size: int, embed_dim: int) -> None:
        super().__init__()
        if input_size % 32:
            raise ConfigError(f"model.input_size must be a multiple of 32, got {input_size}")
        self.backbone = Backbone(backbone, pyramid=True)
        c1, c2, c3, c4 = self.backbone.channels
        self.low_level = nn.Conv2d(c1 + c2, 3, kernel_size=3, stride=4)
        self.high_level = nn.Conv2d(c3 + c4, 3, kernel_size=1)
        self.spatial_value = nn.Conv2d(6, 1, kernel_size=1)
        self.spatial_attention = nn.Conv2d(6, 1, kernel_size=1)
        self.global_proj = nn.Linear(c4, embed_dim)
        self.gate = nn.Linear((input_size // 16) ** 2, embed_dim)

    def features(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Compute what the backbone says of each image: all that can be computed once where it is frozen.

        Args:
            pixels: (B, 3, input_size, input_size) float, normalised by the backbone's statistics.

        Returns:
            Four maps (B, C_k, S / 2**(k+1), S / 2**(k+1)) float, k = 1..4.
        """
        return self.backbone(pixels)

    def forward(self, f1: Tensor, f2: Tensor, f3: Tensor, f4: Tensor) -> Tensor:
        """Compute the global feature of each image.

        Args:
            f1: (B, C_1, S/4, S/4) float, the first map of `features`.
            f2: (B, C_2, S/8, S/8) float, the second.
            f3: (B, C_3, S/16, S/16) float, the third.
            f4: (B, C_4, S/32, S/32) float, the last.

        Returns:
            (B, embed_dim) float, rows of length 1.
        """
        low = self.low_level(torch.cat([f1, _upsample2x(f2)], dim=1))  # (B, 3, S/16, S/16)
        high = self.high_level(torch.cat([f3, _upsample2x(f4)], dim=1))
        maps = torch.cat([low, high], dim=1) + high.mean(dim=1, keepdim=True)  # (B, 6, S/16, S/16)
        spatial_map = self.spatial_value(maps) * self.spatial_attention(maps).sigmoid()
        gate = self.gate(spatial_map.flatten(1)).sigmoid()  # (B, embed_dim)
        return normalize(self.global_proj(f4.mean(dim=(2, 3))) * gate)


def _upsample2x(maps: Tensor) -> Tensor:
    """Double height and width by repeating each value: (B, C, H, W) to (B, C, 2 H, 2 W)."""
    return interpolate(maps, scale_factor=2, mode="nearest")


class PooledFeature(nn.Module):
    r"""One feature of the whole image: average and maximum of the network's last map, and a head (our extension).

    It reads the last map only, so a frozen network's part is two numbers a channel.

    Shapes:
        - **pixels:** :math:`(B, 3, S, S)` float, normalised
        - **output:** :math:`(B, embed\_dim)` float, rows of length 1

    Args:
        backbone: timm's name of the network, see `Backbone`.
        embed_dim: width of the output.
        head: `mlp`, `linear` or `none`, see `ProjectionHead`.
        head_dim: inner width of the head `mlp`.
        dropout: fraction dropped in the head, in [0, 1).
        last_map: whether `features` has the backbone's last map, too.

    Raises:
        ConfigError: the network does not exist.
    """

    def __init__(
        self,
        backbone: str,
        embed_dim: int,
        *,
        head: str,
        head_dim: int,
        dropout: float,
        last_map: bool = False,
    ) -> None:
        super().__init__()
        self.backbone = Backbone(backbone, pyramid=False, last_map=last_map)
        width = 2 * self.backbone.channels[0]
        self.head = ProjectionHead(
            width, embed_dim, kind=head, hidden_dim=head_dim, dropout=dropout, standardise=True
        )

    def features(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Compute what the backbone says of each image: all that can be computed once where it is frozen.

        Args:
            pixels: (B, 3, S, S) float, normalised by the backbone's statistics.

        Returns:
            One table (B, 2 C) float: the average of each channel of the last map, then its maximum; with `last_map`
            also a map, see `Backbone`.
        """
        return self.backbone(pixels)

    def forward(self, pooled: Tensor, _last_map: Tensor | None = None) -> Tensor:
        """Compute the global feature of each image.

        Args:
            pooled: (B, 2 C) float, of `features`.
            _last_map: the map of `features`; not read.

        Returns:
            (B, embed_dim) float, rows of length 1.
        """
        return normalize(self.head(pooled))


class Backbone(nn.Module):
    r"""A timm network without its classifier: its four maps, or its last one pooled.

    The paper's is `resnet18`. Any network of timm has a last map; those in stages also have the four maps that
    MVSA reads.

    Shapes:
        - **pixels:** :math:`(B, 3, S, S)` float, normalised by `pixel_mean` and `pixel_std`
        - **output:** maps :math:`(B, C_k, S/2^{k+1}, S/2^{k+1})`, k = 1..4; or one table :math:`(B, 2 C)`, and with
          `last_map` a map :math:`(B, C', s, s)`

    Args:
        name: timm's name of the network.
        pyramid: whether to give the four maps; what comes after them is then left out.
        last_map: whether to give, beside the pooled table, the map after the last stage. Some networks widen it before
            they pool it: tf_efficientnet_lite0 from 320 channels to 1,280, which say no more and take four times the
            space.

    Attributes:
        name: as given.
        channels: of the maps; or of what is pooled.
        map_channels: of the last map that is given; 0 where none is.
        gives_map: whether the last map is given beside the pooled table.
        pixel_mean: (3,) float, mean of each colour in [0, 1] that the weights expect.
        pixel_std: (3,) float, its standard deviation.

    Raises:
        ConfigError: there is no network of that name, or none with such maps.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, name: str, *, pyramid: bool, last_map: bool = False) -> None:
        super().__init__()
        self.name = name
        self.network = build_network(name)
        stages = {
            stage["reduction"]: (index, stage["num_chs"])
            for index, stage in enumerate(_stages(self.network))
        }
        self._indices: list[int] | None = None
        if pyramid:
            if missing := [step for step in REDUCTIONS if step not in stages]:
                raise ConfigError(
                    f"model.backbone '{name}' has no map of 1/{missing[0]} of the image, and MVSA reads maps of"
                    " 1/4, 1/8, 1/16 and 1/32; set model.global_feature to pooled, or take a network in stages"
                )
            self._indices = [stages[step][0] for step in REDUCTIONS]
            channels = tuple(stages[step][1] for step in REDUCTIONS)
            self.network.prune_intermediate_layers(self._indices, prune_norm=True, prune_head=True)
            self.channels: tuple[int, ...] = channels
            self.map_channels = channels[-1]
        else:
            self.channels = (self.network.num_features,)
            self.map_channels = 0
        self.gives_map = last_map and not pyramid
        if self.gives_map:
            if not (listed := _stages(self.network)):
                raise ConfigError(
                    f"model.backbone '{name}' does not list its maps, and model.appearance roi and model.attention"
                    " regions read the last one; take a network in stages"
                )
            self._last_stage = len(listed) - 1
            self.map_channels = listed[-1]["num_chs"]
        config = self.network.pretrained_cfg
        self.register_buffer("pixel_mean", torch.tensor(config["mean"], dtype=torch.float32))
        self.register_buffer("pixel_std", torch.tensor(config["std"], dtype=torch.float32))

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        """Compute the maps, or average and maximum of the last one.

        Args:
            pixels: (B, 3, S, S) float, normalised.

        Returns:
            (B, C_k, S / 2**(k+1), S / 2**(k+1)) float for k = 1..4; or one table (B, 2 C) float: the average of each
            channel of the last map, then its maximum; with `last_map` also (B, C', s, s) float, the map after the
            last stage.
        """
        if self._indices is not None:
            return tuple(
                self.network.forward_intermediates(
                    pixels, indices=self._indices, intermediates_only=True, output_fmt="NCHW"
                )
            )
        maps: list[Tensor] = []
        if self.gives_map:
            last, maps = self.network.forward_intermediates(
                pixels, indices=[self._last_stage], output_fmt="NCHW"
            )
        else:
            last = self.network.forward_features(pixels)
        if last.ndim == 3:  # a vision transformer's tokens: (B, N, C)
            last = last[:, getattr(self.network, "num_prefix_tokens", 0) :].mT.unsqueeze(-1)
        elif last.shape[1] != self.channels[0]:  # some networks keep channels last
            last = last.movedim(-1, 1)
        return (torch.cat([last.mean(dim=(2, 3)), last.amax(dim=(2, 3))], dim=1), *maps)


def early_layers(backbone: Backbone, reduction: int) -> list[nn.Module]:
    """The layers of a network up to its map of 1/`reduction` of the image, in the order of the computation.

    Raises:
        ConfigError: the network has no such map.
    """
    stages = _stages(backbone.network)
    last = next((stage for stage in stages if stage["reduction"] == reduction), None)
    if last is None:
        known = ", ".join(str(stage["reduction"]) for stage in stages)
        raise ConfigError(
            f"train.freeze_until is {reduction}, and {backbone.name} has maps of 1/ {known or 'nothing'} of the image;"
            " choose one of them, or none"
        )
    leaves = [
        (name, layer)
        for name, layer in backbone.network.named_modules()
        if not any(layer.children())
    ]
    inside = [
        number
        for number, (name, _) in enumerate(leaves)
        if f"{name}.".startswith(f"{last['module']}.")
    ]
    return [layer for _, layer in leaves[: inside[-1] + 1]]


def build_network(name: str) -> Any:  # noqa: ANN401  timm gives a network more methods than nn.Module has
    """Build a timm network with random weights and without its classifier.

    Raises:
        ConfigError: timm has none of that name.
    """
    if not timm.is_model(name.split(".")[0]):
        raise unknown_backbone(name, timm.list_models())
    try:
        return timm.create_model(name, pretrained=False, num_classes=0)
    except RuntimeError as error:  # an unknown tag after the dot
        raise ConfigError(
            f"model.backbone '{name}': {error}; correct what follows the dot"
        ) from error


def _stages(network: nn.Module) -> list[dict[str, Any]]:
    """The network's stages, each with `reduction`, `num_chs` and `module`; none where timm does not list them."""
    info: Any = getattr(network, "feature_info", [])
    return list(info if isinstance(info, list) else info.get_dicts())
