"""The network of a detector, built from an mmdet config, and its checkpoints.

A checkpoint is read without executing code from it, and written with nothing but weights, classes and provenance.
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
    """Build a detector's network without initialising its weights.

    Raises:
        ConfigError: the base config is unknown, or mmdet cannot build a network from it.
    """
    config = model_config(detector)
    try:
        with suppress_output():
            return revert_sync_batchnorm(MODELS.build(config))
    except (KeyError, TypeError, ValueError, AssertionError, AttributeError, ImportError) as error:
        raise ConfigError(
            f"mmdet cannot build the network of detector {detector.name} ({error});"
            " correct model.config or model.overrides"
        ) from error


def init_weights(model: BaseDetector) -> None:
    """Initialise the weights of a new network, at random or as `init_cfg` in its config specifies.

    Raises:
        DownloadError: the pretrained weights named in the config cannot be read or downloaded.
    """
    try:
        with suppress_output(), mmengine_safe_globals():
            model.init_weights()
    except (URLError, OSError, UnpicklingError) as error:
        raise DownloadError(
            f"cannot load the detector's pretrained backbone ({str(error).splitlines()[0]}); set init_cfg: null"
            " in model.overrides.backbone to train from scratch, or init_cfg.checkpoint to a local file"
        ) from error


def to_device(model: BaseDetector, device: torch.device) -> BaseDetector:
    """Move a network to a device in channels-last memory format, which is a fifth faster on the CPU."""
    return model.to(device=device, memory_format=torch.channels_last)


def load_network(detector: DetectorSpec, checkpoint: Path, device: torch.device) -> BaseDetector:
    """Build a detector's network and load the weights of an mmdet checkpoint.

    Args:
        detector: the network, its classes and, if known, the hash of the checkpoint.
        checkpoint: the checkpoint, written by `save_checkpoint` or by mmdet.
        device: the device to move the network to.

    Raises:
        ConfigError: as for `build_network`.
        DataError: the checkpoint is missing or damaged, has another hash than the detector file, or belongs to
            another network.
    """
    content = read_checkpoint(checkpoint)
    if detector.sha256 and not file_sha256(checkpoint).startswith(detector.sha256):
        raise DataError(
            f"{checkpoint} hashes to {file_sha256(checkpoint)}, but detector {detector.name} expects"
            f" {detector.sha256}; delete it and download it again"
        )
    classes = checkpoint_classes(content) or detector.classes
    if classes != detector.classes:
        raise DataError(
            f"{checkpoint} has the classes {', '.join(classes)}, but detector {detector.name} has"
            f" {', '.join(detector.classes)}; delete it and train again, or correct the detector"
        )
    model = build_network(detector)
    _load_weights(model, content.get("state_dict"), checkpoint)
    return to_device(model, device)


def model_config(detector: DetectorSpec) -> Any:  # noqa: ANN401  mmengine's ConfigDict is untyped
    """Merge a detector's overrides into its base config and set its number of classes.

    Raises:
        ConfigError: the base config is unknown or has no model section, or the overrides do not fit it.
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
    """Find a config by its path, or among the configs of mmdet.

    Raises:
        ConfigError: there is no such config.
    """
    for path in (Path(base), MMDET_CONFIGS / base):
        if path.is_file():
            return path
    known = [str(path.relative_to(MMDET_CONFIGS)) for path in MMDET_CONFIGS.rglob("*.py")]
    near = difflib.get_close_matches(base, known, n=1)
    hint = f"did you mean {near[0]}?" if near else "it must be a file, or a config of mmdet"
    raise ConfigError(f"model.config {base} is unknown; {hint}")


def _set_num_classes(part: Any, classes: int) -> None:  # noqa: ANN401  walks nested dicts and lists
    """Set every `num_classes` in a model config; its place depends on the heads."""
    if isinstance(part, dict):
        if "num_classes" in part:
            part["num_classes"] = classes
        part = list(part.values())
    if isinstance(part, list):
        for each in part:
            _set_num_classes(each, classes)


def _load_weights(model: BaseDetector, weights: Any, checkpoint: Path) -> None:  # noqa: ANN401  read from a file
    """Load weights into a network after checking their names and shapes.

    Raises:
        DataError: there are no weights, or a name or a shape differs.
    """
    if not isinstance(weights, dict):
        raise DataError(f"{checkpoint} is no mmdet checkpoint: it has no state_dict")
    expected = model.state_dict()
    for name in sorted(expected.keys() ^ weights.keys()):
        lacking = "checkpoint" if name in expected else "network"
        raise DataError(
            f"{checkpoint} belongs to another network: the {lacking} has no {name};"
            " delete it and train again, or correct the detector's model"
        )
    for name, tensor in expected.items():
        if tensor.shape != weights[name].shape:
            raise DataError(
                f"{checkpoint} belongs to another network: {name} is {tuple(weights[name].shape)},"
                f" expected {tuple(tensor.shape)};"
                " delete it and train again, or correct the detector's model and classes"
            )
    model.load_state_dict(weights)


# The methods that a pickled loss history refers to.
STATISTICS_METHODS = ("mean", "min", "max", "current")


def safe_getattr(owner: object, name: str) -> object:
    """Replace `getattr` in a checkpoint; only the statistics of a loss history are allowed.

    Raises:
        AttributeError: any other attribute.
    """
    if owner is not HistoryBuffer or name not in STATISTICS_METHODS:
        raise AttributeError(f"a checkpoint must not access {name} of {owner}")
    return vars(HistoryBuffer)[name]


# An mmengine checkpoint also contains histories of the loss, besides tensors and plain containers.
SAFE_GLOBALS = [
    HistoryBuffer,
    (safe_getattr, "builtins.getattr"),
    (safe_getattr, "getattr"),
    np.ndarray.__reduce__(np.empty(0))[0],  # NumPy's constructors of arrays and scalars;
    np.float64.__reduce__(np.float64())[0],  # their module paths depend on its version
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64, np.bool_)),
]


def mmengine_safe_globals() -> AbstractContextManager[None]:
    """Allow `torch.load` to unpickle `SAFE_GLOBALS`, and nothing else, within the context."""
    return torch.serialization.safe_globals(SAFE_GLOBALS)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint written by mmengine or by `save_checkpoint`.

    Only tensors, plain containers and `SAFE_GLOBALS` are unpickled.

    Raises:
        DataError: the file is missing or damaged, or contains anything else.
    """
    if not path.exists():
        raise DataError(f"no checkpoint at {path}; {make_hint(path, 'galr train-detector')}")
    try:
        with mmengine_safe_globals():
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # the type depends on where the file is damaged
        unsafe = re.search(r"(?:GLOBAL|Unsupported class|instance of class:?) (\S+)", str(error))
        reason = f"it contains {unsafe[1]}" if unsafe else "it is damaged or incomplete"
        raise DataError(
            f"{path} cannot be read as a checkpoint: {reason}; delete it and download or train it again"
        ) from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is no mmdet checkpoint: it contains a {type(content).__name__}")
    return content


def checkpoint_classes(checkpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the class names stored in an mmdet checkpoint; empty if it has none."""
    value: Any = checkpoint
    for key in ("meta", "dataset_meta", "classes"):
        value = value.get(key) if isinstance(value, Mapping) else None
    return tuple(value or ())


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
