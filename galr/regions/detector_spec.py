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

BOX_SOURCES = ("dataset", "folder", "archives", "dota")  # of the boxes that a detector trains on


@dataclass(frozen=True)
class DotaConfig:
    """A folder in DOTA's layout, and how its images are cut; the schema says what each field means."""

    folder: Path
    size: int
    overlap: float
    visible: float


@dataclass(frozen=True)
class TrainConfig:
    """How a detector is trained; the schema says what each field means.

    The boxes come from exactly one of `dataset`, `folder`, `archives` and `dota`.
    """

    dataset: str | None
    folder: Path | None
    archives: tuple[Archive, ...]
    dota: DotaConfig | None
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

    def hash_fields(self) -> dict[str, Any]:
        """What the trained weights follow from, less where the boxes come from."""
        return {key: value for key, value in vars(self).items() if key not in BOX_SOURCES}


@dataclass(frozen=True)
class SliceConfig:
    """How large images are cut: side in pixels, share that neighbours have in common."""

    size: int
    overlap: float


@dataclass(frozen=True)
class InferenceConfig:
    """How a detector looks at an image; the schema says what each field means."""

    input: tuple[int, int]
    batch: int
    score: float
    overlap: float
    regions: int
    agnostic_overlap: float | None = None
    slices: SliceConfig | None = None


@dataclass(frozen=True)
class PrecomputedBoxes:
    """Boxes that another tool found; the schema says what each field means."""

    file: str
    annotations: str | None = None
    first_category: int = 1


@dataclass(frozen=True)
class PrecomputedDetector:
    """What a detector file says that stands for another tool: its classes and where its boxes lie."""

    name: str
    classes: tuple[str, ...]
    results: PrecomputedBoxes


@dataclass(frozen=True)
class DetectorSpec:
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
    training: TrainConfig | None
    inference: InferenceConfig

    def config_hash(self) -> str:
        """Hash what decides which regions are found, weights apart; 64 hexadecimal digits."""
        decides = [self.base, self.overrides, self.classes, vars(self.inference)]
        return hashlib.sha256(
            json.dumps(decides, sort_keys=True, default=vars).encode()
        ).hexdigest()

    def train_config(self) -> TrainConfig:
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
        return find_archive(self.train_config().archives, file, f"detector {self.name}")

    def published_weights(self) -> Archive:
        """The published weights, under the name that their address ends in.

        Raises:
            ConfigError: it gives no address.
        """
        if self.url is None:
            raise ConfigError(f"detector {self.name} gives no checkpoint.url; nothing is to fetch")
        return Archive(Path(urlsplit(self.url).path).name, (self.url,), self.sha256)


def read_network_spec(path: Path) -> DetectorSpec:
    """Read the file of a detector that runs here; its stem is the detector's name.

    Raises:
        ConfigError: it is missing, no YAML, lacks a field, has one too many, contradicts itself, or
            stands for another tool.
    """
    spec = read_detector_spec(path)
    if isinstance(spec, PrecomputedDetector):
        raise ConfigError(f"detector {spec.name} brings ready boxes; there is no network to run")
    return spec


def read_detector_spec(path: Path) -> DetectorSpec | PrecomputedDetector:
    """Read a detector file of any kind; its stem is the detector's name.

    Raises:
        ConfigError: it is missing, no YAML, lacks a field, has one too many, or contradicts itself.
    """
    document = config.read_yaml(path, config.SCHEMAS / "detector.schema.yaml")
    kinds = [kind for kind in ("checkpoint", "train", "results") if kind in document]
    if len(kinds) != 1:
        raise ConfigError(f"{path} must have exactly one of checkpoint, train and results")
    for part in ("model", "detect"):
        if (part in document) == (kinds == ["results"]):
            has = "has results, where no network runs" if part in document else f"has {kinds[0]}"
            raise ConfigError(f"{path} {has}; {'remove' if part in document else 'add'} {part}")
    if kinds == ["results"]:
        return PrecomputedDetector(
            path.stem, tuple(document["classes"]), PrecomputedBoxes(**document["results"])
        )
    checkpoint = document.get("checkpoint", {})
    return DetectorSpec(
        name=path.stem,
        base=document["model"]["config"],
        overrides=document["model"].get("overrides", {}),
        classes=tuple(document["classes"]),
        file=Path(checkpoint["file"]) if "file" in checkpoint else None,
        url=checkpoint.get("url"),
        sha256=checkpoint.get("sha256"),
        training=_train_config(document["train"], path) if "train" in document else None,
        inference=_inference_config(document["detect"]),
    )


def _train_config(section: Mapping[str, Any], path: Path) -> TrainConfig:
    """Turn the train section into a recipe.

    Raises:
        ConfigError: not exactly one source of boxes, or scales the wrong way round.
    """
    if sum(source in section for source in BOX_SOURCES) != 1:
        raise ConfigError(
            f"{path}: train must have exactly one of dataset, folder, archives and dota"
        )
    low, high = section["scales"]
    if low > high:
        raise ConfigError(f"{path}: train.scales is [{low}, {high}]; write the smaller one first")
    sources = {
        "dataset": section.get("dataset"),
        "folder": Path(section["folder"]) if "folder" in section else None,
        "archives": read_archives(section),
        "dota": _dota_config(section["dota"]) if "dota" in section else None,
    }
    return TrainConfig(
        **{**section, **sources, "input": tuple(section["input"]), "scales": (low, high)}
    )


def _dota_config(section: Mapping[str, Any]) -> DotaConfig:
    """Turn the dota section into settings."""
    return DotaConfig(**{**section, "folder": Path(section["folder"])})


def _inference_config(section: Mapping[str, Any]) -> InferenceConfig:
    """Turn the detect section into settings."""
    slices = SliceConfig(**section["slices"]) if "slices" in section else None
    return InferenceConfig(**{**section, "input": tuple(section["input"]), "slices": slices})
