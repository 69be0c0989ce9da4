"""The state of an unfinished training, in a file beside the checkpoint from which the same command goes on."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from galr.io.atomic import atomic_write

VERSION = 3


class ResumeState:
    """Saves the state of a training at intervals, and reads it again.

    The file is written whole or not at all: a training that is killed at any moment, while saving included,
    goes on from the last saved state.

    Args:
        path: resume.pt.
        identity: all that the result follows from; a file with another identity is not used.
        interval: seconds between two saves; 0 saves after every step.

    Attributes:
        reject_reason: after `read`, why an existing file cannot be used; empty if it can, or there is none.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], interval: float) -> None:
        self.reject_reason = ""
        self._path = path
        self._identity = json.dumps(identity, sort_keys=True, default=str)
        self._interval = interval
        self._last_save = time.monotonic()

    def is_due(self) -> bool:
        """Whether the interval since the last save is over."""
        return time.monotonic() - self._last_save >= self._interval

    def save(self, state: Mapping[str, Any]) -> None:
        """Write a state of tensors and plain values."""
        with atomic_write(self._path) as partial:
            content = {"version": VERSION, "identity": self._identity, "state": state}
            torch.save(content, partial)
        self._last_save = time.monotonic()

    def exists(self) -> bool:
        """Whether there is a state that this training can go on from."""
        return self._load(mmap=True) is not None

    def read(self) -> dict[str, Any] | None:
        """Read the saved state; None if there is none that this training can go on from."""
        return self._load(mmap=False)

    def delete(self) -> None:
        """Delete the file, once the training is finished."""
        self._path.unlink(missing_ok=True)

    def _load(self, *, mmap: bool) -> dict[str, Any] | None:
        """Load the state; with mmap its tensors stay on disk until they are read."""
        if not self._path.is_file():
            return None
        try:
            content = torch.load(self._path, map_location="cpu", weights_only=True, mmap=mmap)
            version, identity, state = content["version"], content["identity"], content["state"]
        except Exception as error:  # noqa: BLE001  torch raises many types for damaged bytes
            self.reject_reason = f"{self._path} is damaged ({type(error).__name__})"
            return None
        if version != VERSION or identity != self._identity:
            differing = ", ".join(_differences(identity, self._identity)) or "its format"
            self.reject_reason = f"{self._path} is of another training ({differing} differs)"
            return None
        return state


def _differences(one: str, other: str) -> list[str]:
    """Dotted names of the values in which two identities differ."""
    first, second = (_flatten(json.loads(identity)) for identity in (one, other))
    return sorted(key for key in first.keys() | second.keys() if first.get(key) != second.get(key))


def _flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Join nested names by dots."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
