"""Read a dataset file, `config/datasets/<name>.yaml`: source, layout, splits and licence of a dataset."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from galr import config
from galr.errors import ConfigError

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")
SOURCES = ("archives", "folder", "synthetic")


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


@dataclass(frozen=True)
class PrecompLayout:
    """Pairs of text files, sentences and image names; `{split}` is replaced by the split's name."""

    sentences: str
    images: str


@dataclass(frozen=True)
class DatasetSpec:
    """The contents of a dataset file; exactly one of `archives`, `folder` and `synthetic` is given."""

    name: str
    title: str
    licence: str
    citation: str
    archives: tuple[Archive, ...]
    folder: Path | None
    synthetic: SyntheticSpec | None
    layout: KarpathyLayout | PrecompLayout
    splits: Mapping[Split, tuple[str, ...]]
    unused: tuple[str, ...]
    sentences_per_image: int | None
    num_images: int | None

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
    return DatasetSpec(
        name=path.stem,
        title=document["title"],
        licence=document["licence"],
        citation=document["citation"],
        archives=read_archives(document),
        folder=Path(document["folder"]) if "folder" in document else None,
        synthetic=SyntheticSpec(**document["synthetic"]) if "synthetic" in document else None,
        layout=_parse_layout(document["layout"]),
        splits={split: tuple(document["splits"][split]) for split in SPLITS},
        unused=tuple(document["splits"].get("unused", ())),
        sentences_per_image=document.get("sentences_per_image"),
        num_images=document.get("images"),
    )


def _parse_layout(section: Mapping[str, Any]) -> KarpathyLayout | PrecompLayout:
    """Parse the layout section."""
    if section["kind"] == "precomp":
        return PrecompLayout(section["sentences"], section["images"])
    files = section["file"]
    return KarpathyLayout((files,) if isinstance(files, str) else tuple(files))


def _check_contradictions(document: Mapping[str, Any], path: Path) -> None:
    """Check what a schema cannot explain well.

    Raises:
        ConfigError: not exactly one source, two archives of one name, a split in two places.
    """
    given = [source for source in SOURCES if source in document]
    if len(given) != 1:
        raise ConfigError(
            f"{path} has {' and '.join(given) or 'neither archives, folder nor synthetic'};"
            " give exactly one of archives, folder and synthetic"
        )
    files = [archive["file"] for archive in document.get("archives", ())]
    names = [name for split in document["splits"].values() for name in split]
    for what, values in (("archive", files), ("split", names)):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ConfigError(f"{path} names the {what} '{twice[0]}' twice; name it once")
