"""Where an index's pictures come from: a folder of anybody's, or a dataset; listed, then embedded in blocks."""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np
from PIL import Image
from tqdm import tqdm

from galr.data.find_images import IMAGE_SUFFIXES, list_files
from galr.errors import DataError
from galr.search.rasters import Tiling, Window, open_image
from galr.search.tile_encoder import TileEncoder
from galr.search.tile_table import EmbeddedBlock, TileTableBuilder
from galr.train.embed import embed_images
from galr.train.graph_store import GraphStore
from galr.train.image_store import StreamedImages

BLOCK_ROWS = (
    512  # embeddings of a block at least: what an interruption costs at most, one picture more
)


@dataclass(frozen=True)
class SourceListing:
    """What lies in a source.

    names: name and key of every picture, in order of name; equal pictures have equal keys.
    unreadable: name and reason of what could not even be hashed.
    """

    names: list[tuple[str, str]]
    unreadable: list[tuple[str, str]] = field(default_factory=list)


class ImageSource(Protocol):
    """Pictures that lie together.

    kind: `folder` or `dataset`.
    path: the folder, or dataset.h5.
    """

    kind: str
    path: Path

    def scan(self) -> SourceListing:
        """What lies there now."""

    def blocks(self, keys: Sequence[str]) -> Iterator[EmbeddedBlock]:
        """Embed pictures, given by their keys; how blocks are cut depends on nothing but these."""


class FolderSource:
    """All pictures below a folder, cut where they are large."""

    kind = "folder"

    def __init__(self, path: Path, encoder: TileEncoder, tiling: Tiling, batch: int) -> None:
        """Say what to embed, and how.

        Args:
            path: the folder.
            looker: what embeds.
            tiling: how large pictures are cut.
            batch: tiles at a time.

        Raises:
            DataError: there is no folder, or no picture in it.
        """
        if not path.is_dir():
            raise DataError(f"{path} is no folder; give one that holds pictures")
        self.path = path
        self._names = [f for f in list_files(path) if f.suffix.lower() in IMAGE_SUFFIXES]
        if not self._names:
            raise DataError(
                f"{path} holds no picture; expected {', '.join(sorted(IMAGE_SUFFIXES))} below it"
            )
        self._encoder = encoder
        self._tiling = tiling
        self._batch = batch
        self._files: dict[str, Path] = {}  # one of each content

    def scan(self) -> SourceListing:
        """Hash every picture below the folder."""
        found = SourceListing([])
        how = f"{self._tiling.tile_size}-{self._tiling.overlap:g}-{self._tiling.max_untiled}"
        for name in tqdm(self._names, "looking for changes", unit="file", disable=None):
            try:
                key = f"{versions.file_sha256(self.path / name)}-{how}"
            except OSError as error:
                found.unreadable.append((str(name), f"it cannot be read ({error.strerror})"))
                continue
            found.names.append((str(name), key))
            self._files.setdefault(key, self.path / name)
        return found

    def blocks(self, keys: Sequence[str]) -> Iterator[EmbeddedBlock]:
        """Embed the pictures of some keys of the last listing."""
        with tqdm(total=len(keys), desc="embedding", unit="picture", disable=None) as bar:
            work = _BlockBuilder(self._encoder, self._batch, bar)
            for key in keys:
                work.add(key, self._files[key], self._tiling)
                bar.update()
                if work.rows >= BLOCK_ROWS:
                    yield work.done()
                    work = _BlockBuilder(self._encoder, self._batch, bar)
            if work.begun:
                yield work.done()


class _BlockBuilder:
    """A block in the making: tiles wait until a batch of them is full, whichever pictures they are of."""

    def __init__(self, encoder: TileEncoder, batch: int, bar: tqdm) -> None:
        self.begun = False
        self.rows = 0
        self._bar = bar
        self._encoder = encoder
        self._batch = batch
        self._waiting: list[Image.Image] = []
        self._embedded: list[np.ndarray] = []
        self._whole: list[np.ndarray] = []  # rows of `_embedded` that are of whole pictures
        self._tiles = TileTableBuilder()
        self._skipped: dict[str, str] = {}

    def add(self, key: str, path: Path, tiling: Tiling) -> None:
        """Embed the tiles of a picture, all or none; what cannot be read is skipped."""
        self.begun = True
        first = self.rows
        with ExitStack() as stack:
            try:
                picture = stack.enter_context(open_image(path))
            except DataError as error:
                self._skipped[key] = str(error)
                return
            windows = tiling.windows(*picture.size)
            for window in windows:
                try:
                    tile = picture.read(window)
                except DataError as error:
                    self._skipped[key] = str(error)
                    return
                self._append(
                    tile
                )  # not to be tried: what goes wrong in there is no picture's fault
            self._tiles.add(key, picture.size, picture.geo_transform, windows)
        self._whole.append(np.arange(first, self.rows))

    def done(self) -> EmbeddedBlock:
        """Embed what still waits, and drop the tiles of pictures that broke off."""
        self._flush()
        contents = self._tiles.build()
        if not self._embedded:
            return EmbeddedBlock(contents, np.zeros((0, 0), np.float32), self._skipped)
        rows = np.concatenate([np.zeros(0, np.int64), *self._whole])
        return EmbeddedBlock(contents, np.concatenate(self._embedded)[rows], self._skipped)

    def _append(self, tile: Image.Image) -> None:
        self._waiting.append(tile)
        self.rows += 1
        if len(self._waiting) == self._batch:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            self._embedded.append(self._encoder.embed(self._waiting))
            self._waiting = []
            self._bar.set_postfix(tiles=self.rows)  # of this block; a raster may have thousands


@dataclass
class DatasetSource:
    """All images of a dataset, as they were stored, with the graphs they were given.

    path: dataset.h5.
    images: its pictures, (images, size, size, 3) uint8.
    names: (images,) text.
    sizes: (images, 2) int32, width and height of the originals.
    graphs: of the same images, on the CPU.
    looker: what embeds; its finder is not asked.
    batch: images at a time.
    """

    path: Path
    images: h5py.Dataset
    names: list[str]
    sizes: np.ndarray
    graphs: GraphStore
    encoder: TileEncoder
    batch: int
    kind: str = "dataset"
    _rows: dict[str, int] = field(default_factory=dict)  # one of each content

    def scan(self) -> SourceListing:
        """Hash every image together with its graph."""
        tables = (self.graphs.representation, self.graphs.adjacency, self.graphs.mask)
        found = SourceListing([])
        for row in tqdm(range(len(self.names)), "looking for changes", unit="image", disable=None):
            digest = hashlib.sha256(self.images[row].tobytes())
            for table in tables:
                digest.update(table[row].numpy().tobytes())
            found.names.append((self.names[row], digest.hexdigest()))
            self._rows.setdefault(digest.hexdigest(), row)
        found.names.sort()
        return found

    def blocks(self, keys: Sequence[str]) -> Iterator[EmbeddedBlock]:
        """Embed the images of some keys of the last listing."""
        pictures = StreamedImages(self.images, self.encoder.device)
        graphs = self.graphs.to(self.encoder.device)
        with tqdm(total=len(keys), desc="embedding", unit="image", disable=None) as bar:
            for start in range(0, len(keys), BLOCK_ROWS):
                some = keys[start : start + BLOCK_ROWS]
                rows = [self._rows[key] for key in some]
                made = TileTableBuilder()
                for key, row in zip(some, rows, strict=True):
                    width, height = (int(side) for side in self.sizes[row])
                    made.add(key, (width, height), None, [Window(0, 0, width, height)])
                embeddings = embed_images(
                    self.encoder.model,
                    pictures,
                    graphs,
                    rows,
                    input_size=self.encoder.input_size,
                    batch_size=self.batch,
                )
                yield EmbeddedBlock(made.build(), embeddings, {})
                bar.update(len(some))
