"""Samples in Parquet tables, as the Hugging Face hub stores captioned images."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from galr.data.dataset_spec import AUTO_NAME, ParquetLayout
from galr.data.packed_samples import Sample, explain_damage
from galr.errors import DataError, printable

if TYPE_CHECKING:
    import pyarrow as pa

ROWS = 64  # of a table in memory at a time


def read_table(
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
        explain_damage(path, OSError, UnicodeDecodeError, pa.ArrowException),
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
