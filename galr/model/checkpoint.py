"""A trained model as one file: weights, how to build it again, its words, its origin."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from galr.errors import StoreError
from galr.model.galr import GaLR

VERSION = 1


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
        """Build the model again, in evaluation mode on the CPU."""
        model = GaLR(**self.architecture)
        model.load_state_dict(self.state)
        return model.eval()


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    torch.save({"kind": "checkpoint", "version": VERSION, **vars(checkpoint)}, partial)
    partial.replace(path)


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
    if (version := held.pop("version", None)) != VERSION:
        raise StoreError(
            f"{path} is format {version} of checkpoint, this code reads {VERSION};"
            " delete it and run snakemake again"
        )
    checkpoint = Checkpoint(**held)
    try:
        checkpoint.model()
    except (RuntimeError, TypeError) as error:
        raise StoreError(
            f"{path} holds weights of other shapes than it says ({str(error).splitlines()[-1].strip()});"
            " delete it and run snakemake again"
        ) from error
    return checkpoint
