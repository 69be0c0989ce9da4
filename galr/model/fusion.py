"""Multilevel information dynamic fusion (MIDF) of the global and the local feature."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, pad


class AttentionSequences(NamedTuple):
    """What follows the two features of an image in MIDF's sequences (our extension)."""

    cells: Tensor  # (B, cells, embed_dim) float, of the backbone's last map
    regions: Tensor  # (B, n, embed_dim) float
    mask: Tensor  # (B, n) bool, False where a region is padding


class MIDF(nn.Module):
    r"""Fuse the global and the local feature with weights that each image sets by itself.

    SA is attention of a feature to itself and a feed-forward layer (PyTorch's encoder layer); GA is attention to
    itself, attention to a guide and a feed-forward layer (PyTorch's decoder layer); both normalise after each
    residual sum.

    .. math::
        g \leftarrow SA(g),\quad l \leftarrow SA(l),\quad l \leftarrow GA(l; g),\quad g \leftarrow GA(g; l)

        g' = \sigma(l)\,g,\quad l' = g + l,\quad \gamma = softmax(W_2\,\sigma(W_1(g' + l'))),\quad
        v = \gamma_0 g' + \gamma_1 l'

    A feature is a sequence of length 1, as in the released code, so every attention weight is 1. With `sequences`
    (our extension) the cells of the map follow the global feature and the regions the local one, and the attention
    has something to choose from; the first of each sequence is then fused as before.
    Source: figure 5 of the paper; `docs/how/figure.md`, section Fusion; `docs/how/extensions.md`.

    Shapes:
        - **global_feature**, **local_feature:** :math:`(B, embed\_dim)` float
        - **output:** :math:`(B, embed\_dim)` float, of any length

    Args:
        embed_dim: width of both features and of the output.
        heads: heads of every attention; divides `embed_dim`.
        ffn_dim: inner width of the feed-forward layers.
        dropout: fraction dropped in training, in [0, 1).
        released_bug: read :math:`\gamma_0` for both candidates, as the released code does by mistake;
            otherwise both weights are used, as in the paper.
    """

    def __init__(
        self, embed_dim: int, heads: int, ffn_dim: int, dropout: float, *, released_bug: bool
    ) -> None:
        super().__init__()
        self.global_self = _self_attention(embed_dim, heads, ffn_dim, dropout)
        self.local_self = _self_attention(embed_dim, heads, ffn_dim, dropout)
        self.local_cross = _guided_attention(embed_dim, heads, ffn_dim, dropout)
        self.global_cross = _guided_attention(embed_dim, heads, ffn_dim, dropout)
        self.gate = nn.Sequential(
            nn.Linear(embed_dim, embed_dim),
            nn.Sigmoid(),
            nn.Dropout(dropout),
            nn.Linear(embed_dim, 2),
        )
        self.released_bug = released_bug

    def forward(
        self,
        global_feature: Tensor,
        local_feature: Tensor,
        sequences: AttentionSequences | None = None,
    ) -> Tensor:
        """Fuse two features of each image.

        Args:
            global_feature: (B, embed_dim) float.
            local_feature: (B, embed_dim) float.
            sequences: what follows each feature; None leaves them alone, as released.

        Returns:
            (B, embed_dim) float, not normalised.
        """
        g, l = global_feature.unsqueeze(1), local_feature.unsqueeze(1)  # (B, 1, embed_dim)
        padding: Tensor | None = None
        if sequences is not None:
            g, l = torch.cat([g, sequences.cells], dim=1), torch.cat([l, sequences.regions], dim=1)
            # The feature itself is never masked: attention has a key even where an image has no regions.
            padding = pad(~sequences.mask, (1, 0))
        g = self.global_self(g)
        l = self.local_self(l, src_key_padding_mask=padding)
        l = self.local_cross(l, g, tgt_key_padding_mask=padding)
        if sequences is None:
            g = self.global_cross(g, l)
        else:
            g = _guide_first(self.global_cross, g, l, padding)
        g, l = g[:, 0], l[:, 0]
        candidates = torch.stack([l.sigmoid() * g, g + l], dim=1)  # (B, 2, embed_dim)
        weights = self.gate(candidates.sum(dim=1)).softmax(dim=-1)  # (B, 2)
        if self.released_bug:
            # Both candidates get weight 0, which only scales their sum; the cosine removes a
            # scale, so neither weight changes a similarity.
            weights = weights[:, :1]
        return (weights.unsqueeze(-1) * candidates).sum(dim=1)


class GatedMIDF(nn.Module):
    r"""MIDF whose result is added to the global feature, each number of it by a learned gate (our extension).

    :math:`v = g + \alpha \odot \ell_2(MIDF(g, l))`. The gate :math:`\alpha` begins small, so that the fused feature
    begins as the global one and learns what to add to it.

    Shapes:
        - **global_feature**, **local_feature:** :math:`(B, embed\_dim)` float
        - **output:** :math:`(B, embed\_dim)` float, of any length

    Args:
        embed_dim: width of both features and of the output.
        heads: heads of every attention; divides `embed_dim`.
        ffn_dim: inner width of the feed-forward layers.
        dropout: fraction dropped in training, in [0, 1).
    """

    INITIAL_GATE = 0.1

    def __init__(self, embed_dim: int, heads: int, ffn_dim: int, dropout: float) -> None:
        super().__init__()
        self.midf = MIDF(embed_dim, heads, ffn_dim, dropout, released_bug=False)
        self.scale = nn.Parameter(torch.full((embed_dim,), self.INITIAL_GATE))

    def forward(
        self,
        global_feature: Tensor,
        local_feature: Tensor,
        sequences: AttentionSequences | None = None,
    ) -> Tensor:
        """Fuse two features of each image.

        Args:
            global_feature: (B, embed_dim) float, rows of length 1.
            local_feature: (B, embed_dim) float.
            sequences: of `MIDF`.

        Returns:
            (B, embed_dim) float, not normalised.
        """
        fused = self.midf(global_feature, local_feature, sequences)
        return global_feature + self.scale * normalize(fused)


def _self_attention(embed_dim: int, heads: int, ffn_dim: int, dropout: float) -> nn.Module:
    """Build SA."""
    layer = nn.TransformerEncoderLayer(embed_dim, heads, ffn_dim, dropout, batch_first=True)
    _move_to_end(layer, "linear1", "linear2", "norm2")
    return layer


def _guided_attention(
    embed_dim: int, heads: int, ffn_dim: int, dropout: float
) -> nn.TransformerDecoderLayer:
    """Build GA."""
    layer = nn.TransformerDecoderLayer(embed_dim, heads, ffn_dim, dropout, batch_first=True)
    _move_to_end(layer, "multihead_attn", "norm2", "linear1", "linear2", "norm3")
    return layer


def _guide_first(
    layer: nn.TransformerDecoderLayer, sequence: Tensor, guide: Tensor, padding: Tensor | None
) -> Tensor:
    """GA of a sequence, of which only the first is read: the others are not computed, a third of all work.

    Args:
        layer: GA.
        sequence: (B, length, embed_dim) float.
        guide: (B, n, embed_dim) float.
        padding: (B, n) bool, True where the guide is padding.

    Returns:
        (B, 1, embed_dim) float, the first of the layer's output.
    """
    x, _ = layer.self_attn(sequence[:, :1], sequence, sequence, need_weights=False)
    x = layer.norm1(sequence[:, :1] + layer.dropout1(x))
    heard, _ = layer.multihead_attn(x, guide, guide, key_padding_mask=padding, need_weights=False)
    x = layer.norm2(x + layer.dropout2(heard))
    inner = layer.dropout(layer.activation(layer.linear1(x)))
    return layer.norm3(x + layer.dropout3(layer.linear2(inner)))


def _move_to_end(layer: nn.Module, *names: str) -> None:
    """Register submodules last, so that parameters are listed in the order of the computation.

    Gradient clipping sums norms in the order of the parameters; in another order, a training would differ in
    its last digits from one by an earlier version.
    """
    for name in names:
        submodule = getattr(layer, name)
        delattr(layer, name)
        setattr(layer, name, submodule)
