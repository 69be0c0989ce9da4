"""Every image once, every sentence once: the two embedding tables of a set of images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import torch

from galr import store
from galr.errors import DataError
from galr.graph.adjacency import Edges
from galr.model.galr import GaLR, Graph
from galr.model.text import pad
from galr.training.pixels import read, resized


@dataclass(frozen=True)
class Graphs:
    """The graphs of all images of a dataset, in its order."""

    representation: torch.Tensor  # (images, n, d) float32
    adjacency: torch.Tensor  # (images, n, n) float32
    mask: torch.Tensor  # (images, n) bool
    edges: Edges | None  # how DREA weighed them; None where nobody knows

    @classmethod
    def open(cls, path: Path | None, names: list[str]) -> "Graphs":
        """Read graphs.h5, or stand in for it (n = d = 0) where a model has no local branch.

        Raises:
            DataError: the graphs are of other images.
        """
        if path is None:
            none = torch.zeros(len(names), 0, 0)
            return cls(none, none, torch.zeros(len(names), 0, dtype=torch.bool), None)
        with store.reading(path, store.GRAPHS) as file:
            if store.texts(file["names"]) != names:
                raise DataError(f"{path} is of other images than dataset.h5; run snakemake again")
            said = store.provenance(file)["settings"]
            representation, adjacency, mask = (
                torch.from_numpy(file[t][:]) for t in ("representation", "adjacency", "mask")
            )
        return cls(representation, adjacency, mask, Edges.of(said) if "closeness" in said else None)

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d): rows of a graph and numbers a row."""
        return self.representation.shape[1], self.representation.shape[2]

    def batch(self, rows: Sequence[int], device: torch.device) -> Graph:
        """The graphs of some images."""
        return Graph(
            self.representation[rows].to(device),
            self.adjacency[rows].to(device),
            self.mask[rows].to(device),
        )


@torch.inference_mode()
def embed_images(
    model: GaLR,
    images: h5py.Dataset,
    graphs: Graphs,
    rows: Sequence[int],
    *,
    crop: int,
    batch: int,
    device: torch.device,
) -> np.ndarray:
    """Encode each image once.

    Args:
        model: in evaluation mode, on `device`.
        images: (images, size, size, 3) uint8.
        graphs: of the same images.
        rows: (B,) images to encode.
        crop: size the model sees, pixels.
        batch: images at a time.
        device: where to compute.

    Returns:
        (B, embedding) float32, unit rows.
    """
    parts = []
    for start in range(0, len(rows), batch):
        some = rows[start : start + batch]
        pixels = resized(read(images, some).to(device), crop)
        parts.append(model.encode_images(pixels, graphs.batch(some, device)).cpu())
    return torch.cat(parts).numpy()


@torch.inference_mode()
def embed_sentences(
    model: GaLR, numbers: list[list[int]], *, batch: int, device: torch.device
) -> np.ndarray:
    """Encode each sentence once, sentences of like length together.

    Args:
        model: in evaluation mode, on `device`.
        numbers: (sentences,) word numbers of each.
        batch: sentences at a time.
        device: where to compute.

    Returns:
        (sentences, embedding) float32, unit rows, in the order given.
    """
    order = np.argsort([len(row) for row in numbers], kind="stable")
    parts = []
    for start in range(0, len(order), batch):
        words, lengths = pad([numbers[i] for i in order[start : start + batch]])
        parts.append(model.encode_sentences(words.to(device), lengths).cpu())
    table = torch.cat(parts).numpy()
    back = np.empty_like(order)
    back[order] = np.arange(len(order))
    return table[back]
