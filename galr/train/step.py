"""One training step: encode a batch, compute the loss, update the weights; on one or several processes."""

from collections.abc import Mapping
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from galr.model.galr import GaLR, GraphBatch
from galr.train.batches import Batch
from galr.train.distributed import all_gather


class TrainStep:
    """A model with its loss and its optimizer.

    Of several processes, each encodes its share of a step's pairs. The embeddings are gathered, and every
    process computes the loss over all pairs of the step, so more processes change the speed and not the loss.
    Source: `docs/how/figure.md`, section Training.

    Args:
        model: newly built; moved to Fabric's device and trained in place.
        loss: takes (B, B) cosines and a (B, B) mask of positives; may have parameters of its own.
        fabric: a launched one; sets device, precision and processes.
        learning_rate: Adam's step size.
        lr_decay: factor on the learning rate every `lr_decay_every` epochs.
        lr_decay_every: epochs between two decays.
        grad_clip_norm: largest norm of the gradient; None clips nothing.
        compiled: whether to compile the image encoder; results change by rounding alone.
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
        self._grad_clip_norm = grad_clip_norm
        self._initial_rate = learning_rate
        self._lr_decay, self._lr_decay_every = lr_decay, lr_decay_every
        if compiled:
            compile_image_encoder(model)
        self._adam = torch.optim.Adam(
            [*model.parameters(), *loss.parameters()], lr=learning_rate, fused=True
        )
        self._encoder, self._optimizer = fabric.setup(DualEncoder(model), self._adam)

    @property
    def learning_rate(self) -> float:
        """Adam's current step size."""
        return float(self._adam.param_groups[0]["lr"])

    def start_epoch(self, epoch: int) -> None:
        """Set the learning rate of an epoch, counted from 1, and training mode."""
        for group in self._adam.param_groups:
            group["lr"] = self._initial_rate * self._lr_decay ** (
                (epoch - 1) // self._lr_decay_every
            )
        self._encoder.train()

    def step(self, batch: Batch) -> Tensor:
        """Update the weights by one batch.

        Returns:
            The loss before the update, a scalar on the device; reading its value waits for the device.
        """
        self._optimizer.zero_grad(set_to_none=True)
        images, sentences = self._encoder(batch.pixels, batch.graph, batch.token_ids, batch.lengths)
        similarity = self._gather(images[batch.image_index]) @ self._gather(sentences).T
        loss = self._loss(similarity, batch.positive_mask)
        self._fabric.backward(loss)
        # After backward: the released code clips before it, when there is nothing to clip.
        if self._grad_clip_norm is not None:
            self._fabric.clip_gradients(
                self._encoder,
                self._optimizer,
                max_norm=self._grad_clip_norm,
                error_if_nonfinite=False,
            )
        self._optimizer.step()
        return loss.detach()

    def state(self) -> dict[str, Any]:
        """All that training has changed: states of model, loss and optimizer."""
        return {
            "model": self.model.state_dict(),
            "loss": self._loss.state_dict(),
            "optimizer": self._adam.state_dict(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the `state` of another instance with the same arguments."""
        self.model.load_state_dict(state["model"])
        self._loss.load_state_dict(state["loss"])
        self._adam.load_state_dict(state["optimizer"])

    def _gather(self, rows: Tensor) -> Tensor:
        """(P, embed_dim) of this process → (B, embed_dim) of all processes, with gradients."""
        if self._fabric.world_size == 1:
            return rows
        return all_gather(self._fabric, rows, gradients=True).flatten(0, 1)


class DualEncoder(nn.Module):
    """Image and sentence encoder behind one `forward`, through which several processes add their gradients.

    Args:
        model: its encoders are used.
    """

    def __init__(self, model: GaLR) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, pixels: Tensor, graph: GraphBatch, token_ids: Tensor, lengths: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Encode images and sentences.

        Args:
            pixels: (I, 3, input_size, input_size) float32, normalized.
            graph: of the I images.
            token_ids: (P, L) int64, padded.
            lengths: (P,) int64, on the CPU.

        Returns:
            (I, embed_dim) and (P, embed_dim), unit rows.
        """
        images = self.model.encode_images(pixels, graph)
        return images, self.model.encode_sentences(token_ids, lengths)


def compile_image_encoder(model: GaLR) -> None:
    """Compile, in place, all of a model but its sentence encoder; packed sequences do not compile."""
    for name, module in model.named_children():
        if name != "text_encoder":
            module.compile(dynamic=True)  # the number of images varies from step to step
