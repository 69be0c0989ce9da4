"""An exponential average of a model's weights over the steps of its training."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


class WeightAverage:
    """The average of a model's weights and statistics, which is validated and kept instead of them.

    After each step a ← d a + (1 - d) w, with d = min(decay, (1 + n) / (10 + n)) in step n, counted from 0: a
    short training then forgets its random start too. Floating-point weights and buffers are averaged; integer
    buffers (counts of batches) and those that hold infinities (masks) are copied. Weights that are not trained
    are left out.

    Args:
        model: on the device it is trained on; its tensors are read again after each step.
        decay: in [0, 1).
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self._decay = decay
        self._num_updates = 0
        live = {
            name: value
            for name, value in model.state_dict(keep_vars=True).items()
            if value.requires_grad or not isinstance(value, nn.Parameter)
        }
        self._live: dict[str, Tensor] = {name: value.detach() for name, value in live.items()}
        self._average = {name: value.clone() for name, value in self._live.items()}
        self._averaged = [
            name
            for name, value in self._live.items()
            if value.is_floating_point() and value.isfinite().all()
        ]

    @torch.no_grad()
    def update(self) -> None:
        """Add the model's weights after a step."""
        decay = min(self._decay, (1 + self._num_updates) / (10 + self._num_updates))
        torch._foreach_lerp_(  # one call for all tensors, as torch.optim.swa_utils does
            [self._average[name] for name in self._averaged],
            [self._live[name] for name in self._averaged],
            1 - decay,
        )
        for name in self._live.keys() - self._averaged:
            self._average[name].copy_(self._live[name])
        self._num_updates += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the average; at the end it has its own weights again, to the bit."""
        own = {name: value.clone() for name, value in self._live.items()}
        _copy(self._average, self._live)
        try:
            yield
        finally:
            _copy(own, self._live)

    def state(self) -> dict[str, Any]:
        """The average and the number of steps in it."""
        return {"num_updates": self._num_updates, "average": self._average}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the `state` of another instance with the same arguments."""
        self._num_updates = state["num_updates"]
        _copy(state["average"], self._average)


@torch.no_grad()
def _copy(source: Mapping[str, Tensor], target: Mapping[str, Tensor]) -> None:
    """Copy the values of all tensors of `target` from those of the same name."""
    for name, value in target.items():
        value.copy_(source[name])
