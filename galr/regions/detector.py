"""A detector is one file, `config/detectors/<name>.yaml`: network, classes, weights, how it looks."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from galr import config
from galr.data.dataset_spec import Archive, find_archive, read_archives
from galr.errors import ConfigError

SOURCES = ("dataset", "folder", "archives", "dota")  # of the boxes that a detector trains on


@dataclass(frozen=True)
class Dota:
    """A folder in DOTA's layout, and how its images are cut; the schema says what each field means."""

    folder: Path
    size: int
    overlap: float
    visible: float


@dataclass(frozen=True)
class Training:
    """How a detector is trained; the schema says what each field means.

    The boxes come from exactly one of `dataset`, `folder`, `archives` and `dota`.
    """

    dataset: str | None
    folder: Path | None
    archives: tuple[Archive, ...]
    dota: Dota | None
    boxes: str
    held_out: str | float
    images: str
    epochs: int
    batch: int
    learning_rate: float
    weight_decay: float
    warmup: float
    input: tuple[int, int]
    scales: tuple[float, float]
    seed: int
    colours: bool = False

    def decides(self) -> dict[str, Any]:
        """What the trained weights follow from, less where the boxes come from."""
        return {key: value for key, value in vars(self).items() if key not in SOURCES}


@dataclass(frozen=True)
class Slices:
    """How large images are cut: side in pixels, share that neighbours have in common."""

    size: int
    overlap: float


@dataclass(frozen=True)
class Detection:
    """How a detector looks at an image; the schema says what each field means."""

    input: tuple[int, int]
    batch: int
    score: float
    overlap: float
    regions: int
    agnostic_overlap: float | None = None
    slices: Slices | None = None


@dataclass(frozen=True)
class Results:
    """Boxes that another tool found; the schema says what each field means."""

    file: str
    annotations: str | None = None
    first_category: int = 1


@dataclass(frozen=True)
class ReadyBoxes:
    """What a detector file says that stands for another tool: its classes and where its boxes lie."""

    name: str
    classes: tuple[str, ...]
    results: Results


@dataclass(frozen=True)
class Detector:
    """What a detector file says.

    `base` names an mmdet config and `overrides` is merged into its model section.
    The weights are the user's own `file`, or lie at `url` and their hash begins with `sha256`, or
    `training` makes them; what does not apply is None.
    """

    name: str
    base: str
    overrides: Mapping[str, Any]
    classes: tuple[str, ...]
    file: Path | None
    url: str | None
    sha256: str | None
    training: Training | None
    detection: Detection

    def identity(self) -> str:
        """Hash what decides which regions are found, weights apart; 64 hexadecimal digits."""
        decides = [self.base, self.overrides, self.classes, vars(self.detection)]
        return hashlib.sha256(
            json.dumps(decides, sort_keys=True, default=vars).encode()
        ).hexdigest()

    def recipe(self) -> Training:
        """How to train it.

        Raises:
            ConfigError: it comes with ready weights.
        """
        if self.training is None:
            raise ConfigError(f"detector {self.name} has no train section; its weights are given")
        return self.training

    def archive(self, file: str) -> Archive:
        """Find an archive of the boxes it trains on.

        Raises:
            ConfigError: there is none of that name, or it trains on none.
        """
        return find_archive(self.recipe().archives, file, f"detector {self.name}")

    def weights(self) -> Archive:
        """The published weights, under the name that their address ends in.

        Raises:
            ConfigError: it gives no address.
        """
        if self.url is None:
            raise ConfigError(f"detector {self.name} gives no checkpoint.url; nothing is to fetch")
        return Archive(Path(urlsplit(self.url).path).name, (self.url,), self.sha256)


def read_detector(path: Path) -> Detector:
    """Read the file of a detector that runs here; its stem is the detector's name.

    Raises:
        ConfigError: it is missing, no YAML, lacks a field, has one too many, contradicts itself, or
            stands for another tool.
    """
    found = read_detector_file(path)
    if isinstance(found, ReadyBoxes):
        raise ConfigError(f"detector {found.name} brings ready boxes; there is no network to run")
    return found


def read_detector_file(path: Path) -> Detector | ReadyBoxes:
    """Read a detector file of any kind; its stem is the detector's name.

    Raises:
        ConfigError: it is missing, no YAML, lacks a field, has one too many, or contradicts itself.
    """
    said = config.read_yaml(path, config.SCHEMAS / "detector.schema.yaml")
    kinds = [kind for kind in ("checkpoint", "train", "results") if kind in said]
    if len(kinds) != 1:
        raise ConfigError(f"{path} must have exactly one of checkpoint, train and results")
    for part in ("model", "detect"):
        if (part in said) == (kinds == ["results"]):
            has = "has results, where no network runs" if part in said else f"has {kinds[0]}"
            raise ConfigError(f"{path} {has}; {'remove' if part in said else 'add'} {part}")
    if kinds == ["results"]:
        return ReadyBoxes(path.stem, tuple(said["classes"]), Results(**said["results"]))
    ready = said.get("checkpoint", {})
    return Detector(
        name=path.stem,
        base=said["model"]["config"],
        overrides=said["model"].get("overrides", {}),
        classes=tuple(said["classes"]),
        file=Path(ready["file"]) if "file" in ready else None,
        url=ready.get("url"),
        sha256=ready.get("sha256"),
        training=_training(said["train"], path) if "train" in said else None,
        detection=_detection(said["detect"]),
    )


def _training(said: Mapping[str, Any], path: Path) -> Training:
    """Turn the train section into a recipe.

    Raises:
        ConfigError: not exactly one source of boxes, or scales the wrong way round.
    """
    if sum(source in said for source in SOURCES) != 1:
        raise ConfigError(
            f"{path}: train must have exactly one of dataset, folder, archives and dota"
        )
    low, high = said["scales"]
    if low > high:
        raise ConfigError(f"{path}: train.scales is [{low}, {high}]; write the smaller one first")
    place = {
        "dataset": said.get("dataset"),
        "folder": Path(said["folder"]) if "folder" in said else None,
        "archives": read_archives(said),
        "dota": _dota(said["dota"]) if "dota" in said else None,
    }
    return Training(**{**said, **place, "input": tuple(said["input"]), "scales": (low, high)})


def _dota(said: Mapping[str, Any]) -> Dota:
    """Turn the dota section into settings."""
    return Dota(**{**said, "folder": Path(said["folder"])})


def _detection(said: Mapping[str, Any]) -> Detection:
    """Turn the detect section into settings."""
    slices = Slices(**said["slices"]) if "slices" in said else None
    return Detection(**{**said, "input": tuple(said["input"]), "slices": slices})
