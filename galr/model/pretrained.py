"""Pretrained weights of the encoders: from a package of the lock, the hub, or a file or folder of the user.

A package is found without importing it, so none of its code runs, and its weights are bound by their hash.
"""

import hashlib
import json
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch

from galr.errors import ConfigError, StoreError
from galr.model.encoder_sources import (
    IMAGE_PACKAGES,
    TEXT_PACKAGE,
    WeightPackage,
    image_package,
    package_file,
)
from galr.model.galr import IMAGENET_MEAN, IMAGENET_STD
from galr.model.image import Backbone
from galr.model.text import MeanTransformer

_OFFSET_POSITIONS = ("roberta", "xlm-roberta", "camembert", "mpnet")  # count from padding's id on


def load_backbone(backbone: Backbone, weights: str) -> None:
    """Load pretrained weights into a backbone, in place, with the statistics that they expect of pixels.

    Args:
        backbone: the network.
        weights: `pretrained` (timm's own, from the hub or its cache), `package` (of a Python package that brings
            them), `none`, or the path of a state dict of the same network.

    Raises:
        ConfigError: the weights do not exist or cannot be downloaded; the message says what to do.
        StoreError: the file is damaged or holds weights of another network.
        ExtraError: the package is not installed.
    """
    if weights == "none":
        return
    if weights == "package":
        state = _package_state(backbone.name)
        backbone.pixel_mean.copy_(torch.tensor(IMAGENET_MEAN))
        backbone.pixel_std.copy_(torch.tensor(IMAGENET_STD))
    elif weights == "pretrained":
        state = _hub_state(backbone.name)
    else:
        state = _load_state_dict(Path(weights))
    own = backbone.network.state_dict()
    counters = [name for name in own if name.endswith("num_batches_tracked")]
    missing = [name for name in own if name not in state and name not in counters]
    wrong = [name for name in own if name in state and state[name].shape != own[name].shape]
    if missing or wrong:
        first = missing[0] if missing else wrong[0]
        reason = "is missing" if missing else f"is {tuple(state[first].shape)}"
        raise StoreError(
            f"model.weights {weights} do not fit {backbone.name}: {len(missing)} of its {len(own)} tensors are"
            f" missing and {len(wrong)} have other shapes, first {first}, which {reason} and should be"
            f" {tuple(own[first].shape)}; give weights of the same network"
        )
    backbone.network.load_state_dict({name: state.get(name, own[name]) for name in own})


def _package_state(name: str) -> dict[str, torch.Tensor]:
    """Read a package's weights, by timm's names.

    Raises:
        ConfigError: no package holds weights of this network.
    """
    package = image_package(name)
    path = package_file(package)
    content = path.read_bytes()
    _check_hash(content, package, path)
    state = _load_state_dict(path)
    values = [value for key, value in state.items() if not key.endswith("num_batches_tracked")]
    with torch.device("meta"):
        reference = timm.create_model(name.split(".")[0]).state_dict()
    names = [key for key in reference if not key.endswith("num_batches_tracked")]
    return dict(zip(names, values, strict=True))


def _check_hash(content: bytes, package: WeightPackage, path: Path) -> None:
    """Check that weights are the published ones.

    Raises:
        StoreError: they are not.
    """
    actual = hashlib.sha256(content).hexdigest()
    if actual != package.sha256:
        raise StoreError(
            f"{path} holds other weights than published (sha256 {actual[:12]}, expected {package.sha256[:12]});"
            f" install {package.distribution} again"
        )


def _hub_state(name: str) -> dict[str, torch.Tensor]:
    """Read timm's weights from its cache, or download them.

    Raises:
        ConfigError: there are none, or they cannot be downloaded.
    """
    offline = (
        "; or without a network: set model.weights to a file with the network's state dict, or take"
        f" {', '.join(IMAGE_PACKAGES)} as model.backbone with model.weights: package"
    )
    base = name.split(".")[0]
    tags = timm.list_pretrained(f"{base}.*") or []
    config = timm.get_pretrained_cfg(name)
    if not tags or config is None or not (config.hf_hub_id or config.url):
        raise ConfigError(f"timm has no pretrained weights of {name}{offline}")
    try:
        return dict(timm.create_model(name, pretrained=True).state_dict())
    except Exception as error:  # the hub's client raises whatever the network happens to do
        file = f"{config.hf_hub_id}, file model.safetensors" if config.hf_hub_id else config.url
        raise ConfigError(
            f"pretrained weights of {name} cannot be downloaded ({file}: {_first_line(error)}); download it where"
            f" there is a network, and set model.weights to its path{offline}"
        ) from error


def _load_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """Read a state dict from a file of the user, `.safetensors` or PyTorch's own format.

    Raises:
        ConfigError: there is no such file.
        StoreError: it is damaged or holds something else.
    """
    if not path.is_file():
        raise ConfigError(
            f"model.weights: no file {path}; give pretrained, package, none or the path of a state dict"
        )
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return dict(load_file(path))
        state = dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises whatever the damaged bytes happen to lead to
        raise StoreError(
            f"{path} is damaged or not a state dict ({_first_line(error)}); give another file"
        ) from error
    if wrong := [name for name, value in state.items() if not isinstance(value, torch.Tensor)]:
        raise StoreError(
            f"{path} is not a state dict: its entry {wrong[0]} is no tensor; give the weights alone"
        )
    return state


@dataclass(frozen=True)
class PretrainedText:
    """A transformer and its tokenizer.

    Attributes:
        config: its configuration, as JSON types.
        tokenizer: its tokenizer, in the JSON of the library tokenizers.
        state_dict: its weights.
    """

    config: dict[str, Any]
    tokenizer: str
    state_dict: dict[str, torch.Tensor]


def read_transformer(source: str) -> PretrainedText:
    """Read a sentence encoder of Hugging Face's or sentence-transformers' form.

    Args:
        source: `package` (all-MiniLM-L6-v2, which a Python package brings), a folder with config.json, weights and
            tokenizer, or a name on the hub.

    Raises:
        ConfigError: there is no such folder or name, or it has no tokenizer of its own.
        StoreError: the weights are not all there, or are not the published ones.
        ExtraError: the package is not installed.
    """
    # Imported here: other encoders do not wait for it.
    from huggingface_hub.utils import logging as hub_logging
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    with _transformer_folder(source) as folder:
        try:
            network, loaded = AutoModel.from_pretrained(
                folder,
                dtype=torch.float32,  # whatever precision they are stored in
                trust_remote_code=False,
                output_loading_info=True,
            )
        except Exception as error:  # the library raises whatever it meets
            raise ConfigError(
                f"model.text_weights: no transformer can be read from {source} ({_first_line(error)}); give package,"
                " a folder with config.json and model.safetensors, or a name on the hub and a network"
            ) from error
        # The library fills what is missing with random numbers.
        if missing := sorted(name for name in loaded["missing_keys"] if "pooler." not in name):
            raise StoreError(
                f"model.text_weights: {source} holds weights of another network: {len(missing)} of the"
                f" {len(network.state_dict())} tensors of its config.json are missing, first {missing[0]};"
                " give config.json and weights of the same network"
            )
        try:
            known = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            tokenizer = known.backend_tokenizer
        except Exception as error:
            raise ConfigError(
                f"model.text_weights: {source} has no tokenizer ({_first_line(error)}); put its tokenizer.json there"
            ) from error
    if set(known.get_vocab()) <= set(known.all_special_tokens):  # the library makes up an empty one
        raise ConfigError(
            f"model.text_weights: {source} has no tokenizer; put its tokenizer.json there"
        )
    if tokenizer.get_vocab_size() > network.config.vocab_size:
        raise ConfigError(
            f"model.text_weights: the tokenizer of {source} has {tokenizer.get_vocab_size()} tokens, and its network"
            f" knows {network.config.vocab_size}; put the network's own tokenizer.json there"
        )
    tokenizer.no_padding()
    tokenizer.no_truncation()
    config = json.loads(network.config.to_json_string(use_diff=False))
    config.pop("_name_or_path", None)  # where it lay says nothing of what it is
    return PretrainedText(config, tokenizer.to_str(), dict(network.state_dict()))


def check_max_tokens(pretrained: PretrainedText, max_words: int) -> None:
    """Check that a transformer reads sentences of as many tokens.

    Raises:
        ConfigError: it has fewer positions.
    """
    config = pretrained.config
    positions = config.get("max_position_embeddings") or max_words
    if config.get("model_type") in _OFFSET_POSITIONS:
        positions -= config["pad_token_id"] + 1
    if max_words > positions:
        raise ConfigError(
            f"train.max_words is {max_words}, and the transformer reads at most {positions} tokens;"
            f" set max_words to {positions} or less"
        )


def load_transformer(network: MeanTransformer, pretrained: PretrainedText) -> None:
    """Copy pretrained weights into a transformer, in place."""
    own = network.transformer.state_dict()
    network.transformer.load_state_dict({name: pretrained.state_dict[name] for name in own})


@contextmanager
def _transformer_folder(source: str) -> Iterator[str]:
    """The folder or the name on the hub that a transformer is read from.

    Raises:
        StoreError: the package's weights are not the published ones.
        ExtraError: the package is not installed.
    """
    if source != "package":
        yield source
        return
    path = package_file(TEXT_PACKAGE)
    with tempfile.TemporaryDirectory() as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                archive.extractall(folder)
        except (OSError, zipfile.BadZipFile) as error:
            raise StoreError(
                f"{path} is damaged ({_first_line(error)}); install {TEXT_PACKAGE.distribution} again"
            ) from error
        _check_hash((Path(folder) / "model.safetensors").read_bytes(), TEXT_PACKAGE, path)
        yield folder


def _first_line(error: Exception) -> str:
    """An error's message, its first line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
