"""Published weights of the skip-thoughts sentence encoder."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from galr.errors import ConfigError, StoreError
from galr.model.text import SkipThoughts

SKIPTHOUGHTS_FILES = ("dictionary.txt", "utable.npy", "uni_skip.npz")
GRU_ARRAYS = ("encoder_W", "encoder_b", "encoder_U", "encoder_Wx", "encoder_bx", "encoder_Ux")


def load_skipthoughts(encoder: nn.Module, vocabulary: Sequence[str], folder: Path) -> int:
    r"""Load the published skip-thoughts weights into an encoder, in place.

    A word that their dictionary lacks, and the unknown word, get the embedding of its `UNK`, as in the released
    code; without such an entry they keep their random embedding.
    Source: Kiros and others 2015 (arXiv 1506.06726); where the files are: `docs/how/reconstructed.md`.

    Args:
        encoder: the model's sentence encoder, a `SkipThoughts` of `word_dim` 620 and `gru_hidden` 2400.
        vocabulary: words in order of their ids; the last word is the encoder's last.
        folder: holds `dictionary.txt`, a word a line; `utable.npy`, (words, 620) float, a row for each of
            its lines; and `uni_skip.npz`, the recurrence in Theano's form
            :math:`h' = u \odot h + (1 - u) \odot \tanh(x W_x + b_x + r \odot h U_x)`, where
            :math:`[r, u] = \sigma(x W + b + h U)`.

    Returns:
        Number of words of the vocabulary that the dictionary has.

    Raises:
        ConfigError: the model has another encoder, or a file is missing.
        StoreError: a file is damaged, or of other sizes than the encoder.
    """
    if not isinstance(encoder, SkipThoughts):
        raise ConfigError(
            "model.text_weights are of skip-thoughts and model.text_encoder is not skipthoughts;"
            " set text_encoder: skipthoughts or text_weights: none"
        )
    files = _read_skipthoughts(folder)
    _check_sizes(encoder, files, folder)
    row_of = {line.strip(): row for row, line in enumerate(files.dictionary)}
    unknown_id = encoder.embedding.num_embeddings - len(vocabulary) - 1  # before the first word's
    words = enumerate(["UNK", *vocabulary], start=unknown_id)
    rows_by_token = {token: row_of.get(word, row_of.get("UNK")) for token, word in words}
    known = {token: row for token, row in rows_by_token.items() if row is not None}
    rows = files.table[np.array(list(known.values()), dtype=np.int64)]
    p = {name: torch.from_numpy(array) for name, array in files.gru.items()}
    weight, state_weight, bias, _ = encoder.gru.all_weights[0]
    with torch.no_grad():  # torch stacks the gates in the same order: reset, update, new
        encoder.embedding.weight[list(known)] = torch.from_numpy(rows.astype(np.float32))
        weight.copy_(torch.hstack([p["encoder_W"], p["encoder_Wx"]]).T)
        state_weight.copy_(torch.hstack([p["encoder_U"], p["encoder_Ux"]]).T)
        bias.copy_(torch.hstack([p["encoder_b"], p["encoder_bx"]]))
    return sum(word in row_of for word in vocabulary)


class _SkipThoughtsFiles(NamedTuple):
    """Content of the three files."""

    dictionary: list[str]  # the word of each row of the table
    table: np.ndarray  # (words, word_dim) float, memory-mapped: it takes 2.3 GB
    gru: dict[str, np.ndarray]  # float32, by the names of GRU_ARRAYS


def _read_skipthoughts(folder: Path) -> _SkipThoughtsFiles:
    """Read the three files.

    Raises:
        ConfigError: one is missing.
        StoreError: one is damaged.
    """
    if missing := [name for name in SKIPTHOUGHTS_FILES if not (folder / name).is_file()]:
        raise ConfigError(
            f"model.text_weights: {folder} lacks {', '.join(missing)}; it must hold"
            " dictionary.txt, utable.npy and uni_skip.npz, from a mirror of skip-thoughts' models"
            " folder; text_weights: none starts from random weights, text_encoder: bigru needs no files"
        )
    dictionary, table, gru = (folder / name for name in SKIPTHOUGHTS_FILES)
    try:
        with gru.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            return _SkipThoughtsFiles(
                dictionary.read_bytes().decode().removesuffix("\n").split("\n"),
                np.load(table, mmap_mode="r", allow_pickle=False),
                {name: arrays[name].astype(np.float32) for name in GRU_ARRAYS},
            )
    except Exception as error:  # NumPy raises whatever the damaged bytes happen to lead to
        raise StoreError(
            f"{folder} holds damaged weights of skip-thoughts ({type(error).__name__}: {error});"
            " download its files again"
        ) from error


def _check_sizes(encoder: SkipThoughts, files: _SkipThoughtsFiles, folder: Path) -> None:
    """Check that the arrays have the encoder's sizes and belong together.

    Raises:
        StoreError: one does not.
    """
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
        if (actual := files.gru[name].shape) != shape:
            raise StoreError(
                f"{folder}: {name} is {actual}, and model.word_dim {size} with gru_hidden {units}"
                f" expect {shape}; set both to what the files hold (as published 620 and 2400)"
            )
    words, table = len(files.dictionary), files.table
    if table.shape[1:] != (size,) or len(table) < words:
        raise StoreError(
            f"{folder}: utable.npy is {table.shape}, and the {words} words of dictionary.txt with"
            f" model.word_dim {size} expect {(words, size)}; download its files again"
        )
