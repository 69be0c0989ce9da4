"""One generation of an index: its files, and their description in index.json."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from galr.io.atomic import atomic_directory
from galr.search import IndexKind
from galr.search.index import (
    BANK,
    EMBEDDINGS,
    NAMES,
    TEXT_ENCODER,
    VECTORS,
    VERSION,
    IndexNames,
    sampled_sha256,
)
from galr.search.tile_table import TileTable, concatenate, write_tile_table
from galr.search.vector_index import (
    CHUNK_ROWS,
    build_faiss_index,
    perturbed_queries,
    tune_search_effort,
)

NUM_RECALL_QUERIES = 200  # that recall is measured with
SEED = 0  # of the rows that codes are trained on, and of queries drawn from the rows

# Yields tables of images with their embeddings, (rows, embed_dim) float32, a part in memory at a time.
Parts = Callable[[], Iterator[tuple[TileTable, np.ndarray]]]


@dataclass(frozen=True)
class NameEntry:
    """A name of an image.

    Attributes:
        source: index into the index's sources.
        name: in that source.
        key: hash of the image and of how it was tiled.
    """

    source: int
    name: str
    key: str


def generation_id(names: Sequence[NameEntry], kind: IndexKind, checkpoint: str) -> str:
    """Name a generation by a hash of all that determines its content."""
    content = json.dumps([checkpoint, kind, [list(vars(name).values()) for name in names]])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def write_generation(
    folder: Path, names: Sequence[NameEntry], parts: Parts, kind: IndexKind
) -> None:
    """Write the three files of a generation.

    Args:
        folder: of the generation.
        names: of all images, in order; the images are stored in the order of their first names.
        parts: all images, and perhaps others; read several times.
        kind: of the FAISS index.
    """
    available = concatenate(tiles for tiles, _ in parts())
    index_of_key = {key: index for index, key in reversed(list(enumerate(available.keys)))}
    names_of_key: dict[str, list[NameEntry]] = {}
    for name in names:
        names_of_key.setdefault(name.key, []).append(name)
    tiles, rows = available.select([index_of_key[key] for key in names_of_key])
    by_image = [name for names in names_of_key.values() for name in names]
    with atomic_directory(folder) as partial:
        _write_embeddings(partial / EMBEDDINGS, rows, parts)
        with IndexNames.create(partial / NAMES, {}) as file:
            write_tile_table(file, tiles)
            file.write(
                names=[name.name for name in by_image],
                name_offsets=np.cumsum([0, *map(len, names_of_key.values())], dtype=np.int64),
                source_of_name=np.array([name.source for name in by_image], np.int32),
            )
        embeddings = np.lib.format.open_memmap(partial / EMBEDDINGS, mode="r")
        faiss.write_index(build_faiss_index(kind, embeddings, SEED), str(partial / VECTORS))


def _write_embeddings(path: Path, rows: np.ndarray, parts: Parts) -> None:
    """Write embeddings in a new order.

    Args:
        path: the .npy to write.
        rows: (rows,) int64, where each row comes from, counted through all parts.
        parts: the embeddings.
    """
    embed_dim = next(part.shape[1] for _, part in parts() if len(part))
    output = np.lib.format.open_memmap(path, "w+", np.float32, (len(rows), embed_dim))
    first = 0
    for _, part in parts():
        targets = np.flatnonzero((rows >= first) & (rows < first + len(part)))
        for start in range(0, len(targets), CHUNK_ROWS):
            chunk = targets[start : start + CHUNK_ROWS]
            output[chunk] = part[rows[chunk] - first]
        first += len(part)
    output.flush()


def describe_generation(
    folder: Path, generation: str, kind: IndexKind, num_names: int
) -> dict[str, Any]:
    """Entries of index.json about a generation and the files it needs."""
    embeddings = np.lib.format.open_memmap(folder / generation / EMBEDDINGS, mode="r")
    files = (
        TEXT_ENCODER,
        BANK,
        *(f"{generation}/{name}" for name in (EMBEDDINGS, VECTORS, NAMES)),
    )
    return {
        "kind": "index",
        "version": VERSION,
        "generation": generation,
        "names": num_names,
        "rows": embeddings.shape[0],
        "embedding": embeddings.shape[1],
        "ann": _measure_recall(folder, generation, embeddings, kind),
        "files": {name: sampled_sha256(folder / name) for name in files},
    }


def _measure_recall(
    folder: Path, generation: str, embeddings: np.ndarray, kind: IndexKind
) -> dict[str, Any]:
    """Tune and measure a FAISS index with training sentences, or with perturbed rows if these are too few."""
    faiss_index = faiss.read_index(str(folder / generation / VECTORS), faiss.IO_FLAG_MMAP)
    bank = np.load(folder / BANK, mmap_mode="r", allow_pickle=False)
    queries, description = np.ascontiguousarray(bank[:NUM_RECALL_QUERIES]), "training sentences"
    if len(queries) < NUM_RECALL_QUERIES:
        queries = perturbed_queries(embeddings, NUM_RECALL_QUERIES, SEED)
        description = "rows of the index with noise"
    effort, recall = tune_search_effort(kind, embeddings, faiss_index, queries, description)
    return {"kind": kind, "effort": effort, "recall": asdict(recall)}
