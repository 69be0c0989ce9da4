"""A torchvision network as a pyramid: four maps of a picture, each half the size of the one before."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torchvision.models import get_model, list_models

from galr.errors import ConfigError


class Parts(NamedTuple):
    """How torchvision calls what a family of networks consists of, in order of the computation."""

    stem: tuple[str, ...]  # before the first map: little work, much memory
    stages: tuple[tuple[str, ...], ...]  # four; maps at a fourth, 1/8, 1/16 and 1/32 of the picture
    classifier: tuple[str, ...]  # taken out: nobody asks for classes


RESIDUAL = Parts(
    ("conv1", "bn1", "relu", "maxpool"),
    (("layer1",), ("layer2",), ("layer3",), ("layer4",)),
    ("fc",),
)
FAMILIES = {  # by how their names begin
    "resnet": RESIDUAL,
    "resnext": RESIDUAL,
    "wide_resnet": RESIDUAL,
    "regnet": Parts(("stem",), tuple((f"trunk_output.block{i}",) for i in range(1, 5)), ("fc",)),
    "convnext": Parts(
        ("features.0",),
        (("features.1",), *((f"features.{i}", f"features.{i + 1}") for i in (2, 4, 6))),
        ("classifier",),
    ),
    "efficientnet_b": Parts(
        ("features.0",),
        (
            ("features.1", "features.2"),
            ("features.3",),
            ("features.4", "features.5"),
            ("features.6", "features.7"),
        ),
        ("features.8", "classifier"),
    ),
}


class Pyramid(nn.Module):
    r"""A torchvision network up to its four feature maps, without its classifier.

    The paper's is `resnet18`; any other residual network, RegNet, ConvNeXt or EfficientNet (B0 to B7)
    has maps of the same sizes and stands in for it.

    Shapes:
        - **pixels:** :math:`(B, 3, S, S)`, normalised, S a multiple of 32
        - **output:** four maps :math:`(B, C_k, S/2^{k+1}, S/2^{k+1})`, k = 1..4

    Args:
        backbone: torchvision's name of the network.

    Raises:
        ConfigError: there is no network of that name, or none with such maps.
    """

    def __init__(self, backbone: str) -> None:
        super().__init__()
        known = [name for name in list_models() if name.startswith(tuple(FAMILIES))]
        if backbone not in known:
            raise ConfigError(
                f"model.backbone '{backbone}' is unknown; choose from {', '.join(known)}"
            )
        self.parts = next(FAMILIES[start] for start in FAMILIES if backbone.startswith(start))
        self.network = get_model(backbone, weights=None)
        for name in self.parts.classifier:
            self.network.set_submodule(name, nn.Identity())
        with torch.inference_mode():
            maps = self.eval()(torch.zeros(1, 3, 64, 64))
        self.train()
        self.channels: tuple[int, ...] = tuple(each.shape[1] for each in maps)

    def forward(self, pixels: Tensor) -> tuple[Tensor, ...]:
        light = (
            self.training and not torch.compiler.is_compiling()
        )  # a compiler plans memory itself
        x = self._light_stem(pixels) if light else self._stem(pixels)
        maps = []
        for stage in self.parts.stages:
            x = self._through(stage, x)
            maps.append(x)
        return tuple(maps)

    def _through(self, names: tuple[str, ...], x: Tensor) -> Tensor:
        """Pass some parts of the network, one after the other."""
        for name in names:
            x = self.network.get_submodule(name)(x)
        return x

    def _stem(self, pixels: Tensor) -> Tensor:
        """What comes before the first of the four maps."""
        return self._through(self.parts.stem, pixels)

    def _light_stem(self, pixels: Tensor) -> Tensor:
        """The same, computed again in the backward pass instead of kept.

        In a residual network the stem is a twentieth of the work and a quarter of the memory of a step.
        """
        norms = [
            module
            for name in self.parts.stem
            for module in self.network.get_submodule(name).modules()
            if isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm)
        ]
        return checkpoint(
            self._stem,
            pixels,
            use_reentrant=False,
            preserve_rng_state=False,
            context_fn=lambda: (nullcontext(), _uncounted(norms)),
        )


@contextmanager
def _uncounted(norms: list[nn.BatchNorm2d | nn.SyncBatchNorm]) -> Iterator[None]:
    """Let a batch that was seen before leave no second trace in the running statistics."""
    kept = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm in norms:
        norm.momentum, norm.num_batches_tracked = 0.0, None
    try:
        yield
    finally:
        for norm, (momentum, count) in zip(norms, kept, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, count
