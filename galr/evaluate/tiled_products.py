"""The products of two embedding tables, tile by tile.

A product of two rows in float32 depends on how it is computed: a BLAS adds in another order for another shape,
at the edge of a matrix, or in another thread. Nearly equal products then change their order, and those of two
equal sentences are no longer equal. So the similarity matrix and the passes without it are computed from the same
tiles, whose sides are multiples of 64 and which are padded with zeros beyond the end of a table. In such tiles a
product does not depend on its position (found with MKL for all shapes and thread numbers that were tried; a test
repeats it). TF32, which would round the embeddings on a GPU, stays off, as is PyTorch's default.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import sqrt

import numpy as np
import torch
from torch import Tensor

from galr.errors import DeviceError, ShapeError
from galr.evaluate.ranks import Direction
from galr.evaluate.topk import row_blocks
from galr.progress import ProgressBar

TILE_MULTIPLE = 64  # sides of a tile are multiples of it
MAX_TILE = {"cpu": (2048, 8192), "cuda": (4096, 16384)}  # images, sentences
MAX_PRODUCT = float(np.finfo(np.float32).max) / 2  # rounding may still add to it


@dataclass(frozen=True, eq=False)
class ProductTile:
    """The products of some images and some sentences.

    Attributes:
        images: their rows in the image table.
        sentences: their rows in the sentence table.
        products: (images, sentences) float32; overwritten by the next tile.
        scratch: memory for at least as many numbers.
    """

    images: slice
    sentences: slice
    products: Tensor
    scratch: Tensor

    def lists(self, direction: Direction) -> tuple[slice, slice, Tensor]:
        """The tile as part of the queries' lists of candidates.

        Returns:
            The queries, the candidates, and (queries, candidates) contiguous float32 products. For t2i they are
            a copy in the scratch memory; for i2t they may be the tile itself.
        """
        if direction == "i2t":
            return self.images, self.sentences, self.products.contiguous()
        transposed = self.scratch[: self.products.numel()].view(self.products.T.shape)
        return self.sentences, self.images, transposed.copy_(self.products.T)


class EmbeddingPair:
    """An image table and a sentence table whose products can be computed tile by tile.

    On the CPU the tables stay where they are, memory-mapped or not, and are read block by block. On a GPU they
    are held whole.

    Args:
        images: (images, dim) floating-point numbers; converted to float32.
        sentences: (sentences, dim), likewise.
        device: where to multiply.
        max_tile: numbers of images and sentences of the largest tile; None for the device's default.

    Attributes:
        num_images: number of images.
        num_sentences: number of sentences.
        device: where to multiply.

    Raises:
        ShapeError: the tables are not non-empty, finite floating-point numbers of the same width, or so large
            that a product overflows float32.
        DeviceError: the device is neither a CPU nor a CUDA GPU.
    """

    def __init__(
        self,
        images: np.ndarray,
        sentences: np.ndarray,
        device: torch.device,
        max_tile: tuple[int, int] | None = None,
    ) -> None:
        if device.type not in MAX_TILE:
            raise DeviceError(
                f"embeddings are multiplied on cpu or cuda, got {device}; choose one of them"
            )
        image_norm, sentence_norm = max_norm(images, "images"), max_norm(sentences, "sentences")
        if images.shape[1] != sentences.shape[1]:
            raise ShapeError(
                f"images are {images.shape[1]} numbers wide and sentences {sentences.shape[1]},"
                " expected embeddings of one model"
            )
        if image_norm * sentence_norm >= MAX_PRODUCT:
            raise ShapeError(
                f"embeddings reach norms {image_norm:.3g} and {sentence_norm:.3g}, their products"
                " overflow float32; divide the embeddings by a number"
            )
        self.num_images, self.num_sentences = len(images), len(sentences)
        self.device = device
        max_images, max_sentences = max_tile or MAX_TILE[device.type]
        self._images = _PaddedBlocks(images, _block_rows(len(images), max_images), device)
        self._sentences = _PaddedBlocks(
            sentences, _block_rows(len(sentences), max_sentences), device
        )

    def shape(self, direction: Direction) -> tuple[int, int]:
        """Numbers of queries and of candidates of a direction."""
        if direction == "i2t":
            return self.num_images, self.num_sentences
        return self.num_sentences, self.num_images

    def tiles(self, description: str) -> Iterator[ProductTile]:
        """Compute all products, images in the outer loop, with a progress bar.

        Args:
            description: text of the progress bar.
        """
        rows, columns = self._images, self._sentences
        products = torch.empty((rows.block_rows, columns.block_rows), device=self.device)
        scratch = torch.empty(products.numel(), device=self.device)
        with ProgressBar(
            total=len(rows) * len(columns), desc=description, unit="tile", disable=None
        ) as bar:
            for images in rows:
                image_block = rows.read(images)
                for sentences in columns:
                    torch.mm(image_block, columns.read(sentences).T, out=products)
                    height = images.stop - images.start
                    width = sentences.stop - sentences.start
                    yield ProductTile(images, sentences, products[:height, :width], scratch)
                    bar.update()


class _PaddedBlocks:
    """A table (rows, dim) in blocks of equal length, the last one padded with zeros."""

    def __init__(self, table: np.ndarray, block_rows: int, device: torch.device) -> None:
        self.block_rows = block_rows
        self._block = torch.zeros((block_rows, table.shape[1]), device=device)
        self._table = table
        self._on_device = None
        if device.type != "cpu":
            self._on_device = torch.from_numpy(np.array(table, np.float32)).to(device)

    def __len__(self) -> int:
        return len(range(0, len(self._table), self.block_rows))

    def __iter__(self) -> Iterator[slice]:
        return row_blocks(len(self._table), 1, self.block_rows)

    def read(self, rows: slice) -> Tensor:
        """Read a block, (block_rows, dim) float32; overwritten by the next call."""
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
    """Compute the similarity matrix of two embedding tables, from the tiles that `large` uses.

    Args:
        images: (images, dim) floating-point numbers; converted to float32.
        sentences: (sentences, dim), likewise.
        device: where to multiply.
        max_tile: see `EmbeddingPair`; products are the same only for the same value.

    Returns:
        (images, sentences) float32.

    Raises:
        ShapeError: see `EmbeddingPair`.
        DeviceError: the device is neither a CPU nor a CUDA GPU.
    """
    embeddings = EmbeddingPair(images, sentences, device, max_tile)
    matrix = np.empty((embeddings.num_images, embeddings.num_sentences), np.float32)
    for tile in embeddings.tiles("similarity"):
        matrix[tile.images, tile.sentences] = tile.products.cpu().numpy()
    return matrix


def max_norm(table: np.ndarray, name: str) -> float:
    """The largest Euclidean norm of a row of a table (rows, dim).

    Args:
        table: floating-point numbers.
        name: what messages call it.

    Raises:
        ShapeError: the table is empty or not of floating-point numbers, or an entry is not finite in float32.
    """
    if table.ndim != 2 or 0 in table.shape or table.dtype.kind != "f":
        raise ShapeError(
            f"{name} are {table.dtype} of shape {table.shape}, expected a non-empty table of"
            " floating-point numbers, one embedding per row"
        )
    largest = 0.0
    for rows in row_blocks(len(table), table.shape[1], 1 << 20):
        with np.errstate(over="ignore"):
            block = table[rows].astype(np.float32).astype(np.float64)
        squares = np.einsum("ij,ij->i", block, block)
        if not np.isfinite(squares).all():
            row = int(np.flatnonzero(~np.isfinite(squares))[0])
            column = int(np.flatnonzero(~np.isfinite(block[row]))[0])
            raise ShapeError(
                f"{name}[{rows.start + row}, {column}] is {table[rows.start + row, column]}, expected"
                " finite float32 numbers; look for an unreadable image or a diverged model"
            )
        largest = max(largest, float(squares.max()))
    return sqrt(largest)


def _block_rows(num_rows: int, max_rows: int) -> int:
    """The smallest multiple of `TILE_MULTIPLE` that divides rows into as few blocks as possible."""
    num_blocks = -(-num_rows // max_rows)
    return -(-num_rows // (num_blocks * TILE_MULTIPLE)) * TILE_MULTIPLE
