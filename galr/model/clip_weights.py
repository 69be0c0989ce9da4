"""Weights of a CLIP: open_clip's own by their tag, or a file as RemoteCLIP, GeoRSCLIP and SkyCLIP publish theirs."""

import difflib
import logging
import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from galr.errors import ConfigError, StoreError, printable
from galr.model.clip import (
    ClipImageTower,
    ClipTextTower,
    build_image_tower,
    build_text_tower,
    pixel_statistics,
)
from galr.model.clip_config import TAG_PREFIX, check_weights

# Keys that hold the weights of a file.
_WRAPPERS = ("state_dict", "model_state_dict", "model", "module")
# What all names begin with, by the library that trained the model.
_PREFIXES = ("module.", "_orig_mod.", "model.", "clip.")
_TEXT_PARTS = (
    "transformer.", "token_embedding.", "positional_embedding", "ln_final.", "text_projection",
)  # fmt: skip
# What is in a file and not in a tower: the temperature of its loss, and constants of old releases.
_OTHER = (
    "logit_scale", "logit_bias", "input_resolution", "context_length", "vocab_size", "attn_mask", "text.attn_mask",
)  # fmt: skip


def load_clip(
    weights: str,
    name: str,
    config: Mapping[str, Any],
    *,
    image: ClipImageTower | None,
    text: ClipTextTower | None,
) -> None:
    """Load the weights of a CLIP into its towers, in place, with the statistics that they expect of pixels.

    Args:
        weights: `pretrained:TAG`, a tag of open_clip; `none`; or the path of a file.
        name: of the architecture.
        config: the whole architecture.
        image: the image tower; None where it is not used.
        text: the text tower; None where it is not used.

    Raises:
        ConfigError: the weights do not exist or cannot be downloaded; the message says what to do.
        StoreError: the file is damaged, or holds weights of another network.
    """
    check_weights(name, weights)
    if weights == "none":
        return
    tag = weights.removeprefix(TAG_PREFIX) if weights.startswith(TAG_PREFIX) else None
    state = _downloaded_state(name, config, tag) if tag else read_clip_file(Path(weights))
    _check_names(state, weights, name, config)
    if image is not None:
        mean, std = pixel_statistics(name, tag)
        image.network.load_state_dict(_part(state, "visual."))
        image.pixel_mean.copy_(torch.tensor(mean))
        image.pixel_std.copy_(torch.tensor(std))
    if text is not None:
        text.network.load_state_dict(_part(state, "text."))


def read_clip_file(path: Path) -> dict[str, Tensor]:
    """Read the weights of a CLIP from a file of the user's; no code in it is run.

    Args:
        path: an existing `.safetensors`, or PyTorch's own format: a state dict, or a larger dict that holds one.

    Returns:
        The tensors; names begin with `visual.` and `text.`.

    Raises:
        StoreError: it is damaged or holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            content: Any = load_file(path)
        else:
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise StoreError(
            f"{path} holds Python objects beside its tensors, or is damaged; load it where you trust it, and save its"
            " state dict alone"
        ) from error
    except Exception as error:  # torch raises whatever the damaged bytes happen to lead to
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        advice = "save the state dict of the model that it holds, and give that file"
        if "TorchScript" not in reason:
            advice = "give another file"
        raise StoreError(f"{path} is not a file of weights ({reason}); {advice}") from error
    return _standard_names(path, content)


def _standard_names(path: Path, content: Any) -> dict[str, Tensor]:  # noqa: ANN401  whatever a file held
    """The tensors of a file's content, by names that begin with `visual.` and `text.`.

    Raises:
        StoreError: it is no state dict.
    """
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not content:
        raise StoreError(
            f"{path} holds {type(content).__name__}, and not the state dict of a CLIP; give another file"
        )
    state = {str(name): value for name, value in content.items()}
    while prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in state)), None):
        state = {name.removeprefix(prefix): value for name, value in state.items()}
    state = {
        f"text.{name}" if name.startswith(_TEXT_PARTS) else name: value
        for name, value in state.items()
        if name not in _OTHER and not name.endswith("embeddings.position_ids")
    }
    if wrong := [name for name, value in state.items() if not isinstance(value, Tensor)]:
        raise StoreError(
            f"{path} is not a state dict: its entry {wrong[0]} is no tensor; give the weights alone"
        )
    return state


def _check_names(
    state: Mapping[str, Tensor], weights: str, name: str, config: Mapping[str, Any]
) -> None:
    """Check that weights are those of an architecture, both towers.

    Raises:
        StoreError: tensors are missing, unknown or of other shapes.
    """
    foreign_text = "hf_model_name" in config["text_cfg"]  # not built, so its names are not known
    with torch.device("meta"):
        towers = {"visual.": build_image_tower(config)}
        if not foreign_text:
            towers["text."] = build_text_tower(config)
    shapes = {
        prefix + key: value.shape
        for prefix, tower in towers.items()
        for key, value in tower.state_dict().items()
    }
    missing = [key for key in shapes if key not in state]
    unknown = [
        key for key in state if key not in shapes and not (foreign_text and key.startswith("text."))
    ]
    wrong = [key for key in shapes if key in state and state[key].shape != shapes[key]]
    if not (missing or unknown or wrong):
        return
    if missing:
        first = f"{missing[0]} is missing"
    elif unknown:
        first = f"{unknown[0]} is unknown"
    else:
        found, expected = tuple(state[wrong[0]].shape), tuple(shapes[wrong[0]])
        first = f"{wrong[0]} is {found} and should be {expected}"
    raise StoreError(
        f"model.weights {weights} do not fit {name}: {len(missing)} of its {len(shapes)} tensors are missing,"
        f" {len(unknown)} are unknown and {len(wrong)} have other shapes, first: {first}; give weights of the same"
        " architecture, or set model.backbone to theirs"
    )


def _part(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors of a tower, by its own names."""
    return {
        key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)
    }


def _downloaded_state(name: str, config: Mapping[str, Any], tag: str) -> dict[str, Tensor]:
    """Read open_clip's weights from its cache, or download them.

    Raises:
        ConfigError: there is no such tag, the weights belong to another activation, or they cannot be downloaded.
    """
    import open_clip
    from open_clip.pretrained import get_pretrained_cfg, list_pretrained_tags_by_model

    tags = list_pretrained_tags_by_model(name)
    if tag not in tags:
        near = difflib.get_close_matches(tag, tags, n=3) or tags[:6]
        hint = f"choose from {', '.join(near)}" if near else "give a file with its weights"
        raise ConfigError(f"model.weights: open_clip has no weights '{tag}' of {name}; {hint}")
    source = get_pretrained_cfg(name, tag)
    if source.get("quick_gelu", False) != config.get("quick_gelu", False):
        base = name.removesuffix("-quickgelu")
        other = f"{base}-quickgelu" if source.get("quick_gelu", False) else base
        if tag in list_pretrained_tags_by_model(other) and other != name:
            raise ConfigError(
                f"model.weights {TAG_PREFIX}{tag} of {name} were trained with another activation; set model.backbone"
                f" to {other}"
            )
    try:
        with _silent_logging():
            network = open_clip.create_model(name, pretrained=tag)
    except Exception as error:  # the hub's client raises whatever the network happens to do
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        place, _, file = source.get("hf_hub", "").rpartition("/")
        found = f"{file or 'open_clip_model.safetensors'} of {place}" if place else source["url"]
        raise ConfigError(
            f"weights {tag} of {name} cannot be downloaded ({printable(reason)}); where there is a network,"
            f" download {found}, put it beside the config and set model.weights to its path"
        ) from error
    return _standard_names(Path(tag), network.state_dict())


@contextmanager
def _silent_logging() -> Iterator[None]:
    """Keep the hub's client from a line for each of its tries; its error is explained in one."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)
