"""One step of learning, on whatever device, in whatever precision, in one process or several."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from galr.model.galr import GaLR, GraphBatch
from galr.train.batches import Batch
from galr.train.distributed import all_gather


class TrainStep:
    """A model, its loss and its optimiser (METHOD 5).

    Where several processes learn together, each encodes its share of the pairs, all embeddings are
    gathered, and every process computes the loss over all pairs of the step: more processes give more
    speed, never another loss.

    Args:
        model: freshly built; moved to Fabric's device and trained in place.
        loss: takes (B, B) cosines and which pairs are no negatives; may learn numbers of its own.
        fabric: launched; says device, precision and processes.
        learning_rate: Adam's step size.
        decay: factor on it every `decay_every` epochs.
        decay_every: epochs.
        clip: largest norm of the gradient; None clips nothing.
        compiled: let torch compile what encodes images; changes results by rounding alone.
    """

    def __init__(
        self,
        model: GaLR,
        loss: nn.Module,
        fabric: Fabric,
        *,
        learning_rate: float,
        lr_decay: float,
        lr_decay_every: int,
        grad_clip_norm: float | None,
        compiled: bool,
    ) -> None:
        self.model = model
        self._loss = loss.to(fabric.device)
        self._fabric = fabric
        self._clip = grad_clip_norm
        self._rate, self._decay, self._decay_every = learning_rate, lr_decay, lr_decay_every
        if compiled:
            for name, part in model.named_children():
                if name != "text":  # its packed sequences do not compile
                    part.compile(dynamic=True)  # a step's number of images varies
        self._adam = torch.optim.Adam(
            [*model.parameters(), *loss.parameters()], lr=learning_rate, fused=True
        )
        self._both, self._optimiser = fabric.setup(DualEncoder(model), self._adam)

    @property
    def learning_rate(self) -> float:
        """Adam's step size at this moment."""
        return float(self._adam.param_groups[0]["lr"])

    def start_epoch(self, epoch: int) -> None:
        """Make ready for an epoch, from 1: its learning rate, dropout and statistics of batches."""
        for group in self._adam.param_groups:
            group["lr"] = self._rate * self._decay ** ((epoch - 1) // self._decay_every)
        self._both.train()

    def step(self, batch: Batch) -> Tensor:
        """Learn from one step and give its loss, a scalar on the device that nobody has waited for."""
        self._optimiser.zero_grad(set_to_none=True)
        seen, said = self._both(batch.pixels, batch.graph, batch.token_ids, batch.lengths)
        similarity = self._gather(seen[batch.image_index]) @ self._gather(said).T
        loss = self._loss(similarity, batch.positive_mask)
        self._fabric.backward(loss)
        if self._clip is not None:  # after backward: before it there is nothing to clip
            self._fabric.clip_gradients(
                self._both, self._optimiser, max_norm=self._clip, error_if_nonfinite=False
            )
        self._optimiser.step()
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """All that learning has changed; `restore` goes on from there."""
        return {
            "model": self.model.state_dict(),
            "loss": self._loss.state_dict(),
            "optimiser": self._adam.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on where another learner of the same arguments stood."""
        self.model.load_state_dict(state["model"])
        self._loss.load_state_dict(state["loss"])
        self._adam.load_state_dict(state["optimiser"])

    def _gather(self, rows: Tensor) -> Tensor:
        """(P, embedding) of this process → (B, embedding) of all, with gradients."""
        if self._fabric.world_size == 1:
            return rows
        return all_gather(self._fabric, rows, gradients=True).flatten(0, 1)


class DualEncoder(nn.Module):
    """Both encoders behind one `forward`, as several processes need it to add their gradients up."""

    def __init__(self, model: GaLR) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, pixels: Tensor, graph: GraphBatch, words: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Encode images, (I, embedding), and sentences, (P, embedding)."""
        return self.model.encode_images(pixels, graph), self.model.encode_sentences(words, lengths)
