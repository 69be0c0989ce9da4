"""Encode every image and sentence of a fold once, and compare them all.

IN   checkpoint.pt, dataset.h5, graphs.h5, folds.csv
OUT  similarity.h5   the test split's similarity matrix and both embedding tables; the same of the fold's
                     validation split under /validation, to choose rerank parameters; both embedding tables
                     of its training images and their distinct sentences under /bank, for qbnorm
"""

from dataclasses import dataclass
from pathlib import Path

from galr.options import OptionGroup, option


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """Inputs, outputs, and where to compute."""

    checkpoint: Path = option("checkpoint.pt of a fold")
    dataset: Path = option("dataset.h5")
    graphs: Path | None = option("graphs.h5; none for a model without a local branch", default=None)
    image_features: Path | None = option(
        "stored features of a frozen image encoder; none computes them", default=None
    )
    text_features: Path | None = option(
        "stored features of a frozen sentence encoder; none computes them", default=None
    )
    folds: Path = option("folds.csv")
    batch: int = option("images or sentences at a time", default=64)
    device: str = option("auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads", default=1)
    bank: bool = option("encode the training split too, which qbnorm needs", default=True)
    output: Path = option("similarity.h5 to write")


def run(options: Options) -> None:
    """Encode the splits of the checkpoint's fold, and write similarity.h5."""
    # Imported here, so that --help starts without torch.
    import torch

    from galr.devices import resolve_device
    from galr.similarity.encode import write_similarity

    torch.set_num_threads(options.threads)
    write_similarity(
        options.checkpoint,
        options.dataset,
        options.graphs,
        options.folds,
        (options.image_features, options.text_features),
        options.output,
        bank=options.bank,
        batch_size=options.batch,
        device=resolve_device(options.device),
    )
