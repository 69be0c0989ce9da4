"""Local branch: a graph network over the detected regions, their look, and the sequences for attention."""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, normalize

from galr.model.fusion import AttentionSequences

ROUNDING = 1e-3  # cells of the map, by which a box is shortened before it is sampled


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
        return self.read_out(self.nodes(representation, adjacency, mask))

    def nodes(self, representation: Tensor, adjacency: Tensor, mask: Tensor) -> Tensor:
        """Compute the regions after the graph convolutions: arguments as of `forward`, result (B, n, d) float."""
        nodes = representation
        for layer in self.layers:
            nodes = layer(nodes, adjacency, mask, add_loop=False).relu()
        return nodes

    def read_out(self, nodes: Tensor) -> Tensor:
        """Compute the local feature, (B, embed_dim) float, rows of length 1, from the result of `nodes`."""
        return normalize(self.project(nodes.flatten(1)))


class RegionAppearance(nn.Module):
    r"""Put what a region looks like before the features of its row (our extension).

    RoIAlign averages the backbone's last map over each region's box; a linear layer and GELU lead to `DIM` numbers.
    Each channel of the map is first brought to mean 0 and deviation 1 over the training images.

    Shapes:
        - **last_map:** :math:`(B, C, s, s)` float, of the same view as the regions
        - **representation:** :math:`(B, n, d)` float, ending in the box, as DREA writes it
        - **output:** :math:`(B, n, DIM + d)` float, the look zero where padding

    Args:
        channels: C, of the last map.
    """

    DIM = 64

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.standardise = nn.BatchNorm2d(channels, affine=False)
        self.project = nn.Linear(channels, self.DIM)

    def forward(self, last_map: Tensor, representation: Tensor, mask: Tensor) -> Tensor:
        """Compute the rows with the look of each region.

        Args:
            last_map: (B, C, s, s) float.
            representation: (B, n, d) float.
            mask: (B, n) bool, False where a row is padding.

        Returns:
            (B, n, DIM + d) float.
        """
        pooled = pool_regions(self.standardise(last_map), representation[..., -4:], mask)
        look = gelu(self.project(pooled)) * mask.unsqueeze(-1)
        return torch.cat([look, representation], dim=-1)


def pool_regions(last_map: Tensor, boxes: Tensor, mask: Tensor) -> Tensor:
    """Average a map over boxes by RoIAlign, one value a channel.

    Args:
        last_map: (B, C, s, s) float.
        boxes: (B, n, 4) float, centre x, centre y, width and height in fractions of the side.
        mask: (B, n) bool, False where a box is padding.

    Returns:
        (B, n, C) float, zero where padding.
    """
    # Imported here: a model without appearance does not wait for it.
    from torchvision.ops import roi_align

    side = last_map.shape[-1]
    centre, size = boxes.masked_fill(~mask.unsqueeze(-1), 0).mul(side).split(2, dim=-1)
    # RoIAlign samples a box as often as it is long in cells, rounded up; rounding must not add a sample.
    half = (size - ROUNDING).clamp(min=0) / 2
    image = torch.arange(len(boxes), device=boxes.device).view(-1, 1, 1).expand(*mask.shape, 1)
    corners = torch.cat([image.to(boxes.dtype), centre - half, centre + half], dim=-1).flatten(0, 1)
    # As precise as the boxes, whatever the precision of training: in bfloat16 they would be off by a cell.
    pooled = roi_align(
        last_map.to(boxes.dtype), corners, output_size=1, sampling_ratio=0, aligned=True
    )
    return pooled.flatten(1).unflatten(0, mask.shape) * mask.unsqueeze(-1)


class RegionSequences(nn.Module):
    r"""The cells of the backbone's last map, and the regions, as sequences for MIDF (our extension).

    A cell is its channels, each brought to mean 0 and deviation 1 over the training images, and the position of its
    centre; a region is its node after the graph convolutions. A linear layer leads each to the common space, and all
    get length 1, as the features before them have.

    Args:
        channels: C, of the last map.
        node_dim: d, features of a node.
        embed_dim: width of the sequences.
    """

    def __init__(self, channels: int, node_dim: int, embed_dim: int) -> None:
        super().__init__()
        self.standardise = nn.BatchNorm2d(channels, affine=False)
        self.cell = nn.Linear(channels + 2, embed_dim)
        self.region = nn.Linear(node_dim, embed_dim)

    def forward(self, last_map: Tensor, nodes: Tensor, mask: Tensor) -> AttentionSequences:
        """Compute the sequences.

        Args:
            last_map: (B, C, s, s) float.
            nodes: (B, n, d) float, of `RegionGCN.nodes`.
            mask: (B, n) bool, False where a node is padding.
        """
        side = last_map.shape[-1]
        last = 1 - 1 / side
        centres = torch.linspace(-last, last, side, device=last_map.device, dtype=last_map.dtype)
        position = torch.stack(torch.meshgrid(centres, centres, indexing="xy"))  # (2, s, s): x, y
        position = position.expand(len(last_map), -1, -1, -1)
        cells = torch.cat([self.standardise(last_map), position], dim=1).flatten(2).mT
        return AttentionSequences(
            normalize(self.cell(cells), dim=-1), normalize(self.region(nodes), dim=-1), mask
        )
