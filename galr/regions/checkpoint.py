"""Checkpoints of mmdet: read without running what they might carry, written slim."""

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from galr.errors import DataError
from galr.regions.mmlab import BaseDetector, HistoryBuffer

STATISTICS = ("mean", "min", "max", "current")  # methods that a pickled loss history refers to


def statistic_of(owner: object, name: str) -> object:
    """Stand for `getattr` in a checkpoint: it reaches a loss history's statistics and nothing else.

    Raises:
        AttributeError: anything else was asked for.
    """
    if owner is not HistoryBuffer or name not in STATISTICS:
        raise AttributeError(f"a checkpoint must not reach {name} of {owner}")
    return vars(HistoryBuffer)[name]


# Beyond tensors and plain containers, what an mmengine checkpoint holds: histories of the loss.
ALLOWED = [
    HistoryBuffer,
    (statistic_of, "builtins.getattr"),
    (statistic_of, "getattr"),
    np.ndarray.__reduce__(np.empty(0))[0],  # numpy's makers of arrays and numbers,
    np.float64.__reduce__(np.float64())[0],  # whose paths differ by version
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in (np.float32, np.float64, np.int32, np.int64, np.bool_)),
]


def trusted() -> AbstractContextManager[None]:
    """Let `torch.load` read what mmengine puts into checkpoints, and still nothing else."""
    return torch.serialization.safe_globals(ALLOWED)


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint of mmengine's or ours.

    Only tensors, plain containers and what `ALLOWED` names are unpickled.

    Raises:
        DataError: the file is missing, damaged, or holds anything else.
    """
    if not path.exists():
        raise DataError(f"no checkpoint at {path}; run: snakemake {path}")
    try:
        with trusted():
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


def classes_of(checkpoint: Mapping[str, Any]) -> tuple[str, ...]:
    """The classes that an mmdet checkpoint says it knows; none where it does not say."""
    part: Any = checkpoint
    for key in ("meta", "dataset_meta", "classes"):
        part = part.get(key) if isinstance(part, Mapping) else None
    return tuple(part or ())


def save_checkpoint(
    model: BaseDetector, path: Path, classes: Sequence[str], origin: Mapping[str, Any]
) -> None:
    """Write a network's weights as an mmdet checkpoint of tensors and plain containers.

    Args:
        model: what is saved, from any device.
        path: where to; the file takes its name when it is whole.
        classes: names of the network's outputs, where mmdet looks for them.
        origin: what made it.
    """
    weights = {name: tensor.cpu() for name, tensor in model.state_dict().items()}
    meta = {"dataset_meta": {"classes": tuple(classes)}, "galr": dict(origin)}
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    torch.save({"state_dict": weights, "meta": meta}, partial)
    partial.replace(path)
