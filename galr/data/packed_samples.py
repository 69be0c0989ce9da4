"""Read datasets that pack their images: tables of images and sentences (Parquet), and tar shards (WebDataset).

Tars are read by `tarfile`: the library webdataset feeds loops of training, and its errors name no shard.
"""

import json
import re
import tarfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from galr.data.dataset_spec import (
    AUTO_NAME,
    SPLITS,
    DatasetSpec,
    ParquetLayout,
    WebDatasetLayout,
)
from galr.data.extract import DAMAGE_ERRORS, TAR, tar_members
from galr.data.find_images import IMAGE_SUFFIXES, find_files
from galr.data.layouts import check_splits
from galr.errors import DataError, printable

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 64  # of a table in memory at a time
KEY = re.compile(r"((?:.*/)?[^/.]+)\.([^/]+)")  # of WebDataset: a name up to its first dot
CAPTION_KEYS = ("captions", "caption")


@dataclass(frozen=True)
class Sample:
    """An image with its sentences.

    Attributes:
        name: the image's path or name in the source; empty where it has none.
        split: the source's split.
        sentences: the sentences; one that is missing is empty.
        image: the bytes of the image file; None where there are none.
        location: where the sample stands, for messages.
    """

    name: str
    split: str
    sentences: tuple[str, ...]
    image: bytes | None
    location: str


def read_samples(
    dataset: DatasetSpec, folder: Path, files: Sequence[PurePosixPath]
) -> Iterator[Sample]:
    """Read the samples of a packed dataset, split by split; those of unused splits are left out.

    Args:
        dataset: the dataset file; its layout is parquet or webdataset.
        folder: the dataset's folder.
        files: relative paths of the files in it, from `list_files`.

    Raises:
        DataError: a file is missing, damaged or not in the layout, or a split is missing or not assigned.
    """
    sources = [source for split in SPLITS for source in dataset.splits[split]]
    if isinstance(dataset.layout, WebDatasetLayout):
        for source in sources:
            for shard in _find_shards(dataset.layout.shards, source, files, folder):
                yield from _read_shard(folder / shard, source, dataset.layout)
        return
    assert isinstance(dataset.layout, ParquetLayout)
    found: Counter[str] = Counter()
    tables: list[PurePosixPath] = []
    for pattern_split in sources if dataset.layout.split is None else [None]:
        tables = find_files(dataset.layout.file, pattern_split, files, folder)
        for table in tables:
            for sample in _read_table(folder, table, dataset.layout, pattern_split):
                found[sample.split] += 1
                if sample.split in sources:
                    yield sample
    if dataset.layout.split is not None:
        check_splits(found, dataset.splits, dataset.unused, folder / tables[0])


def _read_table(
    folder: Path, table: PurePosixPath, layout: ParquetLayout, split: str | None
) -> Iterator[Sample]:
    """Read one Parquet file.

    Args:
        folder: the dataset's folder.
        table: the file, relative to it.
        layout: the names of the columns.
        split: the split; None where a column has it.

    Raises:
        DataError: the file is damaged, lacks a column, or a column has another type.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = folder / table
    with (
        _explain_damage(path, OSError, UnicodeDecodeError, pa.ArrowException),
        pq.ParquetFile(path) as file,
    ):
        schema = file.schema_arrow
        columns = [layout.image, layout.sentences, *filter(None, (layout.name, layout.split))]
        for column in columns:
            _check_column(schema, column, path)
        _check_types(schema, layout, path)
        if layout.name == AUTO_NAME and "filename" in schema.names:
            columns.append("filename")
        row = 0
        for batch in file.iter_batches(batch_size=ROWS, columns=columns):
            for cells in batch.to_pylist():
                row += 1
                yield _to_sample(cells, folder, table, layout, split, f"{table.name} row {row}")


def _check_column(schema: "pa.Schema", column: str, path: Path) -> None:
    """Check that a table has a column.

    Raises:
        DataError: it has no such column, or two.
    """
    if schema.names.count(column) != 1:
        found = f"{schema.names.count(column)} columns" if column in schema.names else "no column"
        raise DataError(
            f"{path} has {found} '{column}'; it has: {printable(', '.join(schema.names))};"
            " name the columns in layout (image, sentences, name, split)"
        )


def _check_types(schema: "pa.Schema", layout: ParquetLayout, path: Path) -> None:
    """Check that the columns of images and sentences have a type that can be read.

    Raises:
        DataError: they have not.
    """
    from pyarrow import types

    def is_text(kind: "pa.DataType") -> bool:
        return types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind)

    def is_image(kind: "pa.DataType") -> bool:
        return is_text(kind) or types.is_binary(kind) or types.is_large_binary(kind)

    def innermost(kind: "pa.DataType") -> "pa.DataType":
        if types.is_dictionary(kind):
            return kind.value_type
        is_list = types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind)
        return kind.value_type if is_list else kind

    image, sentences = schema.field(layout.image).type, schema.field(layout.sentences).type
    if types.is_struct(image):
        parts = {field.name: field.type for field in image}
        good = bool(parts.keys() & {"bytes", "path"}) and all(
            is_image(parts[name]) for name in ("bytes", "path") if name in parts
        )
    else:
        good = is_image(innermost(image)) and not types.is_list(image)
    for column, fits, expected in (
        (layout.image, good, "bytes, a path, or {bytes, path}"),
        (layout.sentences, is_text(innermost(sentences)), "text or a list of text"),
    ):
        if not fits:
            raise DataError(
                f"{path}: column '{column}' is {printable(str(schema.field(column).type))}, expected"
                f" {expected}; name another column in layout"
            )


def _to_sample(
    cells: dict[str, Any],
    folder: Path,
    table: PurePosixPath,
    layout: ParquetLayout,
    split: str | None,
    location: str,
) -> Sample:
    """Make a sample of the cells of a row.

    Raises:
        DataError: the row has no split.
    """
    image, sentences = cells[layout.image], cells[layout.sentences]
    if not isinstance(image, dict):
        image = {"path": image} if isinstance(image, str) else {"bytes": image}
    path = image.get("path") or ""
    name = cells.get("filename") if layout.name == AUTO_NAME else cells.get(layout.name or "")
    if name is None and layout.name == AUTO_NAME:
        name = path
    if layout.split is not None:
        split = cells[layout.split]
    if split is None:
        raise DataError(f"{location}: its '{layout.split}' is blank; expected the name of a split")
    texts = sentences if isinstance(sentences, list) else [sentences]
    return Sample(
        name="" if name is None else str(name),
        split=str(split),
        sentences=tuple(text or "" for text in texts),
        image=image.get("bytes") or _read_image(folder, table, path),
        location=location,
    )


def _read_image(folder: Path, table: PurePosixPath, path: str) -> bytes | None:
    """Read an image that a table names by its path, beside the table or in the folder; None where it is not."""
    relative = PurePosixPath(path.replace("\\", "/"))
    if not path or relative.is_absolute() or ".." in relative.parts:
        return None
    for place in (folder / table.parent / relative, folder / relative):
        if place.is_file():
            return place.read_bytes()
    return None


def _find_shards(
    pattern: str, split: str, files: Sequence[PurePosixPath], folder: Path
) -> list[PurePosixPath]:
    """Find the tars of a split, or the folders that `galr extract` made of them.

    Raises:
        DataError: there are none.
    """
    suffix = next((suffix for suffix in TAR if pattern.lower().endswith(suffix)), "")
    if suffix and any(file.name.lower().endswith(suffix) for file in files):
        return find_files(pattern, split, files, folder)
    folders = sorted({parent for file in files for parent in file.parents if parent.parts})
    try:
        return find_files(pattern[: -len(suffix)] if suffix else pattern, split, folders, folder)
    except DataError:
        return find_files(pattern, split, files, folder)  # whose error says what was found


def _read_shard(shard: Path, split: str, layout: WebDatasetLayout) -> Iterator[Sample]:
    """Read one shard: its texts first, then its images.

    Raises:
        DataError: it is damaged, or a sample has two images or no readable sentence.
    """
    texts: dict[str, dict[str, bytes]] = {}
    for key, suffix, content in _members(shard, (".txt", ".json")):
        texts.setdefault(key, {})[suffix] = content
    seen: set[str] = set()
    for key, suffix, content in _members(shard, tuple(IMAGE_SUFFIXES)):
        location = f"{shard.name} {printable(key)}"
        if key in seen:
            raise DataError(f"{location} has two images; expected one image a key")
        seen.add(key)
        sentences = _read_sentences(texts.get(key, {}), location, layout.sentences)
        yield Sample(f"{_stem(shard)}/{key}{suffix}", split, sentences, content, location)
    for key in (key for key in texts if key not in seen):
        location = f"{shard.name} {printable(key)}"
        sentences = _read_sentences(texts[key], location, layout.sentences)
        yield Sample(f"{_stem(shard)}/{key}", split, sentences, None, location)


def _stem(shard: Path) -> str:
    """Return a shard's name without the suffix of a tar."""
    suffix = next((suffix for suffix in TAR if shard.name.lower().endswith(suffix)), "")
    return shard.name[: -len(suffix)] if suffix else shard.name


def _members(shard: Path, suffixes: tuple[str, ...]) -> Iterator[tuple[str, str, bytes]]:
    """Yield the key, the last suffix and the bytes of a shard's files that have one of some suffixes.

    Raises:
        DataError: the shard is damaged.
    """
    for name, read in _open_members(shard):
        match = KEY.fullmatch(name)
        suffix = PurePosixPath(name).suffix.lower()
        if match is not None and suffix in suffixes:
            yield match[1], suffix, read()


def _open_members(shard: Path) -> Iterator[tuple[str, Any]]:
    """Yield the name of each file in a shard, and a function that reads it.

    Raises:
        DataError: the shard is damaged.
    """
    if shard.is_dir():
        for file in sorted(shard.rglob("*")):
            if file.is_file():
                yield file.relative_to(shard).as_posix(), file.read_bytes
        return
    with _explain_damage(shard, *DAMAGE_ERRORS), tarfile.open(shard, "r:*") as tarred:
        for name, content in tar_members(tarred, shard):
            yield name.removeprefix("./"), content.read


def _read_sentences(texts: dict[str, bytes], location: str, key: str | None) -> tuple[str, ...]:
    """Return the sentences of a sample: those of its JSON, else the lines of its text, else none.

    Args:
        texts: the bytes of its `.json` and `.txt`.
        location: the sample, for messages.
        key: the JSON's key of the sentences; None for the first of `CAPTION_KEYS` that it has.

    Raises:
        DataError: they are not UTF-8 or not JSON, or the JSON has no such key and there is no text.
    """
    try:
        document = json.loads(texts[".json"].decode("utf-8-sig")) if ".json" in texts else {}
        lines = texts.get(".txt", b"").decode("utf-8-sig").splitlines()
    except ValueError as error:
        raise DataError(
            f"{location}: its JSON or text cannot be read ({error}); make the shard again"
        ) from error
    keys = CAPTION_KEYS if key is None else (key,)
    found = next((name for name in keys if isinstance(document, dict) and name in document), None)
    if found is None:
        if ".json" in texts and ".txt" not in texts:
            known = ", ".join(document) if isinstance(document, dict) else json.dumps(document)
            raise DataError(
                f"{location}: its JSON has no {' or '.join(keys)}; it has: {printable(known)};"
                " name the key in layout.sentences"
            )
        return tuple(line for line in lines if line.strip())
    value = document[found]
    sentences = value if isinstance(value, list) else [] if value is None else [value]
    if not all(isinstance(sentence, str) for sentence in sentences):
        raise DataError(
            f"{location}: expected '{found}' to be text or a list of text, found"
            f" {printable(json.dumps(value), 60)}; name another key in layout.sentences"
        )
    return tuple(sentences)


@contextmanager
def _explain_damage(path: Path, *errors: type[Exception]) -> Iterator[None]:
    """Name the file whose bytes cannot be read, whichever of some errors says so.

    Raises:
        DataError: they cannot.
    """
    try:
        yield
    except errors as error:
        raise DataError(
            f"{path} is damaged or does not match its suffix ({error}); delete it and download it again"
        ) from error
