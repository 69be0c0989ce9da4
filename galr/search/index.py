"""An index on disk: its files, the check that they belong together, and what each row is.

    index.json                       kind, model, sources, the current generation, hashes of the files
    sentences.pt, bank.npy           the model's text encoder; embeddings of training sentences
    <generation>/embeddings.npy      (rows, embed_dim) float32, unit rows
    <generation>/vectors.faiss       the FAISS index of them
    <generation>/names.h5            image and window of each row
    skipped.csv                      images that the last `galr index` could not read

An update writes a new generation beside the current one, and then index.json, which makes it current.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import faiss
import numpy as np

from galr.errors import ConfigError, StoreError
from galr.io.atomic import atomic_write
from galr.io.pixel_options import PixelOptions
from galr.io.tables import Strings, Table
from galr.io.windows import GeoTransform, Window
from galr.search import MANIFEST, check_index_exists
from galr.search.tile_table import IndexFile
from galr.search.vector_index import VectorIndex

if TYPE_CHECKING:  # it loads the whole model, and a sentence is answered without
    from galr.similarity.runs import TrainedRun

VERSION = 1
TEXT_ENCODER, BANK, SKIPPED = "sentences.pt", "bank.npy", "skipped.csv"
EMBEDDINGS, VECTORS, NAMES = "embeddings.npy", "vectors.faiss", "names.h5"
HASH_CHUNKS, HASH_CHUNK_BYTES = 32, 1 << 16  # of a large file, only so many chunks are hashed


class IndexNames(IndexFile):
    """The names of the images of an index, and their tiles."""

    kind, version = "index-names", 1

    names = Strings(("names",), "path below the folder, or name in the dataset")
    name_offsets = Table(
        "int64", ("images+1",), "image i has names[name_offsets[i]:name_offsets[i+1]]"
    )
    source_of_name = Table("int32", ("names",), "index into the sources of index.json")


@dataclass(frozen=True)
class TileRecord:
    """What a row of an index is.

    Attributes:
        name: of the image; where equal images have several names, the first.
        other_names: the other names of the same image.
        source: index into the index's sources, of the first name.
        size: width and height of the image in pixels.
        window: the tile, in pixels of the image.
        geo_transform: the image's coordinates; None where unknown.
    """

    name: str
    other_names: tuple[str, ...]
    source: int
    size: tuple[int, int]
    window: Window
    geo_transform: GeoTransform | None

    @property
    def is_full_image(self) -> bool:
        """Whether the tile is the whole image."""
        return (self.window.width, self.window.height) == self.size


@dataclass(frozen=True, eq=False)
class Index:
    """An open index.

    Attributes:
        folder: its folder.
        manifest: the content of index.json.
        vectors: the embeddings and their FAISS index.
        offsets: (images + 1,) int64; image i has the rows offsets[i]:offsets[i + 1].
    """

    folder: Path
    manifest: Mapping[str, Any]
    vectors: VectorIndex
    offsets: np.ndarray

    def tile_records(self, rows: Sequence[int]) -> list[TileRecord]:
        """Read what some rows are, in the order given."""
        with IndexNames.open(self.folder / self.manifest["generation"] / NAMES) as file:
            return [
                _read_tile_record(file, row, int(image))
                for row, image in zip(rows, self.images_of_rows(rows), strict=True)
            ]

    def is_current(self) -> bool:
        """Whether the index on disk is still as it was when opened."""
        return read_manifest(self.folder) == self.manifest

    def images_of_rows(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """The image of each row: (rows,) int64."""
        return np.searchsorted(self.offsets, rows, side="right") - 1

    def windows(self, rows: Sequence[int]) -> dict[int, Window]:
        """Read the windows of some rows, by row."""
        with IndexNames.open(self.folder / self.manifest["generation"] / NAMES) as file:
            return {row: Window(*(int(n) for n in file.windows[row])) for row in rows}

    def source_pixels(self, source: int) -> PixelOptions:
        """How the image files of a source were read."""
        return PixelOptions.from_dict(self.manifest["sources"][source].get("pixels"))

    def query_pixels(
        self, bands: Sequence[int] | None, limits: Sequence[float] | None
    ) -> PixelOptions:
        """How an image is read that queries this index: as the indexed ones were, unless the user says otherwise.

        Raises:
            ConfigError: the sources were read in different ways, and the user does not say which.
        """
        known = {
            self.source_pixels(number).override(bands, limits)
            for number in range(len(self.manifest["sources"]))
        }
        if len(known) > 1:
            raise ConfigError(
                f"the images of {self.folder} were read with different bands or ranges; say how to read"
                " this one with --bands and --range"
            )
        return known.pop()

    def bank(self) -> np.ndarray:
        """Embeddings of training sentences, (sentences, embed_dim) float32."""
        return _map_embeddings(self.folder / BANK)

    def resolve(self, relative: str) -> Path:
        """The path of a file that index.json names relative to its folder."""
        return Path(os.path.normpath(self.folder / relative))


def open_index(folder: Path) -> Index:
    """Open an index and check that its files belong together.

    Raises:
        StoreError: there is none, or a file is missing, damaged, or of another index.
    """
    manifest = read_manifest(folder)
    for name, expected in manifest["files"].items():
        path = folder / name
        if not path.is_file() or sampled_sha256(path) != expected:
            problem = "has changed" if path.is_file() else "is missing"
            raise StoreError(
                f"{path} {problem} since {folder} was made, so the files do not belong together;"
                " run galr index again into an empty folder"
            )
    generation = folder / manifest["generation"]
    embeddings = _map_embeddings(generation / EMBEDDINGS)
    faiss_index = faiss.read_index(str(generation / VECTORS), faiss.IO_FLAG_MMAP)
    with IndexNames.open(generation / NAMES) as file:
        offsets = file.offsets[:]
    counts = {"embeddings": len(embeddings), "FAISS": faiss_index.ntotal, "names": int(offsets[-1])}
    if len(set(counts.values())) != 1 or embeddings.shape[1] != faiss_index.d:
        rows = ", ".join(f"{name} {count}" for name, count in counts.items())
        raise StoreError(
            f"{folder} has rows of {rows}, expected as many of each; run galr index again into"
            " an empty folder"
        )
    ann = manifest["ann"]
    vectors = VectorIndex(ann["kind"], embeddings, faiss_index, ann["effort"])
    return Index(folder, manifest, vectors, offsets)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read index.json.

    Raises:
        StoreError: it is missing, damaged, or of another version.
    """
    path = folder / MANIFEST
    check_index_exists(folder)
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        kind, version = manifest["kind"], manifest["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} is damaged ({error!r}); delete {folder} and run galr index again"
        ) from error
    if (kind, version) != ("index", VERSION):
        raise StoreError(
            f"{path} is format {version} of {kind}, this code reads {VERSION} of index; run galr"
            " index again into an empty folder"
        )
    return manifest


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write index.json whole or not at all, which makes its generation the current one."""
    with atomic_write(folder / MANIFEST) as partial:
        partial.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def check_same_run(run: "TrainedRun", manifest: Mapping[str, Any], folder: Path) -> None:
    """Check that a run has the checkpoint of an index: embeddings of two models cannot be compared.

    Args:
        run: the run that is to embed.
        manifest: the index's.
        folder: the index's.

    Raises:
        ConfigError: the checkpoints differ.
    """
    model = manifest["model"]
    if run.sha256 != model["checkpoint_sha256"]:
        raise ConfigError(
            f"{folder} was made by checkpoint {model['checkpoint_sha256'][:12]} ({model['name']}), and"
            f" {run.folder} holds {run.sha256[:12]} ({run.name}); give the run that made the index, or"
            " another --output"
        )


def check_run_folder(run: Path, folder: Path) -> None:
    """Check that the run that made an index is there.

    Raises:
        ConfigError: it is not.
    """
    if not run.is_dir():
        raise ConfigError(
            f"there is no run at {run}; to query with an image, give the run that made {folder}"
            " with --run"
        )


def relative_path(path: Path, folder: Path) -> str:
    """A path relative to an index's folder, so that both can be moved together; see `Index.resolve`."""
    return os.path.relpath(path.resolve(), folder.resolve())


def sampled_sha256(path: Path) -> str:
    """Hash a file's size and some chunks of it, evenly spaced: of 2 GB a thousandth is read.

    It tells files of different builds apart. It does not reveal every changed byte.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for chunk in range(HASH_CHUNKS):
            file.seek(max(size - HASH_CHUNK_BYTES, 0) * chunk // (HASH_CHUNKS - 1))
            digest.update(file.read(HASH_CHUNK_BYTES))
    return digest.hexdigest()


def _read_tile_record(file: IndexNames, row: int, image: int) -> TileRecord:
    """Read what a row, which belongs to an image, is."""
    first, last = file.name_offsets[image : image + 2]
    names = [str(name) for name in file.table(IndexNames.names).asstr()[first:last]]
    coefficients = tuple(float(number) for number in file.transforms[image])
    geo_transform = None
    if np.isfinite(coefficients).all():
        geo_transform = GeoTransform(
            coefficients, str(file.table(IndexNames.systems).asstr()[image])
        )
    width, height = (int(side) for side in file.sizes[image])
    return TileRecord(
        names[0],
        tuple(names[1:]),
        int(file.source_of_name[first]),
        (width, height),
        Window(*(int(number) for number in file.windows[row])),
        geo_transform,
    )


def _map_embeddings(path: Path) -> np.ndarray:
    """Memory-map a table of embeddings, (rows, embed_dim) float32.

    Raises:
        StoreError: the file is missing, damaged or holds something else.
    """
    try:
        table = np.lib.format.open_memmap(path, mode="r")  # never unpickles
    except Exception as error:  # NumPy raises many types on a damaged header
        raise StoreError(
            f"{path} is damaged or no table ({error}); run galr index again"
        ) from error
    if table.dtype != np.float32 or table.ndim != 2:
        raise StoreError(f"{path} is {table.dtype} {table.shape}, expected a float32 table")
    return table
