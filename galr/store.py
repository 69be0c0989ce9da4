"""Our HDF5 files: what each holds, written whole or not at all, refused when not what it claims.

Every file carries `kind` and `version` as attributes and its origin (`provenance`, JSON).
A layout's version grows when the meaning or shape of something in it changes.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from galr.errors import StoreError
from galr.io.atomic import atomic_hdf5


@dataclass(frozen=True)
class Layout:
    """What one kind of file holds: its name, its version, its tables and their shapes."""

    kind: str
    version: int
    tables: Mapping[str, str]


DATASET = Layout(
    "dataset",
    1,
    {
        "images": "(images, size, size, 3) uint8, RGB, one chunk an image",
        "names": "(images,) text, unique",
        "files": "(images,) text, path below the dataset's folder",
        "sizes": "(images, 2) int32, width and height of the original in pixels",
        "splits": "(images,) text, train | val | test",
        "sentences": "(sentences,) text as it came",
        "image_of_sentence": "(sentences,) int32, non-decreasing row in images",
    },
)
REGIONS = Layout(
    "regions",
    1,
    {
        "names": "(images,) text, as in dataset",
        "sizes": "(images, 2) int32, width and height in pixels",
        "offsets": "(images + 1,) int64; image i owns rows offsets[i]:offsets[i+1] below",
        "boxes": "(regions, 4) float32, x1 y1 x2 y2 in pixels of the original image",
        "scores": "(regions,) float32 in [0, 1], descending within an image",
        "classes": "(regions,) int32, row in class_names",
        "class_names": "(classes,) text",
    },
)
GRAPHS = Layout(
    "graphs",
    1,
    {
        "names": "(images,) text, as in dataset",
        "representation": "(images, n, d) float32; DREA's d = classes + score + centre x, y + width, height",
        "adjacency": "(images, n, n) float32, symmetric, no edges to padding",
        "mask": "(images, n) bool, False where a row is padding",
        "kept": "(images, n) int32, which of the image's regions a row is; -1 where padding or not known",
        "redundant": "(images,) int32, regions dropped as redundant",
    },
)
SIMILARITY = Layout(
    "similarity",
    2,
    {
        "similarity": "(images, sentences) float32, cosine, of the test split",
        "image_embeddings": "(images, embedding) float32, unit rows",
        "sentence_embeddings": "(sentences, embedding) float32, unit rows",
        "names": "(images,) text",
        "sentences": "(sentences,) text",
        "image_of_sentence": "(sentences,) int32: the relevance, row of the image it speaks of",
        "validation/*": "the same six of the fold's validation images",
        "bank/*": "both embedding tables of the fold's training images and their distinct sentences, or none",
    },
)
RANKS = Layout(
    "ranks",
    1,
    {
        "image_of_sentence": "(sentences,) int32",
        "<rerank>/i2t": "(images,) float64, rank of an image's best own sentence, from 0",
        "<rerank>/t2i": "(sentences,) float64, rank of the sentence's image, from 0",
        "<rerank>/i2t_hits": "(images, 3) float64, chance that the rank is below 1, 5, 10",
        "<rerank>/t2i_hits": "(sentences, 3) float64, likewise",
    },
)


@contextmanager
def writing(path: Path, layout: Layout, provenance: Mapping[str, Any]) -> Iterator[h5py.File]:
    """Open a file to fill; it takes its name only when the block ends well."""
    with atomic_hdf5(path) as file:
        file.attrs["kind"] = layout.kind
        file.attrs["version"] = layout.version
        file.attrs["provenance"] = json.dumps(provenance, sort_keys=True)
        yield file


@contextmanager
def reading(path: Path, layout: Layout) -> Iterator[h5py.File]:
    """Open a file of this layout.

    Raises:
        StoreError: it is missing, cut short, of another kind or version, or lacks a table.
    """
    if not path.exists():
        raise StoreError(f"{path} does not exist; run: snakemake {path}")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise StoreError(
            f"{path} is cut short or no HDF5 file ({error}); delete it and run snakemake again"
        ) from error
    with file:
        kind, version = file.attrs.get("kind"), file.attrs.get("version")
        if kind != layout.kind:
            raise StoreError(f"{path} holds {kind or 'something foreign'}, expected {layout.kind}")
        if version != layout.version:
            raise StoreError(
                f"{path} is format {version} of {kind}, this code reads {layout.version};"
                " delete it and run snakemake again"
            )
        missing = [t for t in layout.tables if not set(t) & set("*<") and t not in file]
        if missing:
            raise StoreError(
                f"{path} lacks {', '.join(missing)}; delete it and run snakemake again"
            )
        yield file


def provenance(file: h5py.File) -> dict[str, Any]:
    """Where this file came from, as its writer told it."""
    return json.loads(file.attrs["provenance"])


def write_texts(file: h5py.Group, table: str, texts: Sequence[str]) -> None:
    """Store a (texts,) table of Unicode strings."""
    file.create_dataset(table, data=list(texts), shape=(len(texts),), dtype=h5py.string_dtype())


def texts(table: h5py.Dataset) -> list[str]:
    """Read a table of Unicode strings."""
    return [str(text) for text in table.asstr()[:]]


def write_arrays(file: h5py.Group, **arrays: np.ndarray) -> None:
    """Store numeric tables under their keyword names."""
    for table, array in arrays.items():
        file.create_dataset(table, data=array)
