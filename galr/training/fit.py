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
from galr.model.galr import GaLR
from galr.retrieval.metrics import scores
from galr.retrieval.ranks import ranks
from galr.training.embed import Graphs, embed_images, embed_sentences
from galr.training.feed import Feed
from galr.training.learner import Learner
from galr.training.parts import Part
from galr.training.pictures import Pictures
from galr.training.processes import gathered
from galr.training.unfinished import Unfinished

RECALLS = ("i2t_r1", "i2t_r5", "i2t_r10", "t2i_r1", "t2i_r5", "t2i_r10", "mr")
ASKED_EVERY = 50  # steps between two questions whether to save, where several processes must agree


@dataclass
class Fitted:
    """What training leaves."""

    state: dict[str, Tensor] = field(default_factory=dict)
    epoch: int = 0  # the one kept, from 1
    mr: float = -1.0  # its validation mR, percent
    history: list[dict[str, Any]] = field(default_factory=list)  # a row an epoch


def fit(
    learner: Learner,
    feed: Feed,
    check: Callable[[], Mapping[str, float]],
    fabric: Fabric,
    unfinished: Unfinished,
    *,
    epochs: int,
    tell: Callable[[dict[str, Any]], None],
) -> Fitted:
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
    fitted, epoch, total = Fitted(), 1, torch.zeros((), device=fabric.device)
    if (saved := unfinished.read()) is not None:
        fitted, epoch = Fitted(**saved["fitted"]), saved["epoch"]
        total = saved["total"].to(fabric.device)
        learner.restore(saved["learner"])
        feed.restore(saved["feed"])
        _restore_random(saved["random"][fabric.global_rank])
        fabric.print(f"going on in epoch {epoch} of {epochs}", flush=True)
    elif unfinished.refused:
        fabric.print(f"{unfinished.refused}: starting anew", flush=True)

    def save() -> None:
        random = _everybodys_random(fabric)
        if fabric.is_global_zero:
            unfinished.save(
                {
                    "fitted": asdict(fitted),
                    "epoch": epoch,
                    "total": total,
                    "learner": learner.state(),
                    "feed": feed.state(),
                    "random": random,
                }
            )

    with tqdm(
        desc="training",
        total=epochs * feed.pairs,
        initial=(epoch - 1) * feed.pairs + feed.begun,
        unit="pair",
        disable=None if fabric.is_global_zero else True,
    ) as bar:
        while epoch <= epochs:
            began, pairs = time.perf_counter(), 0
            learner.begin_epoch(epoch)
            for number, step in enumerate(feed.epoch()):
                total += learner.learn(step)
                pairs += len(step.spared)
                bar.update(len(step.spared))
                if _agreed(fabric, unfinished.due, number):
                    save()
            row = {
                "epoch": epoch,
                "loss": total.item() / feed.pairs,
                "learning_rate": learner.learning_rate,
                "pairs_a_second": pairs / (time.perf_counter() - began),
            }
            if not isfinite(row["loss"]):
                raise DataError(
                    f"the loss of epoch {epoch} is {row['loss']}; lower train.learning_rate"
                    " or give train.precision: fp32"
                )
            found = fabric.broadcast(check() if fabric.is_global_zero else {})
            fitted.history.append(row | {key: found[key] for key in RECALLS})
            if found["mr"] > fitted.mr:
                fitted.state, fitted.epoch = snapshot(learner.model), epoch
                fitted.mr = found["mr"]
            if fabric.is_global_zero:
                tell(fitted.history[-1])
            epoch, total = epoch + 1, torch.zeros_like(total)
    return fitted


def snapshot(model: GaLR) -> dict[str, Tensor]:
    """A copy of the weights on the CPU."""
    return {name: value.detach().cpu().clone() for name, value in model.state_dict().items()}


def validate(
    model: GaLR,
    pictures: Pictures,
    graphs: Graphs,
    part: Part,
    words: list[list[int]],
    *,
    crop: int,
    batch: int,
) -> dict[str, float]:
    """Recalls and mR of a part, percent; each image and sentence is encoded once."""
    model.eval()
    seen = embed_images(model, pictures, graphs, part.rows, crop=crop, batch=batch)
    said = embed_sentences(model, words, batch=batch, device=pictures.device)
    return scores(ranks(seen @ said.T, part.image_of_sentence))


def _agreed(fabric: Fabric, asked: Callable[[], bool], step: int) -> bool:
    """Process 0's answer, in all processes; several of them wait for it at some steps only."""
    if fabric.world_size == 1:
        return asked()
    return step % ASKED_EVERY == 0 and bool(fabric.broadcast(asked()))


def _everybodys_random(fabric: Fabric) -> list[dict[str, Tensor]]:
    """The random states of all processes, by rank."""
    mine = {"cpu": torch.get_rng_state()}
    if fabric.device.type == "cuda":
        mine["cuda"] = torch.cuda.get_rng_state(fabric.device)
    if fabric.world_size == 1:
        return [mine]
    everybodys = {name: gathered(fabric, state).cpu() for name, state in mine.items()}
    return [
        {name: states[rank] for name, states in everybodys.items()}
        for rank in range(fabric.world_size)
    ]


def _restore_random(states: Mapping[str, Tensor]) -> None:
    """Let dropout go on where it stood."""
    torch.set_rng_state(states["cpu"])
    if "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"])
