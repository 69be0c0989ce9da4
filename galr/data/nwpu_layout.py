"""Read the JSON of NWPU-Captions: classes on top, then images, whose sentences are `raw`, `raw_1` and so on."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from galr.data.dataset_spec import SPLITS, Split
from galr.data.find_images import clean_path, image_stem
from galr.data.layouts import (
    DatasetIndex,
    ImageEntry,
    UnmatchedSentence,
    check_splits,
    read_json,
    require,
)
from galr.errors import DataError, printable

SENTENCE = re.compile(r"raw(?:_(\d+))?")


def read_nwpu(
    file: Path, splits: Mapping[Split, Sequence[str]], unused: Sequence[str]
) -> DatasetIndex:
    """Read one JSON file of classes; an image is found in the folder of its class, or by its name alone.

    Raises:
        DataError: the file is not JSON of this layout, or a split is missing or not assigned.
    """
    document = read_json(file)
    if not isinstance(document, dict) or not all(isinstance(v, list) for v in document.values()):
        raise DataError(
            f"{file}: expected classes, each a list of images, found {printable(json.dumps(document), 60)};"
            " this is not the nwpu layout"
        )
    found: Counter[str] = Counter()
    split_of = {source: split for split in SPLITS for source in splits[split]}
    images: list[ImageEntry] = []
    unmatched: list[UnmatchedSentence] = []
    for category, entries in document.items():
        for number, entry in enumerate(entries, start=1):
            location = f"{file.name} {printable(category)} image {number}"
            source = require(entry, "split", str, location, "nwpu")
            filename = clean_path(require(entry, "filename", str, location, "nwpu"))
            sentences = _read_sentences(entry, location)
            found[source] += 1
            if source not in split_of:
                continue  # unused, or refused below
            if filename:
                path = filename if "/" in filename else clean_path(f"{category}/{filename}")
                images.append(ImageEntry(image_stem(filename), split_of[source], sentences, path))
            else:
                unmatched.append(UnmatchedSentence(location, "its filename is blank"))
    check_splits(found, splits, unused, file)
    return DatasetIndex(tuple(images), tuple(unmatched), (file,))


def _read_sentences(entry: Mapping[str, Any], location: str) -> tuple[str, ...]:
    """Return the sentences of an image by their number; `raw` is the first.

    Raises:
        DataError: there is none, or one is not text.
    """
    numbers = {
        int(match[1] or 0): key for key in entry if (match := SENTENCE.fullmatch(key)) is not None
    }
    if not numbers:
        raise DataError(
            f"{location}: expected raw, raw_1, …, found only {printable(', '.join(entry))};"
            " this is not the nwpu layout"
        )
    return tuple(require(entry, key, str, location, "nwpu") for _, key in sorted(numbers.items()))
