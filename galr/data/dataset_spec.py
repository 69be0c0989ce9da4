"""Read a dataset file, `config/datasets/<name>.yaml`: source, layout, splits and licence of a dataset."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from galr import config
from galr.errors import ConfigError
from galr.io.pixel_options import PixelOptions

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
SOURCES = ("archives", "folder", "synthetic")
LAYOUTS_PAGE = "docs/reference/layouts.md"
AUTO_NAME = ""  # no column is called so
CAPTIONS = "captions.json"  # of an unpacked dataset


@dataclass(frozen=True)
class Archive:
    """A file to download.

    Attributes:
        file: name under which it is saved.
        urls: its addresses, tried in order.
        sha256: its hash, or the first digits of it; None to expect the hash of the first download.
    """

    file: str
    urls: tuple[str, ...]
    sha256: str | None


@dataclass(frozen=True)
class SyntheticSpec:
    """Images to draw: their number, side in pixels, sentences per image, and the seed."""

    images: int
    size: int
    sentences: int
    seed: int


@dataclass(frozen=True)
class KarpathyLayout:
    """One JSON file of images and their sentences; `files` are its possible names, tried in order."""

    files: tuple[str, ...]
    kind: ClassVar = "karpathy"


@dataclass(frozen=True)
class PrecompLayout:
    """Pairs of text files, sentences and image names; `{split}` is replaced by the split's name."""

    sentences: str
    images: str
    kind: ClassVar = "precomp"


@dataclass(frozen=True)
class CsvLayout:
    """Tables of one row a sentence, one file a split or a column `split`; the others are names of columns."""

    file: str
    image: str = "filepath"
    sentence: str = "title"
    split: str | None = None
    separator: str = "\t"
    kind: ClassVar = "csv"


@dataclass(frozen=True)
class ParquetLayout:
    """Tables that contain images and their sentences, one or more files a split or a column `split`.

    Attributes:
        file: name of the files; `{split}` is replaced by the split's name, `*` stands for anything.
        image: column of an image's bytes, its path, or both.
        sentences: column of a sentence, or of a list of sentences.
        name: column of an image's name; None to number the images; `AUTO_NAME` for the first of the column
            `filename`, the path in `image`, a number that there is.
        split: column of the split.
    """

    file: str
    image: str = "image"
    sentences: str = "captions"
    name: str | None = AUTO_NAME
    split: str | None = None
    kind: ClassVar = "parquet"


@dataclass(frozen=True)
class WebDatasetLayout:
    """Tar shards of images, each with a text or a JSON of the same key.

    Attributes:
        shards: name of the shards; `{split}` is replaced by the split's name, `*` stands for anything.
        sentences: key of the sentences in a JSON; None for `captions` or `caption`.
    """

    shards: str
    sentences: str | None = None
    kind: ClassVar = "webdataset"


@dataclass(frozen=True)
class NwpuLayout:
    """The JSON of NWPU-Captions: classes on top; `files` are its possible names, tried in order."""

    files: tuple[str, ...]
    kind: ClassVar = "nwpu"


PackedLayout = ParquetLayout | WebDatasetLayout
Layout = KarpathyLayout | PrecompLayout | CsvLayout | PackedLayout | NwpuLayout
LAYOUTS: dict[str, type[Layout]] = {
    layout.kind: layout
    for layout in (
        KarpathyLayout,
        PrecompLayout,
        CsvLayout,
        ParquetLayout,
        WebDatasetLayout,
        NwpuLayout,
    )
}


@dataclass(frozen=True)
class DrawnValidation:
    """The share of the train images to validate on, in (0, 1), and the seed that draws them."""

    share: float
    seed: int = 0


@dataclass(frozen=True)
class DatasetSpec:
    """The contents of a dataset file; exactly one of `archives`, `folder` and `synthetic` is given.

    Attributes:
        splits: the source's splits that each of our splits consists of.
        drawn_validation: how the validation images are drawn from the train images, where the source has none.
        unused: the source's splits that are left out on purpose.
        pixels: how its images are read, where their files shall not decide.
    """

    name: str
    title: str
    licence: str
    citation: str
    archives: tuple[Archive, ...]
    folder: Path | None
    synthetic: SyntheticSpec | None
    layout: Layout
    splits: Mapping[Split, tuple[str, ...]]
    drawn_validation: DrawnValidation | None
    unused: tuple[str, ...]
    sentences_per_image: int | None
    num_images: int | None
    pixels: PixelOptions

    @property
    def is_packed(self) -> bool:
        """Whether the images lie in tables or shards, which `galr unpack` makes image files of."""
        return isinstance(self.layout, PackedLayout)

    def archive(self, file: str) -> Archive:
        """Return the archive of a name.

        Raises:
            ConfigError: the dataset has no archive of that name.
        """
        return find_archive(self.archives, file, f"dataset {self.name}")


def read_archives(section: Mapping[str, Any]) -> tuple[Archive, ...]:
    """Parse the archives of a section; without the key there are none."""
    return tuple(
        Archive(entry["file"], tuple(entry["urls"]), entry["sha256"])
        for entry in section.get("archives", ())
    )


def find_archive(archives: Sequence[Archive], file: str, owner: str) -> Archive:
    """Return the archive of a name.

    Raises:
        ConfigError: there is no archive of that name; the message names the owner.
    """
    for archive in archives:
        if archive.file == file:
            return archive
    known = ", ".join(archive.file for archive in archives) or "none"
    raise ConfigError(f"{owner} has no archive '{file}'; it has: {known}")


def read_dataset_spec(path: Path) -> DatasetSpec:
    """Read a dataset file; its stem is the dataset's name.

    Raises:
        ConfigError: the file is missing or not YAML, does not follow its schema, or contradicts itself.
    """
    document = config.read_yaml(path, config.SCHEMAS / "dataset.schema.yaml")
    _check_contradictions(document, path)
    splits = document["splits"]
    validation = splits["val"] if isinstance(splits["val"], dict) else None
    return DatasetSpec(
        name=path.stem,
        title=document["title"],
        licence=document["licence"],
        citation=document["citation"],
        archives=read_archives(document),
        folder=Path(document["folder"]) if "folder" in document else None,
        synthetic=SyntheticSpec(**document["synthetic"]) if "synthetic" in document else None,
        layout=_parse_layout(document["layout"]),
        splits={split: _names(splits[split]) for split in SPLITS},
        drawn_validation=DrawnValidation(**validation) if validation else None,
        unused=tuple(splits.get("unused", ())),
        sentences_per_image=document.get("sentences_per_image"),
        num_images=document.get("images"),
        pixels=PixelOptions.from_dict(document),
    )


def see_layouts(kind: str) -> str:
    """Say where the smallest file of a layout is shown."""
    return f"see {LAYOUTS_PAGE}#{kind} for its smallest file"


def _names(splits: Sequence[str] | Mapping[str, Any]) -> tuple[str, ...]:
    """Return the names of the source's splits; a split that is drawn has none."""
    return () if isinstance(splits, Mapping) else tuple(splits)


def _parse_layout(section: Mapping[str, Any]) -> Layout:
    """Parse the layout section."""
    keys = {key: value for key, value in section.items() if key != "kind"}
    if section["kind"] in ("karpathy", "nwpu"):
        files = keys.pop("file")
        keys["files"] = (files,) if isinstance(files, str) else tuple(files)
    if keys.get("separator") == "\\t":  # a tab as YAML reads it without double quotes
        keys["separator"] = "\t"
    return LAYOUTS[section["kind"]](**keys)


def _check_contradictions(document: Mapping[str, Any], path: Path) -> None:
    """Check what a schema cannot explain well.

    Raises:
        ConfigError: not exactly one source, two archives of one name, a split in two places, or a table whose
            splits are neither files nor a column, or both.
    """
    given = [source for source in SOURCES if source in document]
    if len(given) != 1:
        raise ConfigError(
            f"{path} has {' and '.join(given) or 'neither archives, folder nor synthetic'};"
            " give exactly one of archives, folder and synthetic"
        )
    files = [archive["file"] for archive in document.get("archives", ())]
    names = [name for split in document["splits"].values() for name in _names(split)]
    for what, values in (("archive", files), ("split", names)):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ConfigError(f"{path} names the {what} '{twice[0]}' twice; name it once")
    layout = document["layout"]
    pattern = layout.get("shards", layout.get("file"))
    if layout["kind"] in ("csv", "parquet", "webdataset") and re.search(r"{(?!split})", pattern):
        raise ConfigError(
            f"{path}: only {{split}} is replaced in '{pattern}'; write * for what differs between the files, as in"
            f" {{split}}-*; {see_layouts(layout['kind'])}"
        )
    if layout["kind"] in ("csv", "parquet") and ("{split}" in layout["file"]) == (
        "split" in layout
    ):
        raise ConfigError(
            f"{path}: layout.file is '{layout['file']}' and layout.split is"
            f" {layout.get('split', 'left out')}; put {{split}} into file where each split is a file, or"
            f" name the column in split where a file has all splits, not both; {see_layouts(layout['kind'])}"
        )
