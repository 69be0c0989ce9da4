"""Write a trained model as safetensors: plain weights, and beside them all that it takes to use them.

IN   checkpoint.pt       of a fold
OUT  model.safetensors   its weights, architecture, vocabulary and origin

  galr export --checkpoint results/rsitmd/corrected/fold0/checkpoint.pt --output model.safetensors

In Python `galr.load("model.safetensors")` gives it back, as it does a checkpoint.pt or a run's folder.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from galr.errors import ConfigError
from galr.model import checkpoint
from galr.model import checkpoint as checkpoints
from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """What comes in and what goes out."""

    checkpoint: Path = option("checkpoint.pt of a fold")
    output: Path = option("the .safetensors to write")

    def __post_init__(self) -> None:
        """Refuse a name that nobody would know the file by."""
        if self.output.suffix != checkpoint.EXPORT_SUFFIX:
            raise ConfigError(f"--output is to end in {export.EXPORT_SUFFIX}, got {self.output}")


def run(options: Options) -> None:
    """Read one form, write the other."""
    held = checkpoints.load_checkpoint(options.checkpoint)
    checkpoint.save_safetensors(options.output, held)
    numbers = sum(tensor.numel() for tensor in held.state_dict.values())
    print(
        f"{options.output}: {len(held.state_dict)} tensors, {numbers:,} numbers; galr.load opens it",
        file=sys.stderr,
    )
