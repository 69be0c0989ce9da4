"""Encode every image and sentence once and compare them all.

IN   checkpoint.pt, dataset.h5, graphs.h5, folds.csv
OUT  similarity.h5   the test split's matrix and both embedding tables; the same of the fold's
                     validation images under /validation, for choosing rerank parameters; both tables
                     of its training images and their distinct sentences under /bank, for qbnorm
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from galr.devices import resolve_device
from galr.options import OptionGroup, option
from galr.similarity.encode import write_similarity


@dataclass(frozen=True, kw_only=True)
class Options(OptionGroup):
    """What comes in, what goes out, and where to compute."""

    checkpoint: Path = option("checkpoint.pt of a fold")
    dataset: Path = option("dataset.h5")
    graphs: Path | None = option("graphs.h5; none for a model without a local branch", default=None)
    folds: Path = option("folds.csv")
    batch: int = option("images or sentences at a time", default=64)
    device: str = option("auto, cpu, cuda or cuda:N", default="auto")
    threads: int = option("CPU threads", default=1)
    bank: bool = option("encode the training images too, which qbnorm needs", default=True)
    output: Path = option("similarity.h5 to write")


def run(options: Options) -> None:
    """Encode what the checkpoint's fold holds, and write it."""
    torch.set_num_threads(options.threads)
    write_similarity(
        options.checkpoint,
        options.dataset,
        options.graphs,
        options.folds,
        options.output,
        bank=options.bank,
        batch_size=options.batch,
        device=resolve_device(options.device),
    )
