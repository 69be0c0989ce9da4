"""The loop: steps in, weights out; the epoch with the best validation mR is kept, and it can be killed anywhere."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor
from tqdm import tqdm

from galr.errors import DataError
from galr.evaluate.metrics import retrieval_metrics
from galr.evaluate.ranks import compute_ranks
from galr.model.galr import GaLR
from galr.train.batches import PairBatches
from galr.train.distributed import all_gather
from galr.train.embed import GraphStore, embed_images, embed_sentences
from galr.train.image_store import ImageStore
from galr.train.resume import ResumeState
from galr.train.splits import SplitData
from galr.train.step import TrainStep

RECALL_COLUMNS = ("i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10", "mr")
SAVE_CHECK_EVERY = (
    50  # steps between two questions whether to save, where several processes must agree
)


@dataclass
class TrainResult:
    """What training leaves."""

    state: dict[str, Tensor] = field(default_factory=dict)
    epoch: int = 0  # the one kept, from 1
    mr: float = -1.0  # its validation mR, percent
    history: list[dict[str, Any]] = field(default_factory=list)  # a row an epoch


def fit(
    train_step: TrainStep,
    batches: PairBatches,
    validate: Callable[[], Mapping[str, float]],
    fabric: Fabric,
    resume: ResumeState,
    *,
    epochs: int,
    log: Callable[[dict[str, Any]], None],
) -> TrainResult:
    """Train a model and keep its best epoch (METHOD 5).

    Goes on by itself from what an earlier, killed call saved, and then ends with the same weights, on a CPU
    to the last bit.

    Args:
        learner: what learns, in place.
        feed: what it learns from.
        check: recalls and mR of the validation images, percent, of the model as it is.
        fabric: launched; its process 0 checks and saves.
        unfinished: where a training that is not over is kept.
        epochs: passes over the training images.
        tell: called in process 0 with one row of history after every epoch.

    Raises:
        DataError: the loss is no number any more.
    """
    result, epoch, total = TrainResult(), 1, torch.zeros((), device=fabric.device)
    if (saved := resume.read()) is not None:
        result, epoch = TrainResult(**saved["fitted"]), saved["epoch"]
        total = saved["total"].to(fabric.device)
        train_step.restore(saved["learner"])
        batches.restore(saved["feed"])
        _restore_random_states(saved["random"][fabric.global_rank])
        fabric.print(f"going on in epoch {epoch} of {epochs}", flush=True)
    elif resume.reject_reason:
        fabric.print(f"{resume.reject_reason}: starting anew", flush=True)

    def save() -> None:
        random = _gather_random_states(fabric)
        if fabric.is_global_zero:
            resume.save(
                {
                    "fitted": asdict(result),
                    "epoch": epoch,
                    "total": total,
                    "learner": train_step.state(),
                    "feed": batches.state(),
                    "random": random,
                }
            )

    with tqdm(
        desc="training",
        total=epochs * batches.num_pairs,
        initial=(epoch - 1) * batches.num_pairs + batches.consumed,
        unit="pair",
        disable=None if fabric.is_global_zero else True,
    ) as bar:
        while epoch <= epochs:
            began, pairs = time.perf_counter(), 0
            train_step.start_epoch(epoch)
            for number, step in enumerate(batches.epoch()):
                total += train_step.step(step)
                pairs += len(step.positive_mask)
                bar.update(len(step.positive_mask))
                if _broadcast_decision(fabric, resume.is_due, number):
                    save()
            row = {
                "epoch": epoch,
                "loss": total.item() / batches.num_pairs,
                "learning_rate": train_step.learning_rate,
                "pairs_a_second": pairs / (time.perf_counter() - began),
            }
            if not isfinite(row["loss"]):
                raise DataError(
                    f"the loss of epoch {epoch} is {row['loss']}; lower train.learning_rate"
                    " or give train.precision: fp32"
                )
            recalls = fabric.broadcast(validate() if fabric.is_global_zero else {})
            result.history.append(row | {key: recalls[key] for key in RECALL_COLUMNS})
            if recalls["mr"] > result.mr:
                result.state, result.epoch = cpu_state_dict(train_step.model), epoch
                result.mr = recalls["mr"]
            if fabric.is_global_zero:
                log(result.history[-1])
            epoch, total = epoch + 1, torch.zeros_like(total)
    return result


def cpu_state_dict(model: GaLR) -> dict[str, Tensor]:
    """A copy of the weights on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def validate(
    model: GaLR,
    images: ImageStore,
    graphs: GraphStore,
    split: SplitData,
    token_ids: list[list[int]],
    *,
    input_size: int,
    batch_size: int,
) -> dict[str, float]:
    """Recalls and mR of a part, percent; each image and sentence is encoded once."""
    model.eval()
    seen = embed_images(
        model, images, graphs, split.rows, input_size=input_size, batch_size=batch_size
    )
    said = embed_sentences(model, token_ids, batch_size=batch_size, device=images.device)
    return retrieval_metrics(compute_ranks(seen @ said.T, split.image_of_sentence))


def _broadcast_decision(fabric: Fabric, decide: Callable[[], bool], step: int) -> bool:
    """Process 0's answer, in all processes; several of them wait for it at some steps only."""
    if fabric.world_size == 1:
        return decide()
    return step % SAVE_CHECK_EVERY == 0 and bool(fabric.broadcast(decide()))


def _gather_random_states(fabric: Fabric) -> list[dict[str, Tensor]]:
    """The random states of all processes, by rank."""
    mine = {"cpu": torch.get_rng_state()}
    if fabric.device.type == "cuda":
        mine["cuda"] = torch.cuda.get_rng_state(fabric.device)
    if fabric.world_size == 1:
        return [mine]
    everybodys = {name: all_gather(fabric, state).cpu() for name, state in mine.items()}
    return [
        {name: states[rank] for name, states in everybodys.items()}
        for rank in range(fabric.world_size)
    ]


def _restore_random_states(states: Mapping[str, Tensor]) -> None:
    """Let dropout go on where it stood."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])
