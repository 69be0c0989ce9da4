"""Write a trained model as safetensors: its weights, with all that is needed to use them as metadata.

IN   checkpoint.pt       of a fold
OUT  model.safetensors   its weights, architecture, vocabulary and provenance

  galr export --checkpoint results/rsitmd/corrected/fold0/checkpoint.pt --output model.safetensors

In Python `galr.load("model.safetensors")` opens it, as it opens a checkpoint.pt or a run's folder.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

from galr.errors import ConfigError
from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """Input and output."""

    checkpoint: Path = option("checkpoint.pt of a fold")
    output: Path = option("the .safetensors to write")


def run(options: Options) -> None:
    """Read the checkpoint, write the export."""
    # Imported here, so that --help starts without torch.
    from galr.io.atomic import atomic_write
    from galr.model.checkpoint import EXPORT_SUFFIX, load_checkpoint, save_safetensors

    if options.output.suffix != EXPORT_SUFFIX:
        raise ConfigError(f"--output must end in {EXPORT_SUFFIX}, got {options.output}")
    checkpoint = load_checkpoint(options.checkpoint)
    with atomic_write(options.output) as partial:
        save_safetensors(partial, checkpoint)
    numbers = sum(tensor.numel() for tensor in checkpoint.state_dict.values())
    print(
        f"{options.output}: {len(checkpoint.state_dict)} tensors, {numbers:,} numbers; galr.load opens it",
        file=sys.stderr,
    )
