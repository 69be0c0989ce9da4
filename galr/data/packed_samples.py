"""Samples of datasets that pack their images, and those in tar shards, as img2dataset writes them for WebDataset.

Tars are read by `tarfile`: the library webdataset feeds loops of training, and its errors name no shard.
"""

import json
import re
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from galr.data.dataset_spec import WebDatasetLayout
from galr.data.extract import DAMAGE_ERRORS, TAR, tar_members
from galr.data.find_images import IMAGE_SUFFIXES, find_files
from galr.errors import DataError, printable

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


def find_shards(
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


def read_shard(shard: Path, split: str, layout: WebDatasetLayout) -> Iterator[Sample]:
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
    with explain_damage(shard, *DAMAGE_ERRORS), tarfile.open(shard, "r:*") as tarred:
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
def explain_damage(path: Path, *errors: type[Exception]) -> Iterator[None]:
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
