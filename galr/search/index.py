"""An index on disk: what it holds, that its parts belong together, and who is at a row.

    index.json                       what it is, who made it, which generation counts
    sentences.pt, bank.npy           the model's text side; embeddings of training sentences
    <generation>/embeddings.npy      (rows, embedding) float32, unit rows
    <generation>/vectors.faiss       FAISS's index of them
    <generation>/names.h5            which row is which tile of which picture
    skipped.csv                      what the last `galr index` could not read

A generation is written beside the one that counts and counts from the moment index.json names it.

What an index takes from a training run: its text side, and whose embeddings it holds.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import h5py
import numpy as np
import torch

from galr import store
from galr.data.vocabulary import Vocabulary
from galr.errors import ConfigError, StoreError
from galr.io.atomic import atomic_write
from galr.model.galr import GaLR
from galr.search import text_query
from galr.search.rasters import GeoTransform, Window
from galr.search.tile_table import TILE_TABLES
from galr.search.vector_index import VectorIndex
from galr.similarity.runs import TrainedRun
from galr.train.embed import embed_sentences

VERSION = 1
MANIFEST, TEXT_ENCODER, BANK, SKIPPED = "index.json", "sentences.pt", "bank.npy", "skipped.csv"
EMBEDDINGS, VECTORS, NAMES = "embeddings.npy", "vectors.faiss", "names.h5"
HASH_CHUNKS, HASH_CHUNK_BYTES = 32, 1 << 16  # of a large file are hashed: so many, bytes each
NAMES_LAYOUT = store.Layout(
    "index-names",
    1,
    TILE_TABLES
    | {
        "names": "(names,) text, path below the folder or name in the dataset",
        "name_offsets": "(contents + 1,) int64; content i is called names[offsets[i]:offsets[i + 1]]",
        "source_of_name": "(names,) int32, place in index.json's sources",
    },
)


@dataclass(frozen=True)
class TileRecord:
    """What is at a row of an index.

    name: of the picture; where several are equal, the first.
    also: the other names of the same content.
    source: place in the index's sources of the first name.
    size: width and height of the picture in pixels.
    window: the tile, in its pixels.
    place: where on Earth the picture lies; None where unknown.
    """

    name: str
    other_names: tuple[str, ...]
    source: int
    size: tuple[int, int]
    window: Window
    geo_transform: GeoTransform | None


@dataclass(frozen=True, eq=False)
class Index:
    """An index that is open for questions.

    folder: where it lies.
    about: what index.json says.
    table: the embeddings and what finds the nearest.
    offsets: (contents + 1,) int64, rows of each content.
    """

    folder: Path
    manifest: Mapping[str, Any]
    vectors: VectorIndex
    offsets: np.ndarray

    def tile_records(self, rows: Sequence[int]) -> list[TileRecord]:
        """Tell what is at some rows."""
        with store.reading(self.folder / self.manifest["generation"] / NAMES, NAMES_LAYOUT) as file:
            tables = dict(file)  # to find a table takes longer than to read a row of it
            return [
                _read_tile_record(
                    tables, row, int(np.searchsorted(self.offsets, row, side="right")) - 1
                )
                for row in rows
            ]

    def is_current(self) -> bool:
        """Whether nobody has brought the index up to date, or made it anew, since it was opened."""
        return read_manifest(self.folder) == self.manifest

    def bank(self) -> np.ndarray:
        """Embeddings of training sentences, (sentences, embedding) float32."""
        return _map_embeddings(self.folder / BANK)

    def resolve(self, relative: str) -> Path:
        """Where a file lies that index.json tells of relative to itself."""
        return Path(os.path.normpath(self.folder / relative))


def open_index(folder: Path) -> Index:
    """Open an index and check that its parts belong together.

    Raises:
        StoreError: there is none, or a part is missing, damaged, or of another index.
    """
    about = read_manifest(folder)
    place = folder / about["generation"]
    for name, expected in about["files"].items():
        path = folder / name
        if not path.is_file() or sampled_sha256(path) != expected:
            what = "has changed" if path.is_file() else "is missing"
            raise StoreError(
                f"{path} {what} since {folder} was made, so its parts do not belong together;"
                " run galr index again into an empty folder"
            )
    rows = _map_embeddings(place / EMBEDDINGS)
    index = faiss.read_index(str(place / VECTORS), faiss.IO_FLAG_MMAP)
    with store.reading(place / NAMES, NAMES_LAYOUT) as file:
        offsets = file["offsets"][:]
    held = {"embeddings": len(rows), "FAISS": index.ntotal, "names": int(offsets[-1])}
    if len(set(held.values())) != 1 or rows.shape[1] != index.d:
        counts = ", ".join(f"{name} {count}" for name, count in held.items())
        raise StoreError(
            f"{folder} holds rows of {counts}, expected as many of each; run galr index again into"
            " an empty folder"
        )
    return Index(
        folder,
        about,
        VectorIndex(about["ann"]["kind"], rows, index, about["ann"]["effort"]),
        offsets,
    )


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read index.json.

    Raises:
        StoreError: it is missing, damaged, or of another version.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise StoreError(f"{folder} holds no index; make one with galr index --output {folder}")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        kind, version = about["kind"], about["version"]
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{path} is damaged ({error!r}); delete {folder} and index anew"
        ) from error
    if (kind, version) != ("index", VERSION):
        raise StoreError(
            f"{path} is format {version} of {kind}, this code reads {VERSION} of index; index anew"
        )
    return about


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write index.json whole or not at all; from here on its generation counts."""
    with atomic_write(folder / MANIFEST) as partial:
        partial.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def relative_path(path: Path, folder: Path) -> str:
    """A path as seen from an index, so that both can be moved together; see `Index.path`."""
    return os.path.relpath(path.resolve(), folder.resolve())


def sampled_sha256(path: Path) -> str:
    """Hash a file's size and pieces of it, evenly spread: of 2 GB a thousandth is read.

    It tells files of different making apart; it is no proof against somebody who changes a byte on purpose.
    """
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for piece in range(HASH_CHUNKS):
            file.seek(max(size - HASH_CHUNK_BYTES, 0) * piece // (HASH_CHUNKS - 1))
            digest.update(file.read(HASH_CHUNK_BYTES))
    return digest.hexdigest()


def _read_tile_record(tables: Mapping[str, h5py.Dataset], row: int, content: int) -> TileRecord:
    """Tell what is at a row, which is of a content."""
    first, last = tables["name_offsets"][content : content + 2]
    names = [str(name) for name in tables["names"].asstr()[first:last]]
    transform = tuple(float(number) for number in tables["transforms"][content])
    place = None
    if np.isfinite(transform).all():
        place = GeoTransform(transform, str(tables["systems"].asstr()[content]))
    width, height = (int(side) for side in tables["sizes"][content])
    return TileRecord(
        names[0],
        tuple(names[1:]),
        int(tables["source_of_name"][first]),
        (width, height),
        Window(*(int(number) for number in tables["windows"][row])),
        place,
    )


def _map_embeddings(path: Path) -> np.ndarray:
    """Map a (rows, width) float32 table.

    Raises:
        StoreError: it is none.
    """
    try:
        table = np.lib.format.open_memmap(path, mode="r")  # never unpickles
    except Exception as error:  # of a damaged header NumPy lets anything through
        raise StoreError(f"{path} is no whole table ({error}); run galr index again") from error
    if table.dtype != np.float32 or table.ndim != 2:
        raise StoreError(f"{path} is {table.dtype} {table.shape}, expected a float32 table")
    return table


BANK_SIZE = 5000  # training sentences that stand in for other queries: 10 MB at 512 numbers each


def write_query_files(
    folder: Path, run: TrainedRun, model: GaLR, *, batch: int, device: torch.device
) -> None:
    """Put into an index what sentences need of a run: its encoder, and a bank of embedded sentences.

    The bank holds distinct training sentences, drawn where there are more than 5000.

    Args:
        folder: the index.
        run: the run.
        model: its model, on `device`.
        batch: sentences at a time.
        device: where to compute.
    """
    checkpoint = run.checkpoint
    folder.mkdir(parents=True, exist_ok=True)
    text_query.write_text_encoder(
        folder / TEXT_ENCODER,
        checkpoint.architecture,
        checkpoint.state_dict,
        checkpoint.vocabulary,
        checkpoint.max_words,
    )
    known = list(dict.fromkeys(run.splits()["train"].sentences))
    drawn = np.random.default_rng(0).permutation(len(known))[:BANK_SIZE]
    vocabulary = Vocabulary(tuple(checkpoint.vocabulary))
    numbers = vocabulary.encode([known[each] for each in drawn], checkpoint.max_words)
    partial = folder / f".partial-{BANK}"
    np.save(partial, embed_sentences(model, numbers, batch_size=batch, device=device))
    partial.replace(folder / BANK)


def check_same_run(run: TrainedRun, sha256: str, name: str, index: Path) -> None:
    """Refuse a run that an index was not made by: its embeddings mean nothing to the index's.

    Raises:
        ConfigError: says whose the index is.
    """
    if run.sha256 != sha256:
        raise ConfigError(
            f"{index} was made by checkpoint {sha256[:12]} ({name}), and {run.folder} holds"
            f" {run.sha256[:12]} ({run.name}); give the run that made the index, or index anew elsewhere"
        )
