"""The sources of an index's images: a folder, or a dataset; scanned first, then embedded in blocks."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
from PIL import Image

from galr.data.find_images import IMAGE_SUFFIXES, list_files
from galr.errors import DataError
from galr.io.images import AS_STORED, open_image
from galr.io.pixel_options import PixelOptions
from galr.io.pixel_values import ReadingSummary
from galr.io.windows import Window
from galr.progress import ProgressBar
from galr.provenance import file_sha256
from galr.search.tile_encoder import TileEncoder
from galr.search.tile_table import EmbeddedBlock, TileTableBuilder
from galr.search.windows import Tiling
from galr.train.embed import embed_images
from galr.train.graph_store import GraphStore
from galr.train.image_store import StreamedImages

READING_VERSION = 2  # raised when files are read as other pixels, so that they count as changed
# Smallest number of embeddings in a block, but for the last: an interruption loses so many, and one image more.
BLOCK_ROWS = 512


@dataclass(frozen=True)
class SourceListing:
    """The images of a source.

    Attributes:
        names: name and key of every image, in order of the names; equal images have equal keys.
        unreadable: name and reason of each file that could not be hashed.
    """

    names: list[tuple[str, str]]
    unreadable: list[tuple[str, str]] = field(default_factory=list)


class ImageSource(Protocol):
    """Images to index.

    Attributes:
        kind: `folder` or `dataset`.
        path: of the folder, or of dataset.h5.
        pixels: how its image files are read.
        readings: what the image files that were embedded were read as.
    """

    kind: str
    path: Path
    pixels: PixelOptions
    readings: ReadingSummary

    def scan(self) -> SourceListing:
        """List the images that the source holds now."""

    def blocks(self, keys: Sequence[str]) -> Iterator[EmbeddedBlock]:
        """Embed images of the last scan, by key; the division into blocks depends on the keys alone."""


class FolderSource:
    """All images below a folder; large ones are tiled."""

    kind = "folder"

    def __init__(
        self,
        path: Path,
        encoder: TileEncoder,
        tiling: Tiling,
        batch_size: int,
        pixels: PixelOptions = AS_STORED,
    ) -> None:
        """List the images of a folder.

        Args:
            path: the folder.
            encoder: embeds the tiles.
            tiling: how large images are cut.
            batch_size: tiles at a time.
            pixels: the bands and the range of its images.

        Raises:
            DataError: the folder is missing, or holds no image.
        """
        if not path.is_dir():
            raise DataError(f"{path} is no folder; give one that holds images")
        self.path = path
        self._names = [f for f in list_files(path) if f.suffix.lower() in IMAGE_SUFFIXES]
        if not self._names:
            raise DataError(
                f"{path} holds no image; expected {', '.join(sorted(IMAGE_SUFFIXES))} below it"
            )
        self.pixels = pixels
        self.readings = ReadingSummary("tiles")
        self._encoder = encoder
        self._tiling = tiling
        self._batch_size = batch_size
        self._files: dict[str, Path] = {}  # of equal images, the first

    def scan(self) -> SourceListing:
        """Hash every image below the folder."""
        listing = SourceListing([])
        tiling = f"{self._tiling.tile_size}-{self._tiling.overlap:g}-{self._tiling.max_untiled}"
        tiling += f"-{READING_VERSION}-{self.pixels.bands}-{self.pixels.range}"
        for name in ProgressBar(self._names, "scanning", unit="file", disable=None):
            try:
                key = f"{file_sha256(self.path / name)}-{tiling}"
            except OSError as error:
                listing.unreadable.append((str(name), f"it cannot be read ({error.strerror})"))
                continue
            listing.names.append((str(name), key))
            self._files.setdefault(key, self.path / name)
        return listing

    def blocks(self, keys: Sequence[str]) -> Iterator[EmbeddedBlock]:
        """Embed images of the last scan, by key."""
        with ProgressBar(total=len(keys), desc="embedding", unit="image", disable=None) as bar:
            builder = _BlockBuilder(self._encoder, self._batch_size, bar)
            for key in keys:
                builder.add(key, self._files[key], self._tiling, self.pixels, self.readings)
                bar.update()
                if builder.rows >= BLOCK_ROWS:
                    yield builder.finish()
                    builder = _BlockBuilder(self._encoder, self._batch_size, bar)
            if builder.has_images:
                yield builder.finish()


class _BlockBuilder:
    """Embeds tiles in full batches, which may mix tiles of several images, and collects a block."""

    def __init__(self, encoder: TileEncoder, batch_size: int, bar: ProgressBar) -> None:
        self.has_images = False
        self.rows = 0
        self._bar = bar
        self._encoder = encoder
        self._batch_size = batch_size
        self._pending: list[Image.Image] = []
        self._embeddings: list[np.ndarray] = []
        self._complete: list[np.ndarray] = []  # rows of `_embeddings` of images read to their end
        self._tiles = TileTableBuilder()
        self._skipped: dict[str, str] = {}

    def add(
        self,
        key: str,
        path: Path,
        tiling: Tiling,
        pixels: PixelOptions,
        readings: ReadingSummary,
    ) -> None:
        """Embed all tiles of an image, or skip the image if any cannot be read; count it in `readings`."""
        self.has_images = True
        first = self.rows
        with ExitStack() as stack:
            try:
                image = stack.enter_context(open_image(path, pixels))
            except DataError as error:
                self._skipped[key] = str(error)
                return
            readings.add(image.reading)
            windows = tiling.windows(*image.size)
            for window in windows:
                try:
                    tile = image.read(window)
                except DataError as error:
                    self._skipped[key] = str(error)
                    return
                readings.look_at(f"{path.name} at {window.x}, {window.y}", np.asarray(tile))
                self._append(tile)  # outside the try: an error of the model is not the image's
            self._tiles.add(key, image.size, image.geo_transform, windows)
        self._complete.append(np.arange(first, self.rows))

    def finish(self) -> EmbeddedBlock:
        """Embed the pending tiles, and drop the tiles of images that could not be read to their end."""
        self._flush()
        tiles = self._tiles.build()
        if not self._embeddings:
            return EmbeddedBlock(tiles, np.zeros((0, 0), np.float32), self._skipped)
        rows = np.concatenate([np.zeros(0, np.int64), *self._complete])
        return EmbeddedBlock(tiles, np.concatenate(self._embeddings)[rows], self._skipped)

    def _append(self, tile: Image.Image) -> None:
        self._pending.append(tile)
        self.rows += 1
        if len(self._pending) == self._batch_size:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            self._embeddings.append(self._encoder.embed(self._pending))
            self._pending = []
            self._bar.set_postfix(tiles=self.rows)  # of this block; a raster may have thousands


@dataclass
class DatasetSource:
    """All images of a dataset, as stored, with the graphs of the run.

    Attributes:
        path: of dataset.h5.
        images: (images, size, size, 3) uint8.
        names: (images,) text.
        sizes: (images, 2) int32, width and height of the originals.
        graphs: of the same images, on the CPU.
        encoder: embeds; its region detector is not used.
        batch_size: images at a time.
        pixels: how the dataset's image files were read.
    """

    path: Path
    images: h5py.Dataset
    names: list[str]
    sizes: np.ndarray
    graphs: GraphStore
    encoder: TileEncoder
    batch_size: int
    pixels: PixelOptions
    kind: str = "dataset"
    readings: ReadingSummary = field(default_factory=ReadingSummary)  # its files were read before
    _rows: dict[str, int] = field(default_factory=dict)  # of equal images, the first

    def scan(self) -> SourceListing:
        """Hash every image together with its graph."""
        tables = (self.graphs.representation, self.graphs.adjacency, self.graphs.mask)
        listing = SourceListing([])
        for row in ProgressBar(range(len(self.names)), "scanning", unit="image", disable=None):
            digest = hashlib.sha256(self.images[row].tobytes())
            for table in tables:
                digest.update(table[row].numpy().tobytes())
            listing.names.append((self.names[row], digest.hexdigest()))
            self._rows.setdefault(digest.hexdigest(), row)
        listing.names.sort()
        return listing

    def blocks(self, keys: Sequence[str]) -> Iterator[EmbeddedBlock]:
        """Embed images of the last scan, by key."""
        images = StreamedImages(self.images, self.encoder.device)
        graphs = self.graphs.to(self.encoder.device)
        with ProgressBar(total=len(keys), desc="embedding", unit="image", disable=None) as bar:
            for start in range(0, len(keys), BLOCK_ROWS):
                block_keys = keys[start : start + BLOCK_ROWS]
                rows = [self._rows[key] for key in block_keys]
                tiles = TileTableBuilder()
                for key, row in zip(block_keys, rows, strict=True):
                    width, height = (int(side) for side in self.sizes[row])
                    tiles.add(key, (width, height), None, [Window(0, 0, width, height)])
                embeddings = embed_images(
                    self.encoder.model,
                    images,
                    graphs,
                    rows,
                    input_size=self.encoder.input_size,
                    batch_size=self.batch_size,
                )
                yield EmbeddedBlock(tiles.build(), embeddings, {})
                bar.update(len(block_keys))
