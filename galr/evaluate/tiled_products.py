"""Two embedding tables, and the one way in which their rows are multiplied: tile by tile.

A product of two rows in float32 depends on who computes it: a BLAS adds in another order for another
shape, at a ragged edge, in another thread. Near-ties then change sides, and two equal sentences no longer
tie. So both roads, the matrix and the tables, read the same tiles, and a tile is never ragged: its sides
are multiples of 64, and behind a table's end stand zeros. In such tiles every product is made alike
wherever it stands (seen with MKL in all shapes and thread numbers that were tried; tested). TF32, which
would round the tables on a GPU, stays off, as torch has it unless it is told otherwise.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from galr.errors import DeviceError, ShapeError
from galr.evaluate.ranks import Direction, row_blocks

TILE_MULTIPLE = 64  # sides of a tile are multiples of it
MAX_TILE = {"cpu": (2048, 8192), "cuda": (4096, 16384)}  # largest tile: images, sentences
MAX_PRODUCT = float(np.finfo(np.float32).max) / 2  # of a product; rounding may still add to it


@dataclass(frozen=True, eq=False)
class ProductTile:
    """The products of some images and some sentences.

    Attributes:
        images: which rows of the image table.
        sentences: which rows of the sentence table.
        products: (images, sentences) float32; overwritten by the next tile.
        spare: room for as many numbers and more.
    """

    images: slice
    sentences: slice
    products: Tensor
    scratch: Tensor

    def lists(self, direction: Direction) -> tuple[slice, slice, Tensor]:
        """Look at the tile as parts of the queries' lists of a direction.

        Returns:
            Which queries, which candidates, and (queries, candidates) contiguous products. Those of t2i
            are a copy, in the spare room; those of i2t may be the tile itself.
        """
        if direction == "i2t":
            return self.images, self.sentences, self.products.contiguous()
        turned = self.scratch[: self.products.numel()].view(self.products.T.shape)
        return self.sentences, self.images, turned.copy_(self.products.T)


class EmbeddingPair:
    """An image table and a sentence table whose products can be walked over."""

    def __init__(
        self,
        images: np.ndarray,
        sentences: np.ndarray,
        device: torch.device,
        max_tile: tuple[int, int] | None = None,
    ) -> None:
        """Refuse what cannot be multiplied; nothing is multiplied yet.

        On the CPU the tables stay where they are, memory-mapped or not, and are read block by block; on a
        GPU they are held whole.

        Args:
            images: (images, width) floating numbers; taken as float32.
            sentences: (sentences, width), likewise.
            device: where to multiply.
            largest: images and sentences of the largest tile; none is what suits the device.

        Raises:
            ShapeError: no tables of finite floating numbers of one width, or numbers so large that
                a product leaves float32.
            DeviceError: a device that is neither a CPU nor a CUDA GPU.
        """
        if device.type not in MAX_TILE:
            raise DeviceError(
                f"tables are multiplied on cpu or cuda, got {device}; choose one of them"
            )
        lengths = [
            max_norm(table, name) for table, name in ((images, "images"), (sentences, "sentences"))
        ]
        if images.shape[1] != sentences.shape[1]:
            raise ShapeError(
                f"images are {images.shape[1]} numbers wide and sentences {sentences.shape[1]},"
                " expected embeddings of one model"
            )
        if lengths[0] * lengths[1] >= MAX_PRODUCT:
            raise ShapeError(
                f"embeddings reach lengths {lengths[0]:.3g} and {lengths[1]:.3g}, their products leave"
                " float32; divide the tables by a number"
            )
        self.num_images, self.num_sentences = len(images), len(sentences)
        self.device = device
        shape = max_tile or MAX_TILE[device.type]
        self._rows, self._columns = (
            _PaddedBlocks(table, _block_rows(len(table), most), device)
            for table, most in zip((images, sentences), shape, strict=True)
        )

    def shape(self, direction: Direction) -> tuple[int, int]:
        """How many queries and how many candidates a direction has."""
        if direction == "i2t":
            return self.num_images, self.num_sentences
        return self.num_sentences, self.num_images

    def tiles(self, description: str) -> Iterator[ProductTile]:
        """Walk over all products, images in the outer loop, and show how far it is.

        Args:
            doing: what the progress bar says.
        """
        rows, columns = self._rows, self._columns
        whole = torch.empty((rows.block_rows, columns.block_rows), device=self.device)
        spare = torch.empty(whole.numel(), device=self.device)
        with tqdm(
            total=len(rows) * len(columns), desc=description, unit="tile", disable=None
        ) as bar:
            for images in rows:
                left = rows.read(images)
                for sentences in columns:
                    torch.mm(left, columns.read(sentences).T, out=whole)
                    count = images.stop - images.start, sentences.stop - sentences.start
                    yield ProductTile(images, sentences, whole[: count[0], : count[1]], spare)
                    bar.update()


class _PaddedBlocks:
    """A table cut into blocks of equal length, the last one filled up with zeros."""

    def __init__(self, table: np.ndarray, side: int, device: torch.device) -> None:
        self.block_rows = side
        self._block = torch.zeros((side, table.shape[1]), device=device)
        self._table = table
        self._on_device = None
        if device.type != "cpu":
            self._on_device = torch.from_numpy(np.array(table, np.float32)).to(device)

    def __len__(self) -> int:
        return len(range(0, len(self._table), self.block_rows))

    def __iter__(self) -> Iterator[slice]:
        return row_blocks(len(self._table), 1, self.block_rows)

    def read(self, rows: slice) -> Tensor:
        """Fill the block, (side, width); overwritten by the next."""
        count = rows.stop - rows.start
        if self._on_device is None:
            np.copyto(self._block[:count].numpy(), self._table[rows], casting="same_kind")
        else:
            self._block[:count] = self._on_device[rows]
        self._block[count:] = 0
        return self._block


def compute_similarity(
    images: np.ndarray,
    sentences: np.ndarray,
    device: torch.device,
    max_tile: tuple[int, int] | None = None,
) -> np.ndarray:
    """Write the whole matrix down, made of the same tiles that the search reads.

    Args:
        images: (images, width) floating numbers; taken as float32.
        sentences: (sentences, width), likewise.
        device: where to multiply.
        largest: as in `Tables`; must be the same for the same products.

    Returns:
        (images, sentences) float32.

    Raises:
        ShapeError: see `Tables`.
    """
    tables = EmbeddingPair(images, sentences, device, max_tile)
    matrix = np.empty((tables.num_images, tables.num_sentences), np.float32)
    for tile in tables.tiles("similarity"):
        matrix[tile.images, tile.sentences] = tile.products.cpu().numpy()
    return matrix


def max_norm(table: np.ndarray, name: str) -> float:
    """The length of the longest row, for no product to leave float32.

    Raises:
        ShapeError: no non-empty table of floating numbers, or a number that is not finite in float32;
            says which.
    """
    if table.ndim != 2 or 0 in table.shape or table.dtype.kind != "f":
        raise ShapeError(
            f"{name} are {table.dtype} of shape {table.shape}, expected a non-empty table of"
            " floating numbers, one embedding a row"
        )
    most = 0.0
    for rows in row_blocks(len(table), table.shape[1], 1 << 20):
        with np.errstate(over="ignore"):
            block = table[rows].astype(np.float32).astype(np.float64)
        squares = np.einsum("ij,ij->i", block, block)
        if not np.isfinite(squares).all():
            row = int(np.flatnonzero(~np.isfinite(squares))[0])
            column = int(np.flatnonzero(~np.isfinite(block[row]))[0])
            raise ShapeError(
                f"{name}[{rows.start + row}, {column}] is {table[rows.start + row, column]}, expected finite"
                " float32 numbers; look for an unreadable image or a diverged model"
            )
        most = max(most, float(squares.max()))
    return sqrt(most)


def _block_rows(rows: int, most: int) -> int:
    """Cut rows into as few equal blocks as may be: the least multiple of EDGE that does it."""
    parts = -(-rows // most)
    return -(-rows // (parts * TILE_MULTIPLE)) * TILE_MULTIPLE
