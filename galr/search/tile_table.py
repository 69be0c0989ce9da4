"""What an index holds of each picture: tables beside the embeddings, and files that carry both.

A *content* is a picture that was embedded, whatever it is called and however often it lies in a folder;
its *rows* are the embeddings of its tiles.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import h5py
import numpy as np

from galr import store
from galr.errors import StoreError
from galr.search.rasters import GeoTransform, Window

TILE_TABLES = {
    "keys": "(contents,) text, hash of what was embedded and how it was cut",
    "sizes": "(contents, 2) int32, width and height of the picture in pixels",
    "transforms": "(contents, 6) float64, from pixels to coordinates, see Place; NaN where unknown",
    "systems": "(contents,) text, the coordinates' reference system; empty where unknown",
    "offsets": "(contents + 1,) int64; content i owns rows offsets[i]:offsets[i + 1]",
    "windows": "(rows, 4) int32, x, y, width, height of a tile in its picture, pixels",
}
BLOCK_LAYOUT = store.Layout(
    "index-block",
    1,
    TILE_TABLES
    | {
        "embeddings": "(rows, embedding) float32, unit rows",
        "skipped": "(skipped,) text, keys of contents that could not be read",
        "reasons": "(skipped,) text, why",
    },
)


@dataclass(frozen=True, eq=False)
class TileTable:
    """Some contents, in order; the fields are as in `TABLES`."""

    keys: list[str]
    sizes: np.ndarray
    transforms: np.ndarray
    crs: list[str]
    offsets: np.ndarray
    windows: np.ndarray

    def select(self, indices: Sequence[int]) -> tuple["TileTable", np.ndarray]:
        """Choose contents, in another order perhaps; and the rows (taken,) that are theirs."""
        chosen = np.asarray(indices, np.int64).reshape(-1)
        begins, counts = self.offsets[chosen], np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        rows = np.arange(offsets[-1]) + np.repeat(begins - offsets[:-1], counts)
        taken = TileTable(
            [self.keys[each] for each in indices],
            self.sizes[chosen],
            self.transforms[chosen],
            [self.crs[each] for each in indices],
            offsets,
            self.windows[rows],
        )
        return taken, rows


@dataclass(eq=False)
class TileTableBuilder:
    """Contents that come one after another."""

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
        """Put one more behind the others."""
        self.keys.append(key)
        self.sizes.append(size)
        self.geo_transforms.append(geo_transform)
        self.windows.append(windows)

    def build(self) -> TileTable:
        """Make tables of them."""
        nowhere = (np.nan,) * 6
        flat = [window for windows in self.windows for window in windows]
        return TileTable(
            list(self.keys),
            np.array(self.sizes, np.int32).reshape(-1, 2),
            np.array([p.coefficients if p else nowhere for p in self.geo_transforms]).reshape(
                -1, 6
            ),
            [place.crs if place else "" for place in self.geo_transforms],
            np.concatenate([[0], np.cumsum([len(each) for each in self.windows])]).astype(np.int64),
            np.array(flat, np.int32).reshape(-1, 4),
        )


@dataclass(frozen=True, eq=False)
class EmbeddedBlock:
    """What a stretch of work came to.

    contents: what was embedded.
    embeddings: (rows, embedding) float32, unit rows; an array or an open table.
    skipped: why a content could not be read, by its key.
    """

    tiles: TileTable
    embeddings: np.ndarray | h5py.Dataset
    skipped: Mapping[str, str]


def concatenate(parts: Iterable[TileTable]) -> TileTable:
    """Put tables behind one another."""
    each = list(parts)
    none = TileTableBuilder().build()
    counts = np.concatenate([np.diff(part.offsets) for part in (none, *each)])
    return TileTable(
        [key for part in each for key in part.keys],
        np.concatenate([part.sizes for part in (none, *each)]),
        np.concatenate([part.transforms for part in (none, *each)]),
        [system for part in each for system in part.crs],
        np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        np.concatenate([part.windows for part in (none, *each)]),
    )


def write_tile_table(file: h5py.File, tiles: TileTable) -> None:
    """Fill the six tables."""
    store.write_texts(file, "keys", tiles.keys)
    store.write_texts(file, "systems", tiles.crs)
    store.write_arrays(
        file,
        sizes=tiles.sizes,
        transforms=tiles.transforms,
        offsets=tiles.offsets,
        windows=tiles.windows,
    )


def read_tile_table(file: h5py.File) -> TileTable:
    """Read the six tables."""
    return TileTable(
        store.texts(file["keys"]),
        file["sizes"][:],
        file["transforms"][:],
        store.texts(file["systems"]),
        file["offsets"][:],
        file["windows"][:],
    )


class BuildJournal:
    """Blocks that are done, in a folder of their own, until the index holds them.

    A block appears whole or not at all. Whoever finds the work interrupted goes on behind the last one.
    """

    def __init__(self, folder: Path, checkpoint: str) -> None:
        """Look into a journal, or begin one.

        Args:
            folder: its own.
            checkpoint: SHA-256 of the model's; blocks of another one are not read.
        """
        self._folder = folder
        self._checkpoint = checkpoint

    def add(self, block: EmbeddedBlock) -> None:
        """Write a block behind the others."""
        path = self._folder / f"{len(self.paths()):06}.h5"
        with store.writing(path, BLOCK_LAYOUT, {"checkpoint_sha256": self._checkpoint}) as file:
            write_tile_table(file, block.tiles)
            store.write_arrays(file, embeddings=block.embeddings)
            store.write_texts(file, "skipped", list(block.skipped))
            store.write_texts(file, "reasons", list(block.skipped.values()))

    def paths(self) -> list[Path]:
        """The blocks' files, in order."""
        return sorted(self._folder.glob("[0-9]*.h5"))

    def blocks(self) -> Iterable[EmbeddedBlock]:
        """Read the blocks in order, each open while it is looked at.

        Raises:
            StoreError: one is damaged or of another checkpoint.
        """
        for path in self.paths():
            with store.reading(path, BLOCK_LAYOUT) as file:
                if store.provenance(file)["checkpoint_sha256"] != self._checkpoint:
                    raise StoreError(
                        f"{path} is unfinished work of another run; finish it with that run, or delete"
                        f" {self._folder}"
                    )
                skipped = dict(
                    zip(store.texts(file["skipped"]), store.texts(file["reasons"]), strict=True)
                )
                yield EmbeddedBlock(read_tile_table(file), file["embeddings"], skipped)

    def clear(self) -> None:
        """Forget the blocks; the index holds them now."""
        for path in self.paths():
            path.unlink()
        if self._folder.is_dir() and not any(self._folder.iterdir()):
            self._folder.rmdir()
