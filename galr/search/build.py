"""Bring an index up to date with a source: embed new images, remove the missing, write a new generation."""

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from galr.errors import DataError
from galr.io.csv_io import write_csv
from galr.search import MANIFEST, IndexKind
from galr.search.generation import (
    NameEntry,
    describe_generation,
    generation_id,
    write_generation,
)
from galr.search.index import (
    NAMES,
    SKIPPED,
    IndexNames,
    open_index,
    relative_path,
    write_manifest,
)
from galr.search.sources import ImageSource, SourceListing
from galr.search.tile_table import BuildJournal, TileTable, concatenate, read_tile_table

JOURNAL_DIR = ".journal"


@dataclass(frozen=True)
class UpdateSummary:
    """The result of an update.

    Attributes:
        names: number of names in the index, of all sources.
        rows: number of embeddings in the index.
        new: number of distinct images that the index did not have before.
        kept: number of distinct images that it had already.
        removed: number of distinct images that it has no more.
        skipped: name and reason of each image of the source that could not be read.
        ann: kind and recall of the FAISS index, as in index.json.
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
    """The content of an index before an update; empty if there is none.

    Attributes:
        manifest: the content of index.json; None if there is no index.
        tiles: its images and their tiles.
        embeddings: (rows, embed_dim) float32, memory-mapped; None if there is no index.
        names: all its names.
    """

    manifest: Mapping[str, Any] | None
    tiles: TileTable
    embeddings: np.ndarray | None
    names: list[NameEntry]


def update_index(
    folder: Path,
    source: ImageSource,
    checkpoint: str,
    provenance: Mapping[str, Any],
    kind: IndexKind | None,
) -> UpdateSummary:
    """Bring an index up to date with a source, or make it.

    Images are known by their hash: an image under a new name is not embedded again, a changed image under an
    old name is. Names that the source no longer has are removed; other sources stay as they are. Embeddings are
    written to a journal block by block, so that an interrupted update continues where it stopped and ends with
    the same bits; the index itself changes in one step at the end.

    Args:
        folder: of the index; it holds the text encoder and the bank already.
        source: the images.
        checkpoint: SHA-256 of the model's checkpoint; the index must be of no other, which the caller checks.
        provenance: entries of index.json about the model.
        kind: of the FAISS index; None means as before, or flat.

    Raises:
        DataError: no image could be read.
        ConfigError: the kind has too few rows to be trained on.
    """
    previous = _read_previous(folder)
    journal = BuildJournal(folder / JOURNAL_DIR, checkpoint)
    listing = source.scan()
    unread = _embed_new(journal, source, listing, previous)
    skipped = listing.unreadable + [(n, unread[key]) for n, key in listing.names if key in unread]
    sources, number = _merge_sources(folder, source, previous)
    names = [name for name in previous.names if name.source != number]
    names += [NameEntry(number, name, key) for name, key in listing.names if key not in unread]
    names.sort(key=lambda name: (name.source, name.name))
    if not names:
        raise DataError(
            f"none of the {len(skipped)} images in {source.path} could be read, for example"
            f" {skipped[0][0]}: {skipped[0][1]}"
        )
    kind = kind or (previous.manifest["ann"]["kind"] if previous.manifest else "flat")
    generation = generation_id(names, kind, checkpoint)
    manifest = previous.manifest
    if manifest is None or manifest["generation"] != generation:
        write_generation(folder / generation, names, lambda: _parts(previous, journal), kind)
        manifest = {
            **provenance,
            "sources": sources,
            **describe_generation(folder, generation, kind, len(names)),
        }
        write_manifest(folder, manifest)
        if previous.manifest is not None:
            shutil.rmtree(folder / previous.manifest["generation"], ignore_errors=True)
    _write_skipped(folder / SKIPPED, skipped)
    journal.clear()
    before, after = set(previous.tiles.keys), {name.key for name in names}
    return UpdateSummary(
        len(names),
        manifest["rows"],
        new=len(after - before),
        kept=len(after & before),
        removed=len(before - after),
        skipped=skipped,
        ann=manifest["ann"],
    )


def _read_previous(folder: Path) -> PreviousIndex:
    """Read the content of an index, if there is one.

    Raises:
        StoreError: its files do not belong together.
    """
    if not (folder / MANIFEST).exists():
        return PreviousIndex(None, concatenate([]), None, [])
    index = open_index(folder)
    with IndexNames.open(folder / index.manifest["generation"] / NAMES) as file:
        tiles, texts = read_tile_table(file), file.names
        images = np.repeat(np.arange(len(tiles.keys)), np.diff(file.name_offsets[:]))
        sources = file.source_of_name[:]
    names = [
        NameEntry(int(source), name, tiles.keys[image])
        for source, name, image in zip(sources, texts, images, strict=True)
    ]
    return PreviousIndex(index.manifest, tiles, index.vectors.embeddings, names)


def _embed_new(
    journal: BuildJournal, source: ImageSource, listing: SourceListing, previous: PreviousIndex
) -> dict[str, str]:
    """Embed the images that neither the index nor the journal has: reasons by key of those not read.

    The source divides the remaining images into blocks from the front, and the journal holds whole blocks. So
    the blocks after an interruption are those that would have followed without it.

    Raises:
        DataError: an embedding is not finite.
    """
    done = set(previous.tiles.keys)
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
    folder: Path, source: ImageSource, previous: PreviousIndex
) -> tuple[list[dict[str, str]], int]:
    """The index's sources with this one among them, paths relative to the index; and its position."""
    entry = {"kind": source.kind, "path": relative_path(source.path, folder)}
    pixels = {"pixels": source.pixels.to_dict()}  # of the last update
    sources = list(previous.manifest["sources"]) if previous.manifest else []
    for number, known in enumerate(sources):
        if known.items() >= entry.items():
            sources[number] = entry | pixels
            return sources, number
    return [*sources, entry | pixels], len(sources)


def _parts(
    previous: PreviousIndex, journal: BuildJournal
) -> Iterator[tuple[TileTable, np.ndarray]]:
    """Images and embeddings of the index so far, then of every block of the journal."""
    if previous.embeddings is not None:
        yield previous.tiles, previous.embeddings
    for block in journal.blocks():
        yield block.tiles, block.embeddings[:]


def _write_skipped(path: Path, skipped: Sequence[tuple[str, str]]) -> None:
    """Write `name,reason` of every image that was skipped; with none, the header alone."""
    write_csv(
        path, ("name", "reason"), ((name, " ".join(reason.split())) for name, reason in skipped)
    )
