"""The two ways in which datasets write down images, sentences and splits, read into one."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from galr.data.dataset_spec import SPLITS, KarpathyLayout, PrecompLayout, Split
from galr.data.find_images import find_file, image_stem
from galr.errors import DataError

T = TypeVar("T")


@dataclass(frozen=True)
class ImageEntry:
    """An image as a dataset lists it: name without suffix, our split, sentences as they came."""

    name: str
    split: Split
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class UnmatchedSentence:
    """Sentences that belong to no listed image: where they stand, and why they belong to none."""

    location: str
    reason: str


@dataclass(frozen=True)
class DatasetIndex:
    """All that a dataset lists, in its order, and the files that say so."""

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
    """Read what a dataset lists.

    Args:
        folder: the dataset's folder.
        files: what lies below it.
        layout: how it is written down.
        splits: which of the source's splits make ours.
        unused: the source's splits that are left out on purpose.

    Raises:
        DataError: a file is missing or not in its layout, or a split is nowhere or has no place.
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
    """Read a pair of text files for every split.

    Raises:
        DataError: a file is missing, or the two do not belong together.
    """
    images: list[ImageEntry] = []
    strays: list[UnmatchedSentence] = []
    used: list[Path] = []
    for split in SPLITS:
        for source in splits[split]:
            sentences_file, names_file = (
                find_file([pattern.replace("{split}", source)], files, folder)
                for pattern in (layout.sentences, layout.images)
            )
            start = 0
            for name, sentences in _pair_sentences(sentences_file, names_file):
                if name:
                    images.append(ImageEntry(name, split, sentences))
                else:
                    place = f"{sentences_file.name} line {start + 1}"
                    strays.append(
                        UnmatchedSentence(place, f"the image's name in {names_file.name} is blank")
                    )
                start += len(sentences)
            used += [sentences_file, names_file]
    return DatasetIndex(tuple(images), tuple(strays), tuple(used))


def _pair_sentences(sentences_file: Path, names_file: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Give every image name of a pair of text files its sentences.

    Names stand once per sentence (an image is then a run of equal names), or once per image (it
    then has as many sentences as the quotient says).

    Raises:
        DataError: the sentences cannot be shared out evenly.
    """
    sentences = _read_lines(sentences_file)
    names = [image_stem(line) for line in _read_lines(names_file)]
    if len(names) == len(sentences):
        runs = [(name, len(list(run))) for name, run in groupby(names)]
    elif names and len(sentences) % len(names) == 0:
        runs = [(name, len(sentences) // len(names)) for name in names]
    else:
        raise DataError(
            f"{sentences_file} has {len(sentences)} lines for {len(names)} in {names_file.name};"
            " expected as many, or the same multiple for every image; fetch both files again"
        )
    remaining = iter(sentences)
    return [(name, tuple(islice(remaining, count))) for name, count in runs]


def _read_karpathy(
    file: Path, splits: Mapping[Split, Sequence[str]], unused: Sequence[str]
) -> DatasetIndex:
    """Read one JSON of images, each with its split and its sentences.

    Raises:
        DataError: it is no JSON of that form, or a split is nowhere or has no place.
    """
    try:
        document = json.loads(_read_text(file))
    except json.JSONDecodeError as error:
        raise DataError(f"{file} is no JSON ({error}); fetch it again") from error
    entries = _require(document, "images", list, str(file))
    places = [f"{file.name} image {number}" for number in range(1, len(entries) + 1)]
    sources = [
        _require(entry, "split", str, place) for entry, place in zip(entries, places, strict=True)
    ]
    _check_splits(Counter(sources), splits, unused, file)
    ours = {source: split for split in SPLITS for source in splits[split]}
    images: list[ImageEntry] = []
    strays: list[UnmatchedSentence] = []
    for entry, place, source in zip(entries, places, sources, strict=True):
        if source not in ours:
            continue  # unused, as the dataset file says
        sentences, lost = _read_sentences(entry, place)
        strays += lost
        name = image_stem(_require(entry, "filename", str, place))
        if name:
            images.append(ImageEntry(name, ours[source], sentences))
        else:
            strays.append(UnmatchedSentence(place, "its filename is blank"))
    return DatasetIndex(tuple(images), tuple(strays), (file,))


def _read_sentences(
    entry: Mapping[str, Any], location: str
) -> tuple[tuple[str, ...], list[UnmatchedSentence]]:
    """Take an image's sentences, and those whose image number (`imgid`) is another's.

    Raises:
        DataError: a sentence has neither `raw` text nor `tokens`.
    """
    kept: list[str] = []
    lost: list[UnmatchedSentence] = []
    for number, sentence in enumerate(_require(entry, "sentences", list, location), start=1):
        where = f"{location} sentence {number}"
        if isinstance(sentence, dict) and "raw" not in sentence:
            text = " ".join(str(token) for token in _require(sentence, "tokens", list, where))
        else:
            text = _require(sentence, "raw", str, where)
        image = entry.get("imgid")
        if sentence.get("imgid", image) != image:
            lost.append(
                UnmatchedSentence(
                    where, f"its imgid is {sentence['imgid']}, its image's is {image}"
                )
            )
        else:
            kept.append(text)
    return tuple(kept), lost


def _require(mapping: object, key: str, kind: type[T], location: str) -> T:
    """Take a key's value out of what JSON held.

    Raises:
        DataError: there is no such key, or it holds something else.
    """
    value = mapping.get(key) if isinstance(mapping, dict) else None
    if not isinstance(value, kind):
        raise DataError(
            f"{location}: expected '{key}' to be a {kind.__name__}, found {json.dumps(value)[:60]};"
            " it is not in the karpathy layout"
        )
    if isinstance(value, str):
        _check_storable(value, f"{location} '{key}'")
    return value


def _check_splits(
    found: Counter[str], splits: Mapping[Split, Sequence[str]], unused: Sequence[str], file: Path
) -> None:
    """Refuse splits that the dataset file names and the source lacks, and the other way round.

    Raises:
        DataError: names the split.
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
            " not place; add it to splits: train, val, test or unused"
        )


def _read_lines(file: Path) -> list[str]:
    """Read lines as they stand: blank ones count, only line feeds end them.

    Raises:
        DataError: the bytes are no UTF-8.
    """
    lines = _read_text(file).split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def _read_text(file: Path) -> str:
    """Read a text file, with or without a byte order mark.

    Raises:
        DataError: the bytes are no UTF-8 text.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no UTF-8 text ({error}); convert it") from error
    _check_storable(text, str(file))
    return text


def _check_storable(text: str, location: str) -> None:
    """Refuse what HDF5 cannot hold: a NUL, half of a surrogate pair (JSON can spell both).

    Raises:
        DataError: names the place.
    """
    if re.search("[\0\ud800-\udfff]", text):
        raise DataError(
            f"{location} holds a character that is no text; correct it, or fetch it again"
        )
