"""A trained model as one file: weights, how to build it again, its words, its origin.

A trained model as safetensors: weights that anybody can open, and all that it takes to use them.

Tensors lie under their names in the model. The file's metadata, all of it text, says what they belong to:

    kind, version                  of this form
    architecture, provenance       JSON objects: what the model is built from, what its weights follow from
    words                          JSON list: the vocabulary, in order of its numbers, after padding and <unk>
    max_words, epoch, mr           JSON numbers
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from galr.errors import DataError, StoreError
from galr.io.atomic import atomic_write
from galr.model.galr import GaLR

VERSION = 2


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What `checkpoint.pt` holds; tensors and plain containers only, so that loading runs no code."""

    architecture: dict[str, Any]  # GaLR's constructor
    state_dict: dict[str, torch.Tensor]
    vocabulary: list[str]  # the vocabulary, in order of its numbers, after padding and <unk>
    max_words: int
    epoch: int  # the one that was kept, from 1
    mr: float  # its validation mR, percent
    provenance: dict[str, Any]

    def build_model(self) -> GaLR:
        """Build the model again, in evaluation mode on the CPU; its weights are these very tensors."""
        with torch.device("meta"):  # draws no numbers that the weights would only replace
            model = GaLR(**self.architecture)
        model.load_state_dict(self.state_dict, assign=True)
        return model.eval()


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write a checkpoint whole or not at all."""
    with atomic_write(path) as partial:
        torch.save({"kind": "checkpoint", "version": VERSION, **vars(checkpoint)}, partial)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint.

    Raises:
        StoreError: it is missing, damaged, foreign, of another version, or its weights do not fit.
    """
    if not path.is_file():
        raise StoreError(f"no checkpoint at {path}; run: snakemake {path}")
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the damaged bytes happen to trip on
        raise StoreError(
            f"{path} is damaged or no checkpoint ({type(error).__name__});"
            " delete it and run snakemake again"
        ) from error
    if not isinstance(payload, dict) or payload.pop("kind", None) != "checkpoint":
        raise StoreError(f"{path} is no checkpoint of ours; expected one written by galr train")
    return validate_payload(path, payload.pop("version", None), payload)


def validate_payload(
    path: Path,
    version: object,
    payload: dict[str, Any],
    fix_hint: str = "delete it and run snakemake again",
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
            f"{path} is format {version} of checkpoint, this code reads {VERSION}; {fix_hint}"
        )
    try:
        checkpoint = Checkpoint(**payload)
        checkpoint.build_model()
    except (RuntimeError, TypeError) as error:
        raise StoreError(
            f"{path} lacks something, or holds weights of other shapes than it says"
            f" ({str(error).splitlines()[-1].strip()}); {fix_hint}"
        ) from error
    return checkpoint


EXPORT_KIND, EXPORT_SUFFIX = "galr", ".safetensors"
EXPORT_HINT = "write it again with galr export"
METADATA = tuple(each.name for each in fields(Checkpoint) if each.name != "state")


def save_safetensors(path: Path, checkpoint: Checkpoint) -> None:
    """Write a model whole or not at all; tensors that share memory become tensors of their own.

    Raises:
        DataError: nothing can be written there.
    """
    metadata = {name: json.dumps(getattr(checkpoint, name), sort_keys=True) for name in METADATA}
    tensors = {
        name: torch.empty(each.shape, dtype=each.dtype).copy_(each)
        for name, each in checkpoint.state_dict.items()
    }
    try:
        with atomic_write(path) as partial:
            # save_file would let nobody but its writer read what is made to be handed on
            partial.write_bytes(
                save(tensors, {"kind": EXPORT_KIND, "version": str(VERSION)} | metadata)
            )
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror}); choose another --output"
        ) from error


def load_safetensors(path: Path) -> Checkpoint:
    """Read an exported model.

    Raises:
        StoreError: it is missing, damaged, foreign, of another version, or its weights do not fit.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path} is missing or damaged ({error}); {EXPORT_HINT}") from error
    if metadata.get("kind") != EXPORT_KIND:
        raise StoreError(
            f"{path} does not say what its weights belong to; expected a file written by galr export"
        )
    try:
        payload = {
            name: json.loads(metadata[name]) for name in ("version", *METADATA) if name in metadata
        }
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}); {EXPORT_HINT}") from error
    return validate_payload(
        path, payload.pop("version", None), payload | {"state": state}, EXPORT_HINT
    )
