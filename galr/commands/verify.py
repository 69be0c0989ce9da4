"""Compute a run's test results again from its checkpoint, and compare them with those stored.

IN   results/<dataset>/<variant>/fold<k>   a run of the workflow: checkpoint.pt, similarity.h5, ranks.h5,
                                           metrics.csv; beside it graphs.h5, dataset.h5, folds.csv
OUT  nothing but what is printed: a table of stored and recomputed mR, and how far they agree

  galr verify results/rsitmd/corrected/fold0

Files are checked against the hashes in the provenance of those that follow from them. Then all images and
sentences of the fold are encoded again, and ranked and evaluated with the stored settings. The same device,
batch and number of threads give the same bits; others round differently, which is reported and is no failure.
Exit code 2 means that a file was changed, or does not follow from the one before it. No file of the run is
written to.
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from galr.errors import ConfigError
from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """Which run, and where to compute."""

    run: Path = option("results/<dataset>/<variant>/fold<k>", positional=True)
    dataset: Path | None = option(
        "the run's dataset.h5, if it is not in results/<dataset>", default=None
    )
    device: str | None = option(
        "auto, cpu, cuda or cuda:N; none is the one it was encoded on", default=None
    )
    threads: int | None = option(
        "CPU threads; none is as many as it was encoded with", default=None
    )

    def __post_init__(self) -> None:
        """Check the number of threads."""
        if self.threads is not None and self.threads < 1:
            raise ConfigError(f"--threads must be at least 1, got {self.threads}")


def run(options: Options) -> None:
    """Open the run, compute its results again, print the comparison."""
    # Imported here, so that --help starts without torch.
    import torch

    from galr.devices import resolve_device
    from galr.similarity.runs import check_sha256, open_stored, open_trained_run
    from galr.similarity.verify import check_metrics, verify

    trained = open_trained_run(options.run, options.dataset)
    check_sha256(
        trained.folds,
        trained.checkpoint.provenance["folds_sha256"],
        options.run / "checkpoint.pt",
    )
    stored = open_stored(trained)
    check_metrics(stored)
    torch.set_num_threads(options.threads or stored.encoding["threads"])
    device = resolve_device(options.device or stored.encoding["device"])
    print(f"{trained.name}: encoding again on {device}", file=sys.stderr, flush=True)
    with TemporaryDirectory(prefix="galr-verify-") as folder:
        result = verify(trained, stored, device, Path(folder))
    print(result.table(), result.summary(), sep="\n\n")
