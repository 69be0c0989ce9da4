"""The architectures of open_clip, and what a model may ask of them; read without importing open_clip or torch.

An architecture is a JSON object: `embed_dim`, `vision_cfg`, `text_cfg` and a few flags. open_clip's own lie as files in
its package; a file of the user's is taken as well.
"""

import difflib
import importlib.util
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from galr.errors import ConfigError, ExtraError

PLAIN_PROMPT = "{}"
TAG_PREFIX = "pretrained:"  # of weights that open_clip knows by a tag
CONTEXT_LENGTH = 77  # of text towers whose architecture does not say
_SECTIONS = ("embed_dim", "vision_cfg", "text_cfg")


def list_architectures() -> list[str]:
    """The names of open_clip's architectures.

    Raises:
        ExtraError: open_clip is not installed.
    """
    return sorted(path.stem for path in _folder().glob("*.json"))


def read_clip_config(backbone: str) -> dict[str, Any]:
    """Read an architecture.

    Args:
        backbone: open_clip's name of it, for example `ViT-B-32`, or the path of a JSON file.

    Raises:
        ConfigError: there is none of that name, or it is of a kind that we cannot build.
        ExtraError: open_clip is not installed.
    """
    if backbone.endswith(".json"):
        path = Path(backbone)
        if not path.is_file():
            raise ConfigError(
                f"model.backbone: no file {path}; give an architecture of open_clip, for example ViT-B-32"
            )
    else:
        path = _folder() / f"{Path(backbone).name}.json"
        if path.stem != backbone or not path.is_file():
            names = list_architectures()
            folded = {name.lower(): name for name in names}
            found = difflib.get_close_matches(backbone.lower(), folded, n=3)
            near = [folded[name] for name in found]
            hint = f"did you mean {' or '.join(near)}?" if near else f"for example {names[0]}"
            raise ConfigError(f"model.backbone: open_clip has no architecture '{backbone}'; {hint}")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        missing = [key for key in _SECTIONS if key not in config]
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(
            f"model.backbone: {path} is not JSON ({error}); give an architecture of open_clip"
        ) from error
    if missing:
        raise ConfigError(
            f"model.backbone: {path} has no {missing[0]}; give an architecture of open_clip"
        )
    if "multimodal_cfg" in config:
        raise ConfigError(
            f"model.backbone {backbone} is a CoCa, which also writes captions and is not supported; take a CLIP of"
            " the same size, for example ViT-B-32 or ViT-L-14"
        )
    return dict(config)


def check_input_size(backbone: str, config: dict[str, Any], input_size: int) -> None:
    """Check that an image tower reads images of a size.

    Raises:
        ConfigError: it reads another size alone.
    """
    vision = config["vision_cfg"]
    own = vision.get("image_size", 224)
    if input_size == own:
        return
    if str(vision.get("timm_model_name", "")).startswith("convnext"):  # no positions in it
        if input_size % 32:
            raise ConfigError(
                f"model.input_size must be a multiple of 32 with {backbone}, got {input_size}"
            )
        return
    raise ConfigError(
        f"model.input_size is {input_size} and {backbone} reads images of {own} pixels alone;"
        f" set input_size to {own}"
    )


def check_text_tower(backbone: str, config: dict[str, Any]) -> None:
    """Check that a text tower reads the tokens of CLIP's own tokenizer, which comes with open_clip.

    Raises:
        ConfigError: it has a tokenizer or a network of another library.
    """
    text = config["text_cfg"]
    if other := text.get("hf_tokenizer_name") or text.get("hf_model_name"):
        raise ConfigError(
            f"model.text_encoder clip: {backbone} reads sentences with {other} of another library, which is not"
            " supported; take an architecture with CLIP's own tokenizer, for example ViT-B-32, or set text_encoder to"
            " transformer"
        )


def check_max_words(backbone: str, config: dict[str, Any], max_words: int) -> None:
    """Check that a text tower reads as many tokens as sentences may have.

    Raises:
        ConfigError: it reads fewer.
    """
    longest = config["text_cfg"].get("context_length", CONTEXT_LENGTH)
    if max_words > longest:
        raise ConfigError(
            f"train.max_words is {max_words}, and the text tower of {backbone} reads at most {longest} tokens;"
            f" set max_words to {longest} or less"
        )


def check_weights(backbone: str, weights: str) -> None:
    """Check the form of `model.weights` for a CLIP, and that a file is there; nothing is read.

    Raises:
        ConfigError: it is of other encoders, or there is no such file.
    """
    if weights in ("package", "pretrained", TAG_PREFIX):
        raise ConfigError(
            f"model.weights {weights} is not for a CLIP; give {TAG_PREFIX}TAG with a tag of open_clip for {backbone},"
            f" for example {TAG_PREFIX}openai, or a file with its weights"
        )
    if weights != "none" and not weights.startswith(TAG_PREFIX) and not Path(weights).is_file():
        raise ConfigError(
            f"model.weights: no file {weights}; download it and put it there, or give {TAG_PREFIX}TAG with a tag of"
            " open_clip"
        )


def check_prompts(prompts: Sequence[str]) -> None:
    """Check templates of sentences.

    Raises:
        ConfigError: there is none, one is given twice, or one does not say once where the sentence stands.
    """
    if not prompts:
        raise ConfigError(f'model.prompts is empty; give at least "{PLAIN_PROMPT}"')
    for number, prompt in enumerate(prompts):
        if prompt.count(PLAIN_PROMPT) != 1:
            raise ConfigError(
                f"model.prompts: '{prompt}' must have {PLAIN_PROMPT} once, where the sentence stands, for example"
                f" a satellite photo of {PLAIN_PROMPT}"
            )
        if prompt in prompts[:number]:
            raise ConfigError(f"model.prompts has '{prompt}' twice; leave one out")


def text_tower_config(config: dict[str, Any], prompts: Sequence[str]) -> dict[str, Any]:
    """What a text tower is built from: its part of the architecture, and the number of templates."""
    kept = {key: config[key] for key in ("embed_dim", "text_cfg", "quick_gelu") if key in config}
    return kept | {"num_prompts": len(prompts)}


def image_tower_config(config: dict[str, Any]) -> dict[str, Any]:
    """What an image tower is built from: its part of the architecture."""
    return {key: config[key] for key in ("embed_dim", "vision_cfg", "quick_gelu") if key in config}


def _folder() -> Path:
    """The folder of open_clip's architectures, found without importing it.

    Raises:
        ExtraError: it is not installed.
    """
    found = importlib.util.find_spec("open_clip")
    if found is None or not found.submodule_search_locations:
        raise ExtraError(
            "the package open_clip is not installed; run: pip install 'galr[pretrained]'"
        )
    return Path(next(iter(found.submodule_search_locations))) / "model_configs"
