"""Read the annotations of a dataset, its images, sentences and splits, in either of two layouts."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from galr.data.dataset_spec import SPLITS, KarpathyLayout, PrecompLayout, Split
from galr.data.find_images import clean_path, find_file, image_stem
from galr.errors import DataError

T = TypeVar("T")


@dataclass(frozen=True)
class ImageEntry:
    """An image in the annotations.

    Attributes:
        name: its name without suffix.
        split: our split.
        sentences: unchanged.
        path: what the annotations call its file, with folders and suffix; empty where the name is all they say.
    """

    name: str
    split: Split
    sentences: tuple[str, ...]
    path: str = ""


@dataclass(frozen=True)
class UnmatchedSentence:
    """Sentences that belong to no image: their location in the annotations, and the reason."""

    location: str
    reason: str


@dataclass(frozen=True)
class DatasetIndex:
    """The annotations of a dataset in their order, and the files they were read from."""

    images: tuple[ImageEntry, ...]
    unmatched: tuple[UnmatchedSentence, ...]
    files: tuple[Path, ...]


def read_annotations(
    folder: Path,
    files: Sequence[PurePosixPath],
    layout: KarpathyLayout | PrecompLayout,
    splits: Mapping[Split, Sequence[str]],
    unused: Sequence[str],
) -> DatasetIndex:
    """Read the annotations of a dataset.

    Args:
        folder: the dataset's folder.
        files: relative paths of the files in it, from `list_files`.
        layout: the format of the annotations.
        splits: the source's splits that each of our splits consists of.
        unused: the source's splits that are left out on purpose.

    Raises:
        DataError: a file is missing or not in the layout, or a split is missing or not assigned.
    """
    if isinstance(layout, PrecompLayout):
        return _read_precomp(folder, files, layout, splits)
    return _read_karpathy(find_file(layout.files, files, folder), splits, unused)


def _read_precomp(
    folder: Path,
    files: Sequence[PurePosixPath],
    layout: PrecompLayout,
    splits: Mapping[Split, Sequence[str]],
) -> DatasetIndex:
    """Read a pair of text files for each split.

    Raises:
        DataError: a file is missing, or the two do not fit together.
    """
    images: list[ImageEntry] = []
    unmatched: list[UnmatchedSentence] = []
    used: list[Path] = []
    for split in SPLITS:
        for source in splits[split]:
            sentences_file, names_file = (
                find_file([pattern.replace("{split}", source)], files, folder)
                for pattern in (layout.sentences, layout.images)
            )
            for path, line, sentences in _pair_sentences(sentences_file, names_file):
                if path:
                    images.append(ImageEntry(image_stem(path), split, sentences, path))
                else:
                    location = f"{sentences_file.name} line {line}"
                    unmatched.append(
                        UnmatchedSentence(
                            location, f"the image's name in {names_file.name} is blank"
                        )
                    )
            used += [sentences_file, names_file]
    return DatasetIndex(tuple(images), tuple(unmatched), tuple(used))


def _pair_sentences(
    sentences_file: Path, names_file: Path
) -> list[tuple[str, int, tuple[str, ...]]]:
    """Assign the sentences of one text file to the image names of another.

    A name is given once per sentence, in any order, or once per image (then each image has the same number of
    sentences).

    Returns:
        Path, line of the first sentence from 1, and sentences of each image, in the order of first appearance.

    Raises:
        DataError: the number of sentences is not a multiple of the number of names.
    """
    sentences = _read_lines(sentences_file)
    paths = [clean_path(line) for line in _read_lines(names_file)]
    if not paths and not sentences:
        return []
    if not paths or len(sentences) % len(paths):
        raise DataError(
            f"{sentences_file} has {len(sentences)} lines for {len(paths)} in {names_file.name};"
            " expected as many, or a multiple; download both files again"
        )
    each = len(sentences) // len(paths)
    rows = [(path, number * each) for number, path in enumerate(paths)]
    if each != 1:
        return [(path, start + 1, tuple(sentences[start : start + each])) for path, start in rows]
    lines_of: dict[str, list[int]] = {}
    for path, line in rows:
        lines_of.setdefault(path, []).append(line)
    return [
        (path, lines[0] + 1, tuple(sentences[line] for line in lines))
        for path, lines in lines_of.items()
    ]


def _read_karpathy(
    file: Path, splits: Mapping[Split, Sequence[str]], unused: Sequence[str]
) -> DatasetIndex:
    """Read one JSON file of images, each with its split and sentences.

    Raises:
        DataError: the file is not JSON of this layout, or a split is missing or not assigned.
    """
    document = read_json(file)
    entries = require(document, "images", list, str(file))
    locations = [f"{file.name} image {number}" for number in range(1, len(entries) + 1)]
    sources = [
        require(entry, "split", str, location)
        for entry, location in zip(entries, locations, strict=True)
    ]
    check_splits(Counter(sources), splits, unused, file)
    split_of = {source: split for split in SPLITS for source in splits[split]}
    images: list[ImageEntry] = []
    unmatched: list[UnmatchedSentence] = []
    for entry, location, source in zip(entries, locations, sources, strict=True):
        if source not in split_of:
            continue  # unused, according to the dataset file
        sentences, unmatched_here = _read_sentences(entry, location)
        unmatched += unmatched_here
        name, path = _read_path(entry, location)
        if name:
            images.append(ImageEntry(name, split_of[source], sentences, path))
        else:
            unmatched.append(UnmatchedSentence(location, "its filename is blank"))
    return DatasetIndex(tuple(images), tuple(unmatched), (file,))


def _read_path(entry: Mapping[str, Any], location: str) -> tuple[str, str]:
    """Return the name and the path of an image; its folder may stand in `filepath`, as in COCO's and Flickr30k's files.

    Raises:
        DataError: `filename` is missing, or one of the two is no text.
    """
    file_name = clean_path(require(entry, "filename", str, location))
    folder = entry.get("filepath")
    if not file_name or folder is None:
        return image_stem(file_name), file_name
    folder = clean_path(require(entry, "filepath", str, location))
    if file_name.startswith(f"{folder}/"):  # some files repeat the folder in `filename`
        path = file_name
    elif f"/{folder}".endswith(f"/{file_name}"):  # or the whole path in `filepath`
        path = folder
    else:
        path = str(PurePosixPath(folder, file_name))
    return image_stem(file_name), path


def _read_sentences(
    entry: Mapping[str, Any], location: str
) -> tuple[tuple[str, ...], list[UnmatchedSentence]]:
    """Split the sentences of an image into its own and those with the `imgid` of another image.

    Where only sentences have an `imgid`, it is that of the first one.

    Raises:
        DataError: a sentence has neither `raw` text nor `tokens`.
    """
    kept: list[str] = []
    unmatched: list[UnmatchedSentence] = []
    image, owner = entry.get("imgid"), "its image's"
    for number, sentence in enumerate(require(entry, "sentences", list, location), start=1):
        sentence_location = f"{location} sentence {number}"
        if isinstance(sentence, dict) and "raw" not in sentence:
            text = " ".join(
                str(token) for token in require(sentence, "tokens", list, sentence_location)
            )
        else:
            text = require(sentence, "raw", str, sentence_location)
        own = sentence.get("imgid")
        if image is None and own is not None:
            image, owner = own, "that of the image's first sentence"
        if own is None or _plain_id(own) == _plain_id(image):
            kept.append(text)
        else:
            reason = f"its imgid is {own}, {owner} is {image}"
            unmatched.append(UnmatchedSentence(sentence_location, reason))
    return tuple(kept), unmatched


def _plain_id(value: object) -> str:
    """Write an id as text: 7, 7.0 and "7" are one id."""
    whole = int(value) if isinstance(value, float) and value.is_integer() else value
    return str(whole).strip()


def require(mapping: object, key: str, kind: type[T], location: str, layout: str = "karpathy") -> T:
    """Return the value of a key that a JSON object must have.

    Raises:
        DataError: the key is missing, or its value has another type.
    """
    value = mapping.get(key) if isinstance(mapping, dict) else None
    if not isinstance(value, kind):
        raise DataError(
            f"{location}: expected '{key}' to be a {kind.__name__}, found {json.dumps(value)[:60]};"
            f" this is not the {layout} layout"
        )
    if isinstance(value, str):
        check_storable(value, f"{location} '{key}'")
    return value


def check_splits(
    found: Counter[str], splits: Mapping[Split, Sequence[str]], unused: Sequence[str], file: Path
) -> None:
    """Check that the dataset file assigns all splits of the source, and only those.

    Raises:
        DataError: a split is missing in the source, or is not assigned.
    """
    wanted = {source for sources in splits.values() for source in sources} | set(unused)
    for source in sorted(wanted - found.keys()):
        raise DataError(
            f"{file} has no image of split '{source}', only of {sorted(found)};"
            " correct splits in the dataset file"
        )
    for source in sorted(found.keys() - wanted):
        raise DataError(
            f"{file} has {found[source]} images of split '{source}', which the dataset file does"
            " not assign; add it to splits: train, val, test or unused"
        )


def _read_lines(file: Path) -> list[str]:
    """Read the lines of a text file; blank lines count, and only line feeds end a line.

    Raises:
        DataError: the bytes are not UTF-8.
    """
    lines = read_text(file).split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def read_text(file: Path) -> str:
    """Read a text file, with or without a byte order mark.

    Raises:
        DataError: the bytes are not UTF-8.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text ({error}); convert it") from error
    check_storable(text, str(file))
    return text


def read_json(file: Path) -> Any:  # noqa: ANN401  whatever JSON holds
    """Read a JSON file, with or without a byte order mark.

    Raises:
        DataError: the bytes are not UTF-8, or not JSON.
    """
    try:
        return json.loads(read_text(file))
    except json.JSONDecodeError as error:
        raise DataError(f"{file} is not JSON ({error}); download it again") from error


def check_storable(text: str, location: str) -> None:
    """Check that HDF5 can store a text: no NUL and no half of a surrogate pair (JSON can have both).

    Raises:
        DataError: the text has such a character.
    """
    if re.search("[\0\ud800-\udfff]", text):
        raise DataError(
            f"{location} has a character that cannot be stored; correct it, or download it again"
        )
