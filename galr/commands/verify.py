"""Compute a run's test rows again from its checkpoint, and say whether they are the same.

IN   results/<dataset>/<variant>/fold<k>   a run as the workflow leaves it: checkpoint.pt, similarity.h5,
                                           ranks.h5, metrics.csv; beside it graphs.h5, dataset.h5, folds.csv
OUT  nothing but what is printed: a table of the rows, as stored and as found again, and the verdict

  galr verify results/rsitmd/corrected/fold0

Files are held against the hashes that the checkpoint and its followers tell, all images and sentences of the
fold are encoded again, and the rows are evaluated as they were. The same device, batch and number of threads
give the same bits; others round otherwise, which is said and is no failure. Exit code 2 means that something
was changed, or does not follow. No file of the run is touched.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch

from galr.devices import resolve_device
from galr.errors import ConfigError
from galr.options import OptionGroup, option
from galr.similarity.runs import check_sha256, open_trained_run
from galr.similarity.verify import open_stored, verify


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """Which run, and where to compute."""

    run: Path = option("results/<dataset>/<variant>/fold<k>", positional=True)
    dataset: Path | None = option(
        "the run's dataset.h5, if it does not lie beside it", default=None
    )
    device: str | None = option(
        "auto, cpu, cuda or cuda:N; none is what it was encoded on", default=None
    )
    threads: int | None = option("CPU threads; none is as many as it was encoded by", default=None)

    def __post_init__(self) -> None:
        """Refuse what nothing can be computed with."""
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"--threads must be at least 1, got {self.threads}")


def run(options: Options) -> None:
    """Open the run, compute everything again, print what came out."""
    made = open_trained_run(options.run, options.dataset)
    check_sha256(
        made.folds, made.checkpoint.provenance["folds_sha256"], options.run / "checkpoint.pt"
    )
    left = open_stored(made)
    torch.set_num_threads(options.threads or left.encoding["threads"])
    device = resolve_device(options.device or left.encoding["device"])
    print(f"{made.name}: encoding again on {device}", file=sys.stderr, flush=True)
    with TemporaryDirectory(prefix="galr-verify-") as folder:
        verdict = verify(made, left, device, Path(folder))
    print(verdict.table(), verdict.summary(), sep="\n\n")
