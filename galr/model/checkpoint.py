"""A trained model as one file: weights, how to build it again, its words, its origin."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from galr.errors import StoreError
from galr.model.galr import GaLR
from galr.whole import whole

VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What `checkpoint.pt` holds; tensors and plain containers only, so that loading runs no code."""

    architecture: dict[str, Any]  # GaLR's constructor
    state: dict[str, torch.Tensor]
    words: list[str]  # the vocabulary, in order of its numbers, after padding and <unk>
    max_words: int
    epoch: int  # the one that was kept, from 1
    mr: float  # its validation mR, percent
    provenance: dict[str, Any]

    def model(self) -> GaLR:
        """Build the model again, in evaluation mode on the CPU; its weights are these very tensors."""
        with torch.device("meta"):  # draws no numbers that the weights would only replace
            model = GaLR(**self.architecture)
        model.load_state_dict(self.state, assign=True)
        return model.eval()


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole or not at all."""
    with whole(path) as partial:
        torch.save({"kind": "checkpoint", "version": VERSION, **vars(checkpoint)}, partial)


def load(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        StoreError: it is missing, damaged, foreign, of another version, or its weights do not fit.
    """
    if not path.is_file():
        raise StoreError(f"no checkpoint at {path}; run: snakemake {path}")
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the damaged bytes happen to trip on
        raise StoreError(
            f"{path} is damaged or no checkpoint ({type(error).__name__});"
            " delete it and run snakemake again"
        ) from error
    if not isinstance(held, dict) or held.pop("kind", None) != "checkpoint":
        raise StoreError(f"{path} is no checkpoint of ours; expected one written by galr train")
    return checked(path, held.pop("version", None), held)


def checked(
    path: Path,
    version: object,
    held: dict[str, Any],
    cure: str = "delete it and run snakemake again",
) -> Checkpoint:
    """Take what a file of ours holds for a checkpoint, if it is one of this version and can be built.

    Args:
        path: the file.
        version: of its format, as it says.
        held: the fields.
        cure: what to do if it is not.

    Raises:
        StoreError: it is of another version, lacks a field, or its weights do not fit.
    """
    if version != VERSION:
        raise StoreError(
            f"{path} is format {version} of checkpoint, this code reads {VERSION}; {cure}"
        )
    try:
        checkpoint = Checkpoint(**held)
        checkpoint.model()
    except (RuntimeError, TypeError) as error:
        raise StoreError(
            f"{path} lacks something, or holds weights of other shapes than it says"
            f" ({str(error).splitlines()[-1].strip()}); {cure}"
        ) from error
    return checkpoint
