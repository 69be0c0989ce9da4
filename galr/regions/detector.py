"""A detector is one file, `config/detectors/<name>.yaml`: network, classes, weights, how it looks."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from galr import config
from galr.errors import ConfigError


@dataclass(frozen=True)
class Training:
    """How a detector is trained; the schema says what each field means."""

    dataset: str | None
    folder: Path | None
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
    slices: Slices | None = None


@dataclass(frozen=True)
class Detector:
    """What a detector file says.

    `base` names an mmdet config and `overrides` is merged into its model section.
    The weights are the user's own `file`, or lie at `url` and hash to `sha256`, or `training` makes
    them; what does not apply is None.
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


def read_detector(path: Path) -> Detector:
    """Read a detector file; its stem is the detector's name.

    Raises:
        ConfigError: it is missing, no YAML, lacks a field, has one too many, or contradicts itself.
    """
    said = config.read(path, config.SCHEMAS / "detector.schema.yaml")
    if ("checkpoint" in said) == ("train" in said):
        raise ConfigError(f"{path} must have exactly one of checkpoint and train")
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
    if ("dataset" in said) == ("folder" in said):
        raise ConfigError(f"{path}: train must have exactly one of dataset and folder")
    low, high = said["scales"]
    if low > high:
        raise ConfigError(f"{path}: train.scales is [{low}, {high}]; write the smaller one first")
    place = {
        "dataset": said.get("dataset"),
        "folder": Path(said["folder"]) if "folder" in said else None,
    }
    return Training(**{**said, **place, "input": tuple(said["input"]), "scales": (low, high)})


def _detection(said: Mapping[str, Any]) -> Detection:
    """Turn the detect section into settings."""
    slices = Slices(**said["slices"]) if "slices" in said else None
    return Detection(**{**said, "input": tuple(said["input"]), "slices": slices})
