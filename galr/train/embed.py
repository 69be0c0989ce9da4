"""Every image once, every sentence once: the two embedding tables of a set of images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from galr import store
from galr.errors import DataError
from galr.graphs.edges import EdgeConfig
from galr.model.galr import GaLR, GraphBatch
from galr.model.text import pad_tokens
from galr.train.augment import resize
from galr.train.image_store import ImageStore, Rows


@dataclass(frozen=True)
class GraphStore:
    """The graphs of all images of a dataset, in its order, all on one device."""

    representation: torch.Tensor  # (images, n, d) float32
    adjacency: torch.Tensor  # (images, n, n) float32
    mask: torch.Tensor  # (images, n) bool
    edges: EdgeConfig | None  # how DREA weighed them; None where nobody knows

    @classmethod
    def open(cls, path: Path | None, names: list[str]) -> "GraphStore":
        """Read graphs.h5, or stand in for it (n = d = 0) where a model has no local branch.

        Raises:
            DataError: the graphs are of other images.
        """
        if path is None:
            return cls(*empty_graphs(len(names)), None)
        with store.reading(path, store.GRAPHS) as file:
            if store.texts(file["names"]) != names:
                raise DataError(f"{path} is of other images than dataset.h5; run snakemake again")
            said = store.provenance(file)["settings"]
            representation, adjacency, mask = (
                torch.from_numpy(file[t][:]) for t in ("representation", "adjacency", "mask")
            )
        return cls(
            representation,
            adjacency,
            mask,
            EdgeConfig.from_options(said) if "closeness" in said else None,
        )

    @property
    def shape(self) -> tuple[int, int]:
        """(n, d): rows of a graph and numbers a row."""
        return self.representation.shape[1], self.representation.shape[2]

    def to(self, device: torch.device) -> "GraphStore":
        """The same on a device: 10,000 graphs of 20 regions are 32 MB."""
        return replace(
            self,
            representation=self.representation.to(device),
            adjacency=self.adjacency.to(device),
            mask=self.mask.to(device),
        )

    def batch(self, rows: Rows | torch.Tensor) -> GraphBatch:
        """The graphs of some images, (B,) rows, repeats allowed; they lie where all of them lie."""
        index = torch.as_tensor(rows, dtype=torch.int64).to(self.mask.device, non_blocking=True)
        return GraphBatch(
            *(table[index] for table in (self.representation, self.adjacency, self.mask))
        )


@torch.inference_mode()
def embed_images(
    model: GaLR,
    images: ImageStore,
    graphs: GraphStore,
    rows: Sequence[int],
    *,
    input_size: int,
    batch_size: int,
) -> np.ndarray:
    """Encode each image once.

    Args:
        model: in evaluation mode, where the pictures are.
        pictures: of the rows, at least.
        graphs: of the same dataset, where the pictures are.
        rows: (B,) images to encode.
        crop: size the model sees, pixels.
        batch: images at a time.

    Returns:
        (B, embedding) float32, unit rows.
    """
    lots = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
    parts = [
        model.encode_images(resize(some, input_size), graphs.batch(lot))
        for lot, some in zip(lots, images.batches(lots), strict=True)
    ]
    return torch.cat(parts).float().cpu().numpy()


@torch.inference_mode()
def embed_images_in_memory(
    model: GaLR,
    images: Sequence[np.ndarray],
    graph: GraphBatch,
    *,
    input_size: int,
    device: torch.device,
) -> np.ndarray:
    """Encode some pictures that lie in memory, at once.

    Args:
        model: in evaluation mode, on `device`.
        stored: (B,) pictures, (size, size, 3) uint8 each, as a dataset would store them.
        graph: of the same pictures, on any device.
        crop: size the model sees, pixels.
        device: where to compute.

    Returns:
        (B, embedding) float32, unit rows.
    """
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).to(device)
    own = GraphBatch(*(table.to(device) for table in graph))
    return model.encode_images(resize(pixels, input_size), own).float().cpu().numpy()


def empty_graphs(count: int) -> GraphBatch:
    """Graphs of some images for a model without a local branch: n = d = 0."""
    none = torch.zeros(count, 0, 0)
    return GraphBatch(none, none, torch.zeros(count, 0, dtype=torch.bool))


@torch.inference_mode()
def embed_sentences(
    model: GaLR, token_ids: list[list[int]], *, batch_size: int, device: torch.device
) -> np.ndarray:
    """Encode each distinct sentence once, those of like length together.

    Equal sentences have equal rows to the last bit, so that a tie stays a tie.

    Args:
        model: in evaluation mode, on `device`.
        numbers: (sentences,) word numbers of each.
        batch: sentences at a time.
        device: where to compute.

    Returns:
        (sentences, embedding) float32, unit rows, in the order given.
    """
    distinct = sorted(dict.fromkeys(map(tuple, token_ids)), key=len)
    place = {sentence: row for row, sentence in enumerate(distinct)}
    parts = []
    for start in range(0, len(distinct), batch_size):
        words, lengths = pad_tokens([list(each) for each in distinct[start : start + batch_size]])
        parts.append(model.encode_sentences(words.to(device, non_blocking=True), lengths))
    table = torch.cat(parts).float().cpu().numpy()
    return table[[place[tuple(sentence)] for sentence in token_ids]]
