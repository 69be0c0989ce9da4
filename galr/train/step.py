"""One training step: encode a batch, compute the loss, update the weights; on one or several processes."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning_fabric import Fabric
from torch import Tensor, nn

from galr.model.galr import GaLR, GraphBatch, ImageFeatures
from galr.train.average import WeightAverage
from galr.train.batches import Batch, TokenBatch
from galr.train.distributed import all_gather
from galr.train.optimizer import Schedule, build_optimizer
from galr.train.options import OptimizerName


class TrainStep:
    """A model with its loss, its optimizer and the average of its weights.

    Of several processes, each encodes its share of a step's pairs. The embeddings are gathered, and every
    process computes the loss over all pairs of the step, so more processes change the speed and not the loss.
    Source: `docs/how/figure.md`, section Training.

    Args:
        model: newly built; moved to Fabric's device and trained in place.
        loss: takes (B, B) cosines and a (B, B) mask of positives; may have parameters of its own.
        fabric: a launched one; sets device, precision and processes.
        learning_rate: step size of the optimizer.
        schedule: factor on the learning rates of each step.
        grad_clip_norm: largest norm of the gradient of all trained weights; None clips nothing.
        compiled: whether to compile the image encoder; results change by rounding alone.
        optimizer: `adam` or `adamw`.
        weight_decay: of `adamw`; 0 with `adam`.
        encoder_learning_rate: of the pretrained encoders; None takes `learning_rate`.
        average: decay of the average of the weights, in [0, 1); 0 keeps no average.

    Raises:
        ConfigError: no weight of the model requires a gradient.
    """

    def __init__(
        self,
        model: GaLR,
        loss: nn.Module,
        fabric: Fabric,
        *,
        learning_rate: float,
        schedule: Schedule,
        grad_clip_norm: float | None,
        compiled: bool,
        optimizer: OptimizerName = "adam",
        weight_decay: float = 0.0,
        encoder_learning_rate: float | None = None,
        average: float = 0.0,
    ) -> None:
        self.model = model
        self._loss = loss.to(fabric.device)
        self._fabric = fabric
        self._grad_clip_norm = grad_clip_norm
        self._initial_rate, self._schedule = learning_rate, schedule
        self._num_steps = 0  # that were taken
        if compiled:
            compile_image_encoder(model)
        self._adam = build_optimizer(
            model,
            loss,
            name=optimizer,
            learning_rate=learning_rate,
            encoder_learning_rate=encoder_learning_rate,
            weight_decay=weight_decay,
        )
        self._encoder, self._optimizer = fabric.setup(DualEncoder(model), self._adam)
        # After setup, which moves the model to the device.
        self._average = WeightAverage(model, average) if average else None

    @property
    def learning_rate(self) -> float:
        """Learning rate of the last step, of all weights but the pretrained encoders'."""
        return self._initial_rate * self._schedule.factor(max(self._num_steps - 1, 0))

    def start_epoch(self) -> None:
        """Set training mode."""
        self._encoder.train()

    def step(self, batch: Batch) -> Tensor:
        """Update the weights by one batch.

        Returns:
            The loss before the update, a scalar on the device; reading its value waits for the device.
        """
        factor = self._schedule.factor(self._num_steps)
        for group in self._adam.param_groups:
            group["lr"] = group["initial_lr"] * factor
        self._optimizer.zero_grad(set_to_none=True)
        images, sentences = self._encoder(batch.images, batch.graph, batch.sentences)
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
        self._num_steps += 1
        if self._average is not None:
            self._average.update()
        return loss.detach()

    def kept_weights(self) -> AbstractContextManager[None]:
        """Give the model, for a while, the weights to validate and keep: the average, if there is one."""
        return nullcontext() if self._average is None else self._average.applied()

    def state(self) -> dict[str, Any]:
        """All that training has changed: states of model, loss, optimizer and average, number of steps."""
        return {
            "model": self.model.state_dict(),
            "loss": self._loss.state_dict(),
            "optimizer": self._adam.state_dict(),
            "num_steps": self._num_steps,
            "average": None if self._average is None else self._average.state(),
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from the `state` of another instance with the same arguments."""
        self.model.load_state_dict(state["model"])
        self._loss.load_state_dict(state["loss"])
        self._adam.load_state_dict(state["optimizer"])
        self._num_steps = state["num_steps"]
        if self._average is not None:
            self._average.restore(state["average"])

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
        self, images: Tensor | ImageFeatures, graph: GraphBatch, sentences: TokenBatch | Tensor
    ) -> tuple[Tensor, Tensor]:
        """Encode images and sentences.

        Args:
            images: (I, 3, input_size, input_size) float32, normalized; or a frozen encoder's features of them.
            graph: of the I images.
            sentences: tokens of the P sentences; or a frozen encoder's features, (P, width) float32.

        Returns:
            (I, embed_dim) and (P, embed_dim), unit rows.
        """
        if isinstance(images, Tensor):
            images = self.model.image_features(images)
        if not isinstance(sentences, Tensor):
            sentences = self.model.sentence_features(*sentences)
        return self.model.embed_images(images, graph), self.model.embed_sentences(sentences)


def compile_image_encoder(model: GaLR) -> None:
    """Compile, in place, all of a model but its sentence encoder; packed sequences do not compile."""
    for name, module in model.named_children():
        if name != "text_encoder":
            module.compile(dynamic=True)  # the number of images varies from step to step
    if model.branches != "local":
        model.global_branch.backbone.compile(dynamic=True)
