"""Train three steps in one process or two, and write losses and weights: see test_step.py.

The model has no batch normalization, because its statistics are those of one process's share.
"""

import sys
from pathlib import Path

import torch

from galr.model.galr import GaLR, GraphBatch
from galr.train.batches import Batch, TokenBatch
from galr.train.distributed import all_gather, launch_fabric
from galr.train.loss import build_loss
from galr.train.optimizer import Schedule
from galr.train.step import TrainStep

sys.path.insert(0, str(Path(__file__).parents[1]))  # this is a program, not a part of the tests
from architecture import SMALL_GALR

PAIRS, REGIONS, FEATURES = 12, 3, 4


def main(processes: int, output: str) -> None:
    """Train on random graphs and sentences; process 0 writes."""
    fabric = launch_fabric(torch.device("cpu"), processes, "fp32")
    torch.manual_seed(0)
    sizes = {"max_regions": REGIONS, "node_dim": FEATURES, "vocab_size": 30}
    model = GaLR(**SMALL_GALR | sizes | {"dropout": 0.0, "branches": "local"})
    train_step = TrainStep(
        model, build_loss("infonce", 0.2, 0.07, soft_targets=True), fabric,
        learning_rate=1e-2,
        schedule=Schedule(epochs=1, steps_per_epoch=3, name="cosine", warmup=0.4),
        grad_clip_norm=0.5, compiled=False, optimizer="adamw", weight_decay=0.05, average=0.5,
    )  # fmt: skip
    random = torch.Generator().manual_seed(1)
    losses = torch.stack([train_step.step(process_share(random, fabric)) for _ in range(3)])
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    with train_step.kept_weights():
        kept = {name: value.clone() for name, value in model.state_dict().items()}
    by_rank = {name: all_gather(fabric, value) for name, value in kept.items()}
    if fabric.is_global_zero:
        kept_by_rank = [
            {name: values.view(-1, *kept[name].shape)[rank] for name, values in by_rank.items()}
            for rank in range(fabric.world_size)
        ]
        results = {"losses": losses, "weights": weights, "kept": kept}
        torch.save(results | {"kept_by_rank": kept_by_rank}, output)


def process_share(random: torch.Generator, fabric) -> Batch:
    """A step's pairs, the same in every process, of which this process gets its share."""
    graphs = torch.rand(PAIRS, REGIONS, FEATURES, generator=random)
    token_ids = torch.randint(2, 30, (PAIRS, 6), generator=random)
    text_ids = torch.randint(0, 9, (PAIRS,), generator=random)  # some pairs share their sentence
    count = PAIRS // fabric.world_size
    share = slice(fabric.global_rank * count, (fabric.global_rank + 1) * count)
    mask = torch.ones(count, REGIONS, dtype=torch.bool)
    adjacency = torch.full((count, REGIONS, REGIONS), 1 / REGIONS)
    return Batch(
        torch.zeros(count, 3, 32, 32),
        GraphBatch(graphs[share], adjacency, mask),
        TokenBatch(token_ids[share], torch.full((count,), 6)),
        torch.arange(count),
        text_ids[:, None] == text_ids,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
