"""The graphs of all images of a dataset, retrieved in batches by the rows of their images."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch

from galr.errors import DataError
from galr.graphs.edges import EdgeConfig
from galr.io.formats import Graphs
from galr.model.galr import GraphBatch
from galr.train.image_store import Rows


@dataclass(frozen=True)
class GraphStore:
    """The graphs of all images of a dataset, in its order, on one device.

    Attributes:
        representation: (images, n, d) float32, n regions of d features each, zero where masked.
        adjacency: (images, n, n) float32, zero where masked.
        mask: (images, n) bool, False where a row is padding.
        edges: how DREA weighed the edges; None for graphs that DREA did not make here.
    """

    representation: torch.Tensor
    adjacency: torch.Tensor
    mask: torch.Tensor
    edges: EdgeConfig | None

    @classmethod
    def open(cls, path: Path | None, names: list[str]) -> "GraphStore":
        """Read graphs.h5 into memory.

        Args:
            path: graphs.h5; None for a model without a local branch, which gets empty graphs (n = d = 0).
            names: (images,) names of the dataset's images.

        Raises:
            DataError: the graphs are of other images.
            StoreError: the file is missing or damaged.
        """
        if path is None:
            return cls(*empty_graphs(len(names)), None)
        with Graphs.open(path) as file:
            if file.names != names:
                raise DataError(f"{path} is of other images than dataset.h5; run snakemake again")
            settings = file.provenance["settings"]
            representation, adjacency, mask = (
                torch.from_numpy(table[:])
                for table in (file.representation, file.adjacency, file.mask)
            )
        edges = EdgeConfig.from_options(settings) if "proximity" in settings else None
        return cls(representation, adjacency, mask, edges)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d): regions of a graph and features of a region."""
        return self.representation.shape[1], self.representation.shape[2]

    def to(self, device: torch.device) -> "GraphStore":
        """Copy the graphs to a device; 10,000 graphs of 20 regions take 32 MB."""
        return replace(
            self,
            representation=self.representation.to(device),
            adjacency=self.adjacency.to(device),
            mask=self.mask.to(device),
        )

    def batch(self, rows: Rows | torch.Tensor) -> GraphBatch:
        """The graphs of some images.

        Args:
            rows: (B,) int, rows of the images, repeats allowed.

        Returns:
            Graphs of B images on the store's device.
        """
        index = torch.as_tensor(rows, dtype=torch.int64).to(self.mask.device, non_blocking=True)
        return GraphBatch(
            *(table[index] for table in (self.representation, self.adjacency, self.mask))
        )


def empty_graphs(count: int) -> GraphBatch:
    """Graphs for a model without a local branch.

    Args:
        count: B, number of images.

    Returns:
        Graphs of B images with n = d = 0.
    """
    empty = torch.zeros(count, 0, 0)
    return GraphBatch(empty, empty, torch.zeros(count, 0, dtype=torch.bool))
