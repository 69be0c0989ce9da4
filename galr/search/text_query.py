"""Sentences as queries: an index keeps only the text encoder of a model, which is small and quick to load."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from galr.data.vocabulary import Vocabulary
from galr.errors import StoreError
from galr.io.atomic import atomic_write
from galr.model.text import SentenceEncoder, build_text_encoder, pad_tokens
from galr.search.index import BANK, TEXT_ENCODER

if TYPE_CHECKING:  # they load the whole model
    from galr.model.galr import GaLR
    from galr.similarity.runs import TrainedRun

VERSION = 3
STATE_PREFIX = "text_encoder."  # of its weights' names in the whole model
ARCHITECTURE_KEYS = (
    "text_encoder",
    "vocab_size",
    "word_dim",
    "gru_hidden",
    "text_dropout",
    "embed_dim",
)
BANK_SIZE = 5000  # training sentences that serve as other queries: 10 MB at 512 numbers each


@dataclass(frozen=True)
class TextEncoder:
    """Embeds sentences.

    Attributes:
        network: from token ids and lengths to embeddings, in evaluation mode, on the CPU.
        vocabulary: the words it was trained on.
        max_words: a longer sentence is cut.
    """

    network: SentenceEncoder
    vocabulary: Vocabulary
    max_words: int

    def embed(self, sentence: str) -> np.ndarray:
        """Embed a sentence: (embed_dim,) float32 of length 1.

        Raises:
            ConfigError: the sentence has no word, or none of the vocabulary.
        """
        self.vocabulary.check_query(sentence)
        token_ids, lengths = pad_tokens(self.vocabulary.encode([sentence], self.max_words))
        with torch.inference_mode():
            return self.network(token_ids, lengths)[0].numpy()

    def unknown_words(self, sentence: str) -> list[str]:
        """Words of a sentence that are not in the vocabulary, each once; the model cannot tell them apart."""
        return self.vocabulary.unknown_words(sentence)


def write_query_files(
    folder: Path, run: "TrainedRun", model: "GaLR", *, batch_size: int, device: torch.device
) -> None:
    """Write what an index needs to answer sentences: the text encoder, and a bank of sentence embeddings.

    The bank holds the distinct training sentences, or a random 5000 of them.

    Args:
        folder: the index's; it is made where needed.
        run: the run.
        model: its model, on `device`.
        batch_size: sentences at a time.
        device: where to compute.
    """
    from galr.train.embed import embed_sentences  # loads the whole model

    checkpoint = run.checkpoint
    write_text_encoder(
        folder / TEXT_ENCODER,
        checkpoint.architecture,
        checkpoint.state_dict,
        checkpoint.vocabulary,
        checkpoint.max_words,
    )
    sentences = list(dict.fromkeys(run.splits()["train"].sentences))
    chosen = np.random.default_rng(0).permutation(len(sentences))[:BANK_SIZE]
    vocabulary = Vocabulary(tuple(checkpoint.vocabulary))
    token_ids = vocabulary.encode([sentences[row] for row in chosen], checkpoint.max_words)
    bank = embed_sentences(model, token_ids, batch_size=batch_size, device=device)
    with atomic_write(folder / BANK) as partial, partial.open("wb") as file:
        np.save(file, bank)


def write_text_encoder(
    path: Path,
    architecture: Mapping[str, Any],
    state_dict: Mapping[str, torch.Tensor],
    vocabulary: Sequence[str],
    max_words: int,
) -> None:
    """Store the text encoder of a model, whole or not at all.

    Args:
        path: to write.
        architecture: of the whole model, as in its checkpoint.
        state_dict: weights of the whole model.
        vocabulary: its words, in the order of their ids.
        max_words: longer sentences are cut.
    """
    weights = {
        name.removeprefix(STATE_PREFIX): tensor
        for name, tensor in state_dict.items()
        if name.startswith(STATE_PREFIX)
    }
    payload = {
        "kind": "sentence-encoder",
        "version": VERSION,
        "encoder": {key: architecture[key] for key in ARCHITECTURE_KEYS},
        "state": weights,
        "words": list(vocabulary),
        "max_words": max_words,
    }
    with atomic_write(path) as partial:
        torch.save(payload, partial)


def read_text_encoder(path: Path) -> TextEncoder:
    """Load the text encoder of an index.

    Raises:
        StoreError: the file is missing, damaged, of another kind or version.
    """
    try:
        payload = torch.load(path, map_location="cpu", weights_only=True)
        kind, version = payload["kind"], payload["version"]
        if (kind, version) != ("sentence-encoder", VERSION):
            raise StoreError(
                f"{path} is format {version} of {kind}, this code reads {VERSION} of sentence-encoder;"
                " run galr index again into an empty folder"
            )
        network = build_text_encoder(**payload["encoder"]).eval()
        network.load_state_dict(payload["state"])
        return TextEncoder(network, Vocabulary(tuple(payload["words"])), payload["max_words"])
    except StoreError:
        raise
    except Exception as error:  # torch raises many types on damaged bytes
        raise StoreError(
            f"{path} is missing or damaged ({type(error).__name__}); run galr index again into an empty"
            " folder"
        ) from error
