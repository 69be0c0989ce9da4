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
from galr.search import nearest
from galr.search.contents import Contents, Journal, joined, read_contents, write_contents
from galr.search.nearest import CHUNK, Kind
from galr.search.sources import Listing, Source

JOURNAL = ".journal"
PARTS = (held.EMBEDDINGS, held.VECTORS, held.NAMES)  # of a generation
ASKED = 200  # queries that recall is measured with
SEED = 0  # of the rows that codes are learnt from, and of the queries


@dataclass(frozen=True)
class Name:
    """A name and what it stands for: place of its source, the name there, key of the content."""

    source: int
    name: str
    key: str


@dataclass(frozen=True)
class Change:
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
    gone: int
    skipped: list[tuple[str, str]]
    ann: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Before:
    """What an index holds before a run; nothing where there is none.

    about: what index.json says.
    contents: its tables.
    names: all of its names.
    """

    about: Mapping[str, Any] | None
    contents: Contents
    names: list[Name]


def update(
    folder: Path, source: Source, checkpoint: str, origin: Mapping[str, Any], kind: Kind | None
) -> Change:
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
    before = _before(folder)
    journal = Journal(folder / JOURNAL, checkpoint)
    listing = source.listing()
    unread = _embed(journal, source, listing, before)
    sources, own = _sources(folder, source, before)
    names = [name for name in before.names if name.source != own]
    names += [Name(own, name, key) for name, key in listing.names if key not in unread]
    names.sort(key=lambda name: (name.source, name.name))
    skipped = listing.unreadable + [(n, unread[key]) for n, key in listing.names if key in unread]
    if not names:
        raise DataError(
            f"none of the {len(skipped)} pictures in {source.path} could be read, for example"
            f" {skipped[0][0]}: {skipped[0][1]}"
        )
    kind = kind or (before.about["ann"]["kind"] if before.about else "flat")
    generation = _generation(names, kind, checkpoint)
    about = before.about
    if about is None or about["generation"] != generation:
        _write(folder / generation, names, lambda: _parts(folder, before, journal), kind)
        about = {**origin, "sources": sources} | _described(folder, generation, kind, len(names))
        held.write_about(folder, about)
        if before.about is not None:
            shutil.rmtree(folder / before.about["generation"], ignore_errors=True)
    _list_skipped(folder / held.SKIPPED, skipped)
    journal.clear()
    had, has = set(before.contents.keys), {name.key for name in names}
    return Change(
        len(names),
        about["rows"],
        new=len(has - had),
        kept=len(has & had),
        gone=len(had - has),
        skipped=skipped,
        ann=about["ann"],
    )


def _before(folder: Path) -> Before:
    """Read what an index holds so far.

    Raises:
        StoreError: its parts do not belong together.
    """
    if not (folder / held.ABOUT).exists():
        return Before(None, joined([]), [])
    index = held.open_index(folder)
    with store.reading(folder / index.about["generation"] / held.NAMES, held.NAME_TABLES) as file:
        contents, texts = read_contents(file), store.texts(file["names"])
        content = np.repeat(np.arange(len(contents.keys)), np.diff(file["name_offsets"][:]))
        sources = file["source_of_name"][:]
    names = [
        Name(int(source), name, contents.keys[which])
        for source, name, which in zip(sources, texts, content, strict=True)
    ]
    return Before(index.about, contents, names)


def _embed(journal: Journal, source: Source, listing: Listing, before: Before) -> dict[str, str]:
    """Embed what neither the index nor the journal knows; say what could not be read, by key.

    Blocks are cut from the front of what is open, in order, and the journal holds whole blocks: so the
    blocks behind an interruption are those that would have come.

    Raises:
        DataError: the model gave what is no number.
    """
    done = set(before.contents.keys)
    unread: dict[str, str] = {}
    for block in journal.blocks():
        done |= set(block.contents.keys)
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


def _sources(folder: Path, source: Source, before: Before) -> tuple[list[dict[str, str]], int]:
    """The index's sources, this one among them, and its place; paths are relative to the index."""
    this = {"kind": source.kind, "path": held.relative(source.path, folder)}
    sources = list(before.about["sources"]) if before.about else []
    if this not in sources:
        sources.append(this)
    return sources, sources.index(this)


def _generation(names: Sequence[Name], kind: Kind, checkpoint: str) -> str:
    """Name a generation by what it follows from."""
    follows = json.dumps([checkpoint, kind, [list(vars(name).values()) for name in names]])
    return hashlib.sha256(follows.encode()).hexdigest()[:16]


def _parts(folder: Path, before: Before, journal: Journal) -> Iterator[tuple[Contents, np.ndarray]]:
    """Contents and embeddings of the index so far, then of every block."""
    if before.about is not None:
        yield before.contents, held.open_index(folder).table.rows
    for block in journal.blocks():
        yield block.contents, block.embeddings[:]


def _write(
    place: Path,
    names: Sequence[Name],
    parts: Callable[[], Iterator[tuple[Contents, np.ndarray]]],
    kind: Kind,
) -> None:
    """Write the three files of a generation.

    Args:
        place: its folder.
        names: all of them, in order; contents stand in the order of their first names.
        parts: contents and their embeddings; asked twice, a part in memory at a time.
        kind: of the FAISS index.
    """
    together = joined(contents for contents, _ in parts())
    where = {key: content for content, key in reversed(list(enumerate(together.keys)))}
    called: dict[str, list[Name]] = {}
    for name in names:
        called.setdefault(name.key, []).append(name)
    contents, rows = together.take([where[key] for key in called])
    with atomic.atomic_directory(place) as partial:
        _copy_rows(partial / held.EMBEDDINGS, rows, parts)
        with store.writing(partial / held.NAMES, held.NAME_TABLES, {}) as file:
            write_contents(file, contents)
            grouped = [name for each in called.values() for name in each]
            store.write_texts(file, "names", [name.name for name in grouped])
            store.write_arrays(
                file,
                name_offsets=np.cumsum([0, *map(len, called.values())], dtype=np.int64),
                source_of_name=np.array([name.source for name in grouped], np.int32),
            )
        table = np.lib.format.open_memmap(partial / held.EMBEDDINGS, mode="r")
        faiss.write_index(nearest.build(kind, table, SEED), str(partial / held.VECTORS))


def _copy_rows(
    path: Path,
    rows: np.ndarray,
    parts: Callable[[], Iterator[tuple[Contents, np.ndarray]]],
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
        for start in range(0, len(here), CHUNK):
            some = here[start : start + CHUNK]
            written[some] = table[rows[some] - first]
        first += len(table)
    written.flush()


def _described(folder: Path, generation: str, kind: Kind, names: int) -> dict[str, Any]:
    """Say in index.json's words what a generation is and which files it needs."""
    rows = np.lib.format.open_memmap(folder / generation / held.EMBEDDINGS, mode="r")
    files = (held.ENCODER, held.BANK, *(f"{generation}/{part}" for part in PARTS))
    return {
        "kind": "index",
        "version": held.VERSION,
        "generation": generation,
        "names": names,
        "rows": rows.shape[0],
        "embedding": rows.shape[1],
        "ann": _ann(folder, rows, generation, kind),
        "files": {name: held.fingerprint(folder / name) for name in files},
    }


def _ann(folder: Path, rows: np.ndarray, generation: str, kind: Kind) -> dict[str, Any]:
    """Measure what a FAISS index reaches: asked with training sentences, or with rows pushed off."""
    index = faiss.read_index(str(folder / generation / held.VECTORS), faiss.IO_FLAG_MMAP)
    bank = np.load(folder / held.BANK, mmap_mode="r", allow_pickle=False)
    queries, of = np.ascontiguousarray(bank[:ASKED]), "training sentences"
    if len(queries) < ASKED:
        queries, of = nearest.noisy(rows, ASKED, SEED), "rows of the index with noise"
    effort, recall = nearest.tune(kind, rows, index, queries, of)
    return {"kind": kind, "effort": effort, "recall": asdict(recall)}


def _list_skipped(path: Path, skipped: Sequence[tuple[str, str]]) -> None:
    """Write `name,reason` of everything that was skipped; the header stands there anyway."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(("name", "reason"))
        rows.writerows((name, " ".join(reason.split())) for name, reason in skipped)
