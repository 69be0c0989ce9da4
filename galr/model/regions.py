"""Local branch: a graph network over the detected regions."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import normalize


class RegionGCN(nn.Module):
    r"""Three graph convolutions :math:`X \leftarrow relu(A X W)` and one projection of all rows side by side.

    The adjacency comes normalised, with self-loops, from DREA; a convolution that normalised it again
    would undo DREA's weights. PyTorch Geometric's dense GIN layer without its own loop is exactly
    :math:`A X W`.

    The projection has a weight for each row, so the output depends on the order of the regions, as in the
    paper; DREA sorts them by score (`galr.graphs`). A permutation of the rows gives another feature.
    Source: `docs/how/figure.md`, section Local feature.

    Shapes:
        - **representation:** :math:`(B, n, d)` float, n = `max_regions`, d = `node_dim`
        - **adjacency:** :math:`(B, n, n)` float, symmetric, normalised
        - **mask:** :math:`(B, n)` bool, False where a row is padding
        - **output:** :math:`(B, embed\_dim)` float, rows of length 1

    Args:
        max_regions: n, rows of a graph.
        node_dim: d, features of a region.
        embed_dim: width of the output.
    """

    def __init__(self, max_regions: int, node_dim: int, embed_dim: int) -> None:
        # Imported here: a model without a local branch does not wait for it.
        from torch_geometric.nn import DenseGINConv

        super().__init__()
        widths = (node_dim, node_dim, node_dim // 2, node_dim)
        self.layers = nn.ModuleList(
            DenseGINConv(nn.Linear(in_dim, out_dim, bias=False))
            for in_dim, out_dim in pairwise(widths)
        )
        self.project = nn.Linear(max_regions * node_dim, embed_dim)

    def forward(self, representation: Tensor, adjacency: Tensor, mask: Tensor) -> Tensor:
        """Compute the local feature of each image.

        Args:
            representation: (B, n, d) float, X, rows sorted by score.
            adjacency: (B, n, n) float, A.
            mask: (B, n) bool, False where a row is padding.

        Returns:
            (B, embed_dim) float, rows of length 1.
        """
        nodes = representation
        for layer in self.layers:
            nodes = layer(nodes, adjacency, mask, add_loop=False).relu()
        return normalize(self.project(nodes.flatten(1)))
