"""The two ways in which datasets write down images, sentences and splits, read into one."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from galr.data.dataset_file import SPLITS, Karpathy, Precomp, Split
from galr.data.folder import find_file, stem
from galr.errors import DataError

T = TypeVar("T")


@dataclass(frozen=True)
class Listed:
    """An image as a dataset lists it: name without suffix, our split, sentences as they came."""

    name: str
    split: Split
    sentences: tuple[str, ...]


@dataclass(frozen=True)
class Stray:
    """Sentences that belong to no listed image: where they stand, and why they belong to none."""

    place: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """All that a dataset lists, in its order, and the files that say so."""

    images: tuple[Listed, ...]
    strays: tuple[Stray, ...]
    files: tuple[Path, ...]


def read_listing(
    folder: Path,
    files: Sequence[PurePosixPath],
    layout: Karpathy | Precomp,
    splits: Mapping[Split, Sequence[str]],
    unused: Sequence[str],
) -> Listing:
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
    if isinstance(layout, Precomp):
        return _read_precomp(folder, files, layout, splits)
    return _read_karpathy(find_file(layout.files, files, folder), splits, unused)


def _read_precomp(
    folder: Path,
    files: Sequence[PurePosixPath],
    layout: Precomp,
    splits: Mapping[Split, Sequence[str]],
) -> Listing:
    """Read a pair of text files for every split.

    Raises:
        DataError: a file is missing, or the two do not belong together.
    """
    images: list[Listed] = []
    strays: list[Stray] = []
    used: list[Path] = []
    for split in SPLITS:
        for source in splits[split]:
            sentences_file, names_file = (
                find_file([pattern.replace("{split}", source)], files, folder)
                for pattern in (layout.sentences, layout.images)
            )
            start = 0
            for name, sentences in _pair_up(sentences_file, names_file):
                if name:
                    images.append(Listed(name, split, sentences))
                else:
                    place = f"{sentences_file.name} line {start + 1}"
                    strays.append(Stray(place, f"the image's name in {names_file.name} is blank"))
                start += len(sentences)
            used += [sentences_file, names_file]
    return Listing(tuple(images), tuple(strays), tuple(used))


def _pair_up(sentences_file: Path, names_file: Path) -> list[tuple[str, tuple[str, ...]]]:
    """Give every image name of a pair of text files its sentences.

    Names stand once per sentence (an image is then a run of equal names), or once per image (it
    then has as many sentences as the quotient says).

    Raises:
        DataError: the sentences cannot be shared out evenly.
    """
    sentences = _lines(sentences_file)
    names = [stem(line) for line in _lines(names_file)]
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
) -> Listing:
    """Read one JSON of images, each with its split and its sentences.

    Raises:
        DataError: it is no JSON of that form, or a split is nowhere or has no place.
    """
    try:
        document = json.loads(_text(file))
    except json.JSONDecodeError as error:
        raise DataError(f"{file} is no JSON ({error}); fetch it again") from error
    entries = _want(document, "images", list, str(file))
    places = [f"{file.name} image {number}" for number in range(1, len(entries) + 1)]
    sources = [
        _want(entry, "split", str, place) for entry, place in zip(entries, places, strict=True)
    ]
    _refuse_splits(Counter(sources), splits, unused, file)
    ours = {source: split for split in SPLITS for source in splits[split]}
    images: list[Listed] = []
    strays: list[Stray] = []
    for entry, place, source in zip(entries, places, sources, strict=True):
        if source not in ours:
            continue  # unused, as the dataset file says
        sentences, lost = _sentences(entry, place)
        strays += lost
        name = stem(_want(entry, "filename", str, place))
        if name:
            images.append(Listed(name, ours[source], sentences))
        else:
            strays.append(Stray(place, "its filename is blank"))
    return Listing(tuple(images), tuple(strays), (file,))


def _sentences(entry: Mapping[str, Any], place: str) -> tuple[tuple[str, ...], list[Stray]]:
    """Take an image's sentences, and those whose image number (`imgid`) is another's.

    Raises:
        DataError: a sentence has neither `raw` text nor `tokens`.
    """
    kept: list[str] = []
    lost: list[Stray] = []
    for number, sentence in enumerate(_want(entry, "sentences", list, place), start=1):
        where = f"{place} sentence {number}"
        if isinstance(sentence, dict) and "raw" not in sentence:
            text = " ".join(str(token) for token in _want(sentence, "tokens", list, where))
        else:
            text = _want(sentence, "raw", str, where)
        image = entry.get("imgid")
        if sentence.get("imgid", image) != image:
            lost.append(Stray(where, f"its imgid is {sentence['imgid']}, its image's is {image}"))
        else:
            kept.append(text)
    return tuple(kept), lost


def _want(holder: object, key: str, kind: type[T], place: str) -> T:
    """Take a key's value out of what JSON held.

    Raises:
        DataError: there is no such key, or it holds something else.
    """
    value = holder.get(key) if isinstance(holder, dict) else None
    if not isinstance(value, kind):
        raise DataError(
            f"{place}: expected '{key}' to be a {kind.__name__}, found {json.dumps(value)[:60]};"
            " it is not in the karpathy layout"
        )
    if isinstance(value, str):
        _refuse_unstorable(value, f"{place} '{key}'")
    return value


def _refuse_splits(
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


def _lines(file: Path) -> list[str]:
    """Read lines as they stand: blank ones count, only line feeds end them.

    Raises:
        DataError: the bytes are no UTF-8.
    """
    lines = _text(file).split("\n")
    return [line.removesuffix("\r") for line in (lines if lines[-1] else lines[:-1])]


def _text(file: Path) -> str:
    """Read a text file, with or without a byte order mark.

    Raises:
        DataError: the bytes are no UTF-8 text.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is no UTF-8 text ({error}); convert it") from error
    _refuse_unstorable(text, str(file))
    return text


def _refuse_unstorable(text: str, place: str) -> None:
    """Refuse what HDF5 cannot hold: a NUL, half of a surrogate pair (JSON can spell both).

    Raises:
        DataError: names the place.
    """
    if re.search("[\0\ud800-\udfff]", text):
        raise DataError(f"{place} holds a character that is no text; correct it, or fetch it again")
