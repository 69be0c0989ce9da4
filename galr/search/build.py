"""Bring an index up to date with what lies in a source: embed what is new, forget what is gone."""

import csv
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np

from galr import store
from galr.errors import DataError
from galr.io import atomic
from galr.search import index as held
from galr.search import vector_index
from galr.search.sources import ImageSource, SourceListing
from galr.search.tile_table import (
    BuildJournal,
    TileTable,
    concatenate,
    read_tile_table,
    write_tile_table,
)
from galr.search.vector_index import CHUNK_ROWS, IndexKind

JOURNAL_DIR = ".journal"
GENERATION_FILES = (held.EMBEDDINGS, held.VECTORS, held.NAMES)  # of a generation
NUM_RECALL_QUERIES = 200  # queries that recall is measured with
SEED = 0  # of the rows that codes are learnt from, and of the queries


@dataclass(frozen=True)
class NameEntry:
    """A name and what it stands for: place of its source, the name there, key of the content."""

    source: int
    name: str
    key: str


@dataclass(frozen=True)
class UpdateSummary:
    """What a run changed.

    names: how many the index has now, all sources together.
    rows: embeddings it has now.
    new: contents that the index did not have before.
    kept: contents that it had.
    gone: contents that it has no more.
    skipped: pictures of this source that could not be read, (name, reason).
    ann: kind and recall of the FAISS index, as index.json says it.
    """

    names: int
    rows: int
    new: int
    kept: int
    removed: int
    skipped: list[tuple[str, str]]
    ann: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class PreviousIndex:
    """What an index holds before a run; nothing where there is none.

    about: what index.json says.
    contents: its tables.
    names: all of its names.
    """

    manifest: Mapping[str, Any] | None
    tiles: TileTable
    names: list[NameEntry]


def update_index(
    folder: Path,
    source: ImageSource,
    checkpoint: str,
    provenance: Mapping[str, Any],
    kind: IndexKind | None,
) -> UpdateSummary:
    """Bring an index up to date with a source, or make it.

    Contents are known by their hash: a file under a new name is not embedded again, a changed file under
    its old name is. Names that are gone from the source are forgotten; other sources stay as they are.
    What is embedded goes into a journal block by block, so that an interrupted run goes on where it
    stopped and ends with the same bits; the index itself changes in one step at the end.

    Args:
        folder: the index; it holds the model's text side and the bank already.
        source: what lies where.
        checkpoint: SHA-256 of the model's; the caller has made sure that the index has no other.
        origin: what index.json is to say of the model.
        kind: of the FAISS index; None means as it is, or flat.

    Raises:
        DataError: no picture could be read.
        ConfigError: the kind is not for so few rows.
    """
    before = _read_previous(folder)
    journal = BuildJournal(folder / JOURNAL_DIR, checkpoint)
    listing = source.scan()
    unread = _embed(journal, source, listing, before)
    sources, own = _merge_sources(folder, source, before)
    names = [name for name in before.names if name.source != own]
    names += [NameEntry(own, name, key) for name, key in listing.names if key not in unread]
    names.sort(key=lambda name: (name.source, name.name))
    skipped = listing.unreadable + [(n, unread[key]) for n, key in listing.names if key in unread]
    if not names:
        raise DataError(
            f"none of the {len(skipped)} pictures in {source.path} could be read, for example"
            f" {skipped[0][0]}: {skipped[0][1]}"
        )
    kind = kind or (before.manifest["ann"]["kind"] if before.manifest else "flat")
    generation = _generation_id(names, kind, checkpoint)
    about = before.manifest
    if about is None or about["generation"] != generation:
        _write_generation(
            folder / generation, names, lambda: _iter_parts(folder, before, journal), kind
        )
        about = {**provenance, "sources": sources} | _describe(folder, generation, kind, len(names))
        held.write_manifest(folder, about)
        if before.manifest is not None:
            shutil.rmtree(folder / before.manifest["generation"], ignore_errors=True)
    _write_skipped(folder / held.SKIPPED, skipped)
    journal.clear()
    had, has = set(before.tiles.keys), {name.key for name in names}
    return UpdateSummary(
        len(names),
        about["rows"],
        new=len(has - had),
        kept=len(has & had),
        removed=len(had - has),
        skipped=skipped,
        ann=about["ann"],
    )


def _read_previous(folder: Path) -> PreviousIndex:
    """Read what an index holds so far.

    Raises:
        StoreError: its parts do not belong together.
    """
    if not (folder / held.MANIFEST).exists():
        return PreviousIndex(None, concatenate([]), [])
    index = held.open_index(folder)
    with store.reading(
        folder / index.manifest["generation"] / held.NAMES, held.NAMES_LAYOUT
    ) as file:
        contents, texts = read_tile_table(file), store.texts(file["names"])
        content = np.repeat(np.arange(len(contents.keys)), np.diff(file["name_offsets"][:]))
        sources = file["source_of_name"][:]
    names = [
        NameEntry(int(source), name, contents.keys[which])
        for source, name, which in zip(sources, texts, content, strict=True)
    ]
    return PreviousIndex(index.manifest, contents, names)


def _embed(
    journal: BuildJournal, source: ImageSource, listing: SourceListing, before: PreviousIndex
) -> dict[str, str]:
    """Embed what neither the index nor the journal knows; say what could not be read, by key.

    Blocks are cut from the front of what is open, in order, and the journal holds whole blocks: so the
    blocks behind an interruption are those that would have come.

    Raises:
        DataError: the model gave what is no number.
    """
    done = set(before.tiles.keys)
    unread: dict[str, str] = {}
    for block in journal.blocks():
        done |= set(block.tiles.keys)
        unread |= block.skipped
    keys = dict.fromkeys(key for _, key in listing.names)
    for block in source.blocks([key for key in keys if key not in done and key not in unread]):
        if not np.isfinite(block.embeddings).all():
            raise DataError(
                f"the model's embeddings of {source.path} are not finite numbers; train it again"
            )
        journal.add(block)
        unread |= block.skipped
    return unread


def _merge_sources(
    folder: Path, source: ImageSource, before: PreviousIndex
) -> tuple[list[dict[str, str]], int]:
    """The index's sources, this one among them, and its place; paths are relative to the index."""
    this = {"kind": source.kind, "path": held.relative_path(source.path, folder)}
    sources = list(before.manifest["sources"]) if before.manifest else []
    if this not in sources:
        sources.append(this)
    return sources, sources.index(this)


def _generation_id(names: Sequence[NameEntry], kind: IndexKind, checkpoint: str) -> str:
    """Name a generation by what it follows from."""
    follows = json.dumps([checkpoint, kind, [list(vars(name).values()) for name in names]])
    return hashlib.sha256(follows.encode()).hexdigest()[:16]


def _iter_parts(
    folder: Path, before: PreviousIndex, journal: BuildJournal
) -> Iterator[tuple[TileTable, np.ndarray]]:
    """Contents and embeddings of the index so far, then of every block."""
    if before.manifest is not None:
        yield before.tiles, held.open_index(folder).vectors.rows
    for block in journal.blocks():
        yield block.tiles, block.embeddings[:]


def _write_generation(
    generation_dir: Path,
    names: Sequence[NameEntry],
    parts: Callable[[], Iterator[tuple[TileTable, np.ndarray]]],
    kind: IndexKind,
) -> None:
    """Write the three files of a generation.

    Args:
        place: its folder.
        names: all of them, in order; contents stand in the order of their first names.
        parts: contents and their embeddings; asked twice, a part in memory at a time.
        kind: of the FAISS index.
    """
    together = concatenate(contents for contents, _ in parts())
    where = {key: content for content, key in reversed(list(enumerate(together.keys)))}
    called: dict[str, list[NameEntry]] = {}
    for name in names:
        called.setdefault(name.key, []).append(name)
    contents, rows = together.select([where[key] for key in called])
    with atomic.atomic_directory(generation_dir) as partial:
        _copy_rows(partial / held.EMBEDDINGS, rows, parts)
        with store.writing(partial / held.NAMES, held.NAMES_LAYOUT, {}) as file:
            write_tile_table(file, contents)
            grouped = [name for each in called.values() for name in each]
            store.write_texts(file, "names", [name.name for name in grouped])
            store.write_arrays(
                file,
                name_offsets=np.cumsum([0, *map(len, called.values())], dtype=np.int64),
                source_of_name=np.array([name.source for name in grouped], np.int32),
            )
        table = np.lib.format.open_memmap(partial / held.EMBEDDINGS, mode="r")
        faiss.write_index(
            vector_index.build_faiss_index(kind, table, SEED), str(partial / held.VECTORS)
        )


def _copy_rows(
    path: Path,
    rows: np.ndarray,
    parts: Callable[[], Iterator[tuple[TileTable, np.ndarray]]],
) -> None:
    """Write embeddings in a new order.

    Args:
        path: the .npy to write.
        rows: (rows,) where each comes from, counted through all parts.
        parts: where they lie.
    """
    width = next(table.shape[1] for _, table in parts() if len(table))
    written = np.lib.format.open_memmap(path, "w+", np.float32, (len(rows), width))
    first = 0
    for _, table in parts():
        here = np.flatnonzero((rows >= first) & (rows < first + len(table)))
        for start in range(0, len(here), CHUNK_ROWS):
            some = here[start : start + CHUNK_ROWS]
            written[some] = table[rows[some] - first]
        first += len(table)
    written.flush()


def _describe(folder: Path, generation: str, kind: IndexKind, names: int) -> dict[str, Any]:
    """Say in index.json's words what a generation is and which files it needs."""
    rows = np.lib.format.open_memmap(folder / generation / held.EMBEDDINGS, mode="r")
    files = (held.TEXT_ENCODER, held.BANK, *(f"{generation}/{part}" for part in GENERATION_FILES))
    return {
        "kind": "index",
        "version": held.VERSION,
        "generation": generation,
        "names": names,
        "rows": rows.shape[0],
        "embedding": rows.shape[1],
        "ann": _measure_recall(folder, rows, generation, kind),
        "files": {name: held.sampled_sha256(folder / name) for name in files},
    }


def _measure_recall(
    folder: Path, rows: np.ndarray, generation: str, kind: IndexKind
) -> dict[str, Any]:
    """Measure what a FAISS index reaches: asked with training sentences, or with rows pushed off."""
    index = faiss.read_index(str(folder / generation / held.VECTORS), faiss.IO_FLAG_MMAP)
    bank = np.load(folder / held.BANK, mmap_mode="r", allow_pickle=False)
    queries, of = np.ascontiguousarray(bank[:NUM_RECALL_QUERIES]), "training sentences"
    if len(queries) < NUM_RECALL_QUERIES:
        queries, of = (
            vector_index.perturbed_queries(rows, NUM_RECALL_QUERIES, SEED),
            "rows of the index with noise",
        )
    effort, recall = vector_index.tune_search_effort(kind, rows, index, queries, of)
    return {"kind": kind, "effort": effort, "recall": asdict(recall)}


def _write_skipped(path: Path, skipped: Sequence[tuple[str, str]]) -> None:
    """Write `name,reason` of everything that was skipped; the header stands there anyway."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("name", "reason"))
        rows.writerows((name, " ".join(reason.split())) for name, reason in skipped)
