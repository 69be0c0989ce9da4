"""Local branch: a graph network over the detected regions."""

from itertools import pairwise

from torch import Tensor, nn
from torch.nn.functional import normalize
from torch_geometric.nn import DenseGINConv


class RegionGCN(nn.Module):
    r"""Three graph convolutions :math:`X \leftarrow relu(\hat A X W)` and one projection (METHOD 4).

    The adjacency comes normalised, with self-loops, from DREA; a convolution that normalised it again
    would undo what DREA weighs. PyTorch Geometric's dense GIN layer without its own loop is exactly
    :math:`\hat A X W`.

    Shapes:
        - **representation:** :math:`(B, n, d)`
        - **adjacency:** :math:`(B, n, n)`, symmetric, normalised
        - **mask:** :math:`(B, n)` bool, False where a row is padding
        - **output:** :math:`(B, embedding)`, unit rows
    """

    def __init__(self, max_regions: int, node_dim: int, embed_dim: int) -> None:
        super().__init__()
        widths = (node_dim, node_dim, node_dim // 2, node_dim)
        self.layers = nn.ModuleList(
            DenseGINConv(nn.Linear(into, out, bias=False)) for into, out in pairwise(widths)
        )
        self.project = nn.Linear(max_regions * node_dim, embed_dim)

    def forward(self, representation: Tensor, adjacency: Tensor, mask: Tensor) -> Tensor:
        nodes = representation
        for layer in self.layers:
            nodes = layer(nodes, adjacency, mask, add_loop=False).relu()
        return normalize(self.project(nodes.flatten(1)))
