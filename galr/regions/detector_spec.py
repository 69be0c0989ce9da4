"""The specification of a detector, read from `config/detectors/<name>.yaml`: a network, its weights, or what replaces it.

`detector.schema.yaml` describes every key of the file; the fields here have the same names and meanings.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from galr import config
from galr.data.dataset_spec import Archive, find_archive, read_archives
from galr.errors import ConfigError
from galr.io.coco import IdMeaning

BOX_SOURCES = ("dataset", "folder", "archives", "dota")  # keys that give the boxes to train on

# The kinds of detectors, by the section that makes a file one, and the sections that each needs beside it.
SECTIONS: dict[str, tuple[str, ...]] = {
    "checkpoint": ("model", "detect", "classes"),
    "train": ("model", "detect", "classes"),
    "results": ("classes",),
    "proposals": (),
}


@dataclass(frozen=True)
class DotaConfig:
    """A folder in DOTA's layout, and how its images are cut into tiles."""

    folder: Path
    size: int
    overlap: float
    visible: float


@dataclass(frozen=True)
class TrainConfig:
    """How a detector is trained; its boxes come from exactly one of `BOX_SOURCES`."""

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
        """Return the fields that change the trained weights; the source of the boxes is not among them."""
        return {key: value for key, value in vars(self).items() if key not in BOX_SOURCES}


@dataclass(frozen=True)
class SliceConfig:
    """How large images are cut into slices: their side in pixels, and the fraction of it that neighbours share."""

    size: int
    overlap: float


@dataclass(frozen=True)
class InferenceConfig:
    """How a detector finds regions."""

    input: tuple[int, int]
    batch: int
    score: float
    overlap: float
    regions: int
    agnostic_overlap: float | None = None
    slices: SliceConfig | None = None


@dataclass(frozen=True)
class ProposalConfig:
    """How regions are proposed without a network, see `galr.regions.proposals`."""

    side: int
    scale: float
    sigma: float
    min_area: float
    max_area: float
    contrast: float
    score: float
    overlap: float
    regions: int


@dataclass(frozen=True)
class ProposalSpec:
    """A detector without a network and without classes: its name, and how it proposes regions."""

    name: str
    proposals: ProposalConfig
    classes: tuple[str, ...] = ("region",)

    def config_hash(self) -> str:
        """Return the SHA-256 of all that determines the regions."""
        return _hash_json(["proposals", vars(self.proposals)])


@dataclass(frozen=True)
class PrecomputedBoxes:
    """The COCO results of another tool."""

    file: str
    annotations: str | None = None
    first_category: int = 1
    ids: IdMeaning = "auto"


@dataclass(frozen=True)
class PrecomputedDetector:
    """A detector that runs elsewhere: its name, its classes, and its boxes."""

    name: str
    classes: tuple[str, ...]
    results: PrecomputedBoxes


@dataclass(frozen=True)
class DetectorSpec:
    """A network that runs here.

    The weights are the user's own `file`, or are downloaded from `url`, or are trained as `training` says; the
    other fields are None.

    Attributes:
        name: stem of its file.
        base: an mmdet config.
        overrides: merged into the model section of that config.
        classes: names of the network's outputs, in order.
        file: a checkpoint of the user's own.
        url: address of published weights.
        sha256: the hash of the published weights, or its first digits.
        training: how it is trained.
        inference: how it finds regions.
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
        """Return the SHA-256 of all that determines the regions, but not of the weights."""
        return _hash_json([self.base, self.overrides, self.classes, vars(self.inference)])

    def train_config(self) -> TrainConfig:
        """Return how the detector is trained.

        Raises:
            ConfigError: it has ready weights.
        """
        if self.training is None:
            raise ConfigError(f"detector {self.name} has no train section; its weights are given")
        return self.training

    def archive(self, file: str) -> Archive:
        """Find an archive of the boxes to train on.

        Raises:
            ConfigError: no archive has this name, or the detector is not trained on archives.
        """
        return find_archive(self.train_config().archives, file, f"detector {self.name}")

    def published_weights(self) -> Archive:
        """Return the published weights, named like the last part of their address.

        Raises:
            ConfigError: the file has no address.
        """
        if self.url is None:
            raise ConfigError(f"detector {self.name} has no checkpoint.url; nothing to download")
        return Archive(Path(urlsplit(self.url).path).name, (self.url,), self.sha256)


AnyDetector = DetectorSpec | ProposalSpec | PrecomputedDetector


def load_detector(
    name: str, detectors: Mapping[str, AnyDetector], datasets: Collection[str]
) -> AnyDetector:
    """Choose a detector and check that the dataset it trains on exists.

    Args:
        name: name of the detector.
        detectors: all detectors by name.
        datasets: all datasets by name.

    Raises:
        ConfigError: the detector or its dataset is unknown.
    """
    if name not in detectors:
        known = ", ".join(sorted(detectors))
        raise ConfigError(f"regions.detector: '{name}' is unknown; choose from {known}")
    detector = detectors[name]
    training = detector.training if isinstance(detector, DetectorSpec) else None
    if training is not None and training.dataset is not None and training.dataset not in datasets:
        raise ConfigError(
            f"detector {name}: train.dataset '{training.dataset}' is unknown;"
            f" choose from {', '.join(sorted(datasets))}"
        )
    return detector


def read_network_spec(path: Path) -> DetectorSpec:
    """Read the file of a detector that is a network; its name is the stem of the file.

    Raises:
        ConfigError: as for `read_detector_spec`, or the detector has no network.
    """
    spec = read_runnable_spec(path)
    if isinstance(spec, ProposalSpec):
        raise ConfigError(
            f"detector {spec.name} makes proposals without a network; there is nothing to train or to download"
        )
    return spec


def read_runnable_spec(path: Path) -> DetectorSpec | ProposalSpec:
    """Read the file of a detector that runs here, a network or proposals; its name is the stem of the file.

    Raises:
        ConfigError: as for `read_detector_spec`, or the detector runs elsewhere.
    """
    return _check_runnable(read_detector_spec(path))


def parse_runnable_spec(text: str, name: str) -> DetectorSpec | ProposalSpec:
    """Read the text of a detector file, as an export carries it; see `read_runnable_spec`.

    Args:
        text: the whole file.
        name: of the detector.
    """
    path = Path(f"{name}.yaml")
    document = config.parse_yaml(text, str(path))
    return _check_runnable(_parse_detector_spec(document, path))


def _check_runnable(spec: AnyDetector) -> DetectorSpec | ProposalSpec:
    """Return a detector that runs here.

    Raises:
        ConfigError: it runs elsewhere.
    """
    if isinstance(spec, PrecomputedDetector):
        raise ConfigError(f"detector {spec.name} has precomputed boxes; there is no network to run")
    return spec


def read_detector_spec(path: Path) -> AnyDetector:
    """Read a detector file; the detector's name is the stem of the file.

    Raises:
        ConfigError: it is missing, is no YAML, has a missing or an unknown key, or contradicts itself.
    """
    return _parse_detector_spec(config.load_yaml(path), path)


def _parse_detector_spec(document: Any, path: Path) -> AnyDetector:  # noqa: ANN401  whatever YAML held
    """Check the content of a detector file, and turn it into a detector.

    Raises:
        ConfigError: it has a missing or an unknown key, or contradicts itself.
    """
    config.check_schema(document, config.SCHEMAS / "detector.schema.yaml", str(path))
    kinds = [kind for kind in SECTIONS if kind in document]
    if len(kinds) != 1:
        raise ConfigError(
            f"{path} must have exactly one of checkpoint, train, results and proposals"
        )
    (kind,) = kinds
    for section in ("model", "detect", "classes"):
        if section in document and section not in SECTIONS[kind]:
            raise ConfigError(f"{path} has {kind}, so that no network runs; remove {section}")
        if section not in document and section in SECTIONS[kind]:
            raise ConfigError(f"{path} has {kind}; add {section}")
    if kind == "proposals":
        return ProposalSpec(path.stem, _proposal_config(document["proposals"], path))
    if kind == "results":
        boxes = PrecomputedBoxes(**document["results"])
        if boxes.ids == "annotations" and boxes.annotations is None:
            raise ConfigError(
                f"{path}: results.ids is annotations; add annotations, or leave ids out"
            )
        return PrecomputedDetector(path.stem, tuple(document["classes"]), boxes)
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


def _proposal_config(section: Mapping[str, Any], path: Path) -> ProposalConfig:
    """Make a ProposalConfig of the section `proposals`.

    Raises:
        ConfigError: no region can be as large as the smallest one must be.
    """
    if section["min_area"] >= section["max_area"]:
        raise ConfigError(
            f"{path}: proposals.min_area is {section['min_area']} and max_area {section['max_area']};"
            " the first must be smaller"
        )
    return ProposalConfig(**section)


def _train_config(section: Mapping[str, Any], path: Path) -> TrainConfig:
    """Make a TrainConfig of the section `train`.

    Raises:
        ConfigError: not exactly one source of boxes, or the larger scale comes first.
    """
    if sum(source in section for source in BOX_SOURCES) != 1:
        raise ConfigError(
            f"{path}: train must have exactly one of dataset, folder, archives and dota"
        )
    low, high = section["scales"]
    if low > high:
        raise ConfigError(f"{path}: train.scales is [{low}, {high}]; write the smaller one first")
    dota = section.get("dota")
    sources = {
        "dataset": section.get("dataset"),
        "folder": Path(section["folder"]) if "folder" in section else None,
        "archives": read_archives(section),
        "dota": DotaConfig(**{**dota, "folder": Path(dota["folder"])}) if dota else None,
    }
    sizes = {"input": tuple(section["input"]), "scales": (low, high)}
    return TrainConfig(**{**section, **sources, **sizes})


def _inference_config(section: Mapping[str, Any]) -> InferenceConfig:
    """Make an InferenceConfig of the section `detect`."""
    slices = SliceConfig(**section["slices"]) if "slices" in section else None
    return InferenceConfig(**{**section, "input": tuple(section["input"]), "slices": slices})


def _hash_json(fields: object) -> str:
    """Return the SHA-256 of settings, whatever the order of their keys."""
    return hashlib.sha256(json.dumps(fields, sort_keys=True, default=vars).encode()).hexdigest()
