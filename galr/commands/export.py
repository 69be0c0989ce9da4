"""Write a trained model as safetensors: its weights, with all that is needed to use them as metadata.

IN   checkpoint.pt       of a fold
OUT  model.safetensors   its weights, architecture, vocabulary and provenance

  galr export --checkpoint results/rsitmd/corrected/fold0/checkpoint.pt --output model.safetensors

In Python `galr.load("model.safetensors")` opens it, as it opens a checkpoint.pt or a run's folder.
Of a model with regions it also holds the detector file, and names the detector's weights by their hash.
"""

import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from galr.errors import ConfigError
from galr.options import OptionGroup, option

if TYPE_CHECKING:
    from galr.model.checkpoint import Checkpoint


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """Input and output."""

    checkpoint: Path = option("checkpoint.pt of a fold")
    output: Path = option("the .safetensors to write")
    detector: Path | None = option(
        "the detector file of its regions; by default config/detectors/<name>.yaml of its workflow",
        default=None,
    )


def run(options: Options) -> None:
    """Read the checkpoint, write the export."""
    # Imported here, so that --help starts without torch.
    from galr.io.atomic import atomic_write
    from galr.model.checkpoint import EXPORT_SUFFIX, load_checkpoint, save_safetensors

    if options.output.suffix != EXPORT_SUFFIX:
        raise ConfigError(f"--output must end in {EXPORT_SUFFIX}, got {options.output}")
    checkpoint, told = add_detector(load_checkpoint(options.checkpoint), options)
    with atomic_write(options.output) as partial:
        save_safetensors(partial, checkpoint)
    numbers = sum(tensor.numel() for tensor in checkpoint.state_dict.values())
    print(
        f"{options.output}: {len(checkpoint.state_dict)} tensors, {numbers:,} numbers; galr.load opens it{told}",
        file=sys.stderr,
    )


def add_detector(checkpoint: "Checkpoint", options: Options) -> tuple["Checkpoint", str]:
    """Add the detector of a model's regions to its provenance, where there is one.

    Returns:
        The checkpoint, and what is to be told about its regions.

    Raises:
        ConfigError: a detector is given to a model that has none, or is another one.
    """
    from galr.search.region_detector import (
        DETECTOR_WEIGHTS,
        DetectorFiles,
        carry_detector,
        explain_no_detector,
    )

    graphs = checkpoint.provenance["graphs"]
    reason = "uses no regions" if graphs is None else explain_no_detector(graphs)
    if reason is not None:
        if options.detector is not None:
            subject = (
                options.checkpoint if graphs is None else f"the graphs.h5 of {options.checkpoint}"
            )
            raise ConfigError(f"{subject} {reason}; leave --detector out")
        return checkpoint, "" if graphs is None else "; regions of other images must be given to it"
    name = graphs["detector"]["name"]
    try:
        carried = carry_detector(graphs, DetectorFiles([options.checkpoint], options.detector))
    except ConfigError as error:
        if options.detector is not None:
            raise
        return checkpoint, f"\nit names its detector '{name}' by the hash alone: {error}"
    told = f", and finds regions by the detector '{name}'"
    if weights := carried.get(DETECTOR_WEIGHTS):
        told += f"; keep its weights, {weights['path']} (sha256 {weights['sha256'][:12]}…), with it"
    return replace(checkpoint, provenance={**checkpoint.provenance, **carried}), told
