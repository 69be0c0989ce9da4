"""Encode every image and sentence once and compare them all.

IN   checkpoint.pt, dataset.h5, graphs.h5, folds.csv
OUT  similarity.h5   the test split's matrix and both embedding tables; the same of the fold's
                     validation images under /validation, for choosing rerank parameters; both tables
                     of its training images and their distinct sentences under /bank, for qbnorm
"""

from dataclasses import dataclass
from pathlib import Path

import torch

from galr.devices import device_of
from galr.settings import Settings, setting
from galr.training.comparing import write_similarity


@dataclass(frozen=True, kw_only=True)
class Flags(Settings):
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


def run(flags: Flags) -> None:
    """Encode what the checkpoint's fold holds, and write it."""
    torch.set_num_threads(flags.threads)
    write_similarity(
        flags.checkpoint,
        flags.dataset,
        flags.graphs,
        flags.folds,
        flags.output,
        bank=flags.bank,
        batch=flags.batch,
        device=device_of(flags.device),
    )
