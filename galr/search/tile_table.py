"""Which tiles an index holds: tables with a row for each image or tile, and the journal of a build.

An *image* here is a content: what was embedded once, whatever its names, however often it occurs in the
sources. Its *rows* are the embeddings of its tiles.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from galr.errors import StoreError
from galr.io.hdf5 import HDF5File
from galr.io.tables import Strings, Table
from galr.io.windows import GeoTransform, Window


class IndexFile(HDF5File):
    """Images and their tiles in a file of an index.

    Offsets are not declared as such: every query opens such a file, and would read and check them all.
    """

    made_by = "galr index"

    keys = Strings(("images",), "hash of the image and of how it was tiled")
    sizes = Table("int32", ("images", 2), "width and height of the image", unit="pixels")
    transforms = Table(
        "float64", ("images", 6), "coefficients of a GeoTransform; NaN where unknown"
    )
    systems = Strings(("images",), "coordinate reference system; empty where unknown")
    offsets = Table("int64", ("images+1",), "image i has the rows offsets[i]:offsets[i+1]")
    windows = Table(
        "int32", ("rows", 4), "x, y, width, height of a tile in its image", unit="pixels"
    )

    @classmethod
    def remake_hint(cls, path: Path) -> str:
        """Say how a file is made anew."""
        return "run galr index again into an empty folder"


class IndexBlock(IndexFile):
    """Images that were embedded together, in the journal of a build."""

    kind, version = "index-block", 1

    embeddings = Table("float32", ("rows", "embed_dim"), "unit rows")
    skipped = Strings(("skipped",), "keys of images that could not be read")
    reasons = Strings(("skipped",), "why they could not be read")


@dataclass(frozen=True, eq=False)
class TileTable:
    """Images and their tiles, in order.

    Attributes:
        keys: (images,) hash of each image and of how it was tiled.
        sizes: (images, 2) int32, width and height in pixels.
        transforms: (images, 6) float64, coefficients of a GeoTransform; NaN where unknown.
        crs: (images,) coordinate reference system; empty where unknown.
        offsets: (images + 1,) int64; image i has the rows offsets[i]:offsets[i + 1].
        windows: (rows, 4) int32, x, y, width, height of a tile in its image, pixels.
    """

    keys: list[str]
    sizes: np.ndarray
    transforms: np.ndarray
    crs: list[str]
    offsets: np.ndarray
    windows: np.ndarray

    def select(self, indices: Sequence[int]) -> tuple["TileTable", np.ndarray]:
        """Select images, in any order.

        Args:
            indices: (selected,) of the images.

        Returns:
            Their table, and (rows,) int64, where each of its rows is in this table.
        """
        chosen = np.asarray(indices, np.int64).reshape(-1)
        starts, counts = self.offsets[chosen], np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.arange(offsets[-1]) + np.repeat(starts - offsets[:-1], counts)
        selected = TileTable(
            [self.keys[index] for index in indices],
            self.sizes[chosen],
            self.transforms[chosen],
            [self.crs[index] for index in indices],
            offsets,
            self.windows[rows],
        )
        return selected, rows


@dataclass(eq=False)
class TileTableBuilder:
    """Collects images one by one into a TileTable."""

    keys: list[str] = field(default_factory=list)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    geo_transforms: list[GeoTransform | None] = field(default_factory=list)
    windows: list[Sequence[Window]] = field(default_factory=list)

    def add(
        self,
        key: str,
        size: tuple[int, int],
        geo_transform: GeoTransform | None,
        windows: Sequence[Window],
    ) -> None:
        """Append an image and its tiles."""
        self.keys.append(key)
        self.sizes.append(size)
        self.geo_transforms.append(geo_transform)
        self.windows.append(windows)

    def build(self) -> TileTable:
        """The table of all images so far."""
        unknown = (np.nan,) * 6
        transforms = [geo.coefficients if geo else unknown for geo in self.geo_transforms]
        counts = [len(windows) for windows in self.windows]
        return TileTable(
            list(self.keys),
            np.array(self.sizes, np.int32).reshape(-1, 2),
            np.array(transforms).reshape(-1, 6),
            [geo.crs if geo else "" for geo in self.geo_transforms],
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
            np.array([w for windows in self.windows for w in windows], np.int32).reshape(-1, 4),
        )


def concatenate(parts: Iterable[TileTable]) -> TileTable:
    """Join tables one after another; of no tables, an empty one."""
    tables = [TileTableBuilder().build(), *parts]  # the empty one has the dtypes
    counts = np.concatenate([np.diff(table.offsets) for table in tables])
    return TileTable(
        [key for table in tables for key in table.keys],
        np.concatenate([table.sizes for table in tables]),
        np.concatenate([table.transforms for table in tables]),
        [crs for table in tables for crs in table.crs],
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.concatenate([table.windows for table in tables]),
    )


def write_tile_table(file: IndexFile, tiles: TileTable) -> None:
    """Write images and their tiles."""
    file.write(
        keys=tiles.keys,
        sizes=tiles.sizes,
        transforms=tiles.transforms,
        systems=tiles.crs,
        offsets=tiles.offsets,
        windows=tiles.windows,
    )


def read_tile_table(file: IndexFile) -> TileTable:
    """Read images and their tiles."""
    return TileTable(
        file.keys,
        file.sizes[:],
        file.transforms[:],
        file.systems,
        file.offsets[:],
        file.windows[:],
    )


@dataclass(frozen=True, eq=False)
class EmbeddedBlock:
    """Images that were embedded together.

    Attributes:
        tiles: the images and their tiles.
        embeddings: (rows, embed_dim) float32, unit rows; an array or an open HDF5 dataset.
        skipped: reason by key of the images that could not be read.
    """

    tiles: TileTable
    embeddings: np.ndarray | h5py.Dataset
    skipped: Mapping[str, str]


class BuildJournal:
    """Blocks that a build has finished, on disk until the index holds them.

    A block is written whole or not at all. A build that was interrupted continues after the last one.
    """

    def __init__(self, folder: Path, checkpoint: str) -> None:
        """Open the journal in a folder, which need not exist.

        Args:
            folder: holds nothing else.
            checkpoint: SHA-256 of the checkpoint that embeds.
        """
        self._folder = folder
        self._checkpoint = checkpoint

    def add(self, block: EmbeddedBlock) -> None:
        """Append a block."""
        path = self._folder / f"{len(self.paths()):06}.h5"
        with IndexBlock.create(path, {"checkpoint_sha256": self._checkpoint}) as file:
            write_tile_table(file, block.tiles)
            file.write(
                embeddings=block.embeddings,
                skipped=list(block.skipped),
                reasons=list(block.skipped.values()),
            )

    def paths(self) -> list[Path]:
        """The blocks' files, in order."""
        return sorted(self._folder.glob("[0-9]*.h5"))

    def blocks(self) -> Iterator[EmbeddedBlock]:
        """Read the blocks in order; each file is open until the next block is requested.

        Raises:
            StoreError: a block is damaged, or of another checkpoint.
        """
        for path in self.paths():
            with IndexBlock.open(path) as file:
                if file.provenance["checkpoint_sha256"] != self._checkpoint:
                    raise StoreError(
                        f"{path} is unfinished work of another run; finish it with that run, or delete"
                        f" {self._folder}"
                    )
                skipped = dict(zip(file.skipped, file.reasons, strict=True))
                yield EmbeddedBlock(read_tile_table(file), file.embeddings, skipped)

    def clear(self) -> None:
        """Delete the blocks, once the index holds them."""
        for path in self.paths():
            path.unlink()
        if self._folder.is_dir() and not any(self._folder.iterdir()):
            self._folder.rmdir()
