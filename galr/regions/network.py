"""A detector's network: built by mmdet from any of its configs, its weights set if they are its own.

Checkpoints of mmdet: read without running what they might carry, written slim.
"""

import difflib
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any
from urllib.error import URLError

import numpy as np
import torch

from galr.errors import ConfigError, DataError, DownloadError
from galr.io.atomic import atomic_write
from galr.provenance import file_sha256
from galr.regions.detector_spec import DetectorSpec
from galr.regions.mmdet_imports import (
    MODELS,
    BaseDetector,
    Config,
    HistoryBuffer,
    mmdet,
    revert_sync_batchnorm,
    suppress_output,
)
from galr.targets import make_hint

MMDET_CONFIGS = Path(mmdet.__file__).parent / ".mim" / "configs"


def build_network(detector: DetectorSpec) -> BaseDetector:
    """Build a detector's network, its weights not yet set.

    Raises:
        ConfigError: the base config is unknown, or mmdet can make no network of it.
    """
    config = model_config(detector)
    try:
        with suppress_output():
            return revert_sync_batchnorm(MODELS.build(config))
    except (KeyError, TypeError, ValueError, AssertionError, AttributeError, ImportError) as error:
        raise ConfigError(
            f"mmdet can build no network from detector {detector.name} ({error});"
            " correct model.config or model.overrides"
        ) from error


def init_weights(model: BaseDetector) -> None:
    """Set a new network's weights, at random or as its config's `init_cfg` says.

    Raises:
        DownloadError: the config asks for pretrained weights that cannot be had.
    """
    try:
        with suppress_output(), mmengine_safe_globals():
            model.init_weights()
    except (URLError, OSError, UnpicklingError) as error:
        raise DownloadError(
            f"the detector's pretrained backbone cannot be had ({str(error).splitlines()[0]}); set init_cfg: null below"
            " model.overrides.backbone to train from scratch, or init_cfg.checkpoint to a local file"
        ) from error


def to_device(model: BaseDetector, device: torch.device) -> BaseDetector:
    """Move a network to a device, channels last, which is a fifth faster on CPU."""
    return model.to(device=device, memory_format=torch.channels_last)


def load_network(detector: DetectorSpec, checkpoint: Path, device: torch.device) -> BaseDetector:
    """Build a detector's network with the weights of an mmdet checkpoint, ours or anybody's.

    Raises:
        ConfigError: as in `build`.
        DataError: the checkpoint is missing, damaged, not the one that the detector file names, or
            belongs to another network.
    """
    loaded = read_checkpoint(checkpoint)
    if detector.sha256 and not file_sha256(checkpoint).startswith(detector.sha256):
        raise DataError(
            f"{checkpoint} hashes to {file_sha256(checkpoint)}, detector {detector.name} names"
            f" {detector.sha256}; delete it and download it again"
        )
    classes = checkpoint_classes(loaded) or detector.classes
    if classes != detector.classes:
        raise DataError(
            f"{checkpoint} knows the classes {', '.join(classes)}, detector {detector.name} names"
            f" {', '.join(detector.classes)}; delete it and train again, or correct the detector"
        )
    model = build_network(detector)
    _load_weights(model, loaded.get("state_dict"), checkpoint)
    return to_device(model, device)


def model_config(detector: DetectorSpec) -> Any:  # noqa: ANN401  mmengine's ConfigDict is untyped
    """Merge a detector's overrides into its base config and give it the detector's classes.

    Raises:
        ConfigError: the base config is unknown, has no model, or cannot take the overrides.
    """
    try:
        with suppress_output():
            settings = Config.fromfile(_base_path(detector.base), format_python_code=False)
            settings.merge_from_dict({"model": dict(detector.overrides)})
    except (KeyError, TypeError, SyntaxError) as error:
        raise ConfigError(
            f"detector {detector.name}: model.overrides do not fit {detector.base} ({error})"
        ) from error
    if "type" not in settings.model:
        raise ConfigError(f"detector {detector.name}: {detector.base} has no model section")
    _set_num_classes(settings.model, len(detector.classes))
    return settings.model


def _base_path(base: str) -> Path:
    """Find a config by its path, or among those that mmdet ships.

    Raises:
        ConfigError: there is none.
    """
    for path in (Path(base), MMDET_CONFIGS / base):
        if path.is_file():
            return path
    shipped = [str(path.relative_to(MMDET_CONFIGS)) for path in MMDET_CONFIGS.rglob("*.py")]
    near = difflib.get_close_matches(base, shipped, n=1)
    hint = f"did you mean {near[0]}?" if near else "it must be a file, or one that mmdet ships"
    raise ConfigError(f"model.config {base} is unknown; {hint}")


def _set_num_classes(part: Any, classes: int) -> None:  # noqa: ANN401  walks nested dicts and lists
    """Set every `num_classes` in a model config, wherever heads keep it."""
    if isinstance(part, dict):
        if "num_classes" in part:
            part["num_classes"] = classes
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            _set_num_classes(each, classes)


def _load_weights(model: BaseDetector, weights: Any, checkpoint: Path) -> None:  # noqa: ANN401  whatever a file held
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


STATISTICS_METHODS = (
    "mean",
    "min",
    "max",
    "current",
)  # methods that a pickled loss history refers to


def safe_getattr(owner: object, name: str) -> object:
    """Stand for `getattr` in a checkpoint: it reaches a loss history's statistics and nothing else.

    Raises:
        AttributeError: anything else was asked for.
    """
    if owner is not HistoryBuffer or name not in STATISTICS_METHODS:
        raise AttributeError(f"a checkpoint must not reach {name} of {owner}")
    return vars(HistoryBuffer)[name]


# Beyond tensors and plain containers, what an mmengine checkpoint holds: histories of the loss.
SAFE_GLOBALS = [
    HistoryBuffer,
    (safe_getattr, "builtins.getattr"),
    (safe_getattr, "getattr"),
    np.ndarray.__reduce__(np.empty(0))[0],  # numpy's makers of arrays and numbers,
    np.float64.__reduce__(np.float64())[0],  # whose paths differ by version
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64, np.bool_)),
]


def mmengine_safe_globals() -> AbstractContextManager[None]:
    """Let `torch.load` read what mmengine puts into checkpoints, and still nothing else."""
    return torch.serialization.safe_globals(SAFE_GLOBALS)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of mmengine's or ours.

    Only tensors, plain containers and what `ALLOWED` names are unpickled.

    Raises:
        DataError: the file is missing, damaged, or holds anything else.
    """
    if not path.exists():
        raise DataError(f"no checkpoint at {path}; {make_hint(path, 'galr train-detector')}")
    try:
        with mmengine_safe_globals():
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged archive raises whatever its first bad byte leads to
        foreign = re.search(r"(?:GLOBAL|Unsupported class|instance of class:?) (\S+)", str(error))
        reason = f"it holds {foreign[1]}" if foreign else "it is damaged or cut short"
        raise DataError(
            f"{path} cannot be read as a checkpoint: {reason}; delete it and download or train it again"
        ) from error
    if not isinstance(found, dict):
        raise DataError(f"{path} is no mmdet checkpoint: it holds a {type(found).__name__}")
    return found


def checkpoint_classes(checkpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """The classes that an mmdet checkpoint says it knows; none where it does not say."""
    part: Any = checkpoint
    for key in ("meta", "dataset_meta", "classes"):
        part = part.get(key) if isinstance(part, Mapping) else None
    return tuple(part or ())


def save_checkpoint(
    model: BaseDetector, path: Path, classes: Sequence[str], provenance: Mapping[str, Any]
) -> None:
    """Write a network's weights as an mmdet checkpoint of tensors and plain containers.

    Args:
        model: the network, on any device.
        path: the file to write.
        classes: names of the network's outputs, stored where mmdet reads them.
        provenance: how the network was trained.

    Raises:
        OutputError: the file cannot be written.
    """
    weights = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
    meta = {"dataset_meta": {"classes": tuple(classes)}, "galr": dict(provenance)}
    with atomic_write(path) as partial:
        torch.save({"state_dict": weights, "meta": meta}, partial)
