"""A trained model as safetensors: weights that anybody can open, and all that it takes to use them.

Tensors lie under their names in the model. The file's metadata, all of it text, says what they belong to:

    kind, version                  of this form
    architecture, provenance       JSON objects: what the model is built from, what its weights follow from
    words                          JSON list: the vocabulary, in order of its numbers, after padding and <unk>
    max_words, epoch, mr           JSON numbers
"""

import json
from dataclasses import fields
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from galr.errors import DataError, StoreError
from galr.model.checkpoint import VERSION, Checkpoint, checked
from galr.whole import whole

KIND, SUFFIX = "galr", ".safetensors"
CURE = "write it again with galr export"
TOLD = tuple(each.name for each in fields(Checkpoint) if each.name != "state")


def write(path: Path, checkpoint: Checkpoint) -> None:
    """Write a model whole or not at all; tensors that share memory become tensors of their own.

    Raises:
        DataError: nothing can be written there.
    """
    told = {name: json.dumps(getattr(checkpoint, name), sort_keys=True) for name in TOLD}
    tensors = {
        name: torch.empty(each.shape, dtype=each.dtype).copy_(each)
        for name, each in checkpoint.state.items()
    }
    try:
        with whole(path) as partial:
            # save_file would let nobody but its writer read what is made to be handed on
            partial.write_bytes(save(tensors, {"kind": KIND, "version": str(VERSION)} | told))
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror}); choose another --output"
        ) from error


def read(path: Path) -> Checkpoint:
    """Read an exported model.

    Raises:
        StoreError: it is missing, damaged, foreign, of another version, or its weights do not fit.
    """
    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path} is missing or damaged ({error}); {CURE}") from error
    if said.get("kind") != KIND:
        raise StoreError(
            f"{path} does not say what its weights belong to; expected a file written by galr export"
        )
    try:
        told = {name: json.loads(said[name]) for name in ("version", *TOLD) if name in said}
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}); {CURE}") from error
    return checked(path, told.pop("version", None), told | {"state": state}, CURE)
