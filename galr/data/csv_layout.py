"""Read tables of one row a sentence, as open_clip trains on: the path of an image, and a sentence.

Python's own `csv` reads them: pandas fills up a row with too few cells and does not say its line.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from galr.data.dataset_spec import SPLITS, CsvLayout, Split
from galr.data.find_images import clean_path, find_files, image_stem
from galr.data.layouts import (
    DatasetIndex,
    ImageEntry,
    UnmatchedSentence,
    check_splits,
    read_text,
)
from galr.errors import DataError, printable

SEPARATORS = ("\t", ",", ";", "|")


def read_csv_layout(
    folder: Path,
    files: Sequence[PurePosixPath],
    layout: CsvLayout,
    splits: Mapping[Split, Sequence[str]],
    unused: Sequence[str],
) -> DatasetIndex:
    """Read tables of one row a sentence; the rows of an image in a split are its sentences, in their order.

    Args:
        folder: the dataset's folder.
        files: relative paths of the files in it, from `list_files`.
        layout: the names of the files and columns.
        splits: the source's splits that each of our splits consists of.
        unused: the source's splits that are left out on purpose.

    Raises:
        DataError: a file is missing or no such table, or a split is missing or not assigned.
    """
    sentences: dict[tuple[Split, str], list[str]] = {}
    unmatched: list[UnmatchedSentence] = []
    used: list[Path] = []
    found: Counter[str] = Counter()
    split_of = {source: split for split in SPLITS for source in splits[split]}
    for source in split_of if layout.split is None else (None,):
        for file in find_files(layout.file, source, files, folder):
            used.append(folder / file)
            for line, image, sentence, own_split in _read_rows(folder / file, layout):
                row_source = own_split if source is None else source
                found[row_source] += 1
                split = split_of.get(row_source)
                if split is None:
                    continue  # unused, or refused below
                if path := clean_path(image):
                    sentences.setdefault((split, path), []).append(sentence)
                else:
                    location = f"{file.name} line {line}"
                    unmatched.append(UnmatchedSentence(location, f"its {layout.image} is blank"))
    if layout.split is not None:
        check_splits(found, splits, unused, used[0])
    images = tuple(
        ImageEntry(image_stem(path), split, tuple(texts), path)
        for (split, path), texts in sentences.items()
    )
    return DatasetIndex(images, tuple(unmatched), tuple(used))


def _read_rows(file: Path, layout: CsvLayout) -> Iterator[tuple[int, str, str, str]]:
    """Yield the line, the image's path, the sentence and the split of each row; empty lines are skipped.

    Raises:
        DataError: the file is not such a table.
    """
    rows = csv.reader(
        io.StringIO(read_text(file), newline=""), delimiter=layout.separator, strict=True
    )
    try:
        header = next(rows, [])
        wanted = [layout.image, layout.sentence, *([layout.split] if layout.split else [])]
        columns = [_find_column(name, header, file, layout) for name in wanted]
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise DataError(
                    f"{file} line {rows.line_num} has {len(row)} cells, its header {len(header)};"
                    " put a cell that holds a separator or a line break into double quotes"
                )
            image, sentence, split = ([row[column] for column in columns] + [""])[:3]
            yield rows.line_num, image, sentence, split
    except csv.Error as error:
        raise DataError(
            f"{file} line {rows.line_num} is not CSV ({error}); write a double quote inside a quoted cell"
            " twice, and close each quoted cell"
        ) from error


def _find_column(name: str, header: Sequence[str], file: Path, layout: CsvLayout) -> int:
    """Return the index of a column.

    Raises:
        DataError: there is no such column, or more than one.
    """
    if header.count(name) == 1:
        return header.index(name)
    if header.count(name) > 1:
        raise DataError(f"{file} has the column '{name}' {header.count(name)} times; rename one")
    hint = "name the column in layout (image, sentence, split)"
    for separator in SEPARATORS:
        if separator != layout.separator and any(separator in cell for cell in header):
            hint = f"set layout.separator: {json.dumps(separator)}, or {hint}"
            break
    raise DataError(
        f"{file} has no column '{name}'; it has: {printable(', '.join(header)) or 'none'}; {hint}"
    )
