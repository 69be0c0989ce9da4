"""The training loop: steps, validation after each epoch, the best epoch kept, resumable at any moment."""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from math import isfinite
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from galr.errors import DataError
from galr.progress import ProgressBar
from galr.train.batches import PairBatches
from galr.train.distributed import (
    broadcast_decision,
    gather_random_states,
    restore_random_states,
)
from galr.train.resume import ResumeState
from galr.train.step import TrainStep

RECALL_COLUMNS = ("i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10", "mr")


@dataclass
class TrainResult:
    """The result of a training.

    Attributes:
        state: weights of the best epoch, or their average, on the CPU.
        epoch: the best epoch, from 1; 0 if nothing was trained.
        mr: its validation mR in percent; -1 before the first epoch.
        history: a row for each epoch, or one for epoch 0.
    """

    state: dict[str, Tensor] = field(default_factory=dict)
    epoch: int = 0
    mr: float = -1.0
    history: list[dict[str, Any]] = field(default_factory=list)


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
    """Train a model and keep the epoch with the best validation mR.

    If an earlier call with the same arguments was killed, the training goes on from its last saved state. On a
    CPU it then ends with the same weights, to the last bit. Source: `docs/how/figure.md`, section Training.

    Args:
        train_step: trains its model in place.
        batches: batches to train on.
        validate: gives recalls and mR of the validation images, in percent, for the model as it is.
        fabric: a launched one; its process 0 validates and saves.
        resume: where the state of the unfinished training is saved.
        epochs: passes over the training images.
        log: called in process 0 with the row of history after every epoch.

    Raises:
        DataError: the loss is not finite.
    """
    result, epoch, total = TrainResult(), 1, torch.zeros((), device=fabric.device)
    if (saved := resume.read()) is not None:
        result, epoch = TrainResult(**saved["result"]), saved["epoch"]
        total = saved["total"].to(fabric.device)
        train_step.restore(saved["train_step"])
        batches.restore(saved["batches"])
        restore_random_states(saved["random"][fabric.global_rank])
        fabric.print(f"resuming in epoch {epoch} of {epochs}", flush=True)
    elif resume.reject_reason:
        fabric.print(f"{resume.reject_reason}: starting from the beginning", flush=True)

    def save() -> None:
        random = gather_random_states(fabric)
        if fabric.is_global_zero:
            resume.save(
                {
                    "result": asdict(result),
                    "epoch": epoch,
                    "total": total,
                    "train_step": train_step.state(),
                    "batches": batches.state(),
                    "random": random,
                }
            )

    with ProgressBar(
        desc="training",
        total=epochs * batches.num_pairs,
        initial=(epoch - 1) * batches.num_pairs + batches.consumed,
        unit="pair",
        disable=None if fabric.is_global_zero else True,
    ) as bar:
        while epoch <= epochs:
            bar.set_description(f"epoch {epoch} of {epochs}", refresh=False)
            start, pairs = time.perf_counter(), 0
            train_step.start_epoch()
            for number, batch in enumerate(batches.epoch()):
                total += train_step.step(batch)
                pairs += len(batch.positive_mask)
                bar.update(len(batch.positive_mask))
                if broadcast_decision(fabric, resume.is_due, number):
                    save()
            row = {
                "epoch": epoch,
                "loss": total.item() / batches.num_pairs,
                "learning_rate": train_step.learning_rate,
                "pairs_per_second": pairs / (time.perf_counter() - start),
            }
            if not isfinite(row["loss"]):
                raise DataError(
                    f"the loss of epoch {epoch} is {row['loss']}; lower train.learning_rate"
                    " or set train.precision: fp32"
                )
            with train_step.kept_weights():
                recalls = fabric.broadcast(validate() if fabric.is_global_zero else {})
                result.history.append(row | {key: recalls[key] for key in RECALL_COLUMNS})
                if recalls["mr"] > result.mr:
                    result.state, result.epoch = cpu_state_dict(train_step.model), epoch
                    result.mr = recalls["mr"]
            if fabric.is_global_zero:
                log(result.history[-1])
            epoch, total = epoch + 1, torch.zeros_like(total)
    return result


def validate_untrained(
    model: nn.Module,
    validate: Callable[[], Mapping[str, float]],
    fabric: Fabric,
    *,
    log: Callable[[dict[str, Any]], None],
) -> TrainResult:
    """Validate a model as it was built, for a training of no epochs.

    Args:
        model: moved to Fabric's device.
        validate: as in `fit`.
        fabric: a launched one; its process 0 validates.
        log: called in process 0 with the row of history.

    Returns:
        The model's weights as those of epoch 0; its row of history has neither a loss nor a speed.
    """
    fabric.print("nothing is trained: train.epochs is 0", flush=True)
    model.to(fabric.device)
    recalls = fabric.broadcast(validate() if fabric.is_global_zero else {})
    row = {"epoch": 0, "loss": None, "learning_rate": None, "pairs_per_second": None}
    result = TrainResult(cpu_state_dict(model), epoch=0, mr=recalls["mr"])
    result.history.append(row | {key: recalls[key] for key in RECALL_COLUMNS})
    if fabric.is_global_zero:
        log(result.history[-1])
    return result


def cpu_state_dict(module: nn.Module) -> dict[str, Tensor]:
    """A copy of a module's parameters and buffers on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
