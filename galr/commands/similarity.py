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
from galr.settings import Settings, setting
from galr.similarity.encode import write_similarity


@dataclass(frozen=True, kw_only=True)
class Options(Settings):
    """What comes in, what goes out, and where to compute."""

    checkpoint: Path = setting("checkpoint.pt of a fold")
    dataset: Path = setting("dataset.h5")
    graphs: Path | None = setting(
        "graphs.h5; none for a model without a local branch", default=None
    )
    folds: Path = setting("folds.csv")
    batch: int = setting("images or sentences at a time", default=64)
    device: str = setting("auto, cpu, cuda or cuda:N", default="auto")
    threads: int = setting("CPU threads", default=1)
    bank: bool = setting("encode the training images too, which qbnorm needs", default=True)
    output: Path = setting("similarity.h5 to write")


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
