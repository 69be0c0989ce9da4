"""Unpack a dataset whose images lie in tables or shards: image files, and their captions in one JSON."""

import hashlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath, PureWindowsPath

from PIL import Image, UnidentifiedImageError

from galr.data.dataset_spec import (
    CAPTIONS,
    SPLITS,
    DatasetSpec,
    ParquetLayout,
    WebDatasetLayout,
    see_layouts,
)
from galr.data.extract import ENTRY_OVERHEAD, GIGABYTE, ExtractLimit
from galr.data.find_images import IMAGE_SUFFIXES, clean_path, find_files, list_files
from galr.data.layouts import check_splits, check_storable
from galr.data.packed_samples import Sample, find_shards, read_shard
from galr.data.parquet_samples import read_table
from galr.errors import ConfigError, DataError, printable
from galr.io.atomic import WRITE_ERRNO, atomic_directory, explain_write_errors
from galr.progress import ProgressBar

SUFFIX_OF_FORMAT = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "TIFF": ".tif", "WEBP": ".webp"}


@dataclass
class _Entry:
    """An image in `captions.json`: the folder and name of its file, where it stood, the hash of its bytes."""

    folder: str
    name: str
    split: str
    location: str
    sha256: str
    sentences: list[str] = field(default_factory=list)

    def to_karpathy(self) -> dict[str, object]:
        """Return the image as in a Karpathy file."""
        sentences = [{"raw": sentence} for sentence in self.sentences]
        return {"filepath": self.folder, "filename": self.name, "split": self.split} | {
            "sentences": sentences
        }


def unpack(dataset: DatasetSpec, folder: Path, output: Path, *, limit_gb: float) -> int:
    """Write each image of a packed dataset to a file, and all sentences to `captions.json` in the Karpathy layout.

    An image's file is `<split>/<name>`.

    Args:
        dataset: the dataset file; its layout is parquet or webdataset.
        folder: the folder of its tables or shards.
        output: the folder to create, whole or not at all; an older one is replaced.
        limit_gb: gigabytes that may be written.

    Returns:
        The number of images.

    Raises:
        ConfigError: the dataset is not packed.
        DataError: a table or shard is missing, damaged or not in the layout; two images have one name; the limit is
            exceeded.
        OutputError: the folder cannot be written.
    """
    if not dataset.is_packed:
        raise ConfigError(
            f"dataset {dataset.name} has the layout {dataset.layout.kind}, which is read in place; only parquet"
            " and webdataset are unpacked"
        )
    try:
        files = list_files(folder)
        with (
            atomic_directory(output) as target,
            ProgressBar(unit="B", unit_scale=True, disable=None) as bar,
        ):
            limit = ExtractLimit(int(limit_gb * GIGABYTE), bar)
            writer = _Writer(target, limit)
            numbers: Counter[str] = Counter()
            for sample in _read_samples(dataset, folder, files):
                numbers[sample.split] += 1
                writer.add(sample, numbers[sample.split])
            images = [entry.to_karpathy() for entry in writer.entries.values()]
            text = json.dumps({"images": images}, ensure_ascii=False, indent=0)
            (target / CAPTIONS).write_text(text, encoding="utf-8")
    except DataError as error:
        raise DataError(f"{error}; {see_layouts(dataset.layout.kind)}") from error
    return len(images)


def _read_samples(
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
            for shard in find_shards(dataset.layout.shards, source, files, folder):
                yield from read_shard(folder / shard, source, dataset.layout)
        return
    assert isinstance(dataset.layout, ParquetLayout)
    found: Counter[str] = Counter()
    tables: list[PurePosixPath] = []
    for pattern_split in sources if dataset.layout.split is None else [None]:
        tables = find_files(dataset.layout.file, pattern_split, files, folder)
        for table in tables:
            for sample in read_table(folder, table, dataset.layout, pattern_split):
                found[sample.split] += 1
                if sample.split in sources:
                    yield sample
    if dataset.layout.split is not None:
        check_splits(found, dataset.splits, dataset.unused, folder / tables[0])


class _Writer:
    """Write the image files of samples and collect their entries.

    An image that occurs again in its split adds its sentences to its entry; in another split it has another entry of
    the same file, and `galr data` reports it.
    """

    def __init__(self, target: Path, limit: ExtractLimit) -> None:
        self.entries: dict[tuple[str, str], _Entry] = {}  # by split and name
        self._folders: dict[tuple[str, str], str] = {}  # of the files, by name and hash
        self._target = target
        self._limit = limit

    def add(self, sample: Sample, number: int) -> None:
        """Write the image of a sample, unless it was written before, and keep its sentences.

        Args:
            sample: the sample.
            number: its number in its split, from 1; its name if it has none.

        Raises:
            DataError: another image of its split has its name, or it cannot be written under it.
        """
        for text in (sample.name, sample.split, *sample.sentences):
            check_storable(text, sample.location)
        name = str(_name(sample, number))
        sha256 = hashlib.sha256(sample.image or b"").hexdigest()
        entry = self.entries.get((sample.split, name))
        if entry is None:
            folder = self._folders.get((name, sha256))
            if folder is None:
                folder = self._folders[name, sha256] = _folder_name(sample.split)
                self._write(f"{folder}/{name}", sample)
            entry = _Entry(folder, name, sample.split, sample.location, sha256)
            self.entries[sample.split, name] = entry
        elif entry.sha256 != sha256:
            raise DataError(
                f"{sample.location} and {entry.location} are different images of the name '{name}'; for parquet"
                " name a column of unique names in layout.name, or number the images by name: null; for webdataset"
                " rename one of the shards"
            )
        entry.sentences += sample.sentences

    def _write(self, file: str, sample: Sample) -> None:
        """Write the file of an image, if there are bytes of it.

        Raises:
            DataError: its name cannot be one of a file, or the limit is exceeded.
            OutputError: the disk is full.
        """
        if not sample.image:
            return  # `galr data` reports a missing image
        self._limit.consume(len(sample.image) + ENTRY_OVERHEAD, Path(sample.location))
        path = self._target / file
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("xb") as opened:
                opened.write(sample.image)
        except OSError as error:
            if error.errno in WRITE_ERRNO:
                with explain_write_errors(path):
                    raise
            raise DataError(
                f"{sample.location}: no file can be called '{printable(file)}' ({error.strerror}); for parquet name"
                " another column in layout.name, or number the images by name: null"
            ) from error


def _folder_name(split: str) -> str:
    """Return the folder of a split's images."""
    name = PurePosixPath(split).name
    return "_" if name in ("", "..") else name


def _name(sample: Sample, number: int) -> PurePosixPath:
    """Return the path of a sample's image in the folder of its split, which cannot lead out of it."""
    path = PurePosixPath(clean_path(sample.name))
    if path.is_absolute() or ".." in path.parts or PureWindowsPath(path).drive:
        path = PurePosixPath(path.name)
    if path.name in ("", ".."):
        path = PurePosixPath(f"{number:07d}")
    if path.suffix.lower() not in IMAGE_SUFFIXES:
        path = path.with_name(path.name + _suffix(sample.image))
    return path


def _suffix(image: bytes | None) -> str:
    """Return the suffix of the format of an image file; `.jpg` for what only the decoder can explain."""
    try:
        with Image.open(io.BytesIO(image or b"")) as opened:
            found = opened.format or ""
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError):
        return ".jpg"
    return SUFFIX_OF_FORMAT.get(found, f".{found.lower()}")
