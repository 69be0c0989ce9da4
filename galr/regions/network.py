"""A detector's network: built by mmdet from any of its configs, its weights read and written safely."""

import difflib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import torch

from galr import versions
from galr.errors import ConfigError, DataError, DownloadError
from galr.regions.detector import Detector
from galr.regions.mmlab import (
    MODELS,
    BaseDetector,
    Config,
    HistoryBuffer,
    mmdet,
    quiet,
    revert_sync_batchnorm,
)

SHIPPED = Path(mmdet.__file__).parent / ".mim" / "configs"
# Beyond tensors and plain containers, what an mmengine checkpoint holds: loss histories.
CHECKPOINT_CLASSES = [
    HistoryBuffer,
    np.ndarray.__reduce__(np.empty(0))[
        0
    ],  # numpy's own maker of arrays, whose path differs by version
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64, np.bool_)),
]


def build(detector: Detector) -> BaseDetector:
    """Build a detector's network, its weights not yet set.

    Raises:
        ConfigError: the base config is unknown, or mmdet can make no network of it.
    """
    settings = _model_config(detector)
    try:
        with quiet():
            return revert_sync_batchnorm(MODELS.build(settings))
    except (KeyError, TypeError, ValueError, AssertionError, ImportError) as error:
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
        with quiet():
            model.init_weights()
    except (URLError, OSError) as error:
        raise DownloadError(
            f"the detector's pretrained backbone cannot be had ({error}); set init_cfg: null below"
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
    if detector.sha256 not in (None, versions.sha256(checkpoint)):
        raise DataError(
            f"{checkpoint} hashes to {versions.sha256(checkpoint)}, detector {detector.name} names"
            f" {detector.sha256}; delete it and download it again"
        )
    classes = _classes_of(found) or detector.classes
    if classes != detector.classes:
        raise DataError(
            f"{checkpoint} knows the classes {', '.join(classes)}, detector {detector.name} names"
            f" {', '.join(detector.classes)}; delete it and train again, or correct the detector"
        )
    model = build(detector)
    _set_weights(model, found.get("state_dict"), checkpoint)
    return place(model, device)


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


def _classes_of(checkpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """The classes that an mmdet checkpoint says it knows; none where it does not say."""
    part: Any = checkpoint
    for key in ("meta", "dataset_meta", "classes"):
        part = part.get(key) if isinstance(part, Mapping) else None
    return tuple(part or ())


def save(
    model: BaseDetector, checkpoint: Path, classes: Sequence[str], origin: Mapping[str, Any]
) -> None:
    """Write a network's weights as a slim mmdet checkpoint of tensors and plain containers.

    Args:
        model: what is saved, from any device.
        checkpoint: where to.
        classes: names of the network's outputs, where mmdet looks for them.
        origin: what made it.
    """
    meta = {"dataset_meta": {"classes": tuple(classes)}, "galr": dict(origin)}
    weights = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    partial = checkpoint.with_name(f".{checkpoint.name}.partial")
    torch.save({"state_dict": weights, "meta": meta}, partial)
    partial.replace(checkpoint)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read an mmengine checkpoint without running what it might carry.

    Raises:
        DataError: the file is missing, cut short, or holds classes that are not allowed.
    """
    if not path.exists():
        raise DataError(f"no checkpoint at {path}; run: snakemake {path}")
    try:
        with trusted():
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken archive raises whatever its first bad byte leads to
        reason = str(error).splitlines()[0]
        raise DataError(
            f"{path} cannot be read as a checkpoint ({type(error).__name__}: {reason});"
            " delete it and download or train it again"
        ) from error
    if not isinstance(found, dict):
        raise DataError(f"{path} is no mmdet checkpoint: it holds a {type(found).__name__}")
    return found


def trusted() -> AbstractContextManager[None]:
    """Let `torch.load` read what mmengine puts into checkpoints, and still nothing else."""
    return torch.serialization.safe_globals(CHECKPOINT_CLASSES)


def _model_config(detector: Detector) -> Any:  # noqa: ANN401  mmengine's ConfigDict is untyped
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
    if "model" not in settings:
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
