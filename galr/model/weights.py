"""Pretrained weights of the residual network: torchvision's, a local file's, or none."""

from pathlib import Path
from urllib.error import URLError

import torch
from torch import nn
from torchvision.models import get_model_weights

from galr.errors import ConfigError, StoreError
from galr.model.mvsa import Pyramid


def load_backbone(pyramid: Pyramid, backbone: str, weights: str) -> None:
    """Fill the residual network in place.

    Args:
        pyramid: the network to fill.
        backbone: torchvision's name of it.
        weights: `imagenet` (torchvision's IMAGENET1K_V1, kept in its cache), `none`,
            or the path of a state dict of the same network.

    Raises:
        ConfigError: the weights cannot be had; says where to put them.
        StoreError: the file holds weights of another network.
    """
    if weights == "none":
        return
    state = _imagenet(backbone) if weights == "imagenet" else _local(Path(weights))
    state = {name: value for name, value in state.items() if not name.startswith("fc.")}
    try:
        pyramid.network.load_state_dict(state)
    except RuntimeError as error:
        raise StoreError(
            f"{weights} weights do not fit {backbone} ({str(error).splitlines()[1].strip()});"
            " give weights of the same network"
        ) from error


def _imagenet(backbone: str) -> dict[str, torch.Tensor]:
    """Torchvision's ImageNet weights, from its cache or its address."""
    known = get_model_weights(backbone)["IMAGENET1K_V1"]
    name = known.url.rsplit("/", 1)[-1]
    try:
        return dict(known.get_state_dict(progress=False, check_hash=True))
    except (URLError, OSError) as error:
        raise ConfigError(
            f"imagenet weights of {backbone} cannot be fetched from {known.url} ({error});"
            f" put {name} into {Path(torch.hub.get_dir()) / 'checkpoints'},"
            " or set model.weights to a local file or to none"
        ) from error


def _local(path: Path) -> dict[str, torch.Tensor]:
    """A state dict that the user brings."""
    if not path.is_file():
        raise ConfigError(
            f"model.weights: no file {path}; give imagenet, none or the path of a state dict"
        )
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises whatever the damaged bytes happen to trip on
        raise StoreError(f"{path} is no state dict that loads ({error})") from error


def parameters(model: nn.Module) -> int:
    """How many numbers a model learns."""
    return sum(each.numel() for each in model.parameters() if each.requires_grad)
