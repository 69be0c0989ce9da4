"""Multilevel information dynamic fusion (MIDF) of the global and the local feature."""

import torch
from torch import Tensor, nn


class Attend(nn.Module):
    """Multi-head attention with a post-norm residual."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, heads, dropout=dropout, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, source: Tensor) -> Tensor:
        heard, _ = self.attention(x, source, source, need_weights=False)
        return self.norm(x + self.dropout(heard))


class FeedForward(nn.Module):
    """Two linear layers with a post-norm residual."""

    def __init__(self, width: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(width, inner), nn.ReLU(), nn.Dropout(dropout), nn.Linear(inner, width)
        )
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x + self.dropout(self.layers(x)))


class SelfAttention(nn.Module):
    """SA: attention to itself, then feed-forward."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.itself = Attend(width, heads, dropout)
        self.feed_forward = FeedForward(width, inner, dropout)

    def forward(self, x: Tensor) -> Tensor:
        return self.feed_forward(self.itself(x, x))


class GuidedAttention(nn.Module):
    """GA: attention to itself, then to the guide (keys and values), then feed-forward."""

    def __init__(self, width: int, heads: int, inner: int, dropout: float) -> None:
        super().__init__()
        self.itself = Attend(width, heads, dropout)
        self.guided = Attend(width, heads, dropout)
        self.feed_forward = FeedForward(width, inner, dropout)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        return self.feed_forward(self.guided(self.itself(x, x), guide))


class MIDF(nn.Module):
    r"""Fuse global and local so that each image sets its own balance (METHOD 4, paper Fig. 5).

    :math:`g' = \sigma(l)\,g`, :math:`l' = g + l`, :math:`v = \gamma_0 g' + \gamma_1 l'` with
    :math:`\gamma = softmax(W_2\,\sigma(W_1(g' + l')))`.

    A feature is a sequence of length 1, as released, so attention weights are all 1.

    Shapes:
        - **seen**, **found:** :math:`(B, width)`, the global and the local feature
        - **output:** :math:`(B, width)`

    Args:
        width: of both features and of what comes out.
        heads: of every attention; divides `width`.
        inner: width inside the feed-forward layers.
        dropout: share dropped, in [0, 1).
        released: repeat the released code's defect, which reads :math:`\gamma_0` for both views;
            otherwise both weights are live, as the paper has it.
    """

    def __init__(
        self, embed_dim: int, heads: int, ffn_dim: int, dropout: float, *, released_bug: bool
    ) -> None:
        super().__init__()
        self.global_self = SelfAttention(embed_dim, heads, ffn_dim, dropout)
        self.local_self = SelfAttention(embed_dim, heads, ffn_dim, dropout)
        self.local_cross = GuidedAttention(embed_dim, heads, ffn_dim, dropout)
        self.global_cross = GuidedAttention(embed_dim, heads, ffn_dim, dropout)
        self.gate = nn.Sequential(
            nn.Linear(embed_dim, embed_dim),
            nn.Sigmoid(),
            nn.Dropout(dropout),
            nn.Linear(embed_dim, 2),
        )
        self.released_bug = released_bug

    def forward(self, global_feature: Tensor, local_feature: Tensor) -> Tensor:
        g = self.global_self(global_feature.unsqueeze(1))  # (B, 1, width)
        l = self.local_self(local_feature.unsqueeze(1))
        l = self.local_cross(l, guide=g)
        g = self.global_cross(g, guide=l)
        g, l = g.squeeze(1), l.squeeze(1)
        candidates = torch.stack([l.sigmoid() * g, g + l], dim=1)  # (B, 2, width)
        weights = self.gate(candidates.sum(dim=1)).softmax(dim=-1)  # (B, 2)
        if self.released_bug:
            # Defect of the released code: both views share weight 0, so it only scales their sum;
            # cosine removes a scale, and neither weight moves a score.
            weights = weights[:, :1]
        return (weights.unsqueeze(-1) * candidates).sum(dim=1)
