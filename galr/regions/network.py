"""A detector's network: built by mmdet from any of its configs, its weights set if they are its own."""

import difflib
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import URLError

import torch

from galr.errors import ConfigError, DataError, DownloadError
from galr.provenance import file_sha256
from galr.regions.checkpoint import classes_of, read_checkpoint, trusted
from galr.regions.detector import Detector
from galr.regions.mmlab import MODELS, BaseDetector, Config, mmdet, quiet, revert_sync_batchnorm

SHIPPED = Path(mmdet.__file__).parent / ".mim" / "configs"


def build(detector: Detector) -> BaseDetector:
    """Build a detector's network, its weights not yet set.

    Raises:
        ConfigError: the base config is unknown, or mmdet can make no network of it.
    """
    settings = model_config(detector)
    try:
        with quiet():
            return revert_sync_batchnorm(MODELS.build(settings))
    except (KeyError, TypeError, ValueError, AssertionError, AttributeError, ImportError) as error:
        raise ConfigError(
            f"mmdet can build no network from detector {detector.name} ({error});"
            " correct model.config or model.overrides"
        ) from error


def initialise(model: BaseDetector) -> None:
    """Set a new network's weights, at random or as its config's `init_cfg` says.

    Raises:
        DownloadError: the config asks for pretrained weights that cannot be had.
    """
    try:
        with quiet(), trusted():
            model.init_weights()
    except (URLError, OSError, UnpicklingError) as error:
        raise DownloadError(
            f"the detector's pretrained backbone cannot be had ({str(error).splitlines()[0]}); set init_cfg: null below"
            " model.overrides.backbone to train from scratch, or init_cfg.checkpoint to a local file"
        ) from error


def place(model: BaseDetector, device: torch.device) -> BaseDetector:
    """Move a network to a device, channels last, which is a fifth faster on CPU."""
    return model.to(device=device, memory_format=torch.channels_last)


def load(detector: Detector, checkpoint: Path, device: torch.device) -> BaseDetector:
    """Build a detector's network with the weights of an mmdet checkpoint, ours or anybody's.

    Raises:
        ConfigError: as in `build`.
        DataError: the checkpoint is missing, damaged, not the one that the detector file names, or
            belongs to another network.
    """
    found = read_checkpoint(checkpoint)
    if detector.sha256 and not file_sha256(checkpoint).startswith(detector.sha256):
        raise DataError(
            f"{checkpoint} hashes to {file_sha256(checkpoint)}, detector {detector.name} names"
            f" {detector.sha256}; delete it and download it again"
        )
    classes = classes_of(found) or detector.classes
    if classes != detector.classes:
        raise DataError(
            f"{checkpoint} knows the classes {', '.join(classes)}, detector {detector.name} names"
            f" {', '.join(detector.classes)}; delete it and train again, or correct the detector"
        )
    model = build(detector)
    _set_weights(model, found.get("state_dict"), checkpoint)
    return place(model, device)


def model_config(detector: Detector) -> Any:  # noqa: ANN401  mmengine's ConfigDict is untyped
    """Merge a detector's overrides into its base config and give it the detector's classes.

    Raises:
        ConfigError: the base config is unknown, has no model, or cannot take the overrides.
    """
    try:
        with quiet():
            settings = Config.fromfile(_base_path(detector.base), format_python_code=False)
            settings.merge_from_dict({"model": dict(detector.overrides)})
    except (KeyError, TypeError, SyntaxError) as error:
        raise ConfigError(
            f"detector {detector.name}: model.overrides do not fit {detector.base} ({error})"
        ) from error
    if "type" not in settings.model:
        raise ConfigError(f"detector {detector.name}: {detector.base} has no model section")
    _set_classes(settings.model, len(detector.classes))
    return settings.model


def _base_path(base: str) -> Path:
    """Find a config by its path, or among those that mmdet ships.

    Raises:
        ConfigError: there is none.
    """
    for path in (Path(base), SHIPPED / base):
        if path.is_file():
            return path
    shipped = [str(path.relative_to(SHIPPED)) for path in SHIPPED.rglob("*.py")]
    near = difflib.get_close_matches(base, shipped, n=1)
    hint = f"did you mean {near[0]}?" if near else "it must be a file, or one that mmdet ships"
    raise ConfigError(f"model.config {base} is unknown; {hint}")


def _set_classes(part: Any, classes: int) -> None:  # noqa: ANN401  walks nested dicts and lists
    """Set every `num_classes` in a model config, wherever heads keep it."""
    if isinstance(part, dict):
        if "num_classes" in part:
            part["num_classes"] = classes
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            _set_classes(each, classes)


def _set_weights(model: BaseDetector, weights: Any, checkpoint: Path) -> None:  # noqa: ANN401  whatever a file held
    """Set a network's weights if they are its own.

    Raises:
        DataError: there are none, too many, too few, or of other shapes.
    """
    if not isinstance(weights, dict):
        raise DataError(f"{checkpoint} is no mmdet checkpoint: it holds no state_dict")
    ours = model.state_dict()
    for name in sorted(ours.keys() ^ weights.keys()):
        whose = "the checkpoint lacks" if name in ours else "the network does not know"
        raise DataError(
            f"{checkpoint} belongs to another network: {whose} {name};"
            " delete it and train again, or correct the detector's model"
        )
    for name, tensor in ours.items():
        if tensor.shape != weights[name].shape:
            raise DataError(
                f"{checkpoint} belongs to another network: {name} is {tuple(weights[name].shape)},"
                f" expected {tuple(tensor.shape)};"
                " delete it and train again, or correct the detector's model and classes"
            )
    model.load_state_dict(weights)
