"""A training that is not over yet, as a file to go on from; it lies beside what it will become."""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from galr.io.atomic import atomic_write

VERSION = 1


class ResumeState:
    """Saves a training now and then, and finds it again.

    A file is written whole or not at all, so a training killed at any moment, that of saving included,
    goes on from the last one.

    Args:
        path: the file.
        identity: all that the result follows from; a file of another identity is not gone on with.
        every: seconds between two saves; 0 saves whenever it may.
    """

    def __init__(self, path: Path, identity: Mapping[str, Any], interval: float) -> None:
        self._path = path
        self._identity = json.dumps(identity, sort_keys=True, default=str)
        self._every = interval
        self._last = time.monotonic()
        self.reject_reason = ""  # why what lies there is of no use, once it was read

    def is_due(self) -> bool:
        """Whether it is time to save."""
        return time.monotonic() - self._last >= self._every

    def save(self, state: Mapping[str, Any]) -> None:
        """Write the state, tensors and plain values."""
        with atomic_write(self._path) as partial:
            held = {"version": VERSION, "identity": self._identity, "state": state}
            torch.save(held, partial)
        self._last = time.monotonic()

    def exists(self) -> bool:
        """Whether something was saved that this training can go on from."""
        return self._load(mapped=True) is not None

    def read(self) -> dict[str, Any] | None:
        """What was saved last; None where nothing was, or nothing that this training can go on from."""
        return self._load(mapped=False)

    def _load(self, *, mapped: bool) -> dict[str, Any] | None:
        """The state in the file; mapped, its tensors stay there."""
        if not self._path.is_file():
            return None
        try:
            held = torch.load(self._path, map_location="cpu", weights_only=True, mmap=mapped)
            version, identity, state = held["version"], held["identity"], held["state"]
        except Exception as error:  # noqa: BLE001  torch raises whatever the bytes happen to trip on
            self.reject_reason = f"{self._path} is damaged ({type(error).__name__})"
            return None
        if version != VERSION or identity != self._identity:
            said = ", ".join(_differences(identity, self._identity)) or "its format"
            self.reject_reason = f"{self._path} is of another training ({said} differs)"
            return None
        return state

    def delete(self) -> None:
        """The training is over."""
        self._path.unlink(missing_ok=True)


def _differences(one: str, other: str) -> list[str]:
    """Names of what two identities do not agree on, down to single settings."""
    first, second = (_flatten(json.loads(each)) for each in (one, other))
    return sorted(key for key in first.keys() | second.keys() if first.get(key) != second.get(key))


def _flatten(document: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Nested names joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in document.items():
        flat |= (
            _flatten(value, f"{above}{key}.") if isinstance(value, dict) else {above + key: value}
        )
    return flat
