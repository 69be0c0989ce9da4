"""A trained model in one file: weights, architecture, vocabulary and provenance.

It has two forms. `checkpoint.pt` is what training writes and PyTorch reads. A `.safetensors` export can be read
without PyTorch: tensors lie under their names in the model, and the file's metadata, all text, holds

    kind, version                         of this format
    architecture, provenance              JSON objects: arguments of `GaLR`; what the weights were computed from
    vocabulary                            JSON list of words in order of their ids, after padding and <unk>
    tokenizer                             JSON of a pretrained encoder's tokenizer as a JSON string, or null
    max_words, epoch, mr                  JSON numbers

The functions that save write to the path they are given; `galr.io.atomic.atomic_write` around them makes the file
appear whole or not at all.
"""

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from galr.errors import StoreError
from galr.model.galr import GaLR
from galr.targets import make_hint

VERSION = 4
FIX_HINT = "delete it and run snakemake again"
EXPORT_KIND, EXPORT_SUFFIX = "galr", ".safetensors"
EXPORT_FIX_HINT = "write it again with galr export"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A trained model; tensors and plain containers only, so that loading runs no code.

    Attributes:
        architecture: keyword arguments of `GaLR`.
        state_dict: weights and statistics by their names in the model.
        vocabulary: words in order of their ids, after padding and <unk>; empty with a tokenizer.
        tokenizer: of a pretrained sentence encoder, in the JSON of the library tokenizers; None with a vocabulary.
        max_words: longest sentence in words; longer ones are cut.
        epoch: the epoch whose weights were kept, from 1.
        mr: its mR on the validation images, in percent.
        provenance: what the weights were computed from.
    """

    architecture: dict[str, Any]
    state_dict: dict[str, torch.Tensor]
    vocabulary: list[str]
    tokenizer: str | None
    max_words: int
    epoch: int
    mr: float
    provenance: dict[str, Any]

    def build_model(self) -> GaLR:
        """Build the model in evaluation mode on the CPU; it shares its memory with `state_dict`."""
        with torch.device("meta"):  # draws no random weights that would only be replaced
            model = GaLR(**self.architecture)
        if any(table.is_meta for table in _unsaved_buffers(model)):  # they follow from no weights
            model = GaLR(**self.architecture)
        model.load_state_dict(self.state_dict, assign=True)
        return model.eval()


def _unsaved_buffers(model: GaLR) -> list[torch.Tensor]:
    """Tables that a network computes when it is built, and that no state dict has."""
    saved = model.state_dict().keys()
    return [table for name, table in model.named_buffers() if name not in saved]


METADATA = tuple(field.name for field in fields(Checkpoint) if field.name != "state_dict")


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `checkpoint.pt`."""
    torch.save({"kind": "checkpoint", "version": VERSION, **vars(checkpoint)}, path)


def load_checkpoint(path: Path) -> Checkpoint:
    """Read `checkpoint.pt`.

    Raises:
        StoreError: it is missing, damaged, another program's or of another version, or its weights do
            not fit its architecture.
    """
    if not path.is_file():
        raise StoreError(f"no checkpoint at {path}; {make_hint(path, 'galr train')}")
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises whatever the damaged bytes happen to lead to
        raise StoreError(
            f"{path} is damaged or not a checkpoint ({type(error).__name__}); {FIX_HINT}"
        ) from error
    if not isinstance(payload, dict) or payload.pop("kind", None) != "checkpoint":
        raise StoreError(f"{path} is not a checkpoint that galr train wrote; {FIX_HINT}")
    return _validate(path, payload, FIX_HINT)


def save_safetensors(path: Path, checkpoint: Checkpoint) -> None:
    """Write an export; tensors that share memory become tensors of their own."""
    metadata = {name: json.dumps(getattr(checkpoint, name), sort_keys=True) for name in METADATA}
    tensors = {
        name: torch.empty(tensor.shape, dtype=tensor.dtype).copy_(tensor)
        for name, tensor in checkpoint.state_dict.items()
    }
    # not safetensors' save_file, which gives a file that only its owner may read
    path.write_bytes(save(tensors, {"kind": EXPORT_KIND, "version": str(VERSION)} | metadata))


def load_safetensors(path: Path) -> Checkpoint:
    """Read an export.

    Raises:
        StoreError: it is missing, damaged, another program's or of another version, or its weights do
            not fit its architecture.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping
    except (OSError, SafetensorError) as error:
        raise StoreError(f"{path} is missing or damaged ({error}); {EXPORT_FIX_HINT}") from error
    if metadata.get("kind") != EXPORT_KIND:
        raise StoreError(
            f"{path} does not say what its weights belong to; expected a file written by galr export"
        )
    try:
        payload = {
            name: json.loads(metadata[name]) for name in ("version", *METADATA) if name in metadata
        }
    except ValueError as error:
        raise StoreError(f"{path} is damaged ({error}); {EXPORT_FIX_HINT}") from error
    return _validate(path, payload | {"state_dict": state}, EXPORT_FIX_HINT)


def _validate(path: Path, payload: dict[str, Any], fix_hint: str) -> Checkpoint:
    """Check the version, the fields and that the model can be built.

    Args:
        path: the file, for messages.
        payload: version and fields of the checkpoint.
        fix_hint: what to do if they are wrong.

    Raises:
        StoreError: it is of another version, lacks a field, or its weights do not fit.
    """
    version = payload.pop("version", None)
    if version != VERSION:
        raise StoreError(
            f"{path} is format {version} of checkpoint, this code reads {VERSION}; {fix_hint}"
        )
    try:
        checkpoint = Checkpoint(**payload)
        checkpoint.build_model()
    except (RuntimeError, TypeError) as error:
        raise StoreError(
            f"{path} lacks a field, or holds weights of other shapes than its architecture"
            f" ({str(error).splitlines()[-1].strip()}); {fix_hint}"
        ) from error
    return checkpoint
