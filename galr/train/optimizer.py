"""The optimizer of a training, and its learning rates step by step."""

from dataclasses import dataclass
from math import cos, pi

import torch
from torch import nn

from galr.errors import ConfigError
from galr.model.galr import GaLR
from galr.train.options import OptimizerName, ScheduleName


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The course of all learning rates over a training, as a factor on each.

    The factor follows from the number of the step alone, so a training that is resumed at any step goes on as
    if it had not stopped. Warm-up and half a cosine: SGDR (arXiv 1608.03983, equation 5, without restarts)
    after the linear warm-up of arXiv 1706.02677.

    Args:
        epochs: passes over the training images.
        steps_per_epoch: steps of each.
        name: `step`, by `lr_decay`, or `cosine`, half a cosine from the end of the warm-up down to 0.
        warmup: fraction of all steps, in [0, 1), in which the factor also rises linearly to 1.
        lr_decay: factor of `step` every `lr_decay_every` epochs.
        lr_decay_every: epochs between two decays.
    """

    epochs: int
    steps_per_epoch: int
    name: ScheduleName = "step"
    warmup: float = 0.0
    lr_decay: float = 1.0
    lr_decay_every: int = 1

    def factor(self, step: int) -> float:
        """The factor on the learning rates in a step, counted from 0; over 0 in every step of the training."""
        steps = max(self.epochs * self.steps_per_epoch, 1)
        rising = min(round(self.warmup * steps), steps - 1)
        if self.name == "cosine":
            progress = min(max(step - rising, 0) / (steps - rising), 1.0)
            factor = (1 + cos(pi * progress)) / 2
        else:
            epoch = step // max(self.steps_per_epoch, 1)
            factor = self.lr_decay ** (epoch // self.lr_decay_every)
        return factor * (step + 1) / rising if step < rising else factor


def build_optimizer(
    model: GaLR,
    loss: nn.Module,
    *,
    name: OptimizerName,
    learning_rate: float,
    encoder_learning_rate: float | None,
    weight_decay: float,
) -> torch.optim.Adam:
    """Build the optimizer of all weights that require gradients.

    Weights with the same learning rate and the same decay form a group, so one group holds all where neither
    a rate of the encoders nor a decay is asked for. Biases, weights of norms and the temperature of a loss,
    which have at most one axis, do not decay.

    Args:
        model: its pretrained encoders may have a learning rate of their own.
        loss: its parameters are trained with the model's.
        name: `adam`, or `adamw`, whose decay is not part of the gradient (arXiv 1711.05101).
        learning_rate: of all weights but the pretrained encoders'.
        encoder_learning_rate: of these; None takes `learning_rate`.
        weight_decay: 0 with `adam`.

    Returns:
        The optimizer; `initial_lr` of each group is its learning rate before the schedule.

    Raises:
        ConfigError: no weight of the model requires a gradient.
    """
    if not any(weight.requires_grad for weight in model.parameters()):
        raise ConfigError(
            "every weight of the model is frozen and train.epochs is over 0; freeze less, or set"
            " train.epochs: 0 to keep the model as it is"
        )
    encoders = {id(weight) for weight in model.encoder_parameters()}
    encoder_rate = learning_rate if encoder_learning_rate is None else encoder_learning_rate
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for weight in (*model.parameters(), *loss.parameters()):
        if weight.requires_grad:
            rate = encoder_rate if id(weight) in encoders else learning_rate
            decay = weight_decay if weight.ndim > 1 else 0.0
            groups.setdefault((rate, decay), []).append(weight)
    optimizer = torch.optim.AdamW if name == "adamw" else torch.optim.Adam
    return optimizer(
        [
            {"params": weights, "lr": rate, "initial_lr": rate, "weight_decay": decay}
            for (rate, decay), weights in groups.items()
        ],
        fused=True,
    )
