"""Pretrained weights: of the network that looks at pictures, and of the skip-thoughts that reads."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.error import URLError

import numpy as np
import torch
from torch import nn
from torchvision.models import get_model_weights

from galr.errors import ConfigError, StoreError
from galr.model.image import Backbone
from galr.model.text import SkipThoughts

SKIPTHOUGHTS_FILES = ("dictionary.txt", "utable.npy", "uni_skip.npz")
GRU_ARRAYS = ("encoder_W", "encoder_b", "encoder_U", "encoder_Wx", "encoder_bx", "encoder_Ux")


def load_backbone(backbone: Backbone, name: str, weights: str) -> None:
    """Fill the network that looks at pictures in place.

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
    state = _imagenet_state(name) if weights == "imagenet" else _load_state_dict(Path(weights))
    classifier = tuple(f"{key}." for key in backbone.layout.classifier)
    state = {name: value for name, value in state.items() if not name.startswith(classifier)}
    try:
        backbone.network.load_state_dict(state)
    except RuntimeError as error:
        raise StoreError(
            f"{weights} weights do not fit {name} ({str(error).splitlines()[1].strip()});"
            " give weights of the same network"
        ) from error


def _imagenet_state(name: str) -> dict[str, torch.Tensor]:
    """Torchvision's ImageNet weights, from its cache or its address."""
    offered = get_model_weights(name).__members__
    if "IMAGENET1K_V1" not in offered:
        raise ConfigError(
            f"torchvision has no imagenet weights of {name} (but {', '.join(offered)});"
            " set model.weights to a local file or to none, or take another backbone"
        )
    known = offered["IMAGENET1K_V1"]
    file_name = known.url.rsplit("/", 1)[-1]
    try:
        return dict(known.get_state_dict(progress=False, check_hash=True))
    except (URLError, OSError) as error:
        raise ConfigError(
            f"imagenet weights of {name} cannot be fetched from {known.url} ({error});"
            f" put {file_name} into {Path(torch.hub.get_dir()) / 'checkpoints'},"
            " or set model.weights to a local file or to none"
        ) from error


def _load_state_dict(path: Path) -> dict[str, torch.Tensor]:
    """A state dict that the user brings."""
    if not path.is_file():
        raise ConfigError(
            f"model.weights: no file {path}; give imagenet, none or the path of a state dict"
        )
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # torch raises whatever the damaged bytes happen to trip on
        raise StoreError(f"{path} is no state dict that loads ({error})") from error


def load_skipthoughts(encoder: nn.Module, vocabulary: Sequence[str], folder: Path) -> int:
    r"""Fill a skip-thoughts encoder in place from the files that its authors published (METHOD 9).

    A word that their dictionary lacks, and the unknown word, start as its `UNK`, as released; without such
    an entry they keep their random start.

    Args:
        encoder: the model's sentence encoder, a `SkipThoughts` of 620 numbers a word and 2400 units.
        words: the vocabulary in order of its numbers; the last word is the encoder's last.
        folder: holds `dictionary.txt`, a word a line; `utable.npy`, (words, 620) float, a row for each of
            its lines; and `uni_skip.npz`, the recurrence in Theano's form
            :math:`h' = u \odot h + (1 - u) \odot \tanh(x W_x + b_x + r \odot h U_x)`, where
            :math:`[r, u] = \sigma(x W + b + h U)`.

    Returns:
        How many of the words the dictionary has.

    Raises:
        ConfigError: the model has another encoder, or a file is missing.
        StoreError: a file is damaged, or of other sizes than the encoder.
    """
    if not isinstance(encoder, SkipThoughts):
        raise ConfigError(
            "model.text_weights are of skip-thoughts and model.text is not skipthoughts;"
            " set text: skipthoughts or text_weights: none"
        )
    files = _read_skipthoughts(folder)
    _check_sizes(encoder, files, folder)
    row_of = {line.strip(): row for row, line in enumerate(files.dictionary)}
    first = encoder.embedding.num_embeddings - len(vocabulary)
    ours = enumerate(
        ["UNK", *vocabulary], start=first - 1
    )  # the unknown word stands before the first
    rows_by_token = {number: row_of.get(word, row_of.get("UNK")) for number, word in ours}
    known = {number: row for number, row in rows_by_token.items() if row is not None}
    rows = files.table[np.array(list(known.values()), dtype=np.int64)]
    p = {name: torch.from_numpy(each) for name, each in files.gru.items()}
    weight, state_weight, bias, _ = encoder.gru.all_weights[0]
    with torch.no_grad():  # rows lie in the same order: reset, update, new
        encoder.embedding.weight[list(known)] = torch.from_numpy(rows.astype(np.float32))
        weight.copy_(torch.hstack([p["encoder_W"], p["encoder_Wx"]]).T)
        state_weight.copy_(torch.hstack([p["encoder_U"], p["encoder_Ux"]]).T)
        bias.copy_(torch.hstack([p["encoder_b"], p["encoder_bx"]]))
    return sum(word in row_of for word in vocabulary)


class _SkipThoughtsFiles(NamedTuple):
    """What the files of skip-thoughts hold."""

    dictionary: list[str]  # a word a row of the table
    table: np.ndarray  # (words, word size) float, on disk: it takes 2.3 GB
    gru: dict[str, np.ndarray]  # float32, see GRU


def _read_skipthoughts(folder: Path) -> _SkipThoughtsFiles:
    """Open the three files."""
    if missing := [name for name in SKIPTHOUGHTS_FILES if not (folder / name).is_file()]:
        raise ConfigError(
            f"model.text_weights: {folder} lacks {', '.join(missing)}; it must hold"
            " dictionary.txt, utable.npy and uni_skip.npz, from a mirror of skip-thoughts' models"
            " folder; text_weights: none starts from random numbers, text: bigru needs no files"
        )
    dictionary, table, gru = (folder / name for name in SKIPTHOUGHTS_FILES)
    try:
        with gru.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return _SkipThoughtsFiles(
                dictionary.read_bytes().decode().removesuffix("\n").split("\n"),
                np.load(table, mmap_mode="r", allow_pickle=False),
                {name: arrays[name].astype(np.float32) for name in GRU_ARRAYS},
            )
    except Exception as error:  # numpy raises whatever the damaged bytes happen to trip on
        raise StoreError(
            f"{folder} holds damaged weights of skip-thoughts ({type(error).__name__}: {error});"
            " fetch its files again"
        ) from error


def _check_sizes(encoder: SkipThoughts, files: _SkipThoughtsFiles, folder: Path) -> None:
    """Refuse weights that an encoder has no room for, or that do not belong together."""
    size, units = encoder.gru.input_size, encoder.gru.hidden_size
    expected = {
        "encoder_W": (size, 2 * units),
        "encoder_b": (2 * units,),
        "encoder_U": (units, 2 * units),
        "encoder_Wx": (size, units),
        "encoder_bx": (units,),
        "encoder_Ux": (units, units),
    }
    for name, shape in expected.items():
        if (found := files.gru[name].shape) != shape:
            raise StoreError(
                f"{folder}: {name} is {found}, and model.word_size {size} with text_size {units}"
                f" expect {shape}; set both to what the files hold (as published 620 and 2400)"
            )
    words, table = len(files.dictionary), files.table
    if table.shape[1:] != (size,) or len(table) < words:
        raise StoreError(
            f"{folder}: utable.npy is {table.shape}, and the {words} words of dictionary.txt with"
            f" model.word_size {size} expect {(words, size)}; fetch its files again"
        )


def count_parameters(model: nn.Module) -> int:
    """How many numbers a model learns."""
    return sum(each.numel() for each in model.parameters() if each.requires_grad)
