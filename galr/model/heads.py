"""The head that turns an encoder's feature into an embedding."""

from torch import Tensor, nn

from galr.errors import ConfigError

HEADS = ("mlp", "linear", "none")


class ProjectionHead(nn.Module):
    r"""Project a feature of a pretrained encoder into the common space (our extension).

    `mlp` is LayerNorm, dropout, a linear layer, GELU, dropout and a linear layer; `linear` is one linear layer;
    `none` leaves the feature as it is.

    Shapes:
        - **input:** :math:`(B, in\_dim)` float
        - **output:** :math:`(B, out\_dim)` float, of any length

    Args:
        in_dim: width of the feature.
        out_dim: width of the embedding.
        kind: `mlp`, `linear` or `none`.
        hidden_dim: inner width of `mlp`.
        dropout: fraction dropped before both linear layers of `mlp`, in [0, 1).
        standardise: whether to bring each number of the feature to mean 0 and deviation 1 over the images first, where
            the numbers have very different scales.

    Raises:
        ConfigError: the kind is unknown, or `none` is given for different widths.
    """

    def __init__(
        self,
        in_dim: int,
        out_dim: int,
        *,
        kind: str,
        hidden_dim: int,
        dropout: float,
        standardise: bool,
    ) -> None:
        super().__init__()
        if kind not in HEADS:
            raise ConfigError(f"model.head '{kind}' is unknown; choose from {', '.join(HEADS)}")
        if kind == "none" and in_dim != out_dim:
            raise ConfigError(
                f"model.head none keeps the encoder's {in_dim} numbers, and model.embed_dim is {out_dim};"
                f" set embed_dim to {in_dim}, or head to linear or mlp"
            )
        trained = kind != "none"
        self.standardise = (
            nn.BatchNorm1d(in_dim, affine=False) if trained and standardise else nn.Identity()
        )
        if kind == "mlp":
            self.project: nn.Module = nn.Sequential(
                nn.LayerNorm(in_dim),
                nn.Dropout(dropout),
                nn.Linear(in_dim, hidden_dim),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(hidden_dim, out_dim),
            )
        else:
            self.project = nn.Linear(in_dim, out_dim) if trained else nn.Identity()

    def forward(self, feature: Tensor) -> Tensor:
        """Project features.

        Args:
            feature: (B, in_dim) float.

        Returns:
            (B, out_dim) float, of any length.
        """
        return self.project(self.standardise(feature))
