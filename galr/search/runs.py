"""What an index takes from a training run: its text side, and whose embeddings it holds."""

from pathlib import Path

import numpy as np
import torch

from galr.data.vocabulary import Vocabulary
from galr.errors import ConfigError
from galr.model.galr import GaLR
from galr.search import sentences
from galr.search.index import BANK, ENCODER
from galr.similarity.runs import TrainedRun
from galr.train.embed import embed_sentences

BANKED = 5000  # training sentences that stand in for other queries: 10 MB at 512 numbers each


def write_text_side(
    folder: Path, run: TrainedRun, model: GaLR, *, batch: int, device: torch.device
) -> None:
    """Put into an index what sentences need of a run: its encoder, and a bank of embedded sentences.

    The bank holds distinct training sentences, drawn where there are more than 5000.

    Args:
        folder: the index.
        run: the run.
        model: its model, on `device`.
        batch: sentences at a time.
        device: where to compute.
    """
    checkpoint = run.checkpoint
    folder.mkdir(parents=True, exist_ok=True)
    sentences.write(
        folder / ENCODER,
        checkpoint.architecture,
        checkpoint.state_dict,
        checkpoint.vocabulary,
        checkpoint.max_words,
    )
    known = list(dict.fromkeys(run.splits()["train"].sentences))
    drawn = np.random.default_rng(0).permutation(len(known))[:BANKED]
    vocabulary = Vocabulary(tuple(checkpoint.vocabulary))
    numbers = vocabulary.encode([known[each] for each in drawn], checkpoint.max_words)
    partial = folder / f".partial-{BANK}"
    np.save(partial, embed_sentences(model, numbers, batch_size=batch, device=device))
    partial.replace(folder / BANK)


def refuse_other(run: TrainedRun, sha256: str, name: str, index: Path) -> None:
    """Refuse a run that an index was not made by: its embeddings mean nothing to the index's.

    Raises:
        ConfigError: says whose the index is.
    """
    if run.sha256 != sha256:
        raise ConfigError(
            f"{index} was made by checkpoint {sha256[:12]} ({name}), and {run.folder} holds"
            f" {run.sha256[:12]} ({run.name}); give the run that made the index, or index anew elsewhere"
        )
